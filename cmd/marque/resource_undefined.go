package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/marque-auth/marque/authz/admin/client"
)

// maxNamedClients bounds how many clients a note names.
const maxNamedClients = 10

// noteUndefined says which clients have scopes that no API of theirs defines any more, now that a resource
// has lost some: their requests for these are refused. The change is made, so that a list which cannot be
// read is no failure, but said.
func (a *app) noteUndefined(ctx context.Context, api *client.ClientWithResponses, was, now *client.Resource) {
	lost := without(was.Scopes, now.Scopes)
	if len(lost) == 0 {
		return
	}
	named, n, err := undefinedScopes(ctx, api, now.Resource, lost)
	switch {
	case err != nil:
		a.note("Whether clients still have what was taken away could not be read; see marque client list: %s", strings.Join(lost, " "))
	case n == 1:
		a.note("1 client has scopes that no API of it defines now; requests for them are refused: %s", named[0])
	case n > len(named):
		a.note("%d clients have scopes that no API of theirs defines now; requests for them are refused: %s, and others", n, strings.Join(named, ", "))
	case n > 0:
		a.note("%d clients have scopes that no API of theirs defines now; requests for them are refused: %s", n, strings.Join(named, ", "))
	}
}

var errUnread = errors.New("a list could not be read")

// undefinedScopes looks at every client that has the resource, and returns how many have one of the lost
// scopes that no resource of theirs defines, and the first of them with these scopes.
func undefinedScopes(ctx context.Context, api *client.ClientWithResponses, resource string, lost []string) (named []string, n int, err error) {
	defined, err := scopesOfResources(ctx, api)
	if err != nil {
		return nil, 0, err
	}
	var cursor *string
	for {
		r, err := api.ListClientsWithResponse(ctx, &client.ListClientsParams{Cursor: cursor, Limit: new(maxPage)})
		if err != nil || r.JSON200 == nil {
			return nil, 0, errUnread
		}
		for _, c := range r.JSON200.Clients {
			if !slices.Contains(c.Resources, resource) {
				continue
			}
			left := intersect(strings.Fields(c.Scope), lost)
			for _, id := range c.Resources {
				left = without(left, defined[id])
			}
			if len(left) == 0 {
				continue
			}
			if n++; n <= maxNamedClients {
				named = append(named, c.ClientID+" ("+strings.Join(left, " ")+")")
			}
		}
		if r.JSON200.Next == nil {
			return named, n, nil
		}
		cursor = r.JSON200.Next
	}
}

// scopesOfResources returns what each resource defines.
func scopesOfResources(ctx context.Context, api *client.ClientWithResponses) (map[string][]string, error) {
	all, err := pages(func(cursor *string) ([]client.Resource, *string, error) {
		r, err := api.ListResourcesWithResponse(ctx, &client.ListResourcesParams{Cursor: cursor, Limit: new(maxPage)})
		if err != nil || r.JSON200 == nil {
			return nil, nil, errUnread
		}
		return r.JSON200.Resources, r.JSON200.Next, nil
	})
	defined := map[string][]string{}
	for _, r := range all {
		defined[r.Resource] = r.Scopes
	}
	return defined, err
}

// without returns what is in list and not in others.
func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}

// intersect returns what is in both.
func intersect(list, others []string) []string { return without(list, without(list, others)) }

package main

import (
	"context"
	"slices"
	"strings"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
)

// firstRequest says what a token request of a new client must hold beyond its credentials, so that
// its developer does not find out by a refusal. defined is what each of its resources defines; nil if
// that is not known.
func (a *app) firstRequest(c *client.RegisteredClient, defined map[string][]string) {
	switch {
	case len(c.Resources) == 0 && c.Admin:
		a.note("This client manages the server: marque … --admin URL --issuer URL --client-id %s, with its secret in $%s or from a file.", c.ClientID, configs.VariableClientSecret)
		return
	case len(c.Resources) == 0:
		a.note("This client has no --resource, so it gets no tokens.")
		return
	case c.Scope == "":
		a.note("This client has no --scope: its tokens carry none.")
	case c.DefaultScope == "":
		a.note("This client has no default scope: its first request needs scope=%s (or a part of it).", strings.ReplaceAll(c.Scope, " ", "+"))
	}
	if len(c.Resources) < 2 {
		return
	}
	switch {
	case c.DefaultScope != "" && defined != nil && !definedAtOnce(strings.Fields(c.DefaultScope), defined):
		a.note("No resource alone defines the whole default scope: a request that names no scope needs resource=URI.")
	case c.DefaultResource == nil:
		a.note("This client has several resources and no default: when more than one defines the scope that it asks for, its request needs resource=URI.")
	}
}

// definedAtOnce reports whether some resource defines all of the scopes.
func definedAtOnce(scopes []string, defined map[string][]string) bool {
	for _, of := range defined {
		if !slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(of, s) }) {
			return true
		}
	}
	return false
}

// definedScopes asks what each resource of a client defines, where a note hangs on it. It returns nil
// when it could not learn that: the secret that was just made must be printed all the same.
func definedScopes(ctx context.Context, api *client.ClientWithResponses, c *client.RegisteredClient) map[string][]string {
	if len(c.Resources) < 2 || c.DefaultScope == "" {
		return nil
	}
	defined := map[string][]string{}
	for _, id := range c.Resources {
		r, err := api.GetResourceWithResponse(ctx, id)
		if err != nil || r.JSON200 == nil {
			return nil
		}
		defined[id] = r.JSON200.Scopes
	}
	return defined
}

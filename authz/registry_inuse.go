package authz

import (
	"context"
	"slices"
)

// maxNamed bounds how many clients an InUseError names.
const maxNamed = 10

// usePage is how many clients are read at a time when all of them are looked at.
const usePage = 500

// InUseError says that a resource cannot be deleted, and names clients that have or serve it.
type InUseError struct{ Clients []ClientID } // at most 10

func (e *InUseError) Error() string { return "the resource is in use" }

// unused returns an *InUseError while a client has or serves the resource. It reads every client. One
// that is registered at the same moment may be missed: it then names a resource that is deleted, for
// which it gets no token.
func (r *Registry) unused(ctx context.Context, id ResourceID) error {
	var users []ClientID
	q := ClientQuery{Limit: usePage}
	for {
		page, err := r.config.Clients.ListClients(ctx, q)
		if err != nil {
			return err
		}
		for _, c := range page {
			if slices.Contains(c.Resources, id) || slices.Contains(c.Serves, id) {
				users = append(users, c.ID)
			}
			if len(users) == maxNamed {
				return &InUseError{users}
			}
		}
		if len(page) < q.Limit {
			break
		}
		q.After = page[len(page)-1].ID
	}
	if len(users) > 0 {
		return &InUseError{users}
	}
	return nil
}

package redisstore

import (
	"context"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// Resource implements authz.Resources.
func (s *Store) Resource(ctx context.Context, id authz.ResourceID) (authz.Resource, error) {
	sealed, err := s.db.one(ctx, s.db.names.record(store.KindResource, string(id)))
	if err != nil {
		return authz.Resource{}, err
	}
	if sealed == nil {
		return authz.Resource{}, authz.ErrNotFound
	}
	return s.env.OpenResource(id, sealed)
}

// ListResources implements authz.ResourceRecords.
func (s *Store) ListResources(ctx context.Context, after authz.ResourceID, limit int) ([]authz.Resource, error) {
	if limit < 1 {
		return nil, errLimit
	}
	var resources []authz.Resource
	err := s.db.scan(ctx, store.KindResource, string(after), limit, func(key string, sealed []byte) (bool, error) {
		r, err := s.env.OpenResource(authz.ResourceID(key), sealed)
		if err != nil {
			return false, err
		}
		if r.DeletedAt.IsZero() {
			resources = append(resources, r)
		}
		return len(resources) < limit, nil
	})
	if err != nil {
		return nil, err
	}
	return resources, nil
}

// PutResource implements authz.ResourceRecords.
func (s *Store) PutResource(ctx context.Context, r authz.Resource, e audit.Entry, revoked ...authz.Revocation) (authz.Resource, error) {
	resource := &put{
		kind: store.KindResource, key: string(r.ID), expected: r.Version,
		seal: func(version uint64) ([]byte, error) {
			r.Version = version
			return s.env.SealResource(r)
		},
	}
	resource.check = resource.versioned(s.env, authz.ErrConflict)
	revocations, err := s.revocationPuts(revoked)
	if err != nil {
		return authz.Resource{}, err
	}
	if err := s.commit(ctx, e, authz.ErrConflict, append([]*put{resource}, revocations...)); err != nil {
		return authz.Resource{}, err
	}
	return s.env.OpenResource(r.ID, resource.sealed)
}

package boltstore

import (
	"context"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// Resource implements authz.Resources.
func (s *Store) Resource(ctx context.Context, id authz.ResourceID) (authz.Resource, error) {
	sealed, err := s.get(ctx, bucketResources, string(id))
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
	records, err := s.list(ctx, bucketResources, string(after), limit)
	if err != nil {
		return nil, err
	}
	resources := make([]authz.Resource, len(records))
	for i, r := range records {
		if resources[i], err = s.env.OpenResource(authz.ResourceID(r.key), r.sealed); err != nil {
			return nil, err
		}
	}
	return resources, nil
}

// PutResource implements authz.ResourceRecords.
func (s *Store) PutResource(ctx context.Context, r authz.Resource, e audit.Entry, revoked ...authz.Revocation) (authz.Resource, error) {
	expected := r.Version
	r.Version++
	sealed, err := s.env.SealResource(r)
	if err != nil {
		return authz.Resource{}, err
	}
	err = s.commit(ctx, write{
		kind: store.KindResource, bucket: bucketResources, key: string(r.ID),
		sealed: sealed, expected: expected, conflict: authz.ErrConflict, entry: e,
	})
	if err != nil {
		return authz.Resource{}, err
	}
	return s.env.OpenResource(r.ID, sealed)
}

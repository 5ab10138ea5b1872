package boltstore

import (
	"context"

	bolt "go.etcd.io/bbolt"

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
	if limit < 1 {
		return nil, errLimit
	}
	var resources []authz.Resource
	err := s.scan(ctx, bucketResources, string(after), func(_ *bolt.Tx, key, sealed []byte) (bool, error) {
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
	expected := r.Version
	r.Version++
	sealed, err := s.env.SealResource(r)
	if err != nil {
		return authz.Resource{}, err
	}
	err = s.commit(ctx, e, func(tx *bolt.Tx) error {
		if err := s.putRevocations(tx, revoked); err != nil {
			return err
		}
		return s.put(tx, put{
			kind: store.KindResource, bucket: bucketResources, key: string(r.ID),
			sealed: sealed, expected: expected, conflict: authz.ErrConflict,
		})
	})
	if err != nil {
		return authz.Resource{}, err
	}
	return s.env.OpenResource(r.ID, sealed)
}

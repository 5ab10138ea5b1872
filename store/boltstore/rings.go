package boltstore

import (
	"context"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// Rings implements keys.Rings.
func (s *Store) Rings(ctx context.Context) ([]keys.RingRecord, error) {
	var rings []keys.RingRecord // one for each algorithm
	err := s.scan(ctx, bucketRings, "", func(_ *bolt.Tx, key, sealed []byte) (bool, error) {
		r, err := s.env.OpenRing(string(key), sealed)
		rings = append(rings, r)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return rings, nil
}

// PutRing implements keys.Rings.
func (s *Store) PutRing(ctx context.Context, r keys.RingRecord, e audit.Entry) (keys.RingRecord, error) {
	expected := r.Version
	r.Version++
	sealed, err := s.env.SealRing(r)
	if err != nil {
		return keys.RingRecord{}, err
	}
	err = s.commit(ctx, e, func(tx *bolt.Tx) error {
		return s.put(tx, put{
			kind: store.KindRing, bucket: bucketRings, key: string(r.Algorithm),
			sealed: sealed, expected: expected, conflict: keys.ErrConflict,
		})
	})
	if err != nil {
		return keys.RingRecord{}, err
	}
	return s.env.OpenRing(string(r.Algorithm), sealed)
}

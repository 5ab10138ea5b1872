package boltstore

import (
	"context"
	"math"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// Rings implements keys.Rings.
func (s *Store) Rings(ctx context.Context) ([]keys.RingRecord, error) {
	records, err := s.list(ctx, bucketRings, "", math.MaxInt) // there is one for each algorithm
	if err != nil {
		return nil, err
	}
	rings := make([]keys.RingRecord, len(records))
	for i, r := range records {
		if rings[i], err = s.env.OpenRing(r.key, r.sealed); err != nil {
			return nil, err
		}
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
	err = s.commit(ctx, write{
		kind: store.KindRing, bucket: bucketRings, key: string(r.Algorithm),
		sealed: sealed, expected: expected, conflict: keys.ErrConflict, entry: e,
	})
	if err != nil {
		return keys.RingRecord{}, err
	}
	return s.env.OpenRing(string(r.Algorithm), sealed)
}

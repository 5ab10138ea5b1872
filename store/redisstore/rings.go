package redisstore

import (
	"context"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// Rings implements keys.Rings.
func (s *Store) Rings(ctx context.Context) ([]keys.RingRecord, error) {
	var rings []keys.RingRecord // one for each algorithm
	err := s.db.scan(ctx, store.KindRing, "", listed, func(key string, sealed []byte) (bool, error) {
		r, err := s.env.OpenRing(key, sealed)
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
	ring := &put{
		kind: store.KindRing, key: string(r.Algorithm), expected: r.Version,
		seal: func(version uint64) ([]byte, error) {
			r.Version = version
			return s.env.SealRing(r)
		},
	}
	ring.check = ring.versioned(s.env, keys.ErrConflict)
	if err := s.commit(ctx, e, keys.ErrConflict, []*put{ring}); err != nil {
		return keys.RingRecord{}, err
	}
	return s.env.OpenRing(string(r.Algorithm), ring.sealed)
}

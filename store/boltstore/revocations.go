package boltstore

import (
	"context"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

// A revocation is removed once its end has passed by revocationsKept: nothing else is ever removed by
// the clock, and a clock that was wrong for a while must not give back what was revoked. A write looks
// at no more than revocationsLooked of them and removes no more than revocationsTrimmed, so that no
// write pays for many.
const (
	revocationsKept    = time.Hour
	revocationsLooked  = 64
	revocationsTrimmed = 16
)

// Revocations implements authz.Revocations. What could not have been stored is refused rather than
// not found: nobody is to conclude from a mistaken question that nothing is revoked.
func (s *Store) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	for _, subject := range subjects {
		if !subject.Valid() {
			return nil, fmt.Errorf("boltstore: %q cannot be revoked", subject)
		}
	}
	var found []authz.Revocation
	err := s.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, bucketRevocations)
		if err != nil {
			return err
		}
		c := b.Cursor() // one for all of them: each Get would make its own
		for _, subject := range subjects {
			key := subject.String()
			at, sealed := c.Seek([]byte(key))
			if string(at) != key {
				continue
			}
			r, err := s.env.OpenRevocation(key, sealed)
			if err != nil {
				return err
			}
			found = append(found, r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ListRevocations implements authz.RevocationRecords.
func (s *Store) ListRevocations(ctx context.Context, after string, limit int) ([]authz.Revocation, error) {
	if limit < 1 {
		return nil, errLimit
	}
	var revocations []authz.Revocation
	err := s.scan(ctx, bucketRevocations, after, func(_ *bolt.Tx, key, sealed []byte) (bool, error) {
		r, err := s.env.OpenRevocation(string(key), sealed)
		if err != nil {
			return false, err
		}
		revocations = append(revocations, r)
		return len(revocations) < limit, nil
	})
	if err != nil {
		return nil, err
	}
	return revocations, nil
}

// PutRevocation implements authz.RevocationRecords.
func (s *Store) PutRevocation(ctx context.Context, r authz.Revocation, e audit.Entry) (authz.Revocation, error) {
	var stored authz.Revocation
	err := s.commit(ctx, e, func(tx *bolt.Tx) (err error) {
		stored, err = s.putRevocation(tx, r)
		return err
	})
	if err != nil {
		return authz.Revocation{}, err
	}
	return stored, nil
}

// putRevocations stores all of them. Two of one subject have no order, so they are a mistake.
func (s *Store) putRevocations(tx *bolt.Tx, revoked []authz.Revocation) error {
	seen := make(map[token.Subject]bool, len(revoked))
	for _, r := range revoked {
		if seen[r.Subject] {
			return fmt.Errorf("boltstore: %q is revoked twice by one write", r.Subject)
		}
		seen[r.Subject] = true
		if _, err := s.putRevocation(tx, r); err != nil {
			return err
		}
	}
	return nil
}

// putRevocation stores a revocation, its place in the order of expiry and its change, if the stored
// version is r.Version; it returns what is stored then.
func (s *Store) putRevocation(tx *bolt.Tx, r authz.Revocation) (authz.Revocation, error) {
	b, err := s.db.bucket(tx, bucketRevocations)
	if err != nil {
		return authz.Revocation{}, err
	}
	key := r.Subject.String()
	var old authz.Revocation
	if there := b.Get([]byte(key)); there != nil {
		if old, err = s.env.OpenRevocation(key, there); err != nil {
			return authz.Revocation{}, err
		}
	}
	if old.Version != r.Version {
		return authz.Revocation{}, fmt.Errorf("revocation %q: %w", key, authz.ErrConflict)
	}
	if r.Version == 0 {
		r.Version = b.Sequence() // see forget: no subject has had a higher one
	}
	r.Version++
	sealed, err := s.env.SealRevocation(r)
	if err != nil {
		return authz.Revocation{}, err
	}
	if err := b.Put([]byte(key), sealed); err != nil {
		return authz.Revocation{}, err
	}
	if err := s.db.moveExpiry(tx, key, old.Until, r.Until); err != nil {
		return authz.Revocation{}, err
	}
	if err := s.appendChange(tx, store.Change{Kind: store.KindRevocation, ID: key}); err != nil {
		return authz.Revocation{}, err
	}
	return s.env.OpenRevocation(key, sealed)
}

package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

var errLimit = errors.New("boltstore: a limit must be at least 1")

// Store is an open file together with the key that authenticates its records. Several may share one
// DB. Its methods may be called concurrently.
type Store struct {
	db  *DB
	env *store.Envelope
}

var _ store.Store = (*Store)(nil)

// New returns the store in db. Closing it is closing db.
func New(db *DB, env *store.Envelope) (*Store, error) {
	if db == nil || env == nil {
		return nil, errors.New("boltstore: a store needs a DB and an envelope")
	}
	if env.Namespace() != string(db.ns) {
		return nil, fmt.Errorf("boltstore: the envelope is of namespace %s, the file's is %s", env.Namespace(), db.ns)
	}
	return &Store{db: db, env: env}, nil
}

// get returns a copy of the sealed record under key, or nil if there is none: bbolt's own bytes are
// gone when the transaction ends.
func (s *Store) get(ctx context.Context, bucket []byte, key string) (sealed []byte, err error) {
	err = s.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, bucket)
		if err != nil {
			return err
		}
		sealed = bytes.Clone(b.Get([]byte(key)))
		return nil
	})
	return sealed, err
}

// scanned is how many records one transaction of scan reads: bbolt keeps the pages that a reading
// transaction could see, and a write that has to map more of the file waits for all of them to end.
const scanned = 1024

// scan calls fn with each record of a bucket whose key sorts after the given one, in that order, until
// fn wants no more. What it is given are bbolt's own bytes, gone when fn returns. Each record is as of
// some instant of the call; records that come and go meanwhile may or may not be seen.
func (s *Store) scan(ctx context.Context, bucket []byte, after string, fn func(tx *bolt.Tx, key, sealed []byte) (more bool, err error)) error {
	last, more := []byte(after), true
	for more {
		err := s.db.view(ctx, func(tx *bolt.Tx) error {
			b, err := s.db.bucket(tx, bucket)
			if err != nil {
				return err
			}
			c := b.Cursor()
			k, v := c.Seek(last)
			if k != nil && bytes.Equal(k, last) {
				k, v = c.Next()
			}
			for range scanned {
				if k == nil {
					more = false
					return nil
				}
				if more, err = fn(tx, k, v); err != nil || !more {
					return err
				}
				last = append(last[:0], k...)
				k, v = c.Next()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// commit runs fn and adds the audit entry, in one transaction; if fn fails, nothing is stored.
func (s *Store) commit(ctx context.Context, e audit.Entry, fn func(tx *bolt.Tx) error) error {
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return err
	}
	return s.db.update(ctx, func(tx *bolt.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if err := s.forgetRevocations(tx); err != nil {
			return err
		}
		return s.db.appendAudit(tx, entry)
	})
}

// put is a record to be stored.
type put struct {
	kind     store.Kind
	bucket   []byte
	key      string
	sealed   []byte
	expected uint64 // the version it replaces; 0: none
	conflict error  // the contract's own sentinel
}

// put stores the record and its change if the stored version is the expected one. A stored record
// that is damaged, or of a newer format, is an error and stays as it is.
func (s *Store) put(tx *bolt.Tx, p put) error {
	b, err := s.db.bucket(tx, p.bucket)
	if err != nil {
		return err
	}
	var version uint64
	if there := b.Get([]byte(p.key)); there != nil {
		if version, _, err = s.env.Open(p.kind, p.key, there); err != nil {
			return err
		}
	}
	if version != p.expected {
		return fmt.Errorf("%s %q: %w", p.kind, p.key, p.conflict)
	}
	if err := b.Put([]byte(p.key), p.sealed); err != nil {
		return err
	}
	return s.appendChange(tx, store.Change{Kind: p.kind, ID: p.key})
}

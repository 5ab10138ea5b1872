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

// record is a sealed record with its key.
type record struct {
	key    string
	sealed []byte
}

// list returns copies of at most limit records whose keys sort after the given one.
func (s *Store) list(ctx context.Context, bucket []byte, after string, limit int) (records []record, err error) {
	if limit < 1 {
		return nil, errLimit
	}
	err = s.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, bucket)
		if err != nil {
			return err
		}
		c := b.Cursor()
		k, v := c.Seek([]byte(after))
		if k != nil && string(k) == after {
			k, v = c.Next()
		}
		for ; k != nil && len(records) < limit; k, v = c.Next() {
			records = append(records, record{string(k), bytes.Clone(v)})
		}
		return nil
	})
	return records, err
}

// write is everything that one put commits, or nothing.
type write struct {
	kind     store.Kind
	bucket   []byte
	key      string
	sealed   []byte
	expected uint64               // the version it replaces; 0: none
	conflict error                // the contract's own sentinel
	also     func(*bolt.Tx) error // before anything is written; may be nil
	entry    audit.Entry
}

// commit stores the record, what also does, the change and the audit entry in one transaction if
// the stored version is the expected one. A stored record that is damaged, or of a newer format, is
// an error and stays as it is.
func (s *Store) commit(ctx context.Context, w write) error {
	entry, err := store.EncodeEntry(w.entry)
	if err != nil {
		return err
	}
	return s.db.update(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, w.bucket)
		if err != nil {
			return err
		}
		var version uint64
		if there := b.Get([]byte(w.key)); there != nil {
			if version, _, err = s.env.Open(w.kind, w.key, there); err != nil {
				return err
			}
		}
		if version != w.expected {
			return fmt.Errorf("%s %q: %w", w.kind, w.key, w.conflict)
		}
		if w.also != nil {
			if err := w.also(tx); err != nil {
				return err
			}
		}
		if err := b.Put([]byte(w.key), w.sealed); err != nil {
			return err
		}
		if err := s.appendChange(tx, store.Change{Kind: w.kind, ID: w.key}); err != nil {
			return err
		}
		return s.db.appendAudit(tx, entry)
	})
}

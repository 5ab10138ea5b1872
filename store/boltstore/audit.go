package boltstore

import (
	"context"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// Entries implements store.Audit.
func (s *Store) Entries(ctx context.Context, after string, limit int) ([]audit.Entry, string, error) {
	if limit < 1 {
		return nil, "", errLimit
	}
	var entries []audit.Entry
	var last uint64
	err := s.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, bucketAudit)
		if err != nil {
			return err
		}
		if after != "" {
			if last, err = s.db.sequence(after, b.Sequence()); err != nil {
				return err
			}
		}
		entries, last, err = readEntries(b, last, limit)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return entries, s.db.cursor(last), nil
}

// readEntries reads from behind last. Entries are numbered without gaps and never removed, so one
// that is missing is damage.
func readEntries(b *bolt.Bucket, last uint64, limit int) ([]audit.Entry, uint64, error) {
	var entries []audit.Entry
	for last < b.Sequence() && len(entries) < limit {
		n := last + 1
		name := strconv.FormatUint(n, 10)
		v := b.Get(sequenceKey(n))
		if v == nil {
			return nil, 0, &store.RecordError{
				Kind: store.KindAudit, Key: name, Reason: "it was removed", Err: store.ErrDamaged,
			}
		}
		e, err := store.DecodeEntry(name, v)
		if err != nil {
			return nil, 0, err
		}
		entries, last = append(entries, e), n
	}
	return entries, last, nil
}

// appendAudit adds an encoded entry to the log.
func (db *DB) appendAudit(tx *bolt.Tx, entry []byte) error {
	b, err := db.bucket(tx, bucketAudit)
	if err != nil {
		return err
	}
	return appendTo(b, entry)
}

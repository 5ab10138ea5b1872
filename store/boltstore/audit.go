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

// readEntries reads from behind last.
func readEntries(b *bolt.Bucket, last uint64, limit int) ([]audit.Entry, uint64, error) {
	var entries []audit.Entry
	for last < b.Sequence() && len(entries) < limit {
		e, err := readEntry(b, last+1)
		if err != nil {
			return nil, 0, err
		}
		entries, last = append(entries, e), last+1
	}
	return entries, last, nil
}

// readEntry reads the entry with that number. Entries are numbered without gaps and never removed, so
// one that is missing is damage.
func readEntry(b *bolt.Bucket, n uint64) (audit.Entry, error) {
	name := strconv.FormatUint(n, 10)
	v := b.Get(sequenceKey(n))
	if v == nil {
		return audit.Entry{}, &store.RecordError{
			Kind: store.KindAudit, Key: name, Reason: "it was removed", Err: store.ErrDamaged,
		}
	}
	return store.DecodeEntry(name, v)
}

// Latest implements authz.AuditLog.
func (s *Store) Latest(ctx context.Context, before string, limit int) ([]audit.Entry, string, error) {
	if limit < 1 {
		return nil, "", errLimit
	}
	var entries []audit.Entry
	var first uint64
	err := s.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, bucketAudit)
		if err != nil {
			return err
		}
		first = b.Sequence() + 1
		if before != "" {
			if first, err = s.db.sequence(before, b.Sequence()); err != nil {
				return err
			}
		}
		for first > 1 && len(entries) < limit {
			e, err := readEntry(b, first-1)
			if err != nil {
				return err
			}
			entries, first = append(entries, e), first-1
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	if first <= 1 {
		return entries, "", nil
	}
	return entries, s.db.cursor(first), nil
}

// Note implements store.Mover.
func (db *DB) Note(ctx context.Context, e audit.Entry) error {
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return err
	}
	return db.update(ctx, func(tx *bolt.Tx) error { return db.appendAudit(tx, entry) })
}

// appendAudit adds an encoded entry to the log.
func (db *DB) appendAudit(tx *bolt.Tx, entry []byte) error {
	b, err := db.bucket(tx, bucketAudit)
	if err != nil {
		return err
	}
	return appendTo(b, entry)
}

package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/store"
)

// movedBucket returns the bucket of a kind that is moved; nil for any other.
func movedBucket(kind store.Kind) []byte {
	switch kind {
	case store.KindClient:
		return bucketClients
	case store.KindResource:
		return bucketResources
	case store.KindRing:
		return bucketRings
	case store.KindCredential:
		return bucketCredentials
	case store.KindRevocation:
		return bucketRevocations
	case store.KindAudit:
		return bucketAudit
	}
	return nil
}

// Dump implements store.Mover. It copies the records of one short transaction at a time, and calls fn between them:
// it may take as long as it likes.
func (db *DB) Dump(ctx context.Context, kind store.Kind, fn func(store.Stored) error) error {
	if kind == store.KindInstallation {
		stored, err := db.storedInstallation(ctx)
		if err != nil || stored == nil {
			return err
		}
		return fn(store.Stored{Kind: kind, Key: string(db.ns), Octets: stored})
	}
	bucket := movedBucket(kind)
	if bucket == nil {
		return fmt.Errorf("boltstore: a %q cannot be moved", kind)
	}
	page := db.records
	if kind == store.KindAudit {
		page = db.entries
	}
	for last, more := []byte(nil), true; more; {
		var records []store.Stored
		var err error
		if records, last, err = page(ctx, kind, bucket, last); err != nil {
			return err
		}
		for _, r := range records {
			if err := fn(r); err != nil {
				return err
			}
		}
		more = len(records) > 0
	}
	if kind == store.KindRevocation {
		return db.allEnding(ctx)
	}
	return nil
}

// records copies the records that follow a key, and returns the key of the last of them.
func (db *DB) records(ctx context.Context, kind store.Kind, bucket, last []byte) (records []store.Stored, next []byte, err error) {
	err = db.viewReadable(ctx, func(tx *bolt.Tx) error {
		return db.following(tx, bucket, last, func(key, value []byte) error {
			if value == nil {
				return removed(kind, string(key), "it is not a record")
			}
			records = append(records, store.Stored{Kind: kind, Key: string(key), Octets: bytes.Clone(value)})
			next = bytes.Clone(key)
			return nil
		})
	})
	return records, next, err
}

// entries is records for audit entries, none of which may be missing.
func (db *DB) entries(ctx context.Context, kind store.Kind, bucket, last []byte) (records []store.Stored, next []byte, err error) {
	n, _ := sequenceOf(last)
	err = db.viewReadable(ctx, func(tx *bolt.Tx) error {
		if err := db.following(tx, bucket, last, func(key, value []byte) error {
			n++
			name := strconv.FormatUint(n, 10)
			if at, ok := sequenceOf(key); !ok || at != n || value == nil {
				return removed(kind, name, "it was removed")
			}
			records = append(records, store.Stored{Kind: kind, Key: name, Octets: bytes.Clone(value)})
			return nil
		}); err != nil {
			return err
		}
		b, err := db.bucket(tx, bucket)
		if err == nil && len(records) == 0 && n < b.Sequence() {
			err = removed(kind, strconv.FormatUint(n+1, 10), "it was removed")
		}
		return err
	})
	return records, sequenceKey(n), err
}

// following calls fn with what follows a key in a bucket, scanned times at most.
func (db *DB) following(tx *bolt.Tx, bucket, last []byte, fn func(key, value []byte) error) error {
	b, err := db.bucket(tx, bucket)
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
			return nil
		}
		if err := fn(k, v); err != nil {
			return err
		}
		k, v = c.Next()
	}
	return nil
}

// allEnding looks for the revocation that each entry of the order of expiry leads to: one that was removed before
// its time, unlike other records, leaves its entry behind.
func (db *DB) allEnding(ctx context.Context) error {
	for last, more := []byte(nil), true; more; {
		more = false
		if err := db.viewReadable(ctx, func(tx *bolt.Tx) error {
			revocations, err := db.bucket(tx, bucketRevocations)
			if err != nil {
				return err
			}
			return db.following(tx, bucketExpiries, last, func(key, _ []byte) error {
				last, more = bytes.Clone(key), true
				if _, subject, ok := expiryOf(key); ok && revocations.Get([]byte(subject)) == nil {
					return removed(store.KindRevocation, subject, "it was removed: the order of expiry has it")
				}
				return nil
			})
		}); err != nil {
			return err
		}
	}
	return nil
}

func removed(kind store.Kind, key, reason string) error {
	return &store.RecordError{Kind: kind, Key: key, Reason: reason, Err: store.ErrDamaged}
}

// Floor implements store.Mover.
func (db *DB) Floor(ctx context.Context) (floor uint64, err error) {
	err = db.viewReadable(ctx, func(tx *bolt.Tx) error {
		b, err := db.bucket(tx, bucketRevocations)
		if err == nil {
			floor = b.Sequence() // see forget
		}
		return err
	})
	return floor, err
}

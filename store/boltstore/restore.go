package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// Imported implements store.Mover.
func (db *DB) Imported(ctx context.Context, export string) (done int, err error) {
	err = db.viewAnyway(ctx, func(tx *bolt.Tx) error {
		s, err := db.state(tx)
		if err != nil {
			return err
		}
		if done, err = s.Imported(export); err == nil && s.InUse() {
			err = db.isEmpty(tx)
		}
		return db.fault(err)
	})
	return done, err
}

// isEmpty returns store.ErrOccupied where a namespace holds anything, or ever did.
func (db *DB) isEmpty(tx *bolt.Tx) error {
	for _, name := range namespaceBuckets(fileFormat) {
		b, err := db.bucket(tx, name)
		if err != nil {
			return err
		}
		if first, _ := b.Cursor().First(); first != nil || b.Sequence() > 0 {
			return fmt.Errorf("%w (bucket %s)", store.ErrOccupied, name)
		}
	}
	return nil
}

// Restore implements store.Mover.
func (db *DB) Restore(ctx context.Context, export string, done int, records []store.Stored) error {
	if err := store.CheckStored(records); err != nil {
		return err
	}
	return db.change(ctx, func(tx *bolt.Tx, now store.State) (store.State, error) {
		return db.restore(tx, now, export, done, records)
	})
}

// Complete implements store.Mover.
func (db *DB) Complete(ctx context.Context, export string, done int, last []store.Stored, floor uint64, in keys.Installation, e audit.Entry) error {
	record, err1 := store.EncodeInstallation(in)
	entry, err2 := store.EncodeEntry(e)
	if err := cmp.Or(err1, err2, store.CheckFloor(floor), store.CheckStored(last)); err != nil {
		return err
	}
	return db.change(ctx, func(tx *bolt.Tx, now store.State) (store.State, error) {
		genesis, err := db.bucket(tx, bucketGenesis)
		if err != nil {
			return now, err
		}
		log, err := db.bucket(tx, bucketAudit)
		if err != nil {
			return now, err
		}
		// The record alone does not tell one completion from another, which may have revoked everything or not.
		if _, newest := log.Cursor().Last(); now.InUse() && bytes.Equal(genesis.Get(keyInstallation), record) && bytes.Equal(newest, entry) {
			return now, nil
		}
		if _, err := db.restore(tx, now, export, done, last); err != nil {
			return now, err
		}
		if err := db.raiseFloor(tx, floor); err != nil {
			return now, err
		}
		if err := genesis.Put(keyInstallation, record); err != nil {
			return now, err
		}
		return store.State{}, db.appendAudit(tx, entry)
	})
}

// restore puts records, and returns the state in which the import is then. They are put in the order of their keys,
// so that those of one page come one after the other.
func (db *DB) restore(tx *bolt.Tx, now store.State, export string, done int, records []store.Stored) (store.State, error) {
	next, err := now.Restore(export, done, len(records))
	if err == nil && now.InUse() {
		err = db.isEmpty(tx)
	}
	if err != nil {
		return now, err
	}
	sorted := slices.SortedStableFunc(slices.Values(records), func(a, b store.Stored) int {
		if a.Kind == store.KindAudit && b.Kind == store.KindAudit {
			return 0 // they are in order
		}
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
	for _, r := range sorted {
		put := db.putStored
		if r.Kind == store.KindAudit {
			put = db.putEntry
		}
		if err := put(tx, r); err != nil {
			return now, err
		}
	}
	return next, nil
}

// putEntry appends an audit entry, if its number is the next one.
func (db *DB) putEntry(tx *bolt.Tx, r store.Stored) error {
	b, err := db.bucket(tx, bucketAudit)
	if err != nil {
		return err
	}
	if n, _ := store.AuditNumber(r.Key); n != b.Sequence()+1 {
		return fmt.Errorf("audit entry %s does not follow %d, the last that is there", r.Key, b.Sequence())
	}
	return appendTo(b, r.Octets)
}

// putStored puts a record with an identifier, and a revocation's place in the order of expiry. A revocation that
// would have been removed by now is remembered as one that was: see forget.
func (db *DB) putStored(tx *bolt.Tx, r store.Stored) error {
	if !r.Ends.IsZero() && !r.Ends.After(db.now().Add(-revocationsKept)) {
		version, err := store.PeekVersion(r.Kind, r.Key, r.Octets)
		if err != nil {
			return err
		}
		return db.raiseFloor(tx, version)
	}
	b, err := db.bucket(tx, movedBucket(r.Kind))
	if err != nil {
		return err
	}
	if b.Get([]byte(r.Key)) != nil {
		return fmt.Errorf("%w: %s %q", store.ErrOccupied, r.Kind, r.Key)
	}
	b.FillPercent = 0.9 // most come in the order of their keys, and a page is not written again once it is split off
	if err := b.Put([]byte(r.Key), r.Octets); err != nil {
		return err
	}
	if r.Kind != store.KindRevocation {
		return nil
	}
	return db.moveExpiry(tx, r.Key, time.Time{}, r.Ends)
}

// raiseFloor makes a version one that no new revocation has.
func (db *DB) raiseFloor(tx *bolt.Tx, version uint64) error {
	b, err := db.bucket(tx, bucketRevocations)
	if err != nil || version <= b.Sequence() {
		return err
	}
	return b.SetSequence(version)
}

package boltstore

import (
	"bytes"
	"cmp"
	"context"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// keyInstallation is a key of the genesis bucket; the other one is keyState.
var keyInstallation = []byte("installation")

// storedInstallation returns the record's octets; nil for none. A namespace that is closed has its record.
func (db *DB) storedInstallation(ctx context.Context) (stored []byte, err error) {
	err = db.viewReadable(ctx, func(tx *bolt.Tx) error {
		b, err := db.bucket(tx, bucketGenesis)
		if err != nil {
			return err
		}
		stored = bytes.Clone(b.Get(keyInstallation))
		return nil
	})
	return stored, err
}

// Installation implements keys.Genesis.
func (db *DB) Installation(ctx context.Context) (keys.Installation, error) {
	stored, err := db.storedInstallation(ctx)
	if err != nil {
		return keys.Installation{}, err
	}
	if stored == nil {
		return keys.Installation{}, keys.ErrNotFound
	}
	return store.DecodeInstallation(string(db.ns), stored)
}

// PutInstallation implements keys.Genesis. The record is read back from what was, or had been,
// committed.
func (db *DB) PutInstallation(ctx context.Context, in keys.Installation, e audit.Entry) (keys.Installation, error) {
	record, err := store.EncodeInstallation(in)
	if err != nil {
		return keys.Installation{}, err
	}
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return keys.Installation{}, err
	}
	err = db.update(ctx, func(tx *bolt.Tx) error {
		b, err := db.bucket(tx, bucketGenesis)
		if err != nil {
			return err
		}
		if there := b.Get(keyInstallation); there != nil {
			record = bytes.Clone(there)
			return nil
		}
		if err := b.Put(keyInstallation, record); err != nil {
			return err
		}
		return db.appendAudit(tx, entry)
	})
	if err != nil {
		return keys.Installation{}, err
	}
	return store.DecodeInstallation(string(db.ns), record)
}

// ReplaceInstallation implements keys.Genesis. A record that is damaged, or of a newer format, is an
// error and stays as it is.
func (db *DB) ReplaceInstallation(ctx context.Context, from, to keys.Installation, e audit.Entry) error {
	was, is, err := store.EncodeReplacement(from, to)
	if err != nil {
		return err
	}
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return err
	}
	return db.update(ctx, func(tx *bolt.Tx) error {
		b, err := db.bucket(tx, bucketGenesis)
		if err != nil {
			return err
		}
		there := b.Get(keyInstallation)
		switch {
		case there == nil:
			return keys.ErrNotFound
		case bytes.Equal(there, is):
			return nil
		case !bytes.Equal(there, was):
			_, err := store.DecodeInstallation(string(db.ns), there)
			return cmp.Or(err, keys.ErrConflict)
		}
		if err := b.Put(keyInstallation, is); err != nil {
			return err
		}
		return db.appendAudit(tx, entry)
	})
}

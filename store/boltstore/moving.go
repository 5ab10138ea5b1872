package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/store"
)

// keyState is the key of the genesis bucket under which the namespace's store.State is kept while it is not in
// use.
var keyState = []byte("state")

// state reads it.
func (db *DB) state(tx *bolt.Tx) (store.State, error) {
	b, err := db.bucket(tx, bucketGenesis)
	if err != nil {
		return store.State{}, err
	}
	text := b.Get(keyState)
	if text == nil {
		return store.State{}, nil
	}
	s, ok := store.ParseState(string(text))
	if !ok {
		return s, fmt.Errorf("boltstore: the state of namespace %s is none that is known: %w", db.ns, store.ErrDamaged)
	}
	return s, nil
}

// State returns the state of the namespace.
func (db *DB) State(ctx context.Context) (s store.State, err error) {
	err = db.viewAnyway(ctx, func(tx *bolt.Tx) error {
		s, err = db.state(tx)
		return err
	})
	return s, err
}

// findState reads the state when the file is opened. The error says why the namespace is not in use.
func (db *DB) findState(moving bool) error {
	return db.viewAnyway(context.Background(), func(tx *bolt.Tx) error {
		s, err := db.state(tx)
		if err != nil {
			return err
		}
		db.note(s)
		if moving {
			return nil
		}
		return s.Err()
	})
}

// note makes everything but a Mover fail where the namespace is not in use. Nobody else has the file, so nobody
// else changes the state.
func (db *DB) note(s store.State) {
	if s.InUse() {
		db.away.Store(nil)
		return
	}
	err := db.fault(s.Err())
	db.away.Store(&err)
}

// fault names the file in an error.
func (db *DB) fault(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("boltstore: %s: namespace %s: %w", db.path, db.ns, err)
}

// viewReadable is view of a namespace that may be closed.
func (db *DB) viewReadable(ctx context.Context, fn func(tx *bolt.Tx) error) error {
	return db.viewAnyway(ctx, func(tx *bolt.Tx) error {
		s, err := db.state(tx)
		if err == nil {
			err = db.fault(s.Readable())
		}
		if err != nil {
			return err
		}
		return fn(tx)
	})
}

// change makes the state what fn returns, in one commit with what fn writes.
func (db *DB) change(ctx context.Context, fn func(tx *bolt.Tx, now store.State) (store.State, error)) error {
	return db.updateAnyway(ctx, func(tx *bolt.Tx) error {
		now, err := db.state(tx)
		if err != nil {
			return err
		}
		next, err := fn(tx, now)
		if err != nil {
			return db.fault(err)
		}
		if next == now {
			return nil
		}
		tx.OnCommit(func() { db.note(next) }) // while it still is our turn
		return db.setState(tx, next)
	})
}

func (db *DB) setState(tx *bolt.Tx, s store.State) error {
	b, err := db.bucket(tx, bucketGenesis)
	if err != nil {
		return err
	}
	if s.InUse() {
		err = b.Delete(keyState)
	} else {
		err = b.Put(keyState, []byte(s.String()))
	}
	if err != nil {
		return err
	}
	format, err := formatOf(tx)
	if err != nil {
		return err
	}
	return tx.Bucket(fileBucket).Put(keyFormat, strconv.AppendInt(nil, int64(format), 10))
}

// formatOf is the format of the file: movingFormat while any of its namespaces is not in use.
func formatOf(tx *bolt.Tx) (format int, err error) {
	format = fileFormat
	err = tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		if !bytes.HasPrefix(name, []byte(namespacePrefix)) {
			return nil
		}
		if genesis := b.Bucket(bucketGenesis); genesis != nil && genesis.Get(keyState) != nil {
			format = movingFormat
		}
		return nil
	})
	return format, err
}

// CloseFor implements store.Mover.
func (db *DB) CloseFor(ctx context.Context, export string) error {
	return db.change(ctx, func(_ *bolt.Tx, now store.State) (store.State, error) { return now.CloseFor(export) })
}

// Reopen implements store.Mover.
func (db *DB) Reopen(ctx context.Context) error {
	return db.change(ctx, func(_ *bolt.Tx, now store.State) (store.State, error) { return now.Reopen() })
}

// Claim implements store.Mover.
func (db *DB) Claim(ctx context.Context, export, by string) (first bool, err error) {
	err = db.change(ctx, func(_ *bolt.Tx, now store.State) (next store.State, err error) {
		next, first, err = now.Claim(export, by)
		return next, err
	})
	return first && err == nil, err
}

// Settle implements store.Mover.
func (db *DB) Settle(ctx context.Context, export, by string) error {
	return db.change(ctx, func(_ *bolt.Tx, now store.State) (store.State, error) { return now.Settle(export, by) })
}

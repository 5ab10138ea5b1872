// Package boltstore keeps everything of one server in one file, by bbolt: the embedded driver of
// package store. One process has the file at a time; every write is one transaction that is on disk,
// by fdatasync, before it is acknowledged. README.md lists the buckets.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// DefaultTimeout is how long OpenDB waits for another process to let go of the file.
const DefaultTimeout = time.Second

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("another process holds it")

// Config says which file to open.
type Config struct {
	// Path is the file; it is made, with mode 0600, if there is none, and so is its folder, with
	// mode 0700. Whether a folder that others can read is acceptable is the caller's to judge.
	Path string
	// Namespace names the issuer's part of the file: see store.CheckNamespace.
	Namespace string
	// Timeout is how long to wait for another process; 0 means DefaultTimeout.
	Timeout time.Duration
	// Now is the clock that dates changes in the feed; nil means time.Now.
	Now func() time.Time
}

// DB is an open file with its namespace. It implements keys.Genesis, which needs no record key;
// everything else needs one and is in Store. Its methods may be called concurrently.
type DB struct {
	bolt  *bolt.DB
	ns    []byte // the namespace, as names its bucket
	epoch string
	now   func() time.Time
}

var _ keys.Genesis = (*DB)(nil)

// OpenDB opens the file, or makes it, and takes its lock, which the system releases whenever the
// process ends. The error is ErrLocked when another process holds the file, store.ErrNewerFormat when
// a newer version of this program made it; it names the folder or the file.
func OpenDB(config Config) (*DB, error) {
	if config.Path == "" {
		return nil, errors.New("boltstore: no path")
	}
	if err := store.CheckNamespace(config.Namespace); err != nil {
		return nil, err
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout // bbolt takes 0 for "wait for ever"
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	file, err := openFile(config.Path, config.Timeout)
	if err != nil {
		return nil, err
	}
	db := &DB{bolt: file, ns: []byte(config.Namespace), now: config.Now}
	if err := db.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("boltstore: %s: %w", config.Path, err), file.Close())
	}
	return db, nil
}

func openFile(path string, timeout time.Duration) (*bolt.DB, error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("boltstore: cannot make the data folder: %w", err)
	}
	_, err := os.Stat(path)
	made := errors.Is(err, os.ErrNotExist)
	file, err := open(path, timeout)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("boltstore: data folder %s: %w (waited %v for %s)", folder, ErrLocked, timeout, filepath.Base(path))
	}
	if err != nil {
		return nil, fmt.Errorf("boltstore: cannot open %s: %w", path, err)
	}
	if made {
		// The file's content is synced by each commit, its name only by its folder.
		if err := errors.Join(syncFolder(folder), syncFolder(filepath.Dir(folder))); err != nil {
			return nil, errors.Join(fmt.Errorf("boltstore: cannot sync the data folder: %w", err), file.Close())
		}
	}
	return file, nil
}

func open(path string, timeout time.Duration) (db *bolt.DB, err error) {
	var file *os.File
	err = guarded(func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      timeout,
			FreelistType: bolt.FreelistMapType,
			NoStatistics: true, // a lock per transaction for numbers that nothing reads
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				var err error
				file, err = os.OpenFile(name, flag, mode)
				return file, err
			},
		})
		return err
	})
	if err != nil && file != nil {
		_ = file.Close() // lets go of the lock after a panic; otherwise bbolt has closed it
	}
	return db, err
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close lets go of the file once running transactions have ended. Closing again does nothing.
func (db *DB) Close() error { return db.bolt.Close() }

// Epoch is the random name of this file that its cursors carry.
func (db *DB) Epoch() string { return db.epoch }

// view runs fn in a read transaction, unless ctx has ended.
func (db *DB) view(ctx context.Context, fn func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return guarded(func() error { return db.bolt.View(fn) })
}

// update runs fn in the one write transaction and commits it if fn returns nil. Waiting for other
// writers may take a while, so the context is asked again before anything is written.
func (db *DB) update(ctx context.Context, fn func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return guarded(func() error {
		return db.bolt.Update(func(tx *bolt.Tx) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return fn(tx)
		})
	})
}

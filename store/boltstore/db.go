// Package boltstore keeps everything of one server in one file, by bbolt: the embedded driver of
// package store. One process has the file at a time; every write is one transaction that is on disk,
// by fdatasync, before it is acknowledged. README.md lists the buckets.
package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
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

	turn   chan struct{}         // holds one element while a write transaction runs
	broken atomic.Pointer[error] // what everything returns since bbolt panicked
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
	db := &DB{ns: []byte(config.Namespace), now: config.Now, turn: make(chan struct{}, 1)}
	if err := db.open(config.Path, config.Timeout); err != nil {
		return nil, err
	}
	if err := db.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("boltstore: %s: %w", config.Path, err), db.Close())
	}
	return db, nil
}

// open makes the folder and the file where they are missing and takes the lock.
func (db *DB) open(path string, timeout time.Duration) error {
	folder := filepath.Dir(path)
	newFolder, newFile := missing(folder), missing(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("boltstore: cannot make the data folder: %w", err)
	}
	err := db.openFile(path, timeout)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("boltstore: data folder %s: %w (waited %v for %s)", folder, ErrLocked, timeout, filepath.Base(path))
	}
	if err != nil {
		return fmt.Errorf("boltstore: cannot open %s: %w", path, err)
	}
	// Commits sync the file's content; its name is synced by its folder, and the folder's by its own.
	if newFile {
		err = syncFolder(folder)
	}
	if newFolder { // only then: a folder that is given may lie in one that we cannot read
		err = errors.Join(err, syncFolder(filepath.Dir(folder)))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("boltstore: cannot sync the data folder: %w", err), db.Close())
	}
	return nil
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

func (db *DB) openFile(path string, timeout time.Duration) error {
	return withoutPanic(func() (err error) {
		db.bolt, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      timeout,
			FreelistType: bolt.FreelistMapType,
			NoStatistics: true, // a lock per transaction for numbers that nothing reads
		})
		return err
	})
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close lets go of the file once running transactions have ended. Closing again does nothing. Of a
// file that made bbolt panic the process lets go when it ends: bbolt's own Close might wait for a
// lock that nobody will give back.
func (db *DB) Close() error {
	if db.broken.Load() != nil {
		return nil
	}
	return db.bolt.Close()
}

// Epoch is the random name of this file that its cursors carry.
func (db *DB) Epoch() string { return db.epoch }

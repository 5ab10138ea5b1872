// Package boltstore keeps everything of one server in one file, by bbolt: the embedded driver of
// package store. One process has the file at a time; every write is one transaction that is on disk,
// by fdatasync, before it is acknowledged. README.md lists the buckets.
package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// ErrNoInstallation says that the file, or the namespace in it, does not exist although it must.
var ErrNoInstallation = errors.New("no installation was made there")

// Config says which file to open.
type Config struct {
	// Path is the file; it is made, with mode 0600, if there is none, and so is its folder, with
	// mode 0700. Whether a folder that others can read is acceptable is the caller's to judge.
	Path string
	// Namespace names the issuer's part of the file: see store.CheckNamespace.
	Namespace string
	// MustExist makes a missing file or namespace ErrNoInstallation. Nothing is made or written then:
	// a mistyped name must not become an empty installation. A file of an earlier format that has the
	// namespace is upgraded, whether or not it must exist.
	MustExist bool
	// Moving opens a namespace, too, that was closed for a final export, or into which an import was not finished:
	// without it these are store.ErrClosed and store.ErrUnfinished. Only the methods of store.Mover work then.
	Moving bool
	// Timeout is how long to wait for another process; 0 means DefaultTimeout.
	Timeout time.Duration
	// Now is the clock that dates changes in the feed; nil means time.Now.
	Now func() time.Time
	// Warn is told, before OpenDB returns, what an operator should know of a file that is usable; it
	// may be nil. The text holds the path and no secret.
	Warn func(text string)
}

// DB is an open file with its namespace. It implements keys.Genesis and store.Mover, which need no record
// key; everything else needs one and is in Store. Its methods may be called concurrently.
type DB struct {
	bolt  *bolt.DB
	ns    []byte // the namespace, as names its bucket
	epoch string
	now   func() time.Time
	make  bool        // whether prepare may make what is missing
	path  string      // as it was opened
	info  os.FileInfo // the open file's, to tell it from what lies at path later

	readOnly bool // see OpenBackup

	turn    chan struct{}         // holds one element while a write transaction runs
	copying chan struct{}         // likewise, while Backup reads
	copies  chan struct{}         // one element for each open Copy
	away    atomic.Pointer[error] // why the namespace is not in use; nil: it is
	broken  atomic.Pointer[error] // what everything returns since bbolt panicked, or the file went
}

var (
	_ keys.Genesis = (*DB)(nil)
	_ store.Mover  = (*DB)(nil)
)

// OpenDB opens the file, or makes it, and takes its lock, which the system releases whenever the
// process ends. The error is ErrLocked when another process holds the file, ErrNoInstallation as
// Config.MustExist says, store.ErrNewerFormat when a newer version of this program made it, store.ErrClosed or
// store.ErrUnfinished as Config.Moving says; it names the folder or the file.
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
	if !config.MustExist {
		if err := makeMissing(config); err != nil {
			return nil, err
		}
	}
	db := newDB(config)
	if err := db.open(config); err != nil {
		return nil, err
	}
	err := removeSecondNames(config.Path)
	if err != nil && config.Warn != nil { // not ours alone, perhaps: no reason not to serve
		config.Warn(err.Error())
	}
	format, err := db.prepare()
	if err == nil {
		err = db.findState(config.Moving)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boltstore: %s: %w", config.Path, err), db.Close())
	}
	if 0 < format && format < fileFormat && config.Warn != nil {
		config.Warn(fmt.Sprintf(upgradeNotice, config.Path, format, fileFormat))
	}
	return db, nil
}

const upgradeNotice = "%s: it had format %d and now has format %d, which earlier versions of this program do not open; " +
	"to go back to one of them, restore a backup from before"

func newDB(config Config) *DB {
	return &DB{
		ns: []byte(config.Namespace), now: config.Now, make: !config.MustExist,
		turn: make(chan struct{}, 1), copying: make(chan struct{}, 1), copies: make(chan struct{}, maxCopies),
	}
}

// open opens the file, which exists, and takes the lock.
func (db *DB) open(config Config) error { return db.openAs(config, nil) }

// openAs is open of a file that is open already, unless f is nil; it is bbolt's to close then.
func (db *DB) openAs(config Config, f *os.File) error {
	path := config.Path
	f, err := db.openFile(path, config.Timeout, f)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return locked(config, path)
	case errors.Is(err, os.ErrNotExist) && config.MustExist:
		return fmt.Errorf("boltstore: there is no file %s for namespace %s: %w", path, config.Namespace, ErrNoInstallation)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch),
		err != nil && strings.HasPrefix(err.Error(), "file size too small"): // bbolt has no sentinel for one that was cut off
		return fmt.Errorf("boltstore: %s: neither of its two head pages is whole, or another program made it; restore it from a backup (%w: %w)", path, store.ErrDamaged, err)
	case err != nil:
		return fmt.Errorf("boltstore: cannot open %s: %w", path, err)
	}
	if err := db.inPlace(); err != nil { // it may have gone while we waited for its lock
		return errors.Join(err, db.Close())
	}
	if config.Warn != nil {
		for _, text := range metaProblems(f, db.bolt.Info().PageSize) {
			config.Warn(path + ": " + text)
		}
	}
	return nil
}

func locked(config Config, file string) error {
	return fmt.Errorf("boltstore: data folder %s: %w (waited %v for %s)",
		filepath.Dir(config.Path), ErrLocked, config.Timeout, filepath.Base(file))
}

var errEmpty = fmt.Errorf("it is empty: restore it from a backup, or remove it if nothing was ever stored in it (%w)", store.ErrDamaged)

// openFile has bbolt open the file, or draft, which is then bbolt's to close. It never makes one: a
// file that bbolt makes in place is a stub if the process ends, or the disk fills up, too early.
func (db *DB) openFile(path string, timeout time.Duration, draft *os.File) (f *os.File, err error) {
	var info os.FileInfo
	open := func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		if f = draft; f == nil {
			if f, err = os.OpenFile(name, flag&^os.O_CREATE, mode); err != nil {
				return nil, err
			}
		}
		if info, err = f.Stat(); err == nil && (draft == nil || db.readOnly) && info.Size() == 0 {
			err = errEmpty // bbolt would take it for a new one
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	err = withoutPanic(func() (err error) {
		db.bolt, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      timeout,
			FreelistType: bolt.FreelistMapType,
			NoStatistics: true, // a lock per transaction for numbers that nothing reads
			OpenFile:     open,
			ReadOnly:     db.readOnly,
		})
		return err
	})
	db.path, db.info = path, info
	return f, err
}

// Close lets go of the file once running transactions have ended. Closing again does nothing. Of a
// file that made bbolt panic the process lets go when it ends: bbolt's own Close might wait for a
// lock that nobody will give back.
func (db *DB) Close() error {
	if broken := db.broken.Load(); broken != nil {
		if p := (*panicError)(nil); errors.As(*broken, &p) {
			return nil
		}
	}
	return db.bolt.Close()
}

// Epoch is the random name of this file that its cursors carry.
func (db *DB) Epoch() string { return db.epoch }

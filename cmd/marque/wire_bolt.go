package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
)

// boltBackend is the embedded store: one file in the data folder, whose lock is the folder's.
type boltBackend struct{ config configs.Config }

func (b *boltBackend) path() string { return filepath.Join(b.config.Data, databaseName) }

func (b *boltBackend) place() place {
	dir := b.config.Data
	missing := ""
	if _, err := os.Lstat(filepath.Join(dir, lockName)); err == nil { // only a server on Redis leaves it
		missing = "a server on Redis has used this folder: if that is the one, name its store (store.driver, redis.addrs)"
	}
	return place{
		missing:   missing,
		name:      dir,
		here:      "this folder",
		elsewhere: "name another folder with --data",
		keep:      "make an installation to keep in another folder: marque init --data DIR",
		make:      "marque init --data " + dir,
		doctor:    "marque doctor --data " + shellQuote(dir),
		anew:      "to start anew, remove the folder",
	}
}

func (b *boltBackend) shared() bool { return false }

func (b *boltBackend) look(mustExist bool) error {
	if _, err := os.Stat(b.path()); mustExist && errors.Is(err, fs.ErrNotExist) {
		return b.place().noInstallation()
	}
	return heldByAnother(b.config.Data, lockName)
}

// take does nothing: who opens the file has the folder.
func (b *boltBackend) take() (func() error, error) { return func() error { return nil }, nil }

func (b *boltBackend) open(_ context.Context, o opening) (database, error) {
	db, err := boltstore.OpenDB(boltstore.Config{
		Path: b.path(), Namespace: b.config.Store.Namespace, MustExist: o.mustExist, Moving: o.moving, Warn: o.warn,
	})
	switch {
	case errors.Is(err, boltstore.ErrNoInstallation):
		return nil, fmt.Errorf("%w (looked for the namespace %q)", b.place().noInstallation(), b.config.Store.Namespace)
	case errors.Is(err, boltstore.ErrLocked):
		return nil, &inUseError{b.config.Data, errors.Join(errLocked, err)}
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; the server must be able to write in its data folder: make that so, or %s", err, b.place().elsewhere)
	case err != nil:
		return nil, err
	}
	if err := heldByAnother(b.config.Data, lockName); err != nil { // since we looked
		return nil, errors.Join(err, db.Close())
	}
	info, err := os.Stat(b.path())
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &boltDatabase{db, b.path(), info}, nil
}

// away is never so: a file that cannot be had now was not left by whoever has it.
func (b *boltBackend) away(error) bool { return false }

// passes holds of a disk that is full, or of a quota. One that fails, or may not be written to, stays so.
func (b *boltBackend) passes(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// refuses holds of whatever the system says of the file.
func (b *boltBackend) refuses(err error) bool { return errors.As(err, new(syscall.Errno)) }

// boltDatabase is the file, open.
type boltDatabase struct {
	*boltstore.DB
	path string
	info fs.FileInfo // as it was opened
}

func (d *boltDatabase) records(env *store.Envelope) (store.Store, error) {
	return boltstore.New(d.DB, env)
}

// lookAtStore has nothing to add: what keeps the file are the disk and the folder.
func (d *boltDatabase) lookAtStore(context.Context, *doctor) {}

func (b *boltBackend) lookAtFiles(d *doctor) {
	d.lookAtPrivateFile(b.path(), "restore it from a backup")
	d.lookAtDisk()
	if d.server == nil {
		return
	}
	open, ok := d.server.db.(*boltDatabase)
	if info, err := os.Stat(b.path()); ok && err == nil && !os.SameFile(info, open.info) {
		d.error("lock", b.path(), "stop the server, put the right file in place, and start it again",
			"was replaced while the server had it open: what the server wrote since is not in this file")
	}
}

func (b *boltBackend) lookAtLock(d *doctor) {
	if d.server == nil {
		d.ok("lock", b.path(), "doctor holds the lock, so no server runs")
		return
	}
	d.lookAtHeldLock(b.path(), "a second server could write to the same file")
}

func (b *boltBackend) explain(d *doctor, err error) {
	check := "records"
	if errors.Is(err, errLocked) {
		check = "lock"
	}
	d.error(check, b.config.Data, d.openFix(err), "%v", err)
}

func (b *boltBackend) warning(d *doctor) func(string) {
	return func(text string) {
		d.warning("records", b.config.Data, "restore the database from a backup if it gets worse", "%s", text)
	}
}

package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/marque-auth/marque/store"
)

// replacedInfix stands between the name of the file and the time, in the name of what a restoration has replaced.
const replacedInfix = ".replaced-"

// Aside is the name under which what is at path is kept when it is replaced at that time.
func Aside(path string, at time.Time) string {
	return path + replacedInfix + at.UTC().Format("20060102T150405.000Z")
}

// removeSecondNames removes what Aside named that is the file itself: a restoration was killed before it had put
// another in its place. To open it by that name would be to write to the file. The caller has its lock.
func removeSecondNames(path string) error {
	there, err := os.Stat(path)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), filepath.Base(path)+replacedInfix) {
			continue
		}
		name := filepath.Join(filepath.Dir(path), e.Name())
		if info, err := os.Lstat(name); err != nil || !os.SameFile(info, there) {
			continue
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("cannot remove %s, a second name of %s that a restoration has left: %w", name, path, err)
		}
	}
	return nil
}

// Old opens the file that Publish will replace, to read it, while the lock keeps others out; nil: there is none. It
// is closed with the Restoration. The error is store.ErrDamaged when nothing of it can be read, so that nothing can be
// known of it, and another one when it is sound and not to be replaced: ErrNoInstallation, store.ErrClosed,
// store.ErrUnfinished, store.ErrNewerFormat, also for a state that this program does not know.
func (r *Restoration) Old() (*DB, error) {
	if r.old == nil || r.oldDB != nil {
		return r.oldDB, nil
	}
	before, err := r.old.Stat()
	if err != nil {
		return nil, err
	}
	db := newDB(r.config)
	db.readOnly = true
	if err := db.openAs(r.config, r.old); err != nil {
		return nil, errors.Join(err, r.lockAgain(before))
	}
	r.oldDB = db
	if err := db.viewAnyway(context.Background(), db.readBackup); err != nil {
		return nil, fmt.Errorf("boltstore: %s: %w", r.config.Path, err)
	}
	if err := db.findState(false); errors.Is(err, store.ErrDamaged) {
		return nil, fmt.Errorf("boltstore: %s: %w (%v)", r.config.Path, store.ErrNewerFormat, err)
	} else if err != nil {
		return nil, err
	}
	return db, nil
}

// lockAgain takes the lock that went when bbolt closed a file which it could not open.
func (r *Restoration) lockAgain(before os.FileInfo) (err error) {
	if _, err := r.old.Stat(); err == nil {
		return nil // it did not
	}
	if r.old, err = os.Open(r.config.Path); err != nil {
		r.old = nil
		return err
	}
	if err := lockNow(r.old); err != nil {
		return fmt.Errorf("boltstore: %s: %w", r.config.Path, ErrLocked)
	}
	if now, err := r.old.Stat(); err != nil || !os.SameFile(before, now) {
		return errors.Join(err, store.ErrOccupied)
	}
	return nil
}

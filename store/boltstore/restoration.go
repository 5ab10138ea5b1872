package boltstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// Restoration is a copy of a backup on its way to become the file. Until Publish has returned nil, what was
// there is there, however this process ends. It keeps servers, and others who restore, away.
type Restoration struct {
	*DB
	config Config
	draft  *os.File
	old    *os.File // what Publish replaces, locked; nil: nothing is there
	oldDB  *DB      // the same, once Old was called
	link   func(oldname, newname string) error
	done   bool
}

// Restore copies a backup beside the place of a file, and opens the copy, which takes the newest format. A file
// that is there is store.ErrOccupied, unless it is to be replaced; then it must not be in use. The error is
// ErrLocked if it is, or if somebody else makes the file.
func Restore(ctx context.Context, config Config, backup io.Reader, replace bool) (_ *Restoration, err error) {
	if err := store.CheckNamespace(config.Namespace); err != nil {
		return nil, err
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	config.MustExist = true // nothing is made that the backup does not hold
	r := &Restoration{config: config, link: os.Link}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := r.lock(replace); err != nil {
		return nil, err
	}
	if err := r.write(ctx, backup); err != nil {
		return nil, fmt.Errorf("boltstore: cannot copy the backup to %s: %w", r.name(), err)
	}
	db := newDB(config)
	if _, err = db.openFile(r.name(), config.Timeout, r.draft); err != nil {
		r.draft = nil // bbolt has closed it
		return nil, errors.Join(fmt.Errorf("boltstore: cannot open the backup: %w", err), removeDraft(r.name()))
	}
	r.DB = db
	if _, err = db.prepare(); err == nil {
		err = db.findState(false) // one that was closed for a final export goes on elsewhere
	}
	if err != nil {
		return nil, fmt.Errorf("boltstore: the backup: %w", err)
	}
	return r, nil
}

func (r *Restoration) name() string { return r.config.Path + draftSuffix }

// lock takes the lock of the file that is there, and of the draft.
func (r *Restoration) lock(replace bool) error {
	path := r.config.Path
	switch old, err := os.Open(path); {
	case err == nil && !replace:
		return errors.Join(fmt.Errorf("boltstore: %s: %w", path, store.ErrOccupied), old.Close())
	case err == nil:
		r.old = old
	case missing(path) && errors.Is(err, os.ErrNotExist):
	default:
		return fmt.Errorf("boltstore: %s: %w", path, err)
	}
	deadline := time.Now().Add(r.config.Timeout)
	for {
		err := r.lockBoth()
		if err == nil || !errors.Is(err, errDraftTaken) {
			return err
		}
		if time.Now().After(deadline) {
			return locked(r.config, path)
		}
		time.Sleep(draftPause)
	}
}

func (r *Restoration) lockBoth() (err error) {
	if r.old != nil {
		if err := lockNow(r.old); err != nil {
			return err
		}
		if err := removeSecondNames(r.config.Path); err != nil {
			return err
		}
	}
	// What a creation or restoration left that was killed after its last step but one is the file's second
	// name: to write to it would be to write to the file.
	if ours, err := os.Lstat(r.name()); err == nil {
		if there, err := os.Stat(r.config.Path); err == nil && os.SameFile(ours, there) {
			if err := removeDraft(r.name()); err != nil {
				return err
			}
		}
	}
	r.draft, err = takeDraft(r.name())
	return err
}

// write makes the draft a copy of the backup.
func (r *Restoration) write(ctx context.Context, backup io.Reader) error {
	if r.old == nil && !missing(r.config.Path) { // made by whoever had the draft before us
		return store.ErrOccupied
	}
	if err := errors.Join(r.draft.Truncate(0), r.draft.Chmod(0o600)); err != nil {
		return err
	}
	if _, err := (inPieces{cancelable(ctx, r.draft)}).ReadFrom(backup); err != nil {
		return err
	}
	if err := r.draft.Sync(); err != nil {
		return err
	}
	if info, err := r.draft.Stat(); err != nil || info.Size() == 0 {
		return errors.Join(err, errors.New("the backup is empty"))
	}
	return nil
}

// Renew gives the copy another epoch, so that no cursor of the file that it was copied from continues in it,
// and records e.
func (r *Restoration) Renew(ctx context.Context, e audit.Entry) error {
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return err
	}
	epoch := rand.Text()
	err = r.update(ctx, func(tx *bolt.Tx) error {
		if err := tx.Bucket(fileBucket).Put(keyEpoch, []byte(epoch)); err != nil {
			return err
		}
		return r.appendAudit(tx, entry)
	})
	if err == nil {
		r.epoch = epoch
	}
	return err
}

// Publish puts the copy in the place of the file, in one step. What it replaces gets the name aside first, a
// name in the same folder that nothing has: see Aside. An error after that step says that the copy is in place.
func (r *Restoration) Publish(aside string) error {
	err := r.draft.Sync()
	switch {
	case err != nil:
	case r.old == nil:
		err = r.publish()
	default:
		err = r.replace(aside)
	}
	if err != nil {
		return fmt.Errorf("boltstore: cannot put the backup in the place of %s: %w", r.config.Path, err)
	}
	r.done = true
	if err := errors.Join(removeDraft(r.name()), syncFolder(filepath.Dir(r.config.Path))); err != nil {
		if aside != "" {
			aside = ", and what was there is " + aside
		}
		return fmt.Errorf("boltstore: the backup is %s now%s, but whether that outlives a crash of the machine is not known: %w", r.config.Path, aside, err)
	}
	return nil
}

func (r *Restoration) publish() error {
	if err := publish(r.draft, r.name(), r.config.Path); err != nil {
		return err
	}
	return isAt(r.config.Path, r.draft) // publish leaves a file alone that came there at the last moment
}

// replace has two steps. Between them the file has two names, and the old one still is the one that counts; to
// move it away first would leave a moment without any, and a start then a new installation. Where there are no
// links it is copied.
func (r *Restoration) replace(aside string) error {
	if err := isAt(r.config.Path, r.old); err != nil { // it is not the one that we locked
		return err
	}
	err := r.link(r.config.Path, aside)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrPermission) { // some say it by EPERM
		err = copyFile(r.old, aside)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(aside)) // or a crash could keep the second step alone, and the old file would be gone
	}
	if err != nil {
		return err
	}
	return os.Rename(r.name(), r.config.Path)
}

// copyFile copies all of a file to where nothing is.
func copyFile(from *os.File, to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(from, 0, math.MaxInt64))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("cannot copy %s to %s, for there are no links on this file system: %w", from.Name(), to, err), os.Remove(to))
	}
	return nil
}

func isAt(path string, f *os.File) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(path)
	if err == nil && !os.SameFile(ours, there) {
		err = store.ErrOccupied
	}
	return err
}

// Close lets go of everything, and removes a copy that was not published.
func (r *Restoration) Close() error {
	var errs []error
	if r.draft != nil && !r.done {
		errs = append(errs, removeDraft(r.name()))
	}
	if r.DB != nil {
		errs = append(errs, r.DB.Close())
	} else if r.draft != nil {
		errs = append(errs, r.draft.Close())
	}
	if r.oldDB != nil {
		errs = append(errs, r.oldDB.Close())
	}
	if r.old != nil {
		if err := r.old.Close(); !errors.Is(err, os.ErrClosed) { // bbolt may have
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

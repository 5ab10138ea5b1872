package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// draftFile is a file that is written under another name, and has its own once it is whole and on the disk. Nothing is
// ever written over. Its lock tells it from those of a process that was killed, which hold a copy of everything.
type draftFile struct {
	*os.File
	path string
}

const draftSuffix = ".marque.part"

// newDraft makes one, of mode 0600, and removes what earlier ones for the same path have left.
func newDraft(path string) (*draftFile, error) {
	if err := sweepDrafts(path); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, existsAlready(path))
	}
	for {
		f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*"+draftSuffix)
		if err != nil {
			return nil, err
		}
		if mine(f) {
			return &draftFile{f, path}, nil
		}
		_ = f.Close() // between making it and locking it another one took it for a remainder
	}
}

// mine takes the lock of a new file. It reports false where another one had that, or has removed the file. Where there
// are no locks, nobody removes anything.
func mine(f *os.File) bool {
	if err := lockNow(f); err != nil {
		return !errors.Is(err, errLocked)
	}
	there, err := os.Lstat(f.Name())
	made, statErr := f.Stat()
	return err != nil && !errors.Is(err, os.ErrNotExist) || err == nil && statErr == nil && os.SameFile(there, made)
}

// sweepDrafts removes what those have left that were killed while they wrote for path.
func sweepDrafts(path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrPermission) { // one may write where one may not list
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "."+filepath.Base(path)+".")
		number, whole := strings.CutSuffix(number, draftSuffix)
		if !ok || !whole || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDONLY|noFollow, 0)
		if err != nil {
			continue // it is gone, or another's
		}
		if lockNow(f) == nil {
			_ = os.Remove(f.Name())
		}
		_ = f.Close()
	}
	return nil
}

// share lets others lock the file who only read it.
func (d *draftFile) share() error {
	if err := lockShared(d.File); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// publish gives it its name, unless something has that by now.
func (d *draftFile) publish() error {
	if err := d.Sync(); err != nil {
		return err
	}
	return giveName(d.Name(), d.path)
}

// discard ends it. What was published stays.
func (d *draftFile) discard() {
	_ = os.Remove(d.Name())
	_ = d.Close()
}

// giveName gives a file that is on the disk its name, unless something has that.
func giveName(part, file string) error {
	err := os.Link(part, file)
	switch {
	case errors.Is(err, os.ErrExist):
		return existsAlready(file)
	case err != nil: // no links there: of those who look first, one may still lose
		if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
			return errors.Join(err, existsAlready(file))
		}
		if err := os.Rename(part, file); err != nil {
			return err
		}
	}
	return syncFolder(filepath.Dir(file))
}

func existsAlready(file string) error {
	return fmt.Errorf("%s exists already, and is not overwritten: name another file", file)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package main

import (
	"errors"
	"os"
	"path/filepath"
)

// draftFile is a file that is written under another name, and has its own once it is whole and on the disk. Nothing is
// ever written over.
type draftFile struct {
	*os.File
	path string
}

// newDraft makes one, of mode 0600.
func newDraft(path string) (*draftFile, error) {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, existsAlready(path))
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return nil, err
	}
	return &draftFile{f, path}, nil
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
	_ = d.Close()
	_ = os.Remove(d.Name())
}

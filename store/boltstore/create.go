package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// draftSuffix makes the name of the draft from the file's. There is one draft per file, so that one
// that was left behind is found without guessing whose a file is.
const draftSuffix = ".draft"

// draftPause is how long to wait before asking for the lock of the draft again.
const draftPause = 5 * time.Millisecond

// makeMissing makes the folder and the file where they are missing, and syncs the folder even where
// they are not: who made the file may have been killed before it could.
func makeMissing(config Config) error {
	folder := filepath.Dir(config.Path)
	newFolder := missing(folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("boltstore: cannot make the data folder: %w", err)
	}
	if err := create(config); err != nil {
		return err
	}
	// Commits sync the file's content; its name is synced by its folder, and the folder's by its own.
	err := syncFolder(folder)
	if newFolder { // only then: a folder that is given may lie in one that we cannot read
		err = errors.Join(err, syncFolder(filepath.Dir(folder)))
	}
	if err != nil {
		return fmt.Errorf("boltstore: cannot sync the data folder: %w", err)
	}
	return nil
}

// missing reports whether nothing has that name, not even a link that leads nowhere.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}

// create makes the file, unless it exists, under another name and gives it its own when it is whole
// and on the disk: a creation that is cut short leaves no stub in its place.
//
// Whoever makes the draft holds its lock, and looks for the file again once he has it. So of several
// who create at once one makes the file and the others find it, and a draft whose lock is free is
// nobody's: it is written anew.
func create(config Config) error {
	name := config.Path + draftSuffix
	deadline := time.Now().Add(config.Timeout)
	for missing(config.Path) {
		draft, err := takeDraft(name)
		if err == nil {
			err = config.finish(draft, name)
		}
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, errDraftTaken):
			return fmt.Errorf("boltstore: cannot make %s: %w", config.Path, err)
		case time.Now().After(deadline):
			return locked(config, name)
		}
		time.Sleep(draftPause)
	}
	// Nobody makes a file that exists, so a draft beside it is left from a creation that was killed
	// after its last step but one. It may be the file's second name, and must not outlive its first.
	if err := removeDraft(name); err != nil {
		return fmt.Errorf("boltstore: cannot remove what is left of an earlier start: %w", err)
	}
	return nil
}

// errDraftTaken says that somebody else has the draft, or had.
var errDraftTaken = errors.New("another process makes it")

// takeDraft opens the draft, or makes it, and locks it.
func takeDraft(name string) (*os.File, error) {
	draft, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if err = lockNow(draft); err == nil {
		err = stillNamed(draft, name)
	}
	if err != nil {
		return nil, errors.Join(err, draft.Close())
	}
	return draft, nil
}

// stillNamed returns errDraftTaken unless draft is what has the name: who had its lock before us may
// have made it the file, and then it is nobody's to write to.
func stillNamed(draft *os.File, name string) error {
	ours, err := draft.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(name)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && !os.SameFile(ours, there):
		return errDraftTaken
	case err == nil && !ours.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", name)
	}
	return err
}

// finish writes the draft and makes it the file. It closes the draft, which unlocks it, and leaves
// nothing under its name.
func (c Config) finish(draft *os.File, name string) error {
	if !missing(c.Path) { // whoever had the lock before us made it
		return errors.Join(removeDraft(name), draft.Close())
	}
	if err := errors.Join(draft.Truncate(0), draft.Chmod(0o600)); err != nil {
		return errors.Join(err, removeDraft(name), draft.Close())
	}
	db := newDB(c)
	if _, err := db.openFile(name, c.Timeout, draft); err != nil {
		// bbolt has closed it. If the next one has it by now, he finds its name gone and tries again.
		return errors.Join(err, removeDraft(name))
	}
	_, err := db.prepare()
	if err == nil {
		err = errors.Join(draft.Sync(), publish(draft, name, c.Path))
	}
	if err = errors.Join(err, removeDraft(name)); err == nil {
		err = syncFolder(filepath.Dir(name))
	}
	return errors.Join(err, db.Close())
}

// publish gives the draft the file's name. It replaces nothing: a file that has come there meanwhile,
// a backup perhaps, stays.
func publish(draft *os.File, name, path string) error {
	if err := stillNamed(draft, name); err != nil {
		return err
	}
	err := os.Link(name, path)
	switch {
	case errors.Is(err, os.ErrExist):
		return nil
	case errors.Is(err, os.ErrNotExist):
		return errDraftTaken
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, os.ErrPermission):
		// A file system without links, which some say by EPERM. Of those who make it, only we get here.
		if !missing(path) {
			return nil
		}
		return os.Rename(name, path)
	}
	return err
}

func removeDraft(name string) error {
	if missing(name) { // a disk that may only be read refuses to remove even what is not there
		return nil
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

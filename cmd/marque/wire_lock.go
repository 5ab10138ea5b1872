package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The embedded store's lock is the folder's. A server whose store is elsewhere takes the lock of a file
// that is there for nothing else, before it replaces the socket in the folder.
const (
	lockPatience = time.Second // how long to wait for a process that may be ending
	lockPause    = 10 * time.Millisecond
)

// lockFolder takes the lock of a data folder, which exists. The system releases it whenever the process
// ends; the file stays, because one that is removed could be locked twice.
func lockFolder(dir string) (release func() error, err error) {
	f, err := openLock(dir)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPause) {
		err := lockNow(f)
		switch {
		case err == nil:
			if err := stillThere(f); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f.Close, nil
		case !errors.Is(err, errLocked):
			return nil, errors.Join(fmt.Errorf("lock the data folder %s: %w", dir, err), f.Close())
		case time.Now().After(end):
			return nil, errors.Join(&inUseError{dir, err}, f.Close())
		}
	}
}

// openLock opens the lock file, or makes it. A link that lies there is not followed: it would lead to a
// file that is somebody else's.
func openLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data folder: %w", err)
	}
	return f, nil
}

// stillThere wants the locked file to be the one that the next server will find.
func stillThere(f *os.File) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(f.Name()); err != nil || !os.SameFile(ours, there) {
		return fmt.Errorf("%s was removed or replaced while it was being locked; start again", f.Name())
	}
	return nil
}

// heldByAnother finds that a server with another kind of store has the folder. Each takes its own lock
// first and looks for the other's then, so that of two that start at once no more than one goes on.
func heldByAnother(dir, name string) error {
	if held, err := lockHeld(filepath.Join(dir, name)); err == nil && held {
		return &inUseError{dir, fmt.Errorf("%s: %w", name, errLocked)}
	}
	return nil // not there, not readable, or not to be told: then nothing is known against it
}

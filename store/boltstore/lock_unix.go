//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// noFollow keeps a link that lies where the draft belongs from leading us to another file.
const noFollow = syscall.O_NOFOLLOW

// lockNow takes the lock that bbolt takes, on the same open file, so that bbolt finds it taken by
// itself; or it returns errDraftTaken.
func lockNow(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return errDraftTaken
	}
	return err
}

//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package boltstore

import (
	"errors"
	"fmt"
	"os"
)

const noFollow = 0

// lockNow fails: without this lock two processes could write the same draft.
func lockNow(*os.File) error {
	return fmt.Errorf("making a file needs flock: %w", errors.ErrUnsupported)
}

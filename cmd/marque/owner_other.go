//go:build !unix

package main

import (
	"errors"
	"io/fs"
)

// ownerOf cannot say it here.
func ownerOf(fs.FileInfo) (uid uint32, ok bool) { return 0, false }

// lockHeld cannot say it here.
func lockHeld(string) (bool, error) { return false, errors.ErrUnsupported }

//go:build unix

package main

import (
	"fmt"

	"github.com/marque-auth/marque/authz/admin"
)

// checkSocketPath refuses a path that the system could only cut off.
func checkSocketPath(path string) error {
	if len(path) > admin.MaxSocketPath {
		return fmt.Errorf("the path of the admin socket has %d bytes and can have at most %d; choose a shorter data folder: %s",
			len(path), admin.MaxSocketPath, path)
	}
	return nil
}

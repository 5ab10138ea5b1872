//go:build !unix

package main

import "os"

// isTerminal takes a character device for a terminal, as far as the standard library can tell.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

package store

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// MaxIDLength is the longest identifier that can be stored, in octets.
const MaxIDLength = 4096

// maxNamespaceLength bounds a namespace, in octets.
const maxNamespaceLength = 64

var errID = fmt.Errorf("an identifier is 1 to %d octets of UTF-8", MaxIDLength)

// CheckNamespace reports whether s can name an issuer's part of a store: 1 to 64 of [a-z0-9_-]. It
// enters the names of buckets and keys of every driver, so it has nothing that any of them gives a
// meaning to.
func CheckNamespace(s string) error {
	if s == "" || len(s) > maxNamespaceLength {
		return errors.New("store: a namespace has 1 to 64 characters")
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Errorf("store: namespace %q: only a-z, 0-9, - and _ may be used", s)
		}
	}
	return nil
}

// checkID refuses an identifier that could not be stored or, in a Change or an audit entry, not be
// written as JSON.
func checkID(kind Kind, id string) error {
	if id == "" || len(id) > MaxIDLength || !utf8.ValidString(id) {
		return fmt.Errorf("store: %s: %w", kind, errID)
	}
	return nil
}

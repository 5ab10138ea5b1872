package admin

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/marque-auth/marque/authz"
)

const (
	defaultLimit = 100
	maxCursor    = 1024 // octets; what it encodes is an identifier of at most 512
)

// A cursor is the identifier behind which the next page begins. It is encoded so that nobody builds one:
// what it holds may change.

func cursorAfter[ID ~string](id ID) *string {
	s := base64.RawURLEncoding.EncodeToString([]byte(id))
	return &s
}

func parseCursor(s string) (string, bool) {
	id, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return string(id), err == nil && len(id) > 0 && len(s) <= maxCursor && utf8.Valid(id)
}

func isCursor(s string) bool {
	_, ok := parseCursor(s)
	return ok
}

// page returns the place where a page begins and how many entries it has, from query parameters that the
// gate let pass.
func page[ID ~string](cursor *string, limit *int) (after ID, n int, err error) {
	n = defaultLimit
	if limit != nil {
		n = *limit
	}
	if cursor == nil {
		return "", n, nil
	}
	id, ok := parseCursor(*cursor)
	if !ok {
		return "", 0, invalidField("cursor", authz.CursorRule)
	}
	return ID(id), n, nil
}

// cut shortens a list that was asked for with one entry too many, and says where the next page begins;
// nil when there is none. An exact answer spares callers a last, empty page.
func cut[T any, ID ~string](list []T, n int, id func(T) ID) ([]T, *string) {
	if len(list) <= n {
		return list, nil
	}
	return list[:n], cursorAfter(id(list[n-1]))
}

package store

import (
	"context"
	"fmt"

	"github.com/marque-auth/marque/authz"
)

// Kind is the kind of a record.
type Kind string

// The kinds of record that a Change can name.
const (
	KindClient   Kind = "client"
	KindResource Kind = "resource"
	KindRing     Kind = "ring"

	KindRevocation Kind = "revocation"
)

// Change says that one record was written. It carries no content: who follows the feed drops or
// reloads what it holds of that record, so applying a Change twice, or late, is harmless.
type Change struct {
	Kind Kind
	ID   string // client identifier, resource identifier, the ring's algorithm, or the revocation's token.Subject.String
}

// Cursor is a place in the feed. It is opaque, names the store's epoch, and is never empty.
type Cursor string

// ErrCursor says that the feed cannot be continued from a cursor: it names another epoch, or lies
// before what is kept, or ahead of the feed. The follower must reload everything it caches. It is an
// authz.ErrCursor, which is what the contracts that know nothing of this package call it.
var ErrCursor = fmt.Errorf("store: %w", authz.ErrCursor)

// Changes is the ordered, durable feed of what was committed. Its methods may be called concurrently.
type Changes interface {
	// Head returns the cursor behind the newest committed change.
	Head(ctx context.Context) (Cursor, error)

	// Changes returns at most limit changes committed after the cursor, oldest first, and the cursor
	// behind the last of them; no changes and the same cursor when there is nothing new. A cursor it
	// cannot continue from is ErrCursor; any other error means "unknown", never "nothing new".
	Changes(ctx context.Context, after Cursor, limit int) ([]Change, Cursor, error)
}

package store

import (
	"context"
	"errors"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
)

// Why a namespace is not moved, or not used.
var (
	// ErrOccupied says that a namespace already holds an installation, parts of one, or what another
	// import has begun.
	ErrOccupied = errors.New("something is there already")

	// ErrClosed says that a namespace was closed by a final export, so that what it holds can go on
	// elsewhere. It is a fault of every call that is not a Mover's, and of opening.
	ErrClosed = errors.New("it was closed by a final export (marque export --final)")
)

// Stored is one record as a driver keeps it.
type Stored struct {
	Kind Kind   // a kind that can change, KindCredential, KindAudit or, from Dump alone, KindInstallation
	Key  string // its storage key; the number of an audit entry, in decimal; the namespace of the installation record
	// Octets is the record in its envelope, or an audit entry as EncodeEntry returns it, or the installation
	// record as EncodeInstallation does.
	Octets []byte
}

// Mover gives out everything that a namespace holds, and takes in everything of another one. Changes are not
// among it: they say what to reload, and who starts on a new store reloads everything. Its methods need no record
// key: whoever moves records authenticates them, and seals them for the place where they go. The DB of each driver
// is one; its Config.Moving opens also what was closed, or what an import has begun, for these methods alone.
type Mover interface {
	// Dump calls fn with each stored record of a kind once, in any order, but audit entries by number from 1,
	// until fn returns an error, which it returns. Of what is not there fn hears nothing. What is written meanwhile may or may not be among them.
	Dump(ctx context.Context, kind Kind, fn func(Stored) error) error
	// Floor returns a version that no revocation has exceeded which is no longer stored.
	Floor(ctx context.Context) (uint64, error)

	// Close closes the namespace for a final export of that identifier: from then on everything but this
	// contract fails with ErrClosed, in every process. Closing again, by whatever identifier, is fine until
	// the namespace was claimed; the last one counts.
	Close(ctx context.Context, export string) error
	// Reopen undoes Close. One that was claimed stays closed: it goes on elsewhere, and the error is ErrClosed.
	Reopen(ctx context.Context) error
	// Claim reports whether this namespace is closed for that export, and whether this is the first to ask:
	// of several imports of one export, one alone may take it for complete.
	Claim(ctx context.Context, export string) (first bool, err error)

	// Imported returns how many records an import has put here, 0 if it has not begun. The error is ErrOccupied where
	// anything else is.
	Imported(ctx context.Context, export string) (done int, err error)
	// Restore puts records, in one commit, into a namespace in which the import has put done of them, and none if it has
	// put another number, which is ErrOccupied. An identifier that is there already is an error, and nothing is
	// put then; audit entries follow each other from number 1. No server takes the namespace for an installation, nor does marque init,
	// before Complete.
	Restore(ctx context.Context, export string, done int, records []Stored) error
	// Complete is Restore of the last records, together with what makes the namespace an installation: the floor, the
	// installation record, and an audit entry, which follows those that were restored.
	Complete(ctx context.Context, export string, done int, last []Stored, floor uint64, in keys.Installation, e audit.Entry) error
}

// Package store holds what every storage driver shares, so that a driver is left with moving bytes:
// the envelope that authenticates a record ([Envelope]), the stored forms of the domain's types
// ([Envelope.SealClient] and its siblings), the change feed's contract ([Changes]) and the one
// follower of it ([Follower]).
//
// The contracts belong to those who need them (authz.ClientRecords, keys.Rings, …). [Store] is their
// union: what a driver implements and what storetest proves.
package store

import (
	"context"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
)

// Store is every contract that needs the record key. The installation record that brings the key
// into being has a contract of its own, keys.Genesis. The methods may be called concurrently.
//
// Beyond what each contract says: a context that has already ended is answered with its error before
// anything is touched; what is returned is the caller's own, shared with no one; a put whose record
// or entry could not be read back exactly is refused with an error and stores nothing.
type Store interface {
	authz.ClientRecords
	authz.ResourceRecords
	authz.RevocationRecords
	authz.AuditLog
	keys.Rings
	Changes
	Audit
	Inspector
}

// Audit reads what the writes of the other contracts, and keys.Genesis, have recorded. Entries
// appear in commit order, exactly one for each committed write, and are never changed or removed.
type Audit interface {
	// Entries returns at most limit entries committed after the cursor, oldest first, and the cursor
	// behind the last of them; no entries and a cursor at the same place when there is nothing more.
	// The empty cursor is the beginning. A cursor of another store is ErrCursor. Each entry has its ID.
	Entries(ctx context.Context, after string, limit int) (entries []audit.Entry, next string, err error)
}

// Inspector looks at everything that is stored, for marque doctor.
type Inspector interface {
	// Inspect reads every record of the namespace, audit entries and changes too, authenticates what has
	// a code under the record key, decodes it, and checks what belongs together: each credential of a
	// client and its index entry, both ways, and that no entry of a log is missing. It calls damaged with a
	// *RecordError for each one that fails, and goes on; it returns what it read, damaged or not. The error
	// is of the reading itself. It does not hold up writes, and damaged may use the store.
	Inspect(ctx context.Context, damaged func(err error)) (read Inspected, err error)
}

// Inspected is what an inspection has read. Nobody can tell from it that a record was removed to which
// nothing else refers, or replaced by an earlier record of the same place.
type Inspected struct {
	Records int // that carry an authentication code under the record key; each was checked against its own
	Entries int // of the audit log and the change feed: they carry none, were decoded, and are in sequence
}

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
)

// Why a namespace is not moved, or not used.
var (
	// ErrOccupied says that a namespace already holds an installation, parts of one, or what another
	// import has put.
	ErrOccupied = errors.New("something is there already")

	// ErrClosed says that a namespace was closed by a final export, so that what it holds can go on
	// elsewhere. It is a fault of every call that is not a Mover's, and of opening.
	ErrClosed = errors.New("it was closed by a final export (marque export --final)")

	// ErrMoved is the ErrClosed of a namespace that was claimed: what it held goes on elsewhere. Who was told so once
	// believes nothing that comes from there later: the mark can be lost, as any write can.
	ErrMoved = fmt.Errorf("%w, and was taken over by an import", ErrClosed)

	// ErrNotClosed says that a namespace is not closed for an export that somebody wants to take over.
	ErrNotClosed = errors.New("it is not closed for that export")

	// ErrSettled says to who has claimed a namespace that it has also said, by Settle, that its import was done. Who asks
	// anew has lost the rest, and with it what was revoked there since.
	ErrSettled = errors.New("the import that took it over was done: this is an earlier state of that place")

	// ErrUnfinished says that an import into a namespace has begun and not ended. It is a fault of opening, and of
	// every call but those by which a Mover imports, so that nobody makes an installation of what is half of one,
	// with another record key.
	ErrUnfinished = errors.New("an import into it was not finished: run marque import again")
)

// Stored is one record as a driver keeps it.
type Stored struct {
	Kind Kind   // a kind that can change, KindCredential, KindAudit or, from Dump alone, KindInstallation
	Key  string // its storage key; the number of an audit entry, in decimal; the namespace of the installation record
	// Octets is the record in its envelope, or an audit entry as EncodeEntry returns it, or the installation
	// record as EncodeInstallation does.
	Octets []byte
	// Ends is the Until of a revocation, for whoever restores it: a driver removes by it, and cannot read it without
	// the record key. Zero for one that does not end, and for everything else. Dump leaves it zero.
	Ends time.Time
}

// Mover gives out everything that a namespace holds, and takes in everything of another one. Changes are not
// among it: they say what to reload, and who starts on a new store reloads everything. Its methods need no record
// key: whoever moves records authenticates them, and seals them for the place where they go. They may be called
// concurrently. The DB of each driver is one; its Config.Moving opens also what was closed, or what an import has
// begun, for these methods alone. The identifier of an export, and the name of who claims one, have 1 to 64 of
// [A-Za-z0-9_-].
type Mover interface {
	// Dump calls fn with each stored record of a kind once, in any order, but audit entries by number from 1,
	// until fn returns an error, which it returns. Of what is not there fn hears nothing; a record that is missing
	// where another refers to it is a *RecordError. What is written meanwhile may or may not be among them. The octets
	// are fn's to keep, and fn may use the store.
	Dump(ctx context.Context, kind Kind, fn func(Stored) error) error
	// Floor returns a version that no revocation has exceeded which is no longer stored. It is to be asked for after
	// Dump: a revocation may go while that reads.
	Floor(ctx context.Context) (uint64, error)

	// Note adds an entry to the audit log of a namespace in use, about what is done beside its records: that it is exported,
	// and by whom. A closed one takes none, so that the entry comes before CloseFor, and what is exported has it.
	Note(ctx context.Context, e audit.Entry) error

	// CloseFor closes the namespace for a final export of that identifier: from then on everything but this
	// contract and keys.Genesis.Installation fails with ErrClosed, in every process. Closing again, by whatever
	// identifier, is fine until the namespace was claimed; the last one counts.
	CloseFor(ctx context.Context, export string) error
	// Reopen undoes CloseFor. One that was claimed stays closed, and the error is ErrMoved.
	Reopen(ctx context.Context) error
	// Claim takes a namespace that is closed for that export over to by, the new place. It reports
	// whether by was the first to ask, now or before: of several imports of one export, one alone may
	// take it for complete, and that one also when it asks again because its first answer was lost, until it has
	// settled. The error is ErrNotClosed where the namespace is in use, or closed for another export, and ErrSettled
	// for by itself once it has.
	Claim(ctx context.Context, export, by string) (first bool, err error)
	// Settle notes that the import is done by which by has claimed the namespace: from then on nobody is the first any more.
	// Again is fine. The error is ErrNotClosed where by has not claimed it for that export.
	Settle(ctx context.Context, export, by string) error

	// Imported returns how many records an import has put here, 0 if it has not begun. The error is ErrOccupied where
	// anything else is.
	Imported(ctx context.Context, export string) (done int, err error)
	// Restore puts records, in one commit, into a namespace in which the import has put done of them, and none if it has
	// put another number, which is ErrOccupied. An identifier that is there already is an error, and nothing is
	// put then; audit entries follow each other from number 1. A revocation that would have been removed by now
	// counts, and is not put. No server takes the namespace for an installation, nor does marque init,
	// before Complete: see ErrUnfinished.
	Restore(ctx context.Context, export string, done int, records []Stored) error
	// Complete is Restore of the last records, which may be none, together with what makes the namespace an
	// installation: the floor, the installation record, and an audit entry, which follows those that were restored.
	// What was completed with this very record, and has this very entry as its last one, is done, so who got no answer
	// may ask again. Whoever completes makes an entry that nobody else makes.
	Complete(ctx context.Context, export string, done int, last []Stored, floor uint64, in keys.Installation, e audit.Entry) error
}

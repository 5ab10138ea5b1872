package store

import (
	"errors"
	"strconv"

	"github.com/marque-auth/marque/authz"
)

// ErrDamaged says that a stored record is not what this installation wrote in that place: it was
// truncated, altered, forged, or moved from elsewhere. It is a fault, never an absence.
var ErrDamaged = errors.New("damaged record")

// ErrNewerFormat says that a record was written by a newer version of this program. It is not
// overwritten either, for that would lose what the newer version knows.
var ErrNewerFormat = errors.New("record of a newer format")

// RecordError says which record cannot be used, and why. It is reached with errors.As; errors.Is
// finds ErrDamaged or ErrNewerFormat. A damaged one is an authz.ErrDamaged as well, which the damage of a
// whole file is not.
type RecordError struct {
	Kind   Kind
	Key    string // the storage key: an identifier, never a secret
	Reason string // what is wrong; fixed text without the record's content
	Err    error  // ErrDamaged or ErrNewerFormat
}

func (e *RecordError) Error() string {
	return "store: " + string(e.Kind) + " " + strconv.Quote(e.Key) + ": " + e.Err.Error() + ": " + e.Reason
}

// Unwrap returns ErrDamaged or ErrNewerFormat.
func (e *RecordError) Unwrap() error { return e.Err }

// Is tells the domain, which does not know this package, of a damaged record.
func (e *RecordError) Is(target error) bool {
	return target == authz.ErrDamaged && errors.Is(e.Err, ErrDamaged)
}

func damaged(kind Kind, key, reason string) error {
	return &RecordError{Kind: kind, Key: key, Reason: reason, Err: ErrDamaged}
}

const newerReason = "a newer version of this program wrote it; run that version"

func newer(kind Kind, key string) error {
	return &RecordError{Kind: kind, Key: key, Reason: newerReason, Err: ErrNewerFormat}
}

package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// State says whether a namespace is in use, as the zero State does, or on its way from one place to another:
// being imported into, closed for a final export, or closed and claimed. Drivers keep its text, and know by it
// what a Mover may do.
type State struct {
	export string // what is being imported, or what the namespace is closed for; empty: it is in use
	done   int    // how many records were imported; 0: it is closed
	by     string // who has claimed a closed one
	// settled says that by has completed its import. A state of that place from before then may claim again: what it has
	// revoked since would be forgotten.
	settled bool
}

// The first words of a state's text, whose parts are separated by dots.
const (
	stateImport = "import" // import.EXPORT.DONE
	stateClosed = "closed" // closed.EXPORT
	stateMoved  = "moved"  // moved.EXPORT.BY, and moved.EXPORT.BY.done once by has completed its import
)

const settledSuffix = ".done"

// Importing is the state in which an import of that export has put done records; with none it has not begun, and the
// namespace is in use.
func Importing(export string, done int) (State, error) {
	switch {
	case checkName(export) != nil:
		return State{}, errName
	case done <= 0:
		return State{}, nil
	}
	return State{export: export, done: done}, nil
}

// String returns the text of a state that is not InUse.
func (s State) String() string {
	switch {
	case s.done > 0:
		return stateImport + "." + s.export + "." + strconv.Itoa(s.done)
	case s.settled:
		return stateMoved + "." + s.export + "." + s.by + settledSuffix
	case s.by != "":
		return stateMoved + "." + s.export + "." + s.by
	}
	return stateClosed + "." + s.export
}

// ParseState reads what String wrote; ok is false for anything else.
func ParseState(text string) (s State, ok bool) {
	word, rest, _ := strings.Cut(text, ".")
	s.export, rest, _ = strings.Cut(rest, ".")
	switch word {
	case stateImport:
		s.done, _ = strconv.Atoi(rest)
	case stateMoved:
		s.by, s.settled = strings.CutSuffix(rest, settledSuffix)
	}
	return s, checkName(s.export) == nil && (s.by == "" && !s.settled || checkName(s.by) == nil) && s.String() == text
}

var errName = errors.New("store: the identifier of an export, and the name of who claims one, have 1 to 64 of [A-Za-z0-9_-]")

func checkName(s string) error {
	if s == "" || len(s) > 64 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return errName
	}
	return nil
}

// InUse reports whether a namespace is used as ever.
func (s State) InUse() bool { return s == State{} }

// Err is what every call fails with that is not a Mover's: nil, ErrUnfinished, ErrClosed or ErrMoved.
func (s State) Err() error {
	switch {
	case s.InUse():
		return nil
	case s.done > 0:
		return ErrUnfinished
	case s.by != "":
		return fmt.Errorf("%w (%s): use the new place", ErrMoved, s.by)
	}
	return fmt.Errorf("%w: use the place to which it was moved, or reopen it (marque export --reopen)", ErrClosed)
}

// Readable is what reading everything fails with, and reading the installation record: nil, or ErrUnfinished.
func (s State) Readable() error {
	if s.done > 0 {
		return ErrUnfinished
	}
	return nil
}

// ClosedFor reports whether a namespace is closed for that export, and nobody has claimed it yet.
func (s State) ClosedFor(export string) bool { return s == State{export: export} && export != "" }

// CloseFor is Mover.CloseFor: it returns the state that follows.
func (s State) CloseFor(export string) (State, error) {
	switch {
	case checkName(export) != nil:
		return s, errName
	case s.done > 0, s.by != "":
		return s, s.Err()
	}
	return State{export: export}, nil
}

// Reopen is Mover.Reopen.
func (s State) Reopen() (State, error) {
	if s.done > 0 || s.by != "" {
		return s, s.Err()
	}
	return State{}, nil
}

// Claim is Mover.Claim.
func (s State) Claim(export, by string) (next State, first bool, err error) {
	switch {
	case checkName(export) != nil || checkName(by) != nil:
		return s, false, errName
	case s.done > 0, s.export != export:
		return s, false, ErrNotClosed
	case s.by == "":
		s.by = by
	case s.by == by && s.settled:
		return s, false, ErrSettled
	}
	return s, s.by == by, nil
}

// Settle is Mover.Settle.
func (s State) Settle(export, by string) (State, error) {
	switch {
	case checkName(export) != nil || checkName(by) != nil:
		return s, errName
	case s.done > 0, s.export != export, s.by != by:
		return s, ErrNotClosed
	}
	s.settled = true
	return s, nil
}

// Imported is Mover.Imported, of a namespace that is empty if it is in use.
func (s State) Imported(export string) (done int, err error) {
	switch {
	case checkName(export) != nil:
		return 0, errName
	case s.InUse() || s.done > 0 && s.export == export:
		return s.done, nil
	case s.done > 0:
		return 0, fmt.Errorf("%w: another import has begun", ErrOccupied)
	}
	return 0, fmt.Errorf("%w: %w", ErrOccupied, s.Err())
}

// Restore is Mover.Restore of n records.
func (s State) Restore(export string, done, n int) (State, error) {
	there, err := s.Imported(export)
	switch {
	case err != nil:
		return s, err
	case s.InUse() && done != 0:
		return s, fmt.Errorf("%w: no import is going on, so this one was completed, or begun elsewhere", ErrOccupied)
	case there != done:
		return s, fmt.Errorf("%w: this import has put %d records, and not %d", ErrOccupied, there, done)
	case n == 0:
		return s, nil
	}
	return State{export: export, done: done + n}, nil
}

package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestState_Text: every state reads back as it was, and nothing else is one.
func TestState_Text(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]State{
		"import.E-1.500": {export: "E-1", done: 500},
		"closed.E_1":     {export: "E_1"},
		"moved.E.new":    {export: "E", by: "new"},
		"moved.E.x.done": {export: "E", by: "x", settled: true},
	} {
		s, ok := ParseState(text)
		if !ok || s != want || s.String() != text || s.InUse() {
			t.Errorf("%s: got %+v, %v", text, s, ok)
		}
	}
	for _, text := range []string{
		"", ".", "closed", "closed.", "closed.a.b", "closed.a b", "import.a", "import.a.", "import.a.0", "import.a.-1", "import.a.+1",
		"import.a.01", "import..1", "import.a.1.2", "moved.a", "moved.a.", "moved.a.b.c", "moved..b", "moved.a..done", "moved.a.b.done.done", "closed.a.done", "open.a", "closed." + strings.Repeat("a", 65),
		"import.a.99999999999999999999",
	} {
		if s, ok := ParseState(text); ok {
			t.Errorf("%q: got %+v, want none", text, s)
		}
	}
}

// TestState_Steps: what may follow what.
func TestState_Steps(t *testing.T) {
	t.Parallel()
	open, importing := State{}, State{export: "E", done: 5}
	closed, moved, settled := State{export: "E"}, State{export: "E", by: "new"}, State{export: "E", by: "new", settled: true}
	type step struct {
		from State
		do   func(State) (State, error)
		want State // that of from, where there is an error
		err  error
	}
	closeFor := func(export string) func(State) (State, error) {
		return func(s State) (State, error) { return s.CloseFor(export) }
	}
	claim := func(export, by string, want bool) func(State) (State, error) {
		return func(s State) (State, error) {
			next, first, err := s.Claim(export, by)
			if err == nil && first != want {
				t.Errorf("%v: claimed for %s by %s: got first %v", s, export, by, first)
			}
			return next, err
		}
	}
	settle := func(export, by string) func(State) (State, error) {
		return func(s State) (State, error) { return s.Settle(export, by) }
	}
	restore := func(export string, done, n int) func(State) (State, error) {
		return func(s State) (State, error) { return s.Restore(export, done, n) }
	}
	for i, c := range []step{
		{open, closeFor("E"), closed, nil},
		{closed, closeFor("F"), State{export: "F"}, nil},
		{moved, closeFor("E"), moved, ErrMoved},
		{settled, closeFor("E"), settled, ErrMoved},
		{importing, closeFor("E"), importing, ErrUnfinished},
		{open, closeFor("a.b"), open, errName},
		{open, closeFor(""), open, errName},
		{open, State.Reopen, open, nil},
		{closed, State.Reopen, open, nil},
		{moved, State.Reopen, moved, ErrMoved},
		{settled, State.Reopen, settled, ErrMoved},
		{importing, State.Reopen, importing, ErrUnfinished},
		{open, claim("E", "new", false), open, ErrNotClosed},
		{open, claim("", "new", false), open, errName},
		{importing, claim("E", "new", false), importing, ErrNotClosed},
		{closed, claim("F", "new", false), closed, ErrNotClosed},
		{closed, claim("E", "new", true), moved, nil},
		{moved, claim("E", "new", true), moved, nil},
		{moved, claim("E", "newer", false), moved, nil},
		{moved, claim("F", "new", false), moved, ErrNotClosed},
		{moved, claim("E", "", false), moved, errName},
		{settled, claim("E", "new", false), settled, ErrSettled},
		{settled, claim("E", "newer", false), settled, nil},
		{settled, claim("F", "new", false), settled, ErrNotClosed},
		{moved, settle("E", "new"), settled, nil},
		{settled, settle("E", "new"), settled, nil},
		{moved, settle("E", "newer"), moved, ErrNotClosed},
		{moved, settle("F", "new"), moved, ErrNotClosed},
		{moved, settle("E", ""), moved, errName},
		{closed, settle("E", "new"), closed, ErrNotClosed},
		{open, settle("E", "new"), open, ErrNotClosed},
		{importing, settle("E", "new"), importing, ErrNotClosed},
		{open, restore("E", 0, 5), importing, nil},
		{open, restore("E", 0, 0), open, nil},
		{open, restore("E", 1, 5), open, ErrOccupied},
		{importing, restore("E", 5, 2), State{export: "E", done: 7}, nil},
		{importing, restore("E", 0, 5), importing, ErrOccupied},
		{importing, restore("E", 6, 5), importing, ErrOccupied},
		{importing, restore("F", 5, 5), importing, ErrOccupied},
		{closed, restore("E", 0, 5), closed, ErrOccupied},
		{moved, restore("E", 0, 5), moved, ErrClosed},
	} {
		got, err := c.do(c.from)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("case %d: %+v became %+v, %v, want %+v, %v", i, c.from, got, err, c.want, c.err)
		}
	}
	for s, want := range map[State]error{open: nil, closed: ErrClosed, moved: ErrMoved, settled: ErrMoved, importing: ErrUnfinished} {
		if err := s.Err(); !errors.Is(err, want) {
			t.Errorf("%+v: Err is %v", s, err)
		}
		if err := s.Err(); errors.Is(err, ErrMoved) != (s.by != "") || errors.Is(err, ErrMoved) && !errors.Is(err, ErrClosed) {
			t.Errorf("%+v: Err is %v", s, err)
		}
		if err := s.Readable(); (err != nil) != (s == importing) {
			t.Errorf("%+v: Readable is %v", s, err)
		}
	}
}

// TestCheckStored: nothing that could not be read back is taken for a record.
func TestCheckStored(t *testing.T) {
	t.Parallel()
	sealed := append([]byte{Format, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 32+2)...)
	entry := []byte(`{"format":2,"time":"2026-11-05T12:30:00Z","actor":{"kind":"uid","id":"1"},"action":"a","target":"t","result":"ok"}`)
	good := []Stored{
		{Kind: KindClient, Key: "a", Octets: sealed},
		{Kind: KindResource, Key: "a", Octets: sealed},
		{Kind: KindAudit, Key: "7", Octets: entry},
		{Kind: KindRing, Key: "a", Octets: sealed},
		{Kind: KindAudit, Key: "8", Octets: entry},
	}
	if err := CheckStored(good); err != nil {
		t.Fatal(err)
	}
	for i, bad := range []Stored{
		{Kind: KindClient, Key: "a", Octets: sealed}, // twice
		{Kind: KindInstallation, Key: "b", Octets: sealed},
		{Kind: "", Key: "b", Octets: sealed},
		{Kind: KindClient, Key: "", Octets: sealed},
		{Kind: KindClient, Key: "\xff", Octets: sealed},
		{Kind: KindClient, Key: "b"},
		{Kind: KindClient, Key: "b", Octets: sealed[:20]},
		{Kind: KindClient, Key: "b", Octets: append([]byte{Format + 1}, sealed[1:]...)},
		{Kind: KindClient, Key: "b", Octets: sealed, Ends: wholeSecond},
		{Kind: KindRevocation, Key: "b", Octets: sealed, Ends: wholeSecond.Add(1)},
		{Kind: KindAudit, Key: "10", Octets: entry},
		{Kind: KindAudit, Key: "09", Octets: entry},
		{Kind: KindAudit, Key: "9", Octets: []byte("{}")},
	} {
		if err := CheckStored(append(append([]Stored{}, good...), bad)); err == nil {
			t.Errorf("case %d was taken", i)
		}
	}
}

var wholeSecond = time.Date(2026, 11, 5, 12, 30, 0, 0, time.UTC)

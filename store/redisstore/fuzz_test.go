package redisstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// fuzzStore is a store with a few entries, and cursors of it to begin with.
func fuzzStore(f *testing.F) (s *Store, seeds []string) {
	f.Helper()
	s = newStore(f, openTest(f, Config{Addrs: []string{redistest.Start(f).Addr}}))
	fill(f, s)
	head := string(mustHead(f, s))
	epoch, id, _ := strings.Cut(head, ".")
	seeds = []string{
		"", ".", "-", head, head + "0", head + "x", " " + head, head + "\x00", epoch, epoch + ".", epoch + ".0", epoch + ".1", epoch + ".01", epoch + ".+1",
		epoch + ".0-0", epoch + ".1-1", epoch + ".-1", epoch + ".$", epoch + ".+", epoch + ".(" + id, epoch + ".18446744073709551615-18446744073709551615",
		epoch + ".99999999999999999999-0", epoch + ".5", epoch + ".6", epoch + ".18446744073709551616", "x." + id, id, "\xff." + id,
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	return s, seeds
}

// FuzzChanges: a place in the feed that a stranger names is one that the feed gave, or ErrCursor.
func FuzzChanges(f *testing.F) {
	s, _ := fuzzStore(f)
	ours := map[store.Cursor]bool{mustHead(f, s): true}
	for range 3 {
		mustPut(f, s, "c"+string(mustHead(f, s)))
		ours[mustHead(f, s)] = true
	}
	head := mustHead(f, s)
	f.Fuzz(func(t *testing.T, text string) {
		cursor := store.Cursor(text)
		changes, next, err := s.Changes(t.Context(), cursor, 10)
		switch {
		case errors.Is(err, store.ErrCursor):
			if ours[cursor] || changes != nil || next != "" {
				t.Errorf("%q: got %v, %q, %v", text, changes, next, err)
			}
		case err != nil:
			t.Errorf("%q: got error %v", text, err)
		case next != head && len(changes) < 10 || cursor == head && (next != cursor || len(changes) > 0):
			t.Errorf("%q: got %v, %q", text, changes, next)
		}
	})
}

// FuzzEntries: so it is with places in the audit log, in both directions.
func FuzzEntries(f *testing.F) {
	s, _ := fuzzStore(f)
	_, end, err := s.Entries(f.Context(), "", 100)
	must(f, err)
	f.Add(end)
	f.Fuzz(func(t *testing.T, cursor string) {
		later, next, err1 := s.Entries(t.Context(), cursor, 100)
		earlier, before, err2 := s.Latest(t.Context(), cursor, 100)
		for _, err := range []error{err1, err2} {
			if err != nil && !errors.Is(err, store.ErrCursor) {
				t.Errorf("%q: got error %v", cursor, err)
			}
		}
		if cursor == "" {
			return // the beginning, and the end
		}
		if (err1 == nil) != (err2 == nil) {
			t.Errorf("%q: %v one way, %v the other", cursor, err1, err2)
		}
		if err1 != nil {
			return
		}
		if next != end || before != "" || cursor == end && len(later) > 0 {
			t.Errorf("%q: leads to %q and %q", cursor, next, before)
		}
		// A cursor is the number of an entry, which is in neither direction but its own.
		if n := len(later) + len(earlier); n != 5 && n != 4 {
			t.Errorf("%q: %d entries after, %d before", cursor, len(later), len(earlier))
		}
	})
}

// FuzzKeys: no character of an identifier means anything in the name of a key.
func FuzzKeys(f *testing.F) {
	for _, id := range []string{"", "a", ":", "a:b", "client:a", "{x}", "}", "{test}:client:a", "\x00", "\xff", "index", "-index"} {
		f.Add(uint8(0), id)
		f.Add(uint8(3), id)
	}
	n := newNames("test")
	kinds := append(indexed(), store.KindCredential)
	f.Fuzz(func(t *testing.T, k uint8, id string) {
		kind := kinds[int(k)%len(kinds)]
		key := n.record(kind, id)
		gotKind, gotID, ok := n.kindOf(key)
		if !ok || gotKind != kind || gotID != id {
			t.Errorf("%s %q is kept under %q, which is read as %s %q", kind, id, key, gotKind, gotID)
		}
		if _, alone := n.standing()[key]; alone || n.typeOf(key) != typeString {
			t.Errorf("%q is not that of a record", key)
		}
		if kind, got, ok := n.kindOf(id); ok && n.record(kind, got) != id {
			t.Errorf("%q is read as %s %q, whose key is another", id, kind, got)
		}
		if _, _, ok := newNames("test-2").kindOf(key); ok {
			t.Errorf("%q is of two namespaces", key)
		}
	})
}

package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

func absent(t *testing.T, f Fixture, s subject) {
	for _, id := range []string{"none", "", strings.Repeat("x", 1<<16), "\xff", "a\x00b"} {
		if _, _, err := s.get(t.Context(), f.Store, id); !errors.Is(err, s.notFound) {
			t.Errorf("%.20q: got error %v, want %v", id, err, s.notFound)
		}
	}
}

func wantRecord(t *testing.T, f Fixture, s subject, id string, version uint64, mark string) {
	t.Helper()
	v, m, err := s.get(t.Context(), f.Peer, id)
	if err != nil || v != version || m != mark {
		t.Errorf("%s %.20q: got version %d, mark %q, error %v; want %d, %q", s.kind, id, v, m, err, version, mark)
	}
}

// mustPut stores a record and returns its new version.
func mustPut(t *testing.T, f Fixture, s subject, id string, version uint64, mark string) uint64 {
	t.Helper()
	v, err := s.put(t.Context(), f.Store, id, version, mark, entry(id))
	if err != nil {
		t.Fatalf("put %s %.20q: %v", s.kind, id, err)
	}
	return v
}

func versions(t *testing.T, f Fixture, s subject) {
	wantConflict := func(version uint64) {
		t.Helper()
		unrecorded(t, f.Store, func() {
			if _, err := s.put(t.Context(), f.Peer, "a", version, "loser", entry("a")); !errors.Is(err, s.conflict) {
				t.Errorf("version %d: got error %v, want %v", version, err, s.conflict)
			}
		})
	}
	wantConflict(1) // there is none yet
	if v := mustPut(t, f, s, "a", 0, "one"); v != 1 {
		t.Errorf("first version: got %d, want 1", v)
	}
	wantConflict(0)
	wantConflict(2)
	wantRecord(t, f, s, "a", 1, "one")
	if v := mustPut(t, f, s, "a", 1, "two"); v != 2 {
		t.Errorf("second version: got %d, want 2", v)
	}
	for _, stale := range []uint64{0, 1, 3, 1<<64 - 2} {
		wantConflict(stale)
	}
	wantRecord(t, f, s, "a", 2, "two")
	unrecorded(t, f.Store, func() {
		if _, err := s.put(t.Context(), f.Store, "a", 1<<64-1, "loser", entry("a")); err == nil {
			t.Error("the highest version: got no error; its successor would be 0")
		}
	})
}

// oddIdentifiers: no character of an identifier means anything to a driver, and none is folded.
func oddIdentifiers(t *testing.T, f Fixture, s subject) {
	ids := []string{
		"a", "A", "a:b", "a/b", "a/", "/a", "a\x00b", "a\nb", "..", ".", "*", "{a}", "é", "e\u0301", "日本", " ", "a ",
		"https://fulfilment.example/orders?x=1&y=%20", strings.Repeat("long", 1000), strings.Repeat("x", store.MaxIDLength-len(s.prefix)),
	}
	for _, id := range ids {
		mustPut(t, f, s, id, 0, id)
	}
	for _, id := range ids {
		wantRecord(t, f, s, id, 1, id)
	}
}

func refusedIdentifiers(t *testing.T, f Fixture, s subject) {
	for _, id := range []string{"", "\xff", "a\xc3", strings.Repeat("x", store.MaxIDLength+1)} {
		unrecorded(t, f.Store, func() {
			if _, err := s.put(t.Context(), f.Store, id, 0, "m", entry("x")); err == nil || isAnswer(err) {
				t.Errorf("%.20q: got error %v, want a plain one", id, err)
			}
		})
	}
}

// refusedEntries: no change goes unrecorded.
func refusedEntries(t *testing.T, f Fixture, s subject) {
	good := entry("a")
	bad := map[string]func(*audit.Entry){
		"zero":      func(e *audit.Entry) { *e = audit.Entry{} },
		"time":      func(e *audit.Entry) { e.Time = audit.Entry{}.Time },
		"actor":     func(e *audit.Entry) { e.Actor = audit.Actor{} },
		"action":    func(e *audit.Entry) { e.Action = "" },
		"target":    func(e *audit.Entry) { e.Target = "" },
		"result":    func(e *audit.Entry) { e.Result = "" },
		"not UTF-8": func(e *audit.Entry) { e.Reason = "\xff" },
	}
	for name, spoil := range bad {
		e := good
		spoil(&e)
		unrecorded(t, f.Store, func() {
			if _, err := s.put(t.Context(), f.Store, "a", 0, "m", e); err == nil || isAnswer(err) {
				t.Errorf("%s: got error %v, want a plain one", name, err)
			}
		})
	}
	if _, _, err := s.get(t.Context(), f.Store, "a"); !errors.Is(err, s.notFound) {
		t.Errorf("got error %v, want %v", err, s.notFound)
	}
}

func endedContext(t *testing.T, f Fixture, s subject) {
	mustPut(t, f, s, "a", 0, "one")
	head, err := f.Store.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	unrecorded(t, f.Store, func() {
		_, putErr := s.put(ctx, f.Store, "a", 1, "two", entry("a"))
		_, _, getErr := s.get(ctx, f.Store, "a")
		_, headErr := f.Store.Head(ctx)
		_, _, changesErr := f.Store.Changes(ctx, head, 1)
		_, _, entriesErr := f.Store.Entries(ctx, "", 1)
		_, ownerErr := f.Store.ClientOf(ctx, "k")
		_, _, latestErr := f.Store.Latest(ctx, "", 1)
		_, versionErr := f.Store.ClientVersion(ctx, "k")
		for name, err := range map[string]error{
			"put": putErr, "get": getErr, "list": s.list(ctx, f.Store), "Head": headErr,
			"Changes": changesErr, "Entries": entriesErr, "ClientOf": ownerErr, "Latest": latestErr, "ClientVersion": versionErr,
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got error %v, want context.Canceled", name, err)
			}
		}
	})
	wantRecord(t, f, s, "a", 1, "one")
}

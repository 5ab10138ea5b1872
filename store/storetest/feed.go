package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

func changes(t *testing.T, f Fixture) {
	start, err := f.Store.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	if start == "" {
		t.Fatal("the head of an empty feed is empty; a cursor never is")
	}
	got, next, err := f.Store.Changes(t.Context(), start, 10)
	if err != nil || len(got) != 0 || next != start {
		t.Errorf("nothing new: got %v, %q, %v, want none, %q", got, next, err, start)
	}
	var want []store.Change
	for i := range 5 {
		for _, s := range subjects() {
			id := fmt.Sprintf("id:%d/é", i%2) // some are written again
			version, _, err := s.get(t.Context(), f.Store, id)
			if err != nil && !errors.Is(err, s.notFound) {
				t.Fatal(err)
			}
			mustPut(t, f, s, id, version, "m")
			want = append(want, store.Change{Kind: s.kind, ID: s.key(id)})
		}
	}
	head, err := f.Peer.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	for _, limit := range []int{1, 4, len(want), len(want) + 1} {
		if d := Diff(walk(t, f.Peer, start, head, limit), want); d != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, d)
		}
	}
	for _, cursor := range []store.Cursor{"", "0", ".", "nonsense", head + "x", " " + head, store.Cursor(strings.Repeat("9", 400))} {
		if got, _, err := f.Store.Changes(t.Context(), cursor, 10); !errors.Is(err, store.ErrCursor) {
			t.Errorf("cursor %.20q: got %v, %v, want ErrCursor", cursor, got, err)
		}
	}
}

// walk reads page after page from start and checks that the last one ends at head.
func walk(t *testing.T, s store.Store, start, head store.Cursor, limit int) []store.Change {
	t.Helper()
	var all []store.Change
	for at := start; ; {
		page, next, err := s.Changes(t.Context(), at, limit)
		if err != nil {
			t.Fatalf("Changes: %v", err)
		}
		if len(page) > limit {
			t.Fatalf("Changes: got %d, limit %d", len(page), limit)
		}
		all = append(all, page...)
		if len(page) == 0 {
			if next != at || next != head {
				t.Errorf("end of the feed: got cursor %q after %q, want %q", next, at, head)
			}
			return all
		}
		at = next
	}
}

// changesInCommitOrder: the feed, the audit log and every writer agree on what came first.
func changesInCommitOrder(t *testing.T, f Fixture) {
	head, err := f.Store.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	const each = 5
	client := subjects()[0]
	for i, err := range race(f, func(i int, s store.Store) error {
		for n := range each {
			id := fmt.Sprintf("%d-%d", i, n)
			if _, err := client.put(t.Context(), s, id, 0, "m", entry(id)); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Fatalf("racer %d: %v", i, err)
		}
	}
	changes, entries := everything(t, f.Peer, head)
	if len(changes) != racers*each || len(entries) != racers*each {
		t.Fatalf("got %d changes and %d entries, want %d each", len(changes), len(entries), racers*each)
	}
	var next [racers]int
	for i, c := range changes {
		if entries[i].Target != c.ID {
			t.Errorf("place %d: the feed has %q, the audit log %q", i, c.ID, entries[i].Target)
		}
		var racer, n int
		if _, err := fmt.Sscanf(c.ID, "%d-%d", &racer, &n); err != nil {
			t.Fatal(err)
		}
		if n != next[racer] {
			t.Errorf("racer %d: its write %d came when %d was due", racer, n, next[racer])
		}
		next[racer]++
	}
}

// foreignCursor: a follower that was connected to another store must not mistake this one's feed
// for its own, even where the numbers would fit.
func foreignCursor(t *testing.T, f, other Fixture) {
	for _, fix := range []Fixture{f, other} {
		mustPut(t, fix, subjects()[0], "a", 0, "m")
		mustPut(t, fix, subjects()[0], "b", 0, "m")
	}
	head, err := other.Store.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	if _, _, err := f.Store.Changes(t.Context(), head, 10); !errors.Is(err, store.ErrCursor) {
		t.Errorf("Changes: got error %v, want ErrCursor", err)
	}
	_, place, err := other.Store.Entries(t.Context(), "", 1)
	if err != nil {
		t.Fatalf("Entries: %v", err)
	}
	if _, _, err := f.Store.Entries(t.Context(), place, 10); !errors.Is(err, store.ErrCursor) {
		t.Errorf("Entries: got error %v, want ErrCursor", err)
	}
	_, place, err = other.Store.Latest(t.Context(), "", 1)
	if err != nil || place == "" {
		t.Fatalf("Latest: %q, %v", place, err)
	}
	if _, _, err := f.Store.Latest(t.Context(), place, 10); !errors.Is(err, authz.ErrCursor) {
		t.Errorf("Latest: got error %v, want ErrCursor", err)
	}
}

// followerSeesPeer: once a write has returned, a pass of any server's follower applies it.
func followerSeesPeer(t *testing.T, f Fixture) {
	seen := map[string]bool{}
	follower, err := store.NewFollower(store.FollowerConfig{
		Changes: f.Peer,
		Apply: func(_ context.Context, changes []store.Change) error {
			for _, c := range changes {
				seen[c.ID] = true
			}
			return nil
		},
		Reload: func(context.Context) error { return nil },
	})
	if err != nil {
		t.Fatalf("NewFollower: %v", err)
	}
	if err := follower.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	all := subjects()
	for i := range 2 * len(all) {
		id, s := fmt.Sprint(i), all[i%len(all)]
		mustPut(t, f, s, id, 0, "m")
		if err := follower.CatchUp(t.Context()); err != nil {
			t.Fatalf("CatchUp: %v", err)
		}
		if !seen[s.key(id)] {
			t.Errorf("write %d was acknowledged and is unknown to the peer", i)
		}
	}
}

package boltstore

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// testClock is a clock that tests set.
type testClock struct{ unix atomic.Int64 }

func newTestClock() *testClock {
	c := &testClock{}
	c.unix.Store(testTime.Unix())
	return c
}

func (c *testClock) now() time.Time          { return time.Unix(c.unix.Load(), 0) }
func (c *testClock) advance(d time.Duration) { c.unix.Add(int64(d / time.Second)) }

func countChanges(t *testing.T, db *DB) (n int) {
	t.Helper()
	if err := db.bolt.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(db.name()).Bucket(bucketChanges)
		return b.ForEach(func(_, _ []byte) error { n++; return nil })
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func putNumbered(t *testing.T, s *Store, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		mustPut(t, s, authz.Client{ID: authz.ClientID(fmt.Sprint(i))})
	}
}

func TestChanges_TrimmedByAge(t *testing.T) {
	clock := newTestClock()
	db := openTemp(t, Config{Now: clock.now})
	s := newStore(t, db)
	start, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	putNumbered(t, s, 0, 40)
	old, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	clock.advance(changesKept) // the very second: still kept
	putNumbered(t, s, 40, 41)
	if n := countChanges(t, db); n != 41 {
		t.Errorf("after exactly %v: got %d changes, want all 41", changesKept, n)
	}
	if changes, _, err := s.Changes(t.Context(), start, 100); err != nil || len(changes) != 41 {
		t.Errorf("Changes from the start: got %d, %v", len(changes), err)
	}

	clock.advance(time.Second)
	putNumbered(t, s, 41, 42)
	if n := countChanges(t, db); n != 42-changesTrimmed {
		t.Errorf("after one write: got %d changes, want %d: a write removes a bounded number", n, 42-changesTrimmed)
	}
	if _, _, err := s.Changes(t.Context(), start, 100); !errors.Is(err, store.ErrCursor) {
		t.Errorf("a cursor before what is kept: got error %v, want ErrCursor", err)
	}
	putNumbered(t, s, 42, 44)
	if n := countChanges(t, db); n != 4 {
		t.Errorf("after three writes: got %d changes, want the 4 young ones", n)
	}
	changes, next, err := s.Changes(t.Context(), old, 100)
	if err != nil || len(changes) != 4 || changes[0].ID != "40" || changes[3].ID != "43" {
		t.Errorf("Changes from the oldest that is kept: got %v, %v", changes, err)
	}
	if head, err := s.Head(t.Context()); err != nil || next != head {
		t.Errorf("got cursor %q, want the head %q (%v)", next, head, err)
	}
	// The log of what was done is not trimmed.
	if entries, _, err := s.Entries(t.Context(), "", 100); err != nil || len(entries) != 44 {
		t.Errorf("Entries: got %d, %v, want 44", len(entries), err)
	}
}

// A feed that was quiet for days has nothing in it, and its head is still where it was.
func TestChanges_QuietFeed(t *testing.T) {
	clock := newTestClock()
	db := openTemp(t, Config{Now: clock.now})
	s := newStore(t, db)
	putNumbered(t, s, 0, 3)
	clock.advance(72 * time.Hour)
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	putNumbered(t, s, 3, 4)
	changes, next, err := s.Changes(t.Context(), head, 10)
	if err != nil || len(changes) != 1 || changes[0].ID != "3" {
		t.Errorf("got %v, %v, want the new change", changes, err)
	}
	if next != store.Cursor(db.Epoch()+".4") {
		t.Errorf("got cursor %q, want number 4: numbers are never used again", next)
	}
}

// A clock that was set back keeps changes longer, never shorter.
func TestChanges_ClockSetBack(t *testing.T) {
	clock := newTestClock()
	db := openTemp(t, Config{Now: clock.now})
	s := newStore(t, db)
	putNumbered(t, s, 0, 3)
	clock.advance(-24 * time.Hour)
	putNumbered(t, s, 3, 6)
	if n := countChanges(t, db); n != 6 {
		t.Errorf("got %d changes, want 6", n)
	}
}

func TestChanges_Cursors(t *testing.T) {
	db := openTemp(t, Config{})
	s := newStore(t, db)
	putNumbered(t, s, 0, 3)
	e := db.Epoch()
	for _, cursor := range []string{
		e, e + ".", e + ".-1", e + ".+1", e + ".01", e + ". 1", e + ".1 ", e + ".1.", e + ".1.2", e + ".0x1",
		e + ".4",                                                 // ahead, as after a restored backup
		e + ".18446744073709551615", e + ".18446744073709551616", // the largest, and beyond
		"." + "1", "x" + e[1:] + ".1", e[1:] + ".1",
	} {
		if got, _, err := s.Changes(t.Context(), store.Cursor(cursor), 10); !errors.Is(err, store.ErrCursor) {
			t.Errorf("Changes %q: got %v, %v, want ErrCursor", cursor, got, err)
		}
		if got, _, err := s.Entries(t.Context(), cursor, 10); !errors.Is(err, store.ErrCursor) {
			t.Errorf("Entries %q: got %v, %v, want ErrCursor", cursor, got, err)
		}
	}
	for n, want := range map[int]int{0: 3, 1: 2, 3: 0} {
		if got, _, err := s.Changes(t.Context(), store.Cursor(fmt.Sprintf("%s.%d", e, n)), 10); err != nil || len(got) != want {
			t.Errorf("Changes from %d: got %v, %v, want %d", n, got, err, want)
		}
	}
}

// A feed that someone meddled with is a fault or a reload, never "nothing new".
func TestChanges_Damaged(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*bolt.Bucket) error
		want  error
	}{
		"not JSON": {func(b *bolt.Bucket) error { return b.Put(sequenceKey(2), []byte("{")) }, store.ErrDamaged},
		"stranger": {func(b *bolt.Bucket) error {
			return b.Put(sequenceKey(2), []byte(`{"at":1,"kind":"client","id":"x","y":1}`))
		}, store.ErrDamaged},
		"removed": {func(b *bolt.Bucket) error { return b.Delete(sequenceKey(2)) }, store.ErrCursor},
		"short key": {func(b *bolt.Bucket) error {
			return errors.Join(b.Delete(sequenceKey(2)), b.Put([]byte{0, 0, 0, 0, 0, 0, 0, 2, 1}, []byte("{}")))
		}, store.ErrCursor},
	} {
		db := openTemp(t, Config{})
		s := newStore(t, db)
		putNumbered(t, s, 0, 3)
		raw{db}.update(t, bucketChanges, c.spoil)
		after := store.Cursor(db.cursor(1))
		if got, _, err := s.Changes(t.Context(), after, 10); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
}

package boltstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

func jti(n int) token.Subject {
	return token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprintf("%03d", n)}
}

func mustRevoke(t *testing.T, s *Store, r authz.Revocation) authz.Revocation {
	t.Helper()
	r, err := s.PutRevocation(t.Context(), r, testEntry(r.Subject.String()))
	if err != nil {
		t.Fatalf("PutRevocation %s: %v", r.Subject, err)
	}
	return r
}

func until(subject token.Subject, end time.Time) authz.Revocation {
	return authz.Revocation{Revocation: token.Revocation{Subject: subject, Until: end}}
}

// stored returns which of the first n revocations are there, and how many entries the order has.
func stored(t *testing.T, s *Store, n int) (there map[int]bool, order int) {
	t.Helper()
	there = map[int]bool{}
	for i := range n {
		found, err := s.Revocations(t.Context(), []token.Subject{jti(i)})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 1 {
			there[i] = true
		}
	}
	if err := s.db.bolt.View(func(tx *bolt.Tx) error {
		return tx.Bucket(s.db.name()).Bucket(bucketExpiries).ForEach(func(_, _ []byte) error { order++; return nil })
	}); err != nil {
		t.Fatal(err)
	}
	return there, order
}

// RVK-14: a revocation is kept until its end, and longer; after that writes remove it, a few each, those
// that ended first before others, and say nothing of it in the feed.
func TestRevocations_RemovedAfterTheirEnd(t *testing.T) {
	clock := newTestClock()
	s := newStore(t, openTemp(t, Config{Now: clock.now}))
	const n = 40
	for i := range n {
		mustRevoke(t, s, until(jti(i), clock.now().Add(time.Duration(n-i)*time.Second))) // the last ends first
	}
	mustRevoke(t, s, until(jti(n), time.Time{}))
	if there, order := stored(t, s, n+1); len(there) != n+1 || order != n {
		t.Fatalf("got %d revocations and %d entries", len(there), order)
	}
	clock.advance(time.Second + revocationsKept - time.Second) // one second before the first may go
	mustPut(t, s, authz.Client{ID: "1"})
	if there, _ := stored(t, s, n+1); len(there) != n+1 {
		t.Errorf("a revocation was removed before its time: %d are left", len(there))
	}
	clock.advance(time.Second)
	mustPut(t, s, authz.Client{ID: "2"})
	if there, order := stored(t, s, n+1); len(there) != n || there[n-1] || order != n-1 {
		t.Errorf("at the very second: got %d revocations, %d entries", len(there), order)
	}
	clock.advance(24 * time.Hour)
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for left := n - 1; left > 0; {
		mustPut(t, s, authz.Client{ID: authz.ClientID(fmt.Sprint("x", left))})
		left = max(0, left-revocationsTrimmed)
		there, order := stored(t, s, n+1)
		if len(there) != left+1 || order != left {
			t.Errorf("got %d revocations and %d entries, want %d and %d", len(there), order, left+1, left)
		}
		for i := range left {
			if !there[i] {
				t.Errorf("%d has gone before those that ended earlier", i)
			}
		}
	}
	changes, _, err := s.Changes(t.Context(), head, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Kind == store.KindRevocation {
			t.Errorf("a removal is in the feed: %v", c)
		}
	}
}

// One whose end is moved later, or taken away, is not removed at the earlier one.
func TestRevocations_EndMoved(t *testing.T) {
	clock := newTestClock()
	s := newStore(t, openTemp(t, Config{Now: clock.now}))
	later, open, sooner := until(jti(0), clock.now()), until(jti(1), clock.now()), until(jti(2), clock.now().Add(100*time.Hour))
	later = mustRevoke(t, s, later)
	open = mustRevoke(t, s, open)
	sooner = mustRevoke(t, s, sooner)
	later.Until, open.Until, sooner.Until = clock.now().Add(48*time.Hour), time.Time{}, clock.now()
	later, open, sooner = mustRevoke(t, s, later), mustRevoke(t, s, open), mustRevoke(t, s, sooner)
	clock.advance(24 * time.Hour)
	mustPut(t, s, authz.Client{ID: "c"})
	if there, order := stored(t, s, 3); !there[0] || !there[1] || there[2] || order != 1 {
		t.Errorf("got %v and %d entries", there, order)
	}
	if n, err := s.Inspect(t.Context(), func(err error) { t.Error(err) }); err != nil {
		t.Errorf("Inspect: %d, %v", n, err)
	}
}

// Who has read a revocation that is then removed, and made anew by another, must not write over the new
// one: it may be the one that disables the client.
func TestRevocations_VersionNeverComesBack(t *testing.T) {
	clock := newTestClock()
	s := newStore(t, openTemp(t, Config{Now: clock.now}))
	old := mustRevoke(t, s, until(jti(0), clock.now()))
	higher := mustRevoke(t, s, mustRevoke(t, s, until(jti(1), clock.now())))
	clock.advance(24 * time.Hour)
	mustPut(t, s, authz.Client{ID: "c"})
	if there, _ := stored(t, s, 2); len(there) != 0 {
		t.Fatalf("got %v", there)
	}
	anew := mustRevoke(t, s, until(jti(0), time.Time{})) // open-ended
	if anew.Version <= higher.Version {
		t.Errorf("version %d after %d was removed", anew.Version, higher.Version)
	}
	old.Until = clock.now()
	if _, err := s.PutRevocation(t.Context(), old, testEntry("x")); !errors.Is(err, authz.ErrConflict) {
		t.Errorf("over the new one: got error %v, want ErrConflict", err)
	}
	if _, err := s.PutClient(t.Context(), authz.Client{ID: "d"}, testEntry("d"), old); !errors.Is(err, authz.ErrConflict) {
		t.Errorf("over the new one, with a client: got error %v, want ErrConflict", err)
	}
}

// The order of expiry is not believed. Whoever can write to the file, and has no key, cannot have a live
// revocation removed by saying there that it has ended; and what is damaged is not removed by its age.
func TestRevocations_OrderIsNotBelieved(t *testing.T) {
	clock := newTestClock()
	db := openTemp(t, Config{Now: clock.now})
	s := newStore(t, db)
	open, live, damaged := until(jti(0), time.Time{}), until(jti(1), clock.now().Add(time.Hour)), until(jti(2), clock.now())
	for _, r := range []authz.Revocation{open, live, damaged} {
		mustRevoke(t, s, r)
	}
	past := clock.now().Add(-100 * time.Hour)
	raw{db}.update(t, bucketExpiries, func(b *bolt.Bucket) error {
		return errors.Join(
			b.Put(expiryKey(past, open.Subject.String()), []byte{}), b.Put(expiryKey(past, live.Subject.String()), []byte{}),
			b.Put(expiryKey(past, "jti:absent"), []byte{}), b.Put(expiryKey(past, "\xff"), []byte("x")),
			b.Put([]byte{0}, nil), b.Put([]byte{0, 0, 0, 0, 0, 0, 0, 0}, nil),
		)
	})
	raw{db}.Put(t, store.KindRevocation, damaged.Subject.String(), []byte{store.Format})
	clock.advance(revocationsKept + time.Minute)
	mustPut(t, s, authz.Client{ID: "c"})
	if found, err := s.Revocations(t.Context(), []token.Subject{open.Subject, live.Subject}); err != nil || len(found) != 2 {
		t.Errorf("live revocations: got %v, %v", found, err)
	}
	if _, err := s.Revocations(t.Context(), []token.Subject{damaged.Subject}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("damaged revocation: got error %v, want ErrDamaged", err)
	}
	// What stays in the way does not keep others from being removed.
	for i := range 5 {
		mustRevoke(t, s, until(jti(10+i), clock.now()))
	}
	clock.advance(24 * time.Hour)
	mustPut(t, s, authz.Client{ID: "d"})
	for i := range 5 {
		if found, err := s.Revocations(t.Context(), []token.Subject{jti(10 + i)}); err != nil || len(found) != 0 {
			t.Errorf("an ended revocation is still there: %v, %v", found, err)
		}
	}
}

// A clock that is wrong for less than revocationsKept takes no revocation away.
func TestRevocations_ClockAhead(t *testing.T) {
	clock := newTestClock()
	s := newStore(t, openTemp(t, Config{Now: clock.now}))
	mustRevoke(t, s, until(jti(0), clock.now().Add(time.Minute)))
	clock.advance(revocationsKept)
	mustPut(t, s, authz.Client{ID: "c"})
	clock.advance(-revocationsKept)
	if there, _ := stored(t, s, 1); !there[0] {
		t.Error("a live revocation was removed")
	}
}

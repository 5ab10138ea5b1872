package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

const racers = 16

// raceTimeout ends a race that a broken driver would make endless.
const raceTimeout = time.Minute

// race calls f in racers goroutines at once, half of them with the peer, and returns their errors.
func race(fix Fixture, f func(i int, s store.Store) error) []error {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, racers)
	for i := range racers {
		s := fix.Store
		if i%2 == 1 {
			s = fix.Peer
		}
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = f(i, s)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

// oneWinner checks that exactly one of errs is nil and the others are conflicts, and returns which.
func oneWinner(t *testing.T, errs []error, conflict error) int {
	t.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("%d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, conflict):
			t.Errorf("%d: got error %v, want %v", i, err, conflict)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	return winner
}

func raceToCreate(t *testing.T, f Fixture, s subject) {
	head, err := f.Store.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	const rounds = 4
	for round := range rounds {
		id := fmt.Sprintf("new-%d", round)
		winner := oneWinner(t, race(f, func(i int, st store.Store) error {
			_, err := s.put(t.Context(), st, id, 0, fmt.Sprint(i), entry(id))
			return err
		}), s.conflict)
		wantRecord(t, f, s, id, 1, fmt.Sprint(winner))
	}
	changes, entries := everything(t, f.Store, head)
	if len(changes) != rounds || len(entries) != rounds {
		t.Errorf("got %d changes and %d audit entries, want %d each", len(changes), len(entries), rounds)
	}
}

// raceToUpdate: two servers that rotate at once have one winner.
func raceToUpdate(t *testing.T, f Fixture, s subject) {
	head, err := f.Store.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	version := mustPut(t, f, s, "a", 0, "start")
	const rounds = 4
	for range rounds {
		winner := oneWinner(t, race(f, func(i int, st store.Store) error {
			_, err := s.put(t.Context(), st, "a", version, fmt.Sprint(i), entry("a"))
			return err
		}), s.conflict)
		version++
		wantRecord(t, f, s, "a", version, fmt.Sprint(winner))
	}
	changes, entries := everything(t, f.Store, head)
	if len(changes) != rounds+1 || len(entries) != rounds+1 {
		t.Errorf("got %d changes and %d audit entries, want %d each", len(changes), len(entries), rounds+1)
	}
}

// noLostUpdate: read, change, put, and on a conflict again. Every one of the writes must count.
func noLostUpdate(t *testing.T, f Fixture, s subject) {
	const each = 3
	ctx, cancel := context.WithTimeout(t.Context(), raceTimeout)
	defer cancel()
	mustPut(t, f, s, "a", 0, "0")
	for i, err := range race(f, func(_ int, st store.Store) error {
		for range each {
			if err := increment(ctx, st, s); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("racer %d: %v", i, err)
		}
	}
	wantRecord(t, f, s, "a", 1+racers*each, fmt.Sprint(racers*each))
}

// increment counts the record "a" up, however often that takes.
func increment(ctx context.Context, st store.Store, s subject) error {
	for {
		version, mark, err := s.get(ctx, st, "a")
		if err != nil {
			return err
		}
		var n int
		if _, err := fmt.Sscan(mark, &n); err != nil {
			return err
		}
		if _, err = s.put(ctx, st, "a", version, fmt.Sprint(n+1), entry("a")); !errors.Is(err, s.conflict) {
			return err
		}
	}
}

// readersNeverGoBack reads while another writes: each sees whole records, in order.
func readersNeverGoBack(t *testing.T, f Fixture, s subject) {
	const last = 20
	ctx, cancel := context.WithTimeout(t.Context(), raceTimeout)
	defer cancel()
	mustPut(t, f, s, "a", 0, "1")
	for i, err := range race(f, func(i int, st store.Store) error {
		if i == 0 {
			for v := uint64(1); v < last; v++ {
				if _, err := s.put(ctx, st, "a", v, fmt.Sprint(v+1), entry("a")); err != nil {
					cancel() // nobody would see the last version
					return err
				}
			}
			return nil
		}
		for seen := uint64(0); seen < last; {
			v, mark, err := s.get(ctx, st, "a")
			if err != nil {
				return err
			}
			if v < seen || mark != fmt.Sprint(v) {
				return fmt.Errorf("after version %d came %d with mark %q", seen, v, mark)
			}
			seen = v
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("racer %d: %v", i, err)
		}
	}
}

func raceForCredential(t *testing.T, f Fixture) {
	name := func(i int) authz.ClientID { return authz.ClientID(fmt.Sprintf("client-%d", i)) }
	winner := oneWinner(t, race(f, func(i int, s store.Store) error {
		_, err := s.PutClient(t.Context(), withCredentials(name(i), 0, "wanted"), entry(string(name(i))))
		return err
	}), authz.ErrConflict)
	wantOwner(t, f.Store, "wanted", name(winner))
	clients, err := f.Store.ListClients(t.Context(), authz.ClientQuery{Limit: racers})
	if err != nil || len(clients) != 1 || clients[0].ID != name(winner) {
		t.Errorf("clients: got %d, %v, want only %s", len(clients), err, name(winner))
	}
}

package keys

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

const nodes = 8

// race runs f on every node at once.
func race(list []*Ring, f func(i int, r *Ring)) {
	var wg sync.WaitGroup
	ready := make(chan struct{})
	for i, r := range list {
		wg.Go(func() {
			<-ready
			f(i, r)
		})
	}
	close(ready)
	wg.Wait()
}

func (w *world) fleet(n int, change ...func(*Config)) []*Ring {
	var list []*Ring
	for range n {
		list = append(list, w.node(change...))
	}
	return list
}

func TestROT04_RotatorsRaceAndOneWins(t *testing.T) {
	for _, lead := range []time.Duration{DefaultPublishLead, time.Minute} { // at once, and pending
		w := newWorld(t)
		fleet := w.fleet(nodes)
		now := w.clock.Advance(lead)
		race(fleet, func(_ int, r *Ring) { _ = r.Step(bg, now) })
		first, second := w.kid(StateActive), w.kid(StateNext)

		results := make([]Rotated, nodes)
		race(fleet, func(i int, r *Ring) {
			list, err := r.Rotate(bg, jose.ES256, admin)
			if err != nil || len(list) != 1 {
				t.Errorf("node %d: %v, error %v", i, list, err)
				return
			}
			results[i] = list[0]
		})
		for i, r := range results {
			if r != results[0] || r.KeyID != second {
				t.Errorf("node %d rotated to %+v, node 0 to %+v", i, r, results[0])
			}
		}
		rotations := 0
		for _, a := range w.store.actions() {
			if a == ActionRotate {
				rotations++
			}
		}
		if rotations != 1 {
			t.Errorf("%d rotations stored, want 1", rotations)
		}
		// Every node switches at the same time, whatever it has heard of since.
		from := results[0].SignFrom
		race(fleet, func(_ int, r *Ring) { _ = r.Step(bg, now) })
		for i, r := range fleet {
			if got := signing(r, jose.ES256, from); got != second && from.Sub(now) < DefaultStoreOutage {
				t.Errorf("node %d: %q signs from %s on, want %q", i, got, from, second)
			}
		}
		w.clock.Advance(from.Sub(now))
		race(fleet, func(_ int, r *Ring) { _ = r.Step(bg, w.clock.Now()) })
		w.step()
		if w.kid(StateActive) != second || w.kid(StateRetiring) != first || w.kid(StateNext) == "" {
			t.Errorf("after the race: %+v", w.List())
		}
	}
}

func TestROT04_StepsRaceAtBirthAndOneWins(t *testing.T) {
	w := &world{T: t, clock: newClock(), store: newFakeRings()}
	fleet := w.fleet(nodes, func(c *Config) { c.Algorithms = uses(jose.Ed25519) })
	race(fleet, func(i int, r *Ring) {
		if err := r.Step(bg, start); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	})
	if w.store.writes != 4 {
		t.Errorf("%d writes, want 2 for each ring", w.store.writes)
	}
	want := published(t, fleet[0])
	for i, r := range fleet {
		if got := published(t, r); len(got) != 4 || !slices.Equal(got, want) {
			t.Errorf("node %d publishes %v, node 0 %v", i, got, want)
		}
		if signing(r, jose.ES256, start) != signing(fleet[0], jose.ES256, start) {
			t.Errorf("node %d signs with another key", i)
		}
	}
}

func TestReadersNeverWaitForTheStore(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	busy, done := make(chan struct{}), make(chan struct{})
	w.store.before = func(RingRecord) error {
		close(busy)
		<-done
		return errors.New("after a long time")
	}
	finished := make(chan error)
	go func() {
		_, err := w.Rotate(bg, jose.ES256, admin)
		finished <- err
	}()
	<-busy
	if signing(w.Ring, jose.ES256, w.clock.Now()) == "" || len(published(t, w.Ring)) != 2 || len(w.List()) != 2 {
		t.Error("no answer while a write hangs")
	}
	close(done)
	if err := <-finished; err == nil {
		t.Error("the failed rotation is reported as done")
	}
}

func TestEverythingAtOnce(t *testing.T) {
	w := newWorld(t, dev)
	fleet := append(w.fleet(3, dev), w.Ring)
	race(fleet, func(i int, r *Ring) {
		for range 20 {
			now := w.clock.Advance(time.Second)
			if err := r.Step(bg, now); err != nil {
				t.Errorf("node %d: Step: %v", i, err)
			}
			if _, err := r.Rotate(bg, "", admin); err != nil {
				t.Errorf("node %d: Rotate: %v", i, err)
			}
			if _, err := r.Ensure(bg, jose.Ed25519, admin); err != nil {
				t.Errorf("node %d: Ensure: %v", i, err)
			}
			if _, err := r.Signer(jose.ES256, w.clock.Now()); err != nil {
				t.Errorf("node %d: Signer: %v", i, err)
			}
			if _, err := r.JWKS(); err != nil {
				t.Errorf("node %d: JWKS: %v", i, err)
			}
			for _, v := range r.List() {
				if v.State == StateNext {
					_ = r.Withdraw(bg, v.KeyID, admin) // may come too late
				}
			}
			if err := r.Reload(bg); err != nil {
				t.Errorf("node %d: Reload: %v", i, err)
			}
		}
	})
}

func TestLosingForEverEndsInAnError(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	w.store.before = func(RingRecord) error { return ErrConflict }
	if _, err := w.Rotate(bg, jose.ES256, admin); !errors.Is(err, ErrConflict) {
		t.Errorf("error %v, want ErrConflict", err)
	}
}

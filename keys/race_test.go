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

// Whoever revokes at once, and whatever else happens at once: each revoked key is revoked once, none of
// them signs at a node that has read since, and one key does.
func TestROT04_ROT07_EmergenciesRaceWithEverything(t *testing.T) {
	for round := range 20 {
		w := newWorld(t)
		w.after(DefaultPublishLead)
		fleet := w.fleet(nodes)
		now := w.clock.Now()
		race(fleet, func(_ int, r *Ring) { _ = r.Step(bg, now) })
		active, next := w.kid(StateActive), w.kid(StateNext)
		race(fleet, func(i int, r *Ring) {
			var err error
			switch i {
			case 0, 1, 2:
				_, err = r.Revoke(bg, active, admin)
			case 3, 4:
				_, err = r.Revoke(bg, next, admin)
			case 5:
				_, err = r.Rotate(bg, jose.ES256, admin)
			case 6:
				err = r.Step(bg, now)
			default:
				if err = r.Withdraw(bg, next, admin); errors.Is(err, ErrIllegalStep) {
					err = nil // it signs already
				}
			}
			if err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		})
		revocations := map[string]int{}
		for _, e := range w.store.entries {
			if e.Action == ActionRevoke {
				revocations[e.Target]++
			}
		}
		if len(revocations) != 2 || revocations[active] != 1 || revocations[next] != 1 {
			t.Errorf("round %d: revocations stored: %v", round, revocations)
		}
		w.clock.Advance(DefaultPublishLead) // a rotation may be pending
		race(fleet, func(_ int, r *Ring) { _ = r.Step(bg, w.clock.Now()) })
		w.step()
		successor := w.kid(StateActive)
		for i, r := range fleet {
			if err := r.Reload(bg); err != nil {
				t.Fatal(err)
			}
			gone(t, r, active)
			gone(t, r, next)
			if got := signing(r, jose.ES256, w.clock.Now()); got != successor {
				t.Errorf("round %d: %q signs at node %d, want %q", round, got, i, successor)
			}
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
				if v.State == StateActive {
					if _, err := r.Revoke(bg, v.KeyID, admin); err != nil {
						t.Errorf("node %d: Revoke: %v", i, err)
					}
				}
			}
			_, _ = r.Plan(), r.RevokedKeys()
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

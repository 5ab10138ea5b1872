package keys

import (
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// A server whose clock is ahead by the leeway is cut off just before a rotation, which one whose clock is
// behind carries out. It signs until its outage is over, and a verifier may allow five minutes more.
func TestROT03_RetireAfterLeavesTimeForClocksThatDiffer(t *testing.T) {
	closed := false
	w := newWorld(t)
	ahead := w.node(func(c *Config) {
		c.Rings, c.Now = &cutOffRings{w.store, &closed}, func() time.Time { return w.clock.Now().Add(DefaultLeeway) }
	})
	w.after(DefaultPublishLead)
	old := w.kid(StateActive)
	if err := ahead.Step(bg, w.clock.Now().Add(DefaultLeeway)); err != nil {
		t.Fatal(err)
	}
	closed = true
	w.rotate() // the other one does not hear of it
	w.clock.Advance(DefaultStoreOutage)
	iat := w.clock.Now().Add(DefaultLeeway)
	if got := signing(ahead, jose.ES256, iat); got != old {
		t.Fatalf("%q signs, want %q", got, old)
	}
	accepted := iat.Add(MaxTokenLifetime + MaxVerifierLeeway) // by a verifier whose clock is right
	fastest := w.node(func(c *Config) { c.Now = func() time.Time { return w.clock.Now().Add(DefaultLeeway) } })
	for w.clock.Now().Before(accepted) {
		if err := fastest.Step(bg, w.clock.Now().Add(DefaultLeeway)); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(published(t, fastest), old) {
			t.Fatalf("the key has left %s before verifiers stop taking what it signed", accepted.Sub(w.clock.Now()))
		}
		w.clock.Advance(time.Second)
	}
}

package keys

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

func (w *world) revokeAll(id string) []RevokedRing {
	w.Helper()
	done, err := w.RevokeAll(bg, id, admin)
	if err != nil {
		w.Fatal(err)
	}
	return done
}

func TestROT07_AllKeysOfEveryRingAtOnce(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.Ed25519) })
	w.after(DefaultPublishLead)
	w.rotate() // so that a retiring key is among them
	var old []string
	for _, v := range w.List() {
		old = append(old, v.KeyID)
	}
	other := w.node()
	if err := other.Reload(bg); err != nil {
		t.Fatal(err)
	}
	now := w.clock.Advance(time.Minute)

	done := w.revokeAll("one")
	if len(done) != 2 || done[0].Algorithm != jose.ES256 || done[1].Algorithm != jose.Ed25519 || len(old) != 5 {
		t.Fatalf("%+v of %d keys, want both rings", done, len(old))
	}
	if got := slices.Concat(done[0].KeyIDs, done[1].KeyIDs); !slices.Equal(got, old) {
		t.Errorf("revoked %v, want %v", got, old)
	}
	if err := other.Reload(bg); err != nil {
		t.Fatal(err)
	}
	for _, node := range []*Ring{w.Ring, other} {
		for _, kid := range old {
			if _, err := node.Lookup(kid); !errors.Is(err, jose.ErrUnknownKey) || !slices.Contains(node.RevokedKeys(), kid) {
				t.Errorf("%q: Lookup %v, and not among the revoked", kid, err)
			}
			if slices.Contains(published(t, node), kid) {
				t.Errorf("%q is published", kid)
			}
		}
		for _, d := range done {
			if got := signing(node, d.Algorithm, now); got != d.Successor || slices.Contains(old, got) || !d.SignFrom.Equal(now) || d.MaxAge != DefaultJWKSMaxAge {
				t.Errorf("%s: %q signs, want the successor of %+v at once", d.Algorithm, got, d)
			}
		}
		if n := len(published(t, node)); n != 4 {
			t.Errorf("%d keys are published, want an active and a next one for each ring", n)
		}
	}
	for _, k := range append(w.store.ring(jose.ES256).Keys, w.store.ring(jose.Ed25519).Keys...) {
		if slices.Contains(old, k.KeyID) && (k.Sealed != "" || k.RevokedAt.IsZero()) {
			t.Errorf("%q rests with its private part", k.KeyID)
		}
	}
	if n := count(w.store.actions(), ActionRevokeAll); n != 2 {
		t.Errorf("%d audit entries, want one for each ring", n)
	}
}

// A repeat, after an answer that was lost, must not kill the fresh keys.
func TestROT07_AllAgainUnderOneIdentifier(t *testing.T) {
	w := newWorld(t)
	once := w.revokeAll("one")
	w.clock.Advance(time.Second)
	if again := w.revokeAll("one"); !slices.EqualFunc(once, again, sameRevokedRing) {
		t.Errorf("again: %+v, want %+v", again, once)
	}
	confirmed := 0
	node := w.node(func(c *Config) { c.Confirm = func(context.Context) error { confirmed++; return nil } })
	if again, err := node.RevokeAll(bg, "one", admin); err != nil || !slices.EqualFunc(once, again, sameRevokedRing) || confirmed != 1 {
		t.Errorf("again at another node: %+v, error %v, confirmed %d times", again, err, confirmed)
	}
	if twice := w.revokeAll("two"); slices.EqualFunc(once, twice, sameRevokedRing) {
		t.Error("a second emergency did nothing")
	}
	if _, err := w.RevokeAll(bg, "", admin); err == nil {
		t.Error("a request without an identifier is carried out")
	}
}

func sameRevokedRing(a, b RevokedRing) bool {
	return a.Algorithm == b.Algorithm && slices.Equal(a.KeyIDs, b.KeyIDs) && a.Successor == b.Successor && a.SignFrom.Equal(b.SignFrom)
}

// Emergencies within one second, at two nodes, with a turn stamped, with a clock ahead.
func TestROT07_AllTwiceWithinTheLead(t *testing.T) {
	w := newWorld(t)
	w.after(time.Hour)
	w.rotate() // stamped for tomorrow
	ahead := w.node(func(c *Config) { c.Now = func() time.Time { return w.clock.Now().Add(20 * time.Second) } })
	if _, err := ahead.RevokeAll(bg, "one", admin); err != nil {
		t.Fatal(err)
	}
	w.revokeAll("two")
	w.revokeAll("three")
	w.clock.Advance(20 * time.Second)
	if len(w.kids(StateActive)) != 1 || len(w.kids(StateNext)) != 1 || signing(w.Ring, jose.ES256, w.clock.Now()) == "" {
		t.Errorf("after three emergencies: %+v", w.List())
	}
	if n := len(w.kids(StateRevoked)); n != 6 {
		t.Errorf("%d keys are revoked, want 6: %+v", n, w.List())
	}
}

// What left the JWKS a moment ago may still be in a cache.
func TestROT07_AllIncludesWhatJustLeft(t *testing.T) {
	w := newWorld(t)
	gone := w.kid(StateNext)
	if err := w.Withdraw(bg, gone, admin); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Second)
	if done := w.revokeAll("one"); !slices.Contains(done[0].KeyIDs, gone) {
		t.Errorf("%v were revoked, and not %q", done[0].KeyIDs, gone)
	}
}

func TestROT07_OneRingsTroubleKeepsNoOtherWaiting(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.Ed25519) })
	w.store.before = func(r RingRecord) error {
		if r.Algorithm == jose.ES256 {
			return errCutOff
		}
		return nil
	}
	done, err := w.RevokeAll(bg, "one", admin)
	if !errors.Is(err, errCutOff) || len(done) != 1 || done[0].Algorithm != jose.Ed25519 {
		t.Fatalf("%+v, error %v: want Ed25519 done and ES256 not", done, err)
	}
	w.store.before = nil
	ed := signing(w.Ring, jose.Ed25519, w.clock.Now())
	if done = w.revokeAll("one"); len(done) != 2 || done[1].Successor != ed {
		t.Errorf("again: %+v, want the rest done, and Ed25519 as it was", done)
	}
}

func TestROT07_AnotherEmergencyThanNowIsNoStep(t *testing.T) {
	r := aging(start)
	n := r.clone()
	n.Emergency = Emergency{ID: "x", At: start.Add(-time.Second)}
	if err := legal(r, n, start); !errors.Is(err, ErrIllegalStep) {
		t.Errorf("error %v, want ErrIllegalStep", err)
	}
	r.Emergency = n.Emergency
	n.Emergency = Emergency{}
	if err := legal(r, n, start); !errors.Is(err, ErrIllegalStep) {
		t.Errorf("forgotten: error %v, want ErrIllegalStep", err)
	}
}

// A change that is there already is acknowledged only once it is durable.
func TestAskedAgainIsConfirmed(t *testing.T) {
	w := newWorld(t)
	kid := w.kid(StateActive)
	broken, asked := errors.New("not durable"), 0
	node := w.node(func(c *Config) { c.Confirm = func(context.Context) error { asked++; return broken } })
	if _, err := node.Revoke(bg, kid, admin); err != nil || asked != 0 {
		t.Fatalf("the first time: error %v, confirmed %d times: the commit has said it", err, asked)
	}
	for name, again := range map[string]func() error{
		"Revoke":    func() error { _, err := node.Revoke(bg, kid, admin); return err },
		"RevokeAll": func() error { _, err := node.RevokeAll(bg, "x", admin); return err },
		"Rotate":    func() error { _, err := node.Rotate(bg, "", admin); return err },
		"Withdraw":  func() error { return node.Withdraw(bg, kid, admin) },
	} {
		if name == "RevokeAll" || name == "Rotate" {
			_ = again() // the first time
		}
		if err := again(); !errors.Is(err, broken) {
			t.Errorf("%s again: error %v, want what Confirm says", name, err)
		}
	}
}

package keys

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/keys/jose"
)

func TestJWK13_FreshServerPublishesES256Only(t *testing.T) {
	w := newWorld(t)
	active, next := w.kid(StateActive), w.kid(StateNext)
	if got := published(t, w.Ring); !cmp.Equal(got, []string{active, next}) {
		t.Errorf("published %v, want the active and the next key", got)
	}
	for _, k := range fetch(t, w.Ring).Keys() {
		if k.Algorithm() != jose.ES256 {
			t.Errorf("published a key for %s", k.Algorithm())
		}
	}
	if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != active {
		t.Errorf("%q signs, want the active key %q", got, active)
	}
}

func TestROT01_StatesOneStepAtATimeEachAudited(t *testing.T) {
	w := newWorld(t)
	first, second := w.kid(StateActive), w.kid(StateNext)

	w.after(DefaultPublishLead)
	if r := w.rotate(); r.KeyID != second || !r.SignFrom.Equal(w.clock.Now()) {
		t.Fatalf("rotated to %+v, want %q at once", r, second)
	}
	third := w.kid(StateNext)
	if w.kid(StateActive) != second || w.kid(StateRetiring) != first || third == first || third == second {
		t.Fatalf("after the rotation: %+v", w.List())
	}
	retire := w.windows.RetireAfter
	w.after(retire - time.Second)
	if w.kid(StateRetiring) != first {
		t.Errorf("withdrawn a second early: %+v", w.List())
	}
	w.after(time.Second)
	if w.kid(StateWithdrawn) != first || slices.Contains(published(t, w.Ring), first) {
		t.Errorf("not withdrawn in time: %+v", w.List())
	}
	if k := w.store.ring(jose.ES256).Keys[0]; k.KeyID != first || k.Sealed != "" || len(k.Public) == 0 {
		t.Errorf("withdrawn key at rest: kid %q, private part %t, public part %t, want the public one only",
			k.KeyID, k.Sealed != "", len(k.Public) != 0)
	}
	want := []string{
		"system:keys key.create " + first, "system:keys key.create " + second,
		"uid:1000 key.rotate " + second, "system:keys key.create " + third, "system:keys key.withdraw " + first,
	}
	var got []string
	for _, e := range w.store.entries {
		got = append(got, e.Actor.String()+" "+e.Action+" "+e.Target)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("audit entries (-want +got):\n%s", d)
	}
}

func TestROT02_NotBeforeThePublishLead(t *testing.T) {
	w := newWorld(t)
	first, second := w.kid(StateActive), w.kid(StateNext)
	w.after(time.Hour)

	r := w.rotate()
	from := start.Add(DefaultPublishLead)
	if r.KeyID != second || !r.SignFrom.Equal(from) {
		t.Fatalf("rotated to %+v, want %q from %s", r, second, from)
	}
	if got := published(t, w.Ring); len(got) != 2 {
		t.Errorf("%d keys published while the rotation is pending, want 2 (JWK-13)", len(got))
	}
	// Nothing but the clock moves now: no Step is between these two.
	w.after(DefaultPublishLead - time.Hour - time.Second)
	if got := signing(w.Ring, jose.ES256, from.Add(-time.Nanosecond)); got != first {
		t.Errorf("%q signs before its time", got)
	}
	if got := signing(w.Ring, jose.ES256, from); got != second {
		t.Errorf("%q signs at sign_from, want %q", got, second)
	}
	w.clock.Advance(time.Second)
	if w.kid(StateActive) != second || w.kid(StateRetiring) != first {
		t.Errorf("by the clock alone: %+v", w.List())
	}
	w.step()
	if len(published(t, w.Ring)) != 3 {
		t.Errorf("no next key after the switch: %+v", w.List())
	}
}

func TestROT02_StampHoldsWhenSettingsAreLowered(t *testing.T) {
	w := newWorld(t)
	lowered := func(c *Config) {
		c.JWKSMaxAge, c.PublishLead, c.StoreOutage = time.Minute, 2*time.Minute, time.Minute
	}
	w.clock.Advance(time.Hour)
	w.Ring = w.node(lowered)
	w.step()
	if r := w.rotate(); !r.SignFrom.Equal(start.Add(DefaultPublishLead)) {
		t.Errorf("signs from %s, want the lead that was stamped", r.SignFrom)
	}
	old := w.store.ring(jose.ES256).Keys[0]
	stamped := newConfig(w.clock, w.store).windows().RetireAfter
	if got := old.WithdrawAt.Sub(start.Add(DefaultPublishLead)); got != stamped {
		t.Errorf("retires for %s, want the stamped %s", got, stamped)
	}

	// The next key was made under the lowered settings, but just before that documents with the old
	// max-age were handed out: the second rotation still waits, the third one no longer.
	w.after(DefaultPublishLead - time.Hour)
	published := w.clock.Now()
	if r := w.rotate(); !r.SignFrom.Equal(published.Add(DefaultPublishLead)) {
		t.Errorf("second rotation signs %s after publication, want %s", r.SignFrom.Sub(published), DefaultPublishLead)
	}
	w.after(DefaultPublishLead)
	published = w.clock.Now()
	if r := w.rotate(); !r.SignFrom.Equal(published.Add(2 * time.Minute)) {
		t.Errorf("third rotation signs %s after publication, want 2m", r.SignFrom.Sub(published))
	}
}

func TestROT02_StampGrowsWhenSettingsAreRaised(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	pending := w.rotate() // first retires from now on
	w.after(time.Minute)
	w.Ring = w.node(func(c *Config) { c.PublishLead, c.StoreOutage = 48*time.Hour, 2*time.Hour })
	w.step()
	ring := w.store.ring(jose.ES256)
	if got, want := ring.Keys[0].WithdrawAt, pending.SignFrom.Add(w.windows.RetireAfter); !got.Equal(want) {
		t.Errorf("retiring key leaves at %s, want %s", got, want)
	}
	for _, k := range ring.Keys {
		if k.Windows != w.windows {
			t.Errorf("windows of %q: %+v, want %+v", k.KeyID, k.Windows, w.windows)
		}
	}
	if r := w.rotate(); !r.SignFrom.Equal(ring.Keys[2].PublishedAt.Add(48 * time.Hour)) {
		t.Errorf("signs from %s, want the longer lead", r.SignFrom)
	}
	before := w.store.writes
	w.step()
	if w.store.writes != before {
		t.Error("Step writes although nothing is due")
	}
	// A node that still has the lower settings does not undo it.
	old := w.node()
	if err := old.Step(bg, w.clock.Now()); err != nil || w.store.writes != before {
		t.Errorf("a node with lower settings wrote %d times, error %v", w.store.writes-before, err)
	}
}

func TestROT02_FirstKey(t *testing.T) {
	t.Run("at once on the embedded store", func(t *testing.T) {
		w := &world{T: t, clock: newClock(), store: newFakeRings()}
		w.clock.Advance(700 * time.Millisecond) // stamps are whole seconds, and it must be this one
		w.Ring = w.node()
		w.step()
		if signing(w.Ring, jose.ES256, w.clock.Now()) == "" {
			t.Errorf("nobody signs: %+v", w.List())
		}
	})
	t.Run("one refresh interval after publication otherwise", func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.FirstKeyAtOnce = false })
		at := start.Add(DefaultRefreshInterval)
		if len(published(t, w.Ring)) != 2 {
			t.Fatalf("not published: %+v", w.List())
		}
		if _, err := w.Signer(jose.ES256, at.Add(-time.Second)); !errors.Is(err, ErrNoSigner) {
			t.Errorf("before: error %v, want ErrNoSigner", err)
		}
		if signing(w.Ring, jose.ES256, at) == "" {
			t.Error("nobody signs one refresh interval later")
		}
		if r := w.rotate(); !r.SignFrom.Equal(at) {
			t.Errorf("rotating reports %+v, want the first key", r)
		}
	})
}

func TestROT03_RetiresLongEnoughForTheLastTokenOfACutOffNode(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	cutOff := w.node()
	if err := cutOff.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	first := w.kid(StateActive)
	w.rotate()

	last := w.clock.Advance(DefaultStoreOutage)
	if got := signing(cutOff, jose.ES256, last); got != first {
		t.Fatalf("%q signs on the node that was cut off, want the old key", got)
	}
	if _, err := cutOff.Signer(jose.ES256, last.Add(time.Nanosecond)); !errors.Is(err, ErrStale) {
		t.Errorf("after the outage: error %v, want ErrStale", err)
	}
	if _, err := cutOff.Lookup("x"); errors.Is(err, jose.ErrUnknownKey) {
		w.clock.Advance(time.Nanosecond)
		if _, err := cutOff.Lookup("x"); !errors.Is(err, ErrStale) {
			t.Errorf("Lookup after the outage: error %v, want ErrStale: unknown is not no", err)
		}
	}
	w.after(MaxTokenLifetime + MaxVerifierLeeway - time.Second)
	if !slices.Contains(published(t, w.Ring), first) {
		t.Error("the old key is gone while a token of the cut-off node may be accepted")
	}
	w.after(DefaultRefreshInterval + 2*DefaultLeeway + 2*time.Second)
	if slices.Contains(published(t, w.Ring), first) {
		t.Error("the old key stays for ever")
	}
}

func TestROT12_WithdrawingNextLeavesActive(t *testing.T) {
	w := newWorld(t)
	active, next := w.kid(StateActive), w.kid(StateNext)
	if err := w.Withdraw(bg, next, admin); err != nil {
		t.Fatal(err)
	}
	replacement := w.kid(StateNext)
	if got := published(t, w.Ring); !cmp.Equal(got, []string{active, replacement}) {
		t.Errorf("published %v, want the active and another next key", got)
	}
	if signing(w.Ring, jose.ES256, w.clock.Now()) != active {
		t.Error("the active key no longer signs")
	}
	if k := w.store.ring(jose.ES256).Keys[1]; k.KeyID != next || k.Sealed != "" {
		t.Errorf("the private part of the withdrawn key is kept")
	}
	if err := w.Withdraw(bg, next, admin); err != nil {
		t.Errorf("again: %v, want nothing", err)
	}
	w.after(DefaultPublishLead)
	if r := w.rotate(); r.KeyID != replacement {
		t.Errorf("rotated to %q, want the replacement", r.KeyID)
	}
}

func TestROT12_WithdrawingAPendingNextCancelsItsTurn(t *testing.T) {
	w := newWorld(t)
	active := w.kid(StateActive)
	pending := w.rotate()
	if err := w.Withdraw(bg, pending.KeyID, admin); err != nil {
		t.Fatal(err)
	}
	if k := w.store.ring(jose.ES256).Keys[0]; !k.WithdrawAt.IsZero() {
		t.Errorf("the active key still leaves at %s", k.WithdrawAt)
	}
	w.after(DefaultPublishLead + w.windows.RetireAfter)
	if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != active {
		t.Errorf("%q signs, want the active key to go on", got)
	}
}

func TestROT01_IllegalStepsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	w.rotate()
	for _, s := range []State{StateActive, StateRetiring} {
		if err := w.Withdraw(bg, w.kid(s), admin); !errors.Is(err, ErrIllegalStep) {
			t.Errorf("withdrawing the %s key: error %v, want ErrIllegalStep", s, err)
		}
	}
	if err := w.Withdraw(bg, "nobody", admin); !errors.Is(err, ErrNotFound) {
		t.Errorf("withdrawing an unknown key: error %v, want ErrNotFound", err)
	}
	r := w.rotate()
	w.after(r.SignFrom.Sub(w.clock.Now()) - time.Minute)
	if err := w.Withdraw(bg, r.KeyID, admin); !errors.Is(err, ErrIllegalStep) {
		t.Errorf("withdrawing a key that a cut-off node is about to use: error %v, want ErrIllegalStep", err)
	}
	young := newWorld(t, func(c *Config) { c.FirstKeyAtOnce = false })
	first := young.store.ring(jose.ES256).Keys[0].KeyID
	if err := young.Withdraw(bg, first, admin); !errors.Is(err, ErrIllegalStep) {
		t.Errorf("withdrawing the only key that will sign: error %v, want ErrIllegalStep", err)
	}
}

func TestRotateTwiceReportsThePendingRotation(t *testing.T) {
	w := newWorld(t)
	first := w.rotate()
	writes := w.store.writes
	w.after(time.Hour)
	if again := w.rotate(); again != first || w.store.writes != writes {
		t.Errorf("again: %+v and %d writes, want %+v and none", again, w.store.writes-writes, first)
	}
}

func TestRotateEveryRing(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.RS256, jose.EdDSA) })
	w.after(DefaultPublishLead)
	list, err := w.Rotate(bg, "", admin)
	if err != nil {
		t.Fatal(err)
	}
	var algs []jose.Algorithm
	for _, r := range list {
		algs = append(algs, r.Algorithm)
		if got := signing(w.Ring, r.Algorithm, w.clock.Now()); got != r.KeyID {
			t.Errorf("%s: %q signs, want %q", r.Algorithm, got, r.KeyID)
		}
	}
	if !cmp.Equal(algs, []jose.Algorithm{jose.ES256, jose.Ed25519, jose.RS256}) {
		t.Errorf("rotated %v", algs)
	}
	if _, err := w.Rotate(bg, jose.PS256, admin); !errors.Is(err, ErrNotFound) {
		t.Errorf("a ring that is not there: error %v, want ErrNotFound", err)
	}
	if _, err := w.Rotate(bg, jose.EdDSA, admin); err != nil {
		t.Errorf("by the older name: %v", err)
	}
}

func TestJWK13_RotatingFastStaysBounded(t *testing.T) {
	w := newWorld(t, dev)
	w.after(time.Minute)
	var err error
	rotations := 0
	for ; err == nil && rotations < 200; rotations++ {
		w.after(10 * time.Second)
		_, err = w.Rotate(bg, jose.ES256, admin)
	}
	if !errors.Is(err, ErrTooManyKeys) {
		t.Fatalf("after %d rotations: error %v, want ErrTooManyKeys", rotations, err)
	}
	if n := len(published(t, w.Ring)); n > jose.MaxSetKeys {
		t.Errorf("%d keys published, more than verifiers take", n)
	}
	w.after(w.windows.RetireAfter)
	w.rotate()
}

func TestJWK04_JWK05_NoKIDNamesTwoKeysAcrossTenRotations(t *testing.T) {
	w := newWorld(t)
	seen := map[string]string{}
	for range 10 {
		for _, k := range fetch(t, w.Ring).Keys() {
			jwk := string(k.BareJWK())
			if before, ok := seen[k.KeyID()]; ok && before != jwk {
				t.Fatalf("kid %q names two keys", k.KeyID())
			}
			if k.Thumbprint() != k.KeyID() {
				t.Errorf("kid %q is not the thumbprint %q (JWK-05)", k.KeyID(), k.Thumbprint())
			}
			seen[k.KeyID()] = jwk
		}
		w.after(DefaultPublishLead)
		w.rotate()
	}
	if len(seen) < 11 {
		t.Errorf("only %d keys in ten rotations", len(seen))
	}
}

func TestWithdrawnKeysAreForgottenInTheEnd(t *testing.T) {
	w := newWorld(t)
	for range keptWithdrawn + 10 {
		w.after(DefaultPublishLead)
		w.rotate()
	}
	if n := len(w.kids(StateWithdrawn)); n != keptWithdrawn {
		t.Errorf("%d withdrawn keys remembered, want %d", n, keptWithdrawn)
	}
}

func TestROT02_RoundingNeverShortensTheLead(t *testing.T) {
	w := &world{T: t, clock: newClock(), store: newFakeRings()}
	born := w.clock.Advance(300 * time.Millisecond)
	w.Ring = w.node()
	w.step()
	if lead := w.rotate().SignFrom.Sub(born); lead < DefaultPublishLead {
		t.Errorf("signs %s after publication", lead)
	}
}

func TestROT04_SuccessorStartsLaterEvenIfAClockWasFast(t *testing.T) {
	r := aging(start)
	r.Keys[active].SignFrom = start // stamped by a node that was ahead, or this very second
	r.Keys[next].PublishedAt = start.Add(-24 * time.Hour)
	n := r.promote(next, start, start, r.Keys[next].Windows).ring
	if !n.Keys[next].SignFrom.After(n.Keys[active].SignFrom) {
		t.Errorf("both start at %s", start)
	}
	if err := legal(r, n, start); err != nil {
		t.Error(err)
	}
}

func TestROT01_ReasonsAreKept(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	by := admin
	by.Reason = "ticket 7"
	if _, err := w.Rotate(bg, "", by); err != nil {
		t.Fatal(err)
	}
	for _, e := range w.store.entries {
		if e.Action == ActionRotate && (e.Reason != by.Reason || e.RequestID != by.RequestID) ||
			e.Action != ActionRotate && (e.Reason == "" || e.Reason == by.Reason) {
			t.Errorf("entry %+v", e)
		}
	}
}

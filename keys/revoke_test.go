package keys

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/keys/jose"
)

// revoke revokes a key on the world's node.
func (w *world) revoke(kid string) Revoked {
	w.Helper()
	r, err := w.Revoke(bg, kid, admin)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// gone fails unless a node knows nothing good of a key any more.
func gone(t *testing.T, r *Ring, kid string) {
	t.Helper()
	if slices.Contains(published(t, r), kid) {
		t.Errorf("%q is in the JWKS", kid)
	}
	if _, err := r.Lookup(kid); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("Lookup of %q: error %v, want ErrUnknownKey", kid, err)
	}
	if known, err := r.Knows(kid); err != nil || !known {
		t.Errorf("%s: Knows %v, %v", kid, known, err)
	}
	if !slices.Contains(r.RevokedKeys(), kid) {
		t.Errorf("%q is not among the revoked keys", kid)
	}
	i := slices.IndexFunc(r.List(), func(v View) bool { return v.KeyID == kid })
	if i < 0 || r.List()[i].State != StateRevoked || r.List()[i].RevokedAt.IsZero() || r.List()[i].WithdrawAt.After(r.List()[i].RevokedAt) {
		t.Errorf("%q in the list: %+v", kid, r.List())
	}
}

func TestEVT05_ROT07_RevokingTheActiveKeyLetsTheNextOneTakeOverAtOnce(t *testing.T) {
	for name, pending := range map[string]bool{"next": false, "next, with its turn stamped": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			active, next := w.kid(StateActive), w.kid(StateNext)
			old := published(t, w.Ring)
			w.after(time.Minute) // far from the publish lead
			if pending {
				w.rotate()
			}
			now := w.clock.Now()
			want := Revoked{
				KeyID: active, Algorithm: jose.ES256, Was: StateActive,
				Successor: next, SignFrom: now, MaxAge: DefaultJWKSMaxAge,
			}
			if d := cmp.Diff(want, w.revoke(active)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			gone(t, w.Ring, active)
			if got := signing(w.Ring, jose.ES256, now); got != next {
				t.Errorf("%q signs, want the published next key %q", got, next)
			}
			if !slices.Contains(old, next) {
				t.Error("the successor was not published before")
			}
			fresh := w.kid(StateNext)
			if d := cmp.Diff([]string{next, fresh}, published(t, w.Ring)); d != "" {
				t.Errorf("published (-want +got):\n%s", d)
			}
			k := w.store.ring(jose.ES256).Keys[0]
			if k.KeyID != active || k.Sealed != "" || !k.RevokedAt.Equal(now) || len(k.Public) == 0 {
				t.Errorf("at rest: %+v", k)
			}
			// It does not come back by the clock, nor by what Step does.
			for range 3 {
				w.after(w.windows.RetireAfter)
				gone(t, w.Ring, active)
				if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != next {
					t.Errorf("%q signs later", got)
				}
			}
		})
	}
}

func TestROT07_RevokingFromEveryOtherStateLeavesTheActiveKey(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.after(w.windows.RetireAfter + DefaultPublishLead)
		w.rotate()
	}
	active := w.kid(StateActive)
	for _, state := range []State{StateWithdrawn, StateRetiring, StateNext} {
		kid := w.kid(state)
		if r := w.revoke(kid); r.Was != state || r.Successor != "" || !r.SignFrom.IsZero() {
			t.Errorf("revoking the %s key: %+v", state, r)
		}
		gone(t, w.Ring, kid)
		if w.kid(StateActive) != active || signing(w.Ring, jose.ES256, w.clock.Now()) != active {
			t.Fatalf("revoking the %s key: %+v", state, w.List())
		}
	}
	if len(published(t, w.Ring)) != 2 || w.kid(StateNext) == "" {
		t.Errorf("published: %+v", w.List())
	}
}

func TestROT07_RevokingAPendingKeyCancelsItsTurn(t *testing.T) {
	w := newWorld(t)
	active := w.kid(StateActive)
	pending := w.rotate()
	if r := w.revoke(pending.KeyID); r.Was != StateNext || r.Successor != "" {
		t.Errorf("%+v", r)
	}
	gone(t, w.Ring, pending.KeyID)
	if k := w.store.ring(jose.ES256).Keys[0]; !k.WithdrawAt.IsZero() {
		t.Errorf("the active key still leaves at %s", k.WithdrawAt)
	}
	w.after(DefaultPublishLead + w.windows.RetireAfter)
	if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != active {
		t.Errorf("%q signs, want the active key to go on", got)
	}
}

func TestROT07_ASecondEmergencyWithinTheLead(t *testing.T) {
	w := newWorld(t)
	var revoked []string
	for range 8 { // all within one second
		kid := w.kid(StateActive)
		r := w.revoke(kid)
		revoked = append(revoked, kid)
		if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != r.Successor || slices.Contains(revoked, got) {
			t.Fatalf("%q signs after %+v", got, r)
		}
		for _, kid := range revoked {
			gone(t, w.Ring, kid)
		}
		if len(published(t, w.Ring)) != 2 {
			t.Fatalf("published: %+v", w.List())
		}
	}
	if d := cmp.Diff(revoked, w.RevokedKeys()); d != "" {
		t.Errorf("RevokedKeys (-want +got):\n%s", d)
	}
}

func TestROT07_WithoutANextKeyAFreshOneSignsAtOnce(t *testing.T) {
	w := newWorld(t)
	// The store takes the emergency, and not the next key after it.
	fault := errors.New("disk full")
	for i := range 2 {
		active, known := w.kid(StateActive), published(t, w.Ring)
		puts := 0
		w.store.before = func(RingRecord) error {
			if puts++; puts > 1 {
				return fault
			}
			return nil
		}
		r := w.revoke(active)
		if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != r.Successor || !r.SignFrom.Equal(w.clock.Now()) {
			t.Fatalf("%q signs after %+v", got, r)
		}
		if fresh := i == 1; slices.Contains(known, r.Successor) == fresh {
			t.Fatalf("of %v, %q takes over", known, r.Successor)
		}
		gone(t, w.Ring, active)
	}
	if n := len(w.kids(StateNext)); n != 0 {
		t.Fatalf("%d next keys: this test does not test what it says", n)
	}
	w.store.before = nil
	w.step()
	w.kid(StateNext)
}

func TestROT07_TheFirstKeyIsRevokedBeforeItSigns(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.FirstKeyAtOnce = false })
	first := w.store.ring(jose.ES256).Keys[0]
	if r := w.revoke(first.KeyID); r.Was != StateNext {
		t.Errorf("%+v", r)
	}
	gone(t, w.Ring, first.KeyID)
	if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != "" {
		t.Errorf("%q signs before every node publishes it", got)
	}
	w.after(first.SignFrom.Sub(w.clock.Now()))
	if w.kid(StateActive) == first.KeyID || signing(w.Ring, jose.ES256, w.clock.Now()) == "" {
		t.Errorf("when its time came: %+v", w.List())
	}
}

func TestROT07_RevokingAgainChangesNothingAndReportsTheSame(t *testing.T) {
	w := newWorld(t)
	for _, state := range []State{StateActive, StateNext} {
		kid := w.kid(state)
		first := w.revoke(kid)
		writes := w.store.writes
		w.clock.Advance(time.Hour)
		if again := w.revoke(kid); again != first || w.store.writes != writes {
			t.Errorf("%s key, again: %+v and %d writes, want %+v and none", state, again, w.store.writes-writes, first)
		}
	}
	if err := w.Withdraw(bg, w.RevokedKeys()[0], admin); err != nil {
		t.Errorf("withdrawing a revoked key: %v, want nothing", err)
	}
}

func TestROT07_UnknownKeysAndFaults(t *testing.T) {
	w := newWorld(t)
	for _, kid := range []string{"", "nobody", strings.Repeat("x", 1<<16), "../../x\n"} {
		if _, err := w.Revoke(bg, kid, admin); !errors.Is(err, ErrNotFound) {
			t.Errorf("%.20q: error %v, want ErrNotFound", kid, err)
		}
		if known, err := w.Knows(kid); err != nil || known {
			t.Errorf("%.20q: Knows %v, %v", kid, known, err)
		}
	}
	if unread, err := NewRing(w.config); err != nil {
		t.Error(err)
	} else if _, err := unread.Knows("nobody"); !errors.Is(err, ErrNotReady) {
		t.Errorf("before the rings were read: %v", err)
	}
	active := w.kid(StateActive)
	fault := errors.New("disk full")
	w.store.writeErr = fault
	if _, err := w.Revoke(bg, active, admin); !errors.Is(err, fault) {
		t.Errorf("error %v, want the fault", err)
	}
	if w.kid(StateActive) != active || len(w.RevokedKeys()) != 0 {
		t.Error("revoked here, but not in the store")
	}
	w.store.writeErr, w.store.lostErr = nil, fault
	if _, err := w.Revoke(bg, active, admin); !errors.Is(err, fault) {
		t.Errorf("error %v, want the fault", err)
	}
	w.store.lostErr, w.store.readErr = nil, fault
	if _, err := w.Revoke(bg, active, admin); !errors.Is(err, fault) {
		t.Errorf("error %v, want the fault", err)
	}
	w.store.readErr = nil
	if r := w.revoke(active); r.Was != StateActive || r.Successor == "" {
		t.Errorf("repeated after a lost reply: %+v", r)
	}
	gone(t, w.Ring, active)
}

func TestEVT12_ROT07_TheEntrySaysWhoAndWhy(t *testing.T) {
	w := newWorld(t)
	active := w.kid(StateActive)
	by := admin
	by.Reason = "laptop stolen"
	r, err := w.Revoke(bg, active, by)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(w.store.actions(), ActionRevoke)
	if i < 0 || slices.Index(w.store.actions()[i+1:], ActionRevoke) >= 0 {
		t.Fatalf("actions: %v", w.store.actions())
	}
	e := w.store.entries[i]
	if e.Origin != by || e.Target != active || !e.Time.Equal(w.clock.Now()) {
		t.Errorf("entry %+v", e)
	}
	at := w.clock.Now().Format(time.RFC3339)
	if got, want := string(e.Before), `{"keys":[{"kid":"`+r.Successor+`","state":"next"}],"private_key_kept":true,"state":"active"}`; got != want {
		t.Errorf("before: %s, want %s", got, want)
	}
	want := `{"keys":[{"kid":"` + r.Successor + `","sign_from":"` + at + `","state":"active"}],"private_key_kept":false,` +
		`"revoked_at":"` + at + `","state":"revoked","successor":"` + r.Successor + `"}`
	if got := string(e.After); got != want {
		t.Errorf("after: %s, want %s", got, want)
	}
	for _, e := range w.store.entries {
		if e.After == nil || strings.Contains(string(e.After), "eyJ") || strings.Contains(string(e.After), `"x"`) {
			t.Errorf("entry %+v", e)
		}
	}
}

func TestROT07_ANodeThatIsBehindIsBoundedByReload(t *testing.T) {
	w := newWorld(t)
	active := w.kid(StateActive)
	reloaded, cut := w.node(), w.node()
	for _, r := range []*Ring{reloaded, cut} {
		if err := r.Reload(bg); err != nil {
			t.Fatal(err)
		}
	}
	r := w.revoke(active)
	if signing(reloaded, jose.ES256, w.clock.Now()) != active {
		t.Fatal("a node heard of it without having asked: this test does not test what it says")
	}
	if err := reloaded.Reload(bg); err != nil {
		t.Fatal(err)
	}
	gone(t, reloaded, active)
	if got := signing(reloaded, jose.ES256, w.clock.Now()); got != r.Successor {
		t.Errorf("%q signs after Reload, want %q", got, r.Successor)
	}
	// The other one does not reach the store any more.
	now := w.clock.Advance(DefaultStoreOutage)
	if got := signing(cut, jose.ES256, now); got != active {
		t.Errorf("%q signs at a node that is cut off", got)
	}
	now = w.clock.Advance(time.Nanosecond)
	if _, err := cut.Signer(jose.ES256, now); !errors.Is(err, ErrStale) {
		t.Errorf("after the outage: error %v, want ErrStale", err)
	}
}

// An attacker who restores an earlier ring, or an operator who does so and goes on from there, must not
// bring a revoked key back to a node that knows better.
func TestROT07_ARevokedKeyDoesNotComeBackFromTheStore(t *testing.T) {
	w := newWorld(t)
	active := w.kid(StateActive)
	before := w.store.ring(jose.ES256)
	w.revoke(active)
	good := published(t, w.Ring)
	for name, change := range map[string]func(*RingRecord){
		"under a new version": func(r *RingRecord) { r.Keys = before.Keys },
		"forgotten":           func(r *RingRecord) { r.Keys = r.Keys[1:] },
	} {
		kept := w.store.ring(jose.ES256)
		w.store.tamper(jose.ES256, change)
		for call, err := range map[string]error{
			"Reload": w.Reload(bg), "Step": w.Step(bg, w.clock.Now()), "Revoke": second(w.Revoke(bg, active, admin)),
		} {
			if !errors.Is(err, ErrRegressed) {
				t.Errorf("%s: %s: error %v, want ErrRegressed", name, call, err)
			}
		}
		gone(t, w.Ring, active)
		if d := cmp.Diff(good, published(t, w.Ring)); d != "" {
			t.Errorf("%s: published (-want +got):\n%s", name, d)
		}
		w.store.tamper(jose.ES256, func(r *RingRecord) { r.Keys = kept.Keys })
	}
	w.store.tamper(jose.ES256, func(r *RingRecord) { r.Keys[0].Sealed = before.Keys[0].Sealed })
	if err := w.Reload(bg); err == nil {
		t.Error("a revoked key with a private part is read")
	}
}

func TestROT07_RevokedKeysAreRememberedForEver(t *testing.T) {
	w := newWorld(t)
	revoked := []string{w.kid(StateActive), w.kid(StateNext)}
	for _, kid := range revoked {
		w.revoke(kid)
	}
	for range 2 * keptWithdrawn {
		w.after(DefaultPublishLead)
		w.rotate()
	}
	if n := len(w.kids(StateWithdrawn)); n != keptWithdrawn {
		t.Errorf("%d withdrawn keys remembered, want %d", n, keptWithdrawn)
	}
	restarted := w.node()
	if err := restarted.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(revoked, restarted.RevokedKeys()); d != "" {
		t.Errorf("RevokedKeys (-want +got):\n%s", d)
	}
	if w.node().RevokedKeys() != nil {
		t.Error("keys are revoked before anything was read")
	}
}

// An emergency must be possible whatever was done before it, and must not fill the JWKS either.
func TestROT07_JWK13_RevokingWhenTheJWKSIsFull(t *testing.T) {
	w := newWorld(t, dev)
	for {
		w.after(5 * time.Second)
		if _, err := w.Rotate(bg, "", admin); errors.Is(err, ErrTooManyKeys) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		w.revoke(w.kid(StateActive))
		if n := len(published(t, w.Ring)); n > maxPublished {
			t.Fatalf("%d keys are published", n)
		}
	}
	for _, kid := range w.kids(StateRetiring) {
		w.revoke(kid)
	}
	if n := len(published(t, w.Ring)); n != 2 {
		t.Errorf("%d keys are published, want the active and the next one", n)
	}
}

func TestROT07_EachRingHasItsOwnEmergency(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.Ed25519) })
	now := w.clock.Now()
	ed := signing(w.Ring, jose.Ed25519, now)
	es := signing(w.Ring, jose.ES256, now)
	if r := w.revoke(ed); r.Algorithm != jose.Ed25519 {
		t.Errorf("%+v", r)
	}
	if got := signing(w.Ring, jose.Ed25519, now); got == ed || got == "" {
		t.Errorf("Ed25519: %q signs", got)
	}
	if got := signing(w.Ring, jose.ES256, now); got != es {
		t.Errorf("ES256: %q signs, want what did before", got)
	}
}

// Whoever rotates after an emergency waits for documents that were handed out under the windows of the
// revoked key, also when the settings were lowered in between.
func TestROT02_ROT07_ARotationAfterAnEmergencyWaitsForOldDocuments(t *testing.T) {
	w := newWorld(t)
	w.Ring = w.node(func(c *Config) {
		c.JWKSMaxAge, c.PublishLead, c.StoreOutage = time.Minute, 2*time.Minute, time.Minute
	})
	w.step()
	for range 3 { // so that none of the keys of before is left
		w.revoke(w.kid(StateActive))
	}
	published := w.store.ring(jose.ES256).Keys[4].PublishedAt
	if r := w.rotate(); !r.SignFrom.Equal(published.Add(DefaultPublishLead)) {
		t.Errorf("signs %s after publication, want %s", r.SignFrom.Sub(published), DefaultPublishLead)
	}
}

// A node whose clock is ahead has rotated twice: the key that takes over has its own end stamped already,
// and that has to grow with the windows that it inherits.
func TestROT03_ROT07_AnInheritedWindowMovesAStampedEnd(t *testing.T) {
	w := newWorld(t)
	rec := aging(start)
	rec.Keys[active].Windows.RetireAfter = 5 * time.Hour
	rec.Keys[next].SignFrom = start.Add(time.Second)
	rec.Keys[active].WithdrawAt = start.Add(time.Second + 5*time.Hour)
	third := newborn(start)
	third.SignFrom = start.Add(time.Hour)
	rec.Keys[next].WithdrawAt = start.Add(3 * time.Hour)
	rec.Keys = append(rec.Keys, third)
	s, err := w.revocation(bg, rec, "active", start)
	if err != nil {
		t.Fatal(err)
	}
	if err := legal(rec, s.ring, start); err != nil {
		t.Error(err)
	}
	k := s.ring.Keys[next]
	if want := start.Add(6 * time.Hour); !k.SignFrom.Equal(start) || !k.WithdrawAt.Equal(want) {
		t.Errorf("the successor signs from %s and leaves at %s, want %s and %s", k.SignFrom, k.WithdrawAt, start, want)
	}
}

// An admin who rotates and one who revokes the key that is to take over mean one change between them.
func TestRotateReportsWhoSignsWhenAnotherNodeRevokedTheKeyMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	other := w.node()
	if err := other.Reload(bg); err != nil {
		t.Fatal(err)
	}
	taken := w.rotate().KeyID
	r := w.revoke(taken)
	list, err := other.Rotate(bg, jose.ES256, admin)
	if err != nil || len(list) != 1 || list[0].KeyID != r.Successor {
		t.Errorf("rotated to %+v, error %v, want %q", list, err, r.Successor)
	}
	if w.step(); w.kid(StateActive) != r.Successor {
		t.Errorf("after it: %+v", w.List())
	}
}

func TestPlan(t *testing.T) {
	w := newWorld(t)
	if got := w.node().Plan(); len(got) != 0 {
		t.Errorf("a plan before anything was read: %v", got)
	}
	if got := w.Plan(); len(got) != 0 {
		t.Errorf("nothing is stamped, and the plan is %v", got)
	}
	active := w.kid(StateActive)
	pending := w.rotate()
	leaves := pending.SignFrom.Add(w.windows.RetireAfter)
	want := []PlannedStep{
		{At: pending.SignFrom, Algorithm: jose.ES256, KeyID: active, State: StateRetiring},
		{At: pending.SignFrom, Algorithm: jose.ES256, KeyID: pending.KeyID, State: StateActive},
		{At: leaves, Algorithm: jose.ES256, KeyID: active, State: StateWithdrawn},
	}
	if d := cmp.Diff(want, w.Plan()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	w.after(DefaultPublishLead)
	if d := cmp.Diff(want[2:], w.Plan()); d != "" {
		t.Errorf("after the switch (-want +got):\n%s", d)
	}
	w.revoke(active)
	if got := w.Plan(); len(got) != 0 {
		t.Errorf("a revoked key has a future: %v", got)
	}
}

// What a plan says is what happens when only the clock moves.
func TestPlanIsWhatHappens(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.Ed25519) })
	if _, err := w.Rotate(bg, "", admin); err != nil {
		t.Fatal(err)
	}
	plan := w.Plan()
	if len(plan) != 6 || !slices.IsSortedFunc(plan, func(a, b PlannedStep) int { return a.At.Compare(b.At) }) {
		t.Fatalf("%d steps: %v", len(plan), plan)
	}
	states := func() map[string]State {
		m := map[string]State{}
		for _, v := range w.List() {
			m[v.KeyID] = v.State
		}
		return m
	}
	for i, s := range plan {
		if i > 0 && !s.At.Equal(plan[i-1].At) || i == 0 {
			w.clock.Advance(s.At.Sub(w.clock.Now()) - time.Second)
			if states()[s.KeyID] == s.State {
				t.Errorf("%+v has happened before", s)
			}
			w.clock.Advance(time.Second)
		}
		if got := states()[s.KeyID]; got != s.State {
			t.Errorf("%+v: it is %s", s, got)
		}
	}
}

func BenchmarkRevokeWithManyRevoked(b *testing.B) {
	for _, n := range []int{0, 1_000} {
		b.Run(map[bool]string{true: "1000", false: "0"}[n > 0], func(b *testing.B) {
			c := newConfig(newClock(), newFakeRings())
			r, err := NewRing(c)
			if err != nil {
				b.Fatal(err)
			}
			if err := r.Step(bg, start); err != nil {
				b.Fatal(err)
			}
			revoke := func() {
				k, _ := r.held(jose.ES256).Signing(start)
				if _, err := r.Revoke(bg, k.KeyID, admin); err != nil {
					b.Fatal(err)
				}
			}
			for range n {
				revoke()
			}
			for b.Loop() {
				revoke()
			}
		})
	}
}

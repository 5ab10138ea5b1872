package keys

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

func TestJWT04_KIDIsInTheJWKSAtIssueTime(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.RS256, jose.Ed25519, jose.PS256) })
	for _, alg := range []jose.Algorithm{jose.ES256, jose.RS256, jose.Ed25519, jose.PS256} {
		set := fetch(t, w.Ring)
		s, err := w.Signer(alg, w.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		token, err := s.Sign("at+jwt", []byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(token, set); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if k, err := w.Lookup(s.KeyID()); err != nil || k.Algorithm() != alg {
			t.Errorf("%s: Lookup: %v, %v", alg, k, err)
		}
	}
}

func verify(token string, set *jose.Set) error {
	_, _, err := jose.Verify(token, jose.VerifyOptions{
		Types:      []string{"at+jwt"},
		Algorithms: jose.Algorithms(),
		Key: func(h jose.Header) (*jose.PublicKey, error) {
			if k, ok := set.Lookup(h.KeyID); ok {
				return k, nil
			}
			return nil, jose.ErrUnknownKey
		},
	})
	return err
}

func TestJWT25_NoFallbackToAnotherAlgorithm(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Signer(jose.RS256, w.clock.Now()); !errors.Is(err, ErrNoSigner) {
		t.Errorf("no ring: error %v, want ErrNoSigner", err)
	}
	if _, err := w.Signer("none", w.clock.Now()); !errors.Is(err, ErrNoSigner) {
		t.Errorf("none: error %v, want ErrNoSigner", err)
	}
	if _, err := w.Signer(jose.ES256, start.Add(-time.Second)); !errors.Is(err, ErrNoSigner) {
		t.Errorf("before the first key's turn: error %v, want ErrNoSigner", err)
	}
	// An active key that was withdrawn is not replaced by the one before it.
	w.after(DefaultPublishLead)
	w.rotate()
	now := w.clock.Now()
	w.store.tamper(jose.ES256, func(r *RingRecord) { r.Keys[1].WithdrawAt, r.Keys[1].Sealed = now, "" })
	if err := w.Reload(bg); err != nil {
		t.Fatal(err)
	}
	if s, err := w.Signer(jose.ES256, now); !errors.Is(err, ErrNoSigner) {
		t.Errorf("active key withdrawn: %v, error %v, want ErrNoSigner", s, err)
	}
	if _, ok := w.store.ring(jose.ES256).Signing(now); ok {
		t.Error("the record says that a retiring key signs again")
	}
}

func TestJWK01_JWK02_JWK03_JWK09_JWK12_Document(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.RS256, jose.Ed25519) })
	d, err := w.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(d.Body, &body); err != nil || len(body.Keys) != 6 {
		t.Fatalf("JWK-01: %d keys, error %v", len(body.Keys), err)
	}
	kids := map[any]bool{}
	for _, k := range body.Keys {
		if k["use"] != "sig" || k["kty"] == nil || k["alg"] == nil || k["kid"] == nil || k["key_ops"] != nil {
			t.Errorf("JWK-02: members of %v", k)
		}
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv", "x5c"} {
			if _, ok := k[private]; ok || k["kty"] == "oct" {
				t.Errorf("JWK-03, JWK-12: key %v has %q or is symmetric", k["kid"], private)
			}
		}
		if kids[k["kid"]] {
			t.Errorf("JWK-04: kid %v twice", k["kid"])
		}
		kids[k["kid"]] = true
	}
	if d.MaxAge != DefaultJWKSMaxAge {
		t.Errorf("JWK-09: max-age %s", d.MaxAge)
	}
	if !regexp.MustCompile(`^"[A-Za-z0-9_-]{22}"$`).MatchString(d.ETag) {
		t.Errorf("JWK-09: ETag %s is not a strong one", d.ETag)
	}
}

func TestJWK09_ETagFollowsTheContents(t *testing.T) {
	w := newWorld(t)
	one, _ := w.JWKS()
	w.after(time.Hour)
	if two, _ := w.JWKS(); two.ETag != one.ETag {
		t.Error("the ETag changed and the keys did not")
	}
	w.after(DefaultPublishLead)
	w.rotate()
	two, _ := w.JWKS()
	if two.ETag == one.ETag {
		t.Error("the keys changed and the ETag did not")
	}
	// The retiring key leaves by the clock, without a Step.
	w.after(w.windows.RetireAfter - time.Second)
	w.clock.Advance(time.Second)
	three, _ := w.JWKS()
	if three.ETag == two.ETag || strings.Contains(string(three.Body), w.kid(StateWithdrawn)) {
		t.Error("the withdrawn key stays until the next Step")
	}
	if _, err := w.Lookup(w.kid(StateWithdrawn)); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("Lookup of the withdrawn key: error %v, want ErrUnknownKey", err)
	}
}

func TestJWK10_NodesAgree(t *testing.T) {
	several := func(c *Config) { c.Algorithms = uses(jose.Ed25519) }
	w := newWorld(t, several)
	w.after(DefaultPublishLead)
	w.rotate()
	want, _ := w.JWKS()
	for range 5 {
		other := w.node(several)
		if err := other.Reload(bg); err != nil {
			t.Fatal(err)
		}
		got, err := other.JWKS()
		if err != nil || got.ETag != want.ETag || string(got.Body) != string(want.Body) {
			t.Errorf("another node publishes another document: %v\n%s\n%s", err, got.Body, want.Body)
		}
	}
}

func TestJWK14_StoreFailureServesTheLastGoodSetThenNothing(t *testing.T) {
	w := newWorld(t)
	want, _ := w.JWKS()
	w.store.readErr = errors.New("store is away")
	now := w.clock.Advance(DefaultStoreOutage)
	if err := w.Step(bg, now); err == nil {
		t.Error("Step says nothing of the failure")
	}
	if got, err := w.JWKS(); err != nil || got.ETag != want.ETag {
		t.Errorf("within the outage: %v, want the last good set", err)
	}
	if signing(w.Ring, jose.ES256, now) == "" {
		t.Error("within the outage nobody signs")
	}
	now = w.clock.Advance(time.Second)
	if d, err := w.JWKS(); !errors.Is(err, ErrStale) || d.Body != nil {
		t.Errorf("after it: %s, error %v, want ErrStale", d.Body, err)
	}
	if _, err := w.Signer(jose.ES256, now); !errors.Is(err, ErrStale) {
		t.Errorf("after it: error %v, want ErrStale", err)
	}
	w.store.readErr = nil
	w.step()
	if got, err := w.JWKS(); err != nil || got.ETag != want.ETag {
		t.Errorf("when the store is back: %v", err)
	}
}

func TestJWK14_NothingBeforeTheFirstLook(t *testing.T) {
	w := newWorld(t)
	r := w.node()
	if _, err := r.JWKS(); !errors.Is(err, ErrNotReady) {
		t.Errorf("JWKS: error %v, want ErrNotReady", err)
	}
	if _, err := r.Signer(jose.ES256, start); !errors.Is(err, ErrNotReady) {
		t.Errorf("Signer: error %v, want ErrNotReady", err)
	}
	if _, err := r.Lookup("x"); !errors.Is(err, ErrNotReady) {
		t.Errorf("Lookup: error %v, want ErrNotReady", err)
	}
	if len(r.List()) != 0 {
		t.Error("List invents keys")
	}
	// Rings that were read and are empty are not a set either.
	r.config.Rings = newFakeRings()
	if err := r.Reload(bg); err != nil {
		t.Fatal(err)
	}
	if d, err := r.JWKS(); err == nil {
		t.Errorf("an empty set is published: %s", d.Body)
	}
}

func TestALG02_WireNameOfEd25519(t *testing.T) {
	for setting, want := range map[jose.Algorithm]jose.Algorithm{
		"": jose.EdDSA, jose.EdDSA: jose.EdDSA, jose.Ed25519: jose.Ed25519,
	} {
		w := newWorld(t, func(c *Config) { c.Algorithms, c.WireEd25519 = uses(jose.Ed25519), setting })
		s, err := w.Signer(jose.EdDSA, w.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		d, _ := w.JWKS()
		if s.WireAlgorithm() != want || !strings.Contains(string(d.Body), `"alg":"`+string(want)+`"`) {
			t.Errorf("setting %q: header %s, JWKS %s", setting, s.WireAlgorithm(), d.Body)
		}
		if k := w.store.ring(jose.Ed25519); len(k.Keys) != 2 {
			t.Errorf("setting %q: ring stored under another name", setting)
		}
	}
}

// Verifiers keep a JWK by its kid: under another name the same key would refuse the tokens it signs.
func TestALG02_ANewWireNameIsForNewKeys(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.Ed25519) })
	before, _ := w.JWKS()
	later := w.node(func(c *Config) { c.Algorithms, c.WireEd25519 = uses(jose.Ed25519), jose.Ed25519 })
	if err := later.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	after, err := later.JWKS()
	if err != nil || string(after.Body) != string(before.Body) || after.ETag != before.ETag {
		t.Errorf("the setting renamed published keys: %s, %v", after.Body, err)
	}
	w.clock.Advance(48 * time.Hour)
	if err := later.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the key that was next already, then one that was made under the setting
		if _, err := later.Rotate(bg, jose.Ed25519, admin); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(48 * time.Hour)
		if err := later.Step(bg, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := later.Signer(jose.Ed25519, w.clock.Now()); err != nil || s.WireAlgorithm() != jose.Ed25519 {
		t.Errorf("a new key signs as %v, %v", s.WireAlgorithm(), err)
	}
}

func TestEnsure(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		w := newWorld(t)
		from, err := w.Ensure(bg, jose.RS256, admin)
		if err != nil || from.After(w.clock.Now()) {
			t.Fatalf("signs from %s, error %v, want at once", from, err)
		}
		if signing(w.Ring, jose.RS256, w.clock.Now()) == "" || len(published(t, w.Ring)) != 4 {
			t.Errorf("not in use when Ensure returns: %+v", w.List())
		}
		if e := w.store.entries[2]; e.Actor != admin.Actor || e.Action != ActionCreate {
			t.Errorf("audit entry %+v", e)
		}
		w.clock.Advance(time.Hour)
		writes := w.store.writes
		if again, err := w.Ensure(bg, jose.RS256, admin); err != nil || !again.Equal(from) || w.store.writes != writes {
			t.Errorf("again: %s, error %v", again, err)
		}
	})
	t.Run("shared", func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.FirstKeyAtOnce = false })
		w.after(time.Minute)
		from, err := w.Ensure(bg, jose.EdDSA, admin)
		if err != nil || !from.Equal(w.clock.Now().Add(DefaultRefreshInterval)) {
			t.Fatalf("signs from %s, error %v, want one refresh interval later", from, err)
		}
		// Another node that has not seen it makes no second one.
		other := w.node(func(c *Config) { c.FirstKeyAtOnce = false })
		if again, err := other.Ensure(bg, jose.Ed25519, admin); err != nil || !again.Equal(from) {
			t.Errorf("on another node: %s, error %v", again, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t)
		for _, alg := range []jose.Algorithm{"", "none", "HS256", "es256"} {
			if _, err := w.Ensure(bg, alg, admin); !errors.Is(err, jose.ErrAlgorithm) {
				t.Errorf("%q: error %v, want ErrAlgorithm", alg, err)
			}
		}
	})
}

func TestStepDoesNotUnsealAgain(t *testing.T) {
	w := newWorld(t)
	before, _ := w.Signer(jose.ES256, w.clock.Now())
	w.after(time.Minute)
	if after, _ := w.Signer(jose.ES256, w.clock.Now()); after != before {
		t.Error("every Step opens every key anew")
	}
}

func TestSignerDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	reads := w.store.reads
	now := w.clock.Now()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := w.Signer(jose.ES256, now); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Signer(jose.RS256, now); err == nil {
			t.Fatal("no ring, and yet a signer")
		}
		if _, err := w.JWKS(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if w.store.reads != reads {
		t.Error("Signer or JWKS reads the store")
	}
}

func TestConfigValidate(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"Rings":           func(c *Config) { c.Rings = nil },
		"KEKs":            func(c *Config) { c.KEKs = nil },
		"Installation":    func(c *Config) { c.Installation = "" },
		"JWKSMaxAge":      func(c *Config) { c.JWKSMaxAge = 1500 * time.Millisecond },
		"RefreshInterval": func(c *Config) { c.RefreshInterval = 0 },
		"PublishLead":     func(c *Config) { c.PublishLead = DefaultJWKSMaxAge + DefaultRefreshInterval + DefaultLeeway - 1 },
		"StoreOutage":     func(c *Config) { c.StoreOutage = c.RefreshInterval },
		"Leeway":          func(c *Config) { c.Leeway = MaxVerifierLeeway + 1 },
		"WireEd25519":     func(c *Config) { c.WireEd25519 = jose.ES256 },
		"Default":         func(c *Config) { c.Default = "HS256" },
	} {
		c := newConfig(newClock(), newFakeRings())
		change(&c)
		_, err := NewRing(c)
		var bad *ConfigError
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: error %v, want a *ConfigError naming it", field, err)
		}
	}
	err := Config{KEKs: []*jose.KEK{nil}}.Validate()
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) < 5 {
		t.Errorf("not every problem at once: %v", err)
	}
	c := newConfig(newClock(), newFakeRings())
	dev(&c)
	c.Now, c.Log = nil, nil
	if _, err := NewRing(c); err != nil {
		t.Errorf("the windows of --dev: %v", err)
	}
}

// Whoever follows the changes hears of the store more often than Step does: after a jump of the clock the
// ring serves as soon as the follower has looked, and Signer and JWKS agree, whatever clock reading they
// are asked with.
func TestRing_HearsOfTheStoreThroughTheFollower(t *testing.T) {
	w := newWorld(t)
	w.clock.Advance(DefaultStoreOutage + time.Second)
	for _, now := range []time.Time{w.clock.Now(), w.clock.Now().Round(0)} {
		if _, err := w.Signer(jose.ES256, now); !errors.Is(err, ErrStale) {
			t.Errorf("nobody has heard of the store: %v", err)
		}
	}
	w.ConfirmedAt(w.clock.Now())
	if _, err := w.Signer(jose.ES256, w.clock.Now()); err != nil {
		t.Errorf("the follower has: %v", err)
	}
	if _, err := w.JWKS(); err != nil {
		t.Errorf("the follower has: %v", err)
	}
	w.ConfirmedAt(w.clock.Now().Add(-time.Hour)) // an older word takes nothing back from a newer one of Step
	if err := w.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Signer(jose.ES256, w.clock.Now()); err != nil {
		t.Errorf("Step has: %v", err)
	}
}

package keys

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		Algorithms: []jose.Algorithm{jose.ES256, jose.RS256, jose.PS256, jose.Ed25519},
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

func TestJWK01to05_Document(t *testing.T) {
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

func TestStepFaults(t *testing.T) {
	fault := errors.New("disk full")
	t.Run("algorithms unknown: the rest is done", func(t *testing.T) {
		w := &world{T: t, clock: newClock(), store: newFakeRings()}
		w.Ring = w.node(func(c *Config) {
			c.Algorithms = func(context.Context) ([]jose.Algorithm, error) { return []jose.Algorithm{jose.RS256, "HS256"}, fault }
		})
		if err := w.Step(bg, w.clock.Now()); !errors.Is(err, fault) || !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("error %v, want both", err)
		}
		if len(published(t, w.Ring)) != 4 {
			t.Errorf("keys: %+v", w.List())
		}
	})
	t.Run("write fails: what was read is in force", func(t *testing.T) {
		w := newWorld(t)
		w.store.writeErr = fault
		w.after2(DefaultStoreOutage*2, fault, func(c *Config) { c.PublishLead *= 2 })
		if signing(w.Ring, jose.ES256, w.clock.Now()) == "" {
			t.Error("nobody signs because a write failed")
		}
	})
	t.Run("reply lost: the next Step finds what was stored", func(t *testing.T) {
		w := &world{T: t, clock: newClock(), store: newFakeRings()}
		w.Ring = w.node()
		w.store.lostErr = fault
		if err := w.Step(bg, w.clock.Now()); !errors.Is(err, fault) {
			t.Fatalf("error %v, want the fault", err)
		}
		w.store.lostErr = nil
		w.step()
		if w.kid(StateActive) == "" || len(w.store.ring(jose.ES256).Keys) != 2 {
			t.Errorf("keys: %+v", w.List())
		}
	})
	t.Run("rotation whose reply is lost is an error, and is not done twice", func(t *testing.T) {
		w := newWorld(t)
		w.after(DefaultPublishLead)
		next := w.kid(StateNext)
		w.store.lostErr = fault
		if _, err := w.Rotate(bg, jose.ES256, admin); !errors.Is(err, fault) {
			t.Fatalf("error %v, want the fault", err)
		}
		w.store.lostErr = nil
		if r := w.rotate(); r.KeyID != next {
			t.Errorf("repeating it rotates to %q, want %q", r.KeyID, next)
		}
	})
	t.Run("context ends", func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(bg)
		cancel()
		w.Ring.turn <- struct{}{} // somebody is busy
		defer w.Ring.leave()
		for name, err := range map[string]error{
			"Step": w.Step(ctx, start), "Reload": w.Reload(ctx), "Withdraw": w.Withdraw(ctx, "x", admin),
			"Ensure": second(w.Ensure(ctx, jose.RS256, admin)), "Rotate": second(w.Rotate(ctx, "", admin)),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: error %v, want Canceled", name, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// after2 replaces the node's settings and expects that fault of Step.
func (w *world) after2(d time.Duration, fault error, change func(*Config)) {
	w.Helper()
	old := w.Ring
	w.Ring = w.node(change)
	w.Ring.current.Store(old.current.Load())
	if err := w.Step(bg, w.clock.Advance(d)); !errors.Is(err, fault) {
		w.Errorf("Step: error %v, want %v", err, fault)
	}
}

func TestEmptiedStoreIsNotANewBeginning(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.RS256) })
	earlier := w.store.ring(jose.ES256)
	w.after(DefaultPublishLead)
	w.rotate()
	want := published(t, w.Ring)
	for name, happen := range map[string]func(){
		"emptied":  func() { w.store.rings = map[jose.Algorithm]RingRecord{} },
		"one lost": func() { delete(w.store.rings, jose.RS256) },
		"restored": func() { w.store.rings[jose.ES256] = earlier },
	} {
		kept := map[jose.Algorithm]RingRecord{jose.ES256: w.store.ring(jose.ES256), jose.RS256: w.store.ring(jose.RS256)}
		happen()
		writes := w.store.writes
		_, rotateErr := w.Rotate(bg, "", admin)
		for what, err := range map[string]error{"Step": w.Step(bg, w.clock.Now()), "Reload": w.Reload(bg), "Rotate": rotateErr} {
			if !errors.Is(err, ErrRegressed) {
				t.Errorf("%s: %s: error %v, want ErrRegressed", name, what, err)
			}
		}
		if w.store.writes != writes {
			t.Errorf("%s: wrote to the store", name)
		}
		if got := published(t, w.Ring); !cmp.Equal(got, want) {
			t.Errorf("%s: published %v, want the last good set", name, got)
		}
		w.store.rings = kept
	}
	w.step()
}

func TestFaultyRecordKeepsTheLastGoodSnapshot(t *testing.T) {
	other := newWorld(t)
	foreign := other.store.ring(jose.ES256).Keys[0]
	for name, change := range map[string]func(*RingRecord){
		"public part of another key":   func(r *RingRecord) { r.Keys[0].Public = foreign.Public },
		"private part of another key":  func(r *RingRecord) { r.Keys[0].Sealed = foreign.Sealed },
		"private parts exchanged":      func(r *RingRecord) { r.Keys[0].Sealed, r.Keys[1].Sealed = r.Keys[1].Sealed, r.Keys[0].Sealed },
		"private part gone":            func(r *RingRecord) { r.Keys[0].Sealed = "" },
		"private part altered":         func(r *RingRecord) { r.Keys[0].Sealed = r.Keys[0].Sealed[:100] + "A" + r.Keys[0].Sealed[101:] },
		"kid of another key":           func(r *RingRecord) { r.Keys[0].KeyID = foreign.KeyID },
		"one kid twice":                func(r *RingRecord) { r.Keys[1] = r.Keys[0] },
		"two start at once":            func(r *RingRecord) { r.Keys[1].SignFrom = r.Keys[0].SignFrom },
		"no publication":               func(r *RingRecord) { r.Keys[1].PublishedAt = time.Time{} },
		"key of another algorithm":     func(r *RingRecord) { r.Keys[0].Algorithm = jose.RS256 },
		"public part not JSON":         func(r *RingRecord) { r.Keys[1].Public = []byte("{") },
		"public part with a private d": func(r *RingRecord) { r.Keys[1].Public = []byte(`{"d":"AA",` + string(r.Keys[1].Public[1:])) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			want := published(t, w.Ring)
			w.store.tamper(jose.ES256, change)
			err := w.Step(bg, w.clock.Now())
			if err == nil {
				t.Fatal("Step takes it")
			}
			if strings.Contains(err.Error(), foreign.Sealed) {
				t.Error("the error contains the sealed key")
			}
			if got := published(t, w.Ring); !cmp.Equal(got, want) {
				t.Errorf("published %v, want the last good set", got)
			}
			if err := w.node().Step(bg, w.clock.Now()); err == nil {
				t.Error("a fresh node takes it")
			}
		})
	}
}

func TestKeysAreBoundToRingAndInstallation(t *testing.T) {
	w := newWorld(t)
	if err := w.node(func(c *Config) { c.Installation = "another" }).Reload(bg); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("opened in another installation: %v", err)
	}
	if err := w.node(func(c *Config) { c.KEKs = []*jose.KEK{testKEK(9)} }).Reload(bg); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("opened under another key-encryption key: %v", err)
	}
	if err := w.node(func(c *Config) { c.KEKs = []*jose.KEK{testKEK(9), testKEK(1)} }).Reload(bg); err != nil {
		t.Errorf("not opened under a previous key-encryption key: %v", err)
	}
	// The same RSA key pair, recorded for RS256, does not pass for PS256.
	rs := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.RS256) })
	moved := rs.store.ring(jose.RS256)
	moved.Algorithm, moved.Keys = jose.PS256, slices.Clone(moved.Keys)
	for i := range moved.Keys {
		moved.Keys[i].Algorithm = jose.PS256
	}
	rs.store.rings = map[jose.Algorithm]RingRecord{jose.PS256: moved}
	if err := rs.node().Reload(bg); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("a key moved to another ring: error %v, want ErrSealed", err)
	}
	two := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.RS256) })
	two.store.rings[jose.PS256] = RingRecord{Algorithm: "PS512", Version: 1}
	if err := two.node().Reload(bg); err == nil {
		t.Error("a ring of an unknown algorithm is taken")
	}
}

// Each check holds alone, should another one ever go.
func TestSealedKeyFitsItsRecordOnly(t *testing.T) {
	w := newWorld(t)
	s, ring := w.sealer, w.store.ring(jose.ES256)
	one, two := ring.Keys[0], ring.Keys[1]
	if _, err := s.unseal(jose.ES256, one); err != nil {
		t.Fatal(err)
	}
	moved := one
	moved.Sealed = two.Sealed
	if _, err := s.unseal(jose.ES256, moved); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("signing_kid: error %v, want ErrSealed", err)
	}
	if _, err := s.unseal(jose.PS256, one); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("ring: error %v, want ErrSealed", err)
	}
	moved = one
	moved.Algorithm = jose.Ed25519
	if _, err := s.unseal(jose.ES256, moved); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("signing_alg: error %v, want ErrSealed", err)
	}
	// Another secret of the same installation, bound to the same key but for its purpose.
	members := s.bindings(jose.ES256, one)
	plain, err := jose.Open(s.keks, members, one.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	members["purpose"] = purposePepper
	moved = one
	if moved.Sealed, err = jose.Seal(s.keks[0], members, plain); err != nil {
		t.Fatal(err)
	}
	if _, err := s.unseal(jose.ES256, moved); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("purpose: error %v, want ErrSealed", err)
	}
	// The private part of another key, sealed for this one by somebody who could.
	if plain, err = jose.Open(s.keks, s.bindings(jose.ES256, two), two.Sealed); err != nil {
		t.Fatal(err)
	}
	if moved.Sealed, err = jose.Seal(s.keks[0], s.bindings(jose.ES256, one), plain); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(jose.ES256, moved); err == nil || !strings.Contains(err.Error(), two.KeyID) {
		t.Errorf("private part of another key: error %v, want one naming it", err)
	}
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

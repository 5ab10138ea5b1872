package keys

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/keys/jose"
)

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
			"Revoke": second(w.Revoke(ctx, "x", admin)),
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
	err := w.node(func(c *Config) { c.KEKs = []*jose.KEK{testKEK(9)} }).Reload(bg)
	if !errors.Is(err, ErrWrongKEK) || !strings.Contains(err.Error(), testKEK(1).ID()) || !strings.Contains(err.Error(), testKEK(9).ID()) {
		t.Errorf("under another key-encryption key: %v, want ErrWrongKEK with both identifiers", err)
	}
	if err := w.node(func(c *Config) { c.KEKs = []*jose.KEK{testKEK(9), testKEK(1)} }).Reload(bg); err != nil {
		t.Errorf("not opened under a previous key-encryption key: %v", err)
	}
	// The same RSA key pair, recorded for RS256, does not pass for PS256.
	rs := newWorld(t, func(c *Config) { c.Algorithms = uses(jose.RS256) })
	moved := rs.store.ring(jose.RS256)
	moved.Algorithm, moved.Keys = jose.PS256, slices.Clone(moved.Keys)
	for i := range moved.Keys {
		moved.Keys[i].Algorithm, moved.Keys[i].Wire = jose.PS256, jose.PS256
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
	if _, err := s.unseal(bg, jose.ES256, one); err != nil {
		t.Fatal(err)
	}
	moved := one
	moved.Sealed = two.Sealed
	if _, err := s.unseal(bg, jose.ES256, moved); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("signing_kid: error %v, want ErrSealed", err)
	}
	if _, err := s.unseal(bg, jose.PS256, one); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("ring: error %v, want ErrSealed", err)
	}
	moved = one
	moved.Algorithm = jose.Ed25519
	if _, err := s.unseal(bg, jose.ES256, moved); !errors.Is(err, jose.ErrSealed) {
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
	if _, err := s.unseal(bg, jose.ES256, moved); !errors.Is(err, jose.ErrSealed) {
		t.Errorf("purpose: error %v, want ErrSealed", err)
	}
	// The private part of another key, sealed for this one by somebody who could.
	if plain, err = jose.Open(s.keks, s.bindings(jose.ES256, two), two.Sealed); err != nil {
		t.Fatal(err)
	}
	if moved.Sealed, err = jose.Seal(s.keks[0], s.bindings(jose.ES256, one), plain); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(bg, jose.ES256, moved); err == nil || !strings.Contains(err.Error(), two.KeyID) {
		t.Errorf("private part of another key: error %v, want one naming it", err)
	}
}

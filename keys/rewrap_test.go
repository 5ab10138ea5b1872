package keys

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// moving is a world whose installation rests under testKEK(1), and whose nodes are given keks.
func moving(t *testing.T, keks ...*jose.KEK) (*world, *fakeGenesis, Secrets) {
	t.Helper()
	g := &fakeGenesis{}
	in, secrets := found(t, g)
	w := newWorld(t, func(c *Config) {
		c.KEKs, c.KEKID, c.Installation = keks, in.KEKID, in.ID
		c.Algorithms = uses(jose.Ed25519)
	})
	return w, g, secrets
}

func (w *world) sealedBy() (ids []string) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.Ed25519} {
		for _, k := range w.store.ring(alg).Keys {
			if id, err := jose.SealedBy(k.Sealed); err == nil && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func TestROT10_RewrapMovesEverythingAndProvesIt(t *testing.T) {
	old, fresh := testKEK(1), testKEK(2)
	w, g, secrets := moving(t, fresh, old)
	signs := signing(w.Ring, jose.ES256, w.clock.Now())
	// A rolling restart with both keys changes nothing: nodes that know the old one alone go on.
	w.after(DefaultPublishLead)
	w.rotate()
	if got := w.sealedBy(); !slices.Equal(got, []string{old.ID()}) {
		t.Fatalf("before the move keys rest under %v, want %s alone", got, old.ID())
	}
	done, err := w.Rewrap(bg, g, admin)
	want := Rewrapped{KEKID: fresh.ID(), Before: []string{old.ID()}, Keys: 5, Secrets: 2}
	if err != nil || done.KEKID != want.KEKID || !slices.Equal(done.Before, want.Before) || done.Keys != want.Keys || done.Secrets != want.Secrets {
		t.Fatalf("%+v, error %v, want %+v", done, err, want)
	}
	// The old one is no longer needed: a node that knows the new one alone starts, signs, and opens the same secrets.
	in, got := *g.in, Secrets{}
	if got, err = in.Open([]*jose.KEK{fresh}); err != nil || got != secrets {
		t.Fatalf("the installation under the new key: error %v, or other secrets", err)
	}
	node := w.node(func(c *Config) { c.KEKs, c.KEKID, c.Installation = []*jose.KEK{fresh}, in.KEKID, in.ID })
	if err := node.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Lookup(signs); err != nil {
		t.Errorf("a key from before the move: %v", err)
	}
	if got := w.sealedBy(); !slices.Equal(got, []string{fresh.ID()}) || in.KEKID != fresh.ID() {
		t.Errorf("keys rest under %v, the record under %s", got, in.KEKID)
	}
	// What a node with both makes from now on rests under the new one; a node with the old one alone says which is missing.
	other := w.node(func(c *Config) { c.KEKs, c.KEKID, c.Installation = []*jose.KEK{old, fresh}, old.ID(), in.ID })
	if _, err := other.Rotate(bg, jose.Ed25519, admin); err != nil {
		t.Fatal(err)
	}
	if got := w.sealedBy(); !slices.Equal(got, []string{fresh.ID()}) {
		t.Errorf("after the move keys rest under %v", got)
	}
	late := w.node(func(c *Config) { c.KEKs, c.KEKID, c.Installation = []*jose.KEK{old}, old.ID(), in.ID })
	if err := late.Reload(bg); !errors.Is(err, ErrWrongKEK) || !strings.Contains(err.Error(), old.ID()) || !strings.Contains(err.Error(), fresh.ID()) {
		t.Errorf("a node without the new key: %v, want ErrWrongKEK with both identifiers", err)
	}
	if _, err := in.Open([]*jose.KEK{old}); !errors.Is(err, ErrWrongKEK) || !strings.Contains(err.Error(), old.ID()) || !strings.Contains(err.Error(), fresh.ID()) {
		t.Errorf("the installation without the new key: %v, want ErrWrongKEK with both identifiers", err)
	}
	if n := count(w.store.actions(), ActionRewrap); n != 2 || g.entries[len(g.entries)-1].Action != ActionRewrapInstallation {
		t.Errorf("audit log: %v, %v", w.store.actions(), g.entries)
	}
	e := w.store.entries[slices.Index(w.store.actions(), ActionRewrap)]
	if before, after := string(e.Before), string(e.After); !strings.Contains(before, old.ID()) || !strings.Contains(after, fresh.ID()) {
		t.Errorf("audit entry: %s, %s, want both identifiers", before, after)
	}
	// Again: nothing to move, and that is proven too.
	if again, err := w.Rewrap(bg, g, admin); err != nil || len(again.Before) != 0 || again.Keys != 6 {
		t.Errorf("again: %+v, error %v", again, err)
	}
}

// Whatever fails, the store can be opened with both keys, and the move can be finished.
func TestROT10_RewrapInterruptedAnywhere(t *testing.T) {
	old, fresh := testKEK(1), testKEK(2)
	for at := range 3 {
		w, g, secrets := moving(t, fresh, old)
		before := signing(w.Ring, jose.ES256, w.clock.Now())
		writes := 0
		w.store.before = func(RingRecord) error {
			if writes++; writes > at {
				return errCutOff
			}
			return nil
		}
		if at == 2 {
			w.store.before = nil
			g.err = errCutOff
		}
		if _, err := w.Rewrap(bg, g, admin); !errors.Is(err, errCutOff) {
			t.Fatalf("%d: error %v", at, err)
		}
		w.store.before, g.err = nil, nil
		node := w.node(func(c *Config) { c.KEKs, c.KEKID, c.Installation = []*jose.KEK{old, fresh}, old.ID(), g.in.ID })
		if err := node.Step(bg, w.clock.Now()); err != nil || signing(node, jose.ES256, w.clock.Now()) != before {
			t.Errorf("%d: half way another node says %v", at, err)
		}
		done, err := w.Rewrap(bg, g, admin)
		if err != nil || !slices.Equal(done.Before, []string{old.ID()}) {
			t.Errorf("%d: finished with %+v, error %v", at, done, err)
		}
		if got, err := g.in.Open([]*jose.KEK{fresh}); err != nil || got != secrets {
			t.Errorf("%d: the installation: %v, or other secrets", at, err)
		}
	}
}

// Another node that knew nothing of the move seals a key under the old one just before the proof.
func TestROT10_RewrapSeesWhatWasSealedMeanwhile(t *testing.T) {
	old, fresh := testKEK(1), testKEK(2)
	w, g, _ := moving(t, fresh, old)
	late := &meddledGenesis{fakeGenesis: g, then: func() {
		w.store.tamper(jose.ES256, func(r *RingRecord) {
			k, err := w.sealer.generate(bg, jose.ES256, old, w.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			k.PublishedAt, k.Windows = w.clock.Now(), w.windows
			r.Keys = append(r.Keys, k)
		})
	}}
	done, err := w.Rewrap(bg, late, admin)
	if err != nil || done.Keys != 5 {
		t.Fatalf("%+v, error %v", done, err)
	}
	if got := w.sealedBy(); !slices.Equal(got, []string{fresh.ID()}) {
		t.Errorf("keys rest under %v", got)
	}
	// And one that never stops is an error, not a promise.
	w, g, _ = moving(t, fresh, old)
	stubborn := &meddledGenesis{fakeGenesis: g, always: true, then: late.then}
	if _, err := w.Rewrap(bg, stubborn, admin); !errors.Is(err, ErrWrongKEK) {
		t.Errorf("error %v, want ErrWrongKEK", err)
	}
}

// meddledGenesis does something when the record was written, or each time that it is read.
type meddledGenesis struct {
	*fakeGenesis
	then   func()
	always bool
}

func (g *meddledGenesis) ReplaceInstallation(ctx context.Context, from, to Installation, e audit.Entry) error {
	err := g.fakeGenesis.ReplaceInstallation(ctx, from, to, e)
	if !g.always {
		g.then()
	}
	return err
}

func (g *meddledGenesis) Installation(ctx context.Context) (Installation, error) {
	if g.always {
		g.then()
	}
	return g.fakeGenesis.Installation(ctx)
}

func TestROT10_RewrapOfADamagedKeyNamesItAndChangesNothing(t *testing.T) {
	old, fresh := testKEK(1), testKEK(2)
	w, g, _ := moving(t, fresh, old)
	kid := w.store.ring(jose.ES256).Keys[1].KeyID
	w.store.tamper(jose.ES256, func(r *RingRecord) { r.Keys[1].Sealed = r.Keys[0].Sealed })
	writes := w.store.writes
	if _, err := w.Rewrap(bg, g, admin); err == nil || !strings.Contains(err.Error(), kid) || errors.Is(err, ErrWrongKEK) {
		t.Errorf("error %v, want one naming %q", err, kid)
	}
	if w.store.writes != writes || g.in.KEKID != old.ID() {
		t.Error("something was written")
	}
}

// Whichever key a node names first, all seal with the one that all can open.
func TestROT10_NodesSealAlikeMeanwhile(t *testing.T) {
	old, fresh := testKEK(1), testKEK(2)
	w, g, _ := moving(t, old)
	upgraded := w.node(func(c *Config) {
		c.KEKs, c.KEKID, c.Installation = []*jose.KEK{fresh, old}, old.ID(), g.in.ID
		c.Algorithms = uses(jose.PS256)
	})
	if err := upgraded.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if err := w.Reload(bg); err != nil {
		t.Errorf("a node with the old key alone cannot open what an upgraded one made: %v", err)
	}
	if _, err := w.Signer(jose.PS256, w.clock.Now()); err != nil {
		t.Errorf("PS256: %v", err)
	}
}

package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

func makeKey(t testing.TB, alg jose.Algorithm) crypto.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The move: validators know the key of the server that is replaced, and nothing else yet.
func TestImportedKeySignsForValidatorsThatKnowIt(t *testing.T) {
	w := newWorld(t)
	key := makeKey(t, jose.ES256)
	theirs, err := jose.NewPublicKey("prod/2025#1", jose.ES256, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	cached, err := jose.NewSet(theirs)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Second) // stamps are whole seconds, and a successor's lies behind its predecessor's
	in := ImportedKey{Key: key, Algorithm: jose.ES256, KeyID: "prod/2025#1", PublishedAt: start.Add(-1000 * time.Hour)}
	v, err := w.Import(bg, in, admin)
	if err != nil || v.KeyID != "prod/2025#1" || v.State != StateNext || !v.Imported {
		t.Fatalf("%+v, error %v", v, err)
	}
	if r := w.rotate(); r.KeyID != in.KeyID || !r.SignFrom.Equal(w.clock.Now()) {
		t.Fatalf("rotated to %+v, want the imported key at once", r)
	}
	s, err := w.Signer(jose.ES256, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Sign("at+jwt", []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(token, cached); err != nil {
		t.Errorf("a validator that knows the other server's key: %v", err)
	}
	// It survives a restart, another node, and the rest of its life.
	w.Ring = w.node()
	w.step()
	if got := signing(w.Ring, jose.ES256, w.clock.Now()); got != in.KeyID {
		t.Errorf("after a restart %q signs", got)
	}
	w.after(DefaultPublishLead)
	w.rotate()
	w.after(w.windows.RetireAfter)
	if k := w.store.ring(jose.ES256).Keys[2]; k.KeyID != in.KeyID || k.Sealed != "" || !k.Imported {
		t.Errorf("at the end of its life: %+v", k)
	}
	if n := count(w.store.actions(), ActionImport); n != 1 {
		t.Errorf("%d audit entries, want 1", n)
	}
}

func TestROT02_AnImportedKeyThatNobodyKnowsWaits(t *testing.T) {
	w := newWorld(t)
	w.after(DefaultPublishLead)
	v, err := w.Import(bg, ImportedKey{Key: makeKey(t, jose.ES256), Algorithm: jose.ES256}, admin)
	if err != nil || len(v.KeyID) != 43 {
		t.Fatalf("%+v, error %v: without a name it goes by its thumbprint", v, err)
	}
	if r := w.rotate(); r.KeyID == v.KeyID {
		t.Errorf("rotated to the imported key before the one that has been published for long")
	}
	if r := w.rotate(); r.KeyID != v.KeyID || !r.SignFrom.Equal(v.PublishedAt.Add(DefaultPublishLead)) {
		t.Errorf("rotated to %+v, want the imported key after its lead", r)
	}
}

func TestImportedKeyMakesARingOfItsAlgorithm(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.FirstKeyAtOnce = false })
	v, err := w.Import(bg, ImportedKey{Key: makeKey(t, jose.Ed25519), Algorithm: jose.Ed25519, KeyID: "k"}, admin)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(DefaultRefreshInterval + time.Second)
	if got := signing(w.Ring, jose.Ed25519, w.clock.Now()); got != "k" || v.State != StateNext {
		t.Errorf("%q signs, and it was %s", got, v.State)
	}
}

// Asked again it changes nothing; under another name, in another ring, or after its end, it is refused.
func TestJWK04_ImportOfWhatIsKnown(t *testing.T) {
	w := newWorld(t)
	key := makeKey(t, jose.RS256)
	in := ImportedKey{Key: key, Algorithm: jose.RS256, KeyID: "k"}
	for range 2 {
		if _, err := w.Import(bg, in, admin); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(w.store.actions(), ActionImport); n != 1 {
		t.Errorf("imported %d times", n)
	}
	own := w.kid2(jose.ES256, StateActive)
	refused := func(why string, in ImportedKey) {
		t.Helper()
		before := w.store.writes
		if _, err := w.Import(bg, in, admin); !errors.Is(err, ErrDuplicate) {
			t.Errorf("%s: error %v, want ErrDuplicate", why, err)
		}
		if w.store.writes != before {
			t.Errorf("%s: something was stored", why)
		}
	}
	refused("another name", ImportedKey{Key: key, Algorithm: jose.RS256, KeyID: "k2"})
	refused("another ring", ImportedKey{Key: key, Algorithm: jose.PS256, KeyID: "k3"})
	refused("the name of another key", ImportedKey{Key: makeKey(t, jose.Ed25519), Algorithm: jose.Ed25519, KeyID: own})
	refused("another key of this name", ImportedKey{Key: makeKey(t, jose.RS256), Algorithm: jose.RS256, KeyID: "k"})
	if _, err := w.Revoke(bg, "k", admin); err != nil {
		t.Fatal(err)
	}
	refused("revoked", in)
	refused("revoked, under another name", ImportedKey{Key: key, Algorithm: jose.RS256, KeyID: "new"})
}

func (w *world) kid2(alg jose.Algorithm, s State) string {
	for _, v := range w.List() {
		if v.Algorithm == alg && v.State == s {
			return v.KeyID
		}
	}
	w.Fatalf("no %s key for %s", s, alg)
	return ""
}

func TestImportOfWhatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ok := makeKey(t, jose.ES256)
	before := w.store.writes
	for name, in := range map[string]ImportedKey{
		"nothing":         {Algorithm: jose.ES256},
		"another curve":   {Key: ok, Algorithm: jose.ES384},
		"another type":    {Key: ok, Algorithm: jose.RS256},
		"no algorithm":    {Key: ok},
		"unknown curve":   {Key: p521, Algorithm: jose.ES256},
		"JWT-40 too weak": {Key: small, Algorithm: jose.RS256},
		"kid too long":    {Key: ok, Algorithm: jose.ES256, KeyID: strings.Repeat("k", 1000)},
		"kid with breaks": {Key: ok, Algorithm: jose.ES256, KeyID: "a\nb"},
		"future":          {Key: ok, Algorithm: jose.ES256, PublishedAt: start.Add(time.Hour)},
	} {
		if _, err := w.Import(bg, in, admin); !errors.Is(err, ErrUnfit) {
			t.Errorf("%s: error %v, want ErrUnfit", name, err)
		}
	}
	if w.store.writes != before {
		t.Error("something was stored")
	}
}

// device is a provider whose keys never leave it: the ring has a number for each.
type device struct{ keys []crypto.Signer }

// opaque signs, and shows nothing else.
type opaque struct{ key crypto.Signer }

func (o opaque) Public() crypto.PublicKey { return o.key.Public() }
func (o opaque) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return o.key.Sign(random, digest, opts)
}

func (d *device) Generate(_ context.Context, alg jose.Algorithm) (crypto.Signer, []byte, error) {
	key, err := jose.GenerateKey(alg)
	d.keys = append(d.keys, key)
	return opaque{key}, []byte{byte(len(d.keys))}, err
}

func (d *device) Import(context.Context, jose.Algorithm, crypto.Signer) ([]byte, error) {
	return nil, errors.New("this device makes its keys itself")
}

func (d *device) Open(_ context.Context, _ jose.Algorithm, handle []byte) (crypto.Signer, error) {
	if len(handle) != 1 || int(handle[0]) > len(d.keys) || handle[0] == 0 {
		return nil, errors.New("no such key")
	}
	return opaque{d.keys[handle[0]-1]}, nil
}

func TestROT10_TheRingNeedsNoPrivateKey(t *testing.T) {
	d := &device{}
	inDevice := func(c *Config) {
		c.Provider = d
		c.Algorithms = uses(jose.Algorithms()...)
	}
	w := newWorld(t, inDevice)
	w.after(DefaultPublishLead)
	if _, err := w.Rotate(bg, "", admin); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Revoke(bg, w.kid2(jose.PS256, StateActive), admin); err != nil {
		t.Fatal(err)
	}
	w.revokeAll("x")
	other := w.node(inDevice)
	if err := other.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	for _, node := range []*Ring{w.Ring, other} {
		set := fetch(t, node)
		for _, alg := range jose.Algorithms() {
			s, err := node.Signer(alg, w.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			token, err := s.Sign("at+jwt", []byte(`{"a":1}`))
			if err == nil {
				err = verify(token, set)
			}
			if err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
	if _, err := w.Import(bg, ImportedKey{Key: makeKey(t, jose.ES256), Algorithm: jose.ES256}, admin); err == nil || !strings.Contains(err.Error(), "this device") {
		t.Errorf("import: %v, want the device's word", err)
	}
	// A device that lost a key: the ring goes on with what it knows, and says which.
	lost := w.kid2(jose.ES256, StateNext)
	kept := d.keys
	d.keys = slices.Repeat([]crypto.Signer{makeKey(t, jose.ES256)}, len(kept))
	if err := w.node(inDevice).Reload(bg); err == nil || !strings.Contains(err.Error(), `"`) {
		t.Errorf("a device with other keys (%q): %v, want an error naming the key", lost, err)
	}
}

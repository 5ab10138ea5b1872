package storetest

import (
	"bytes"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// genuine stores two records, "a" and "b", and returns their bytes.
func genuine(t *testing.T, f Fixture, s subject) (a, b []byte) {
	t.Helper()
	mustPut(t, f, s, "a", 0, "one")
	mustPut(t, f, s, "b", 0, "other")
	a, b = f.Raw.Get(t, s.kind, s.key("a")), f.Raw.Get(t, s.kind, s.key("b"))
	if len(a) == 0 || len(b) == 0 {
		t.Fatal("the fixture does not find what was stored")
	}
	return a, b
}

// wantRefused puts raw in the place of "a" and checks that nothing reads or overwrites it.
func wantRefused(t *testing.T, f Fixture, s subject, what string, raw []byte, want error) {
	t.Helper()
	wantRefusedAt(t, f, s, "a", what, raw, want)
}

func wantRefusedAt(t *testing.T, f Fixture, s subject, id, what string, raw []byte, want error) {
	t.Helper()
	key := s.key(id)
	f.Raw.Put(t, s.kind, key, raw)
	_, _, err := s.get(t.Context(), f.Store, id)
	wantFault(t, what+": get", err, want, s.kind, key)
	wantFault(t, what+": list", s.list(t.Context(), f.Peer), want, s.kind, key)
	unrecorded(t, f.Store, func() {
		for _, version := range []uint64{0, 1, 2} {
			_, err := s.put(t.Context(), f.Store, id, version, "over it", entry(id))
			wantFault(t, what+": put", err, want, s.kind, key)
		}
	})
	if !bytes.Equal(f.Raw.Get(t, s.kind, key), raw) {
		t.Errorf("%s: the record was overwritten", what)
	}
}

func altered(t *testing.T, f Fixture, s subject) {
	a, _ := genuine(t, f, s)
	for i := 1; i < len(a); i++ { // the first byte is newerFormat's
		if i > 60 && i%7 != 0 {
			continue // the header byte by byte, the body here and there
		}
		raw := bytes.Clone(a)
		raw[i] ^= 1
		f.Raw.Put(t, s.kind, s.key("a"), raw)
		_, _, err := s.get(t.Context(), f.Store, "a")
		wantFault(t, "one bit", err, store.ErrDamaged, s.kind, s.key("a"))
	}
	zero := bytes.Clone(a)
	zero[0] = 0
	wantRefused(t, f, s, "format 0", zero, store.ErrDamaged)
	wantRefused(t, f, s, "longer", append(bytes.Clone(a), ' '), store.ErrDamaged)
	f.Raw.Put(t, s.kind, s.key("a"), a)
	wantRecord(t, f, s, "a", 1, "one")
}

func cutOff(t *testing.T, f Fixture, s subject) {
	a, _ := genuine(t, f, s)
	for _, n := range []int{0, 1, 8, 9, 40, 41, 42, len(a) / 2, len(a) - 1} {
		wantRefused(t, f, s, "cut off", a[:n], store.ErrDamaged)
	}
}

// moved puts a genuine record in another one's place: a disabled client could be replaced by an
// enabled one, or a client's grants by a mightier client's.
func moved(t *testing.T, f Fixture, s subject) {
	a, b := genuine(t, f, s)
	wantRefused(t, f, s, "moved", b, store.ErrDamaged)
	f.Raw.Put(t, s.kind, s.key("a"), a)
	for _, other := range subjects() {
		if other.kind == s.kind {
			continue
		}
		// The two have the same storage key, so that only the kind tells them apart.
		id, otherID := other.prefix+"a", s.prefix+"a"
		mustPut(t, f, other, otherID, 0, "one")
		before := f.Raw.Get(t, s.kind, s.key(id))
		wantRefusedAt(t, f, s, id, "of kind "+string(other.kind), f.Raw.Get(t, other.kind, other.key(otherID)), store.ErrDamaged)
		if before != nil {
			f.Raw.Put(t, s.kind, s.key(id), before)
		}
	}
}

// forged seals a record under a key that the attacker chose.
func forged(t *testing.T, f Fixture, s subject) {
	genuine(t, f, s)
	for _, namespace := range []string{"marque", "test"} {
		env, err := store.NewEnvelope([32]byte{0: 'f'}, namespace)
		if err != nil {
			t.Fatalf("NewEnvelope: %v", err)
		}
		wantRefused(t, f, s, "forged", seal(t, env, s.kind, "a"), store.ErrDamaged)
	}
}

func seal(t *testing.T, env *store.Envelope, kind store.Kind, id string) []byte {
	t.Helper()
	var b []byte
	var err error
	switch kind {
	case store.KindClient:
		b, err = env.SealClient(authz.Client{ID: authz.ClientID(id), Version: 1})
	case store.KindResource:
		b, err = env.SealResource(authz.Resource{ID: authz.ResourceID(id), Version: 1})
	case store.KindRevocation:
		b, err = env.SealRevocation(authz.Revocation{Revocation: token.Revocation{Subject: revocationOf(id)}, Version: 1})
	default:
		r := FullRing(jose.Algorithm(id))
		r.Version = 1
		b, err = env.SealRing(r)
	}
	if err != nil {
		t.Fatalf("seal %s: %v", kind, err)
	}
	return b
}

// newerFormat: what a newer version of the program wrote is neither read nor overwritten.
func newerFormat(t *testing.T, f Fixture, s subject) {
	a, _ := genuine(t, f, s)
	for _, format := range []byte{store.Format + 1, 0xff} {
		raw := bytes.Clone(a)
		raw[0] = format
		wantRefused(t, f, s, "newer", raw, store.ErrNewerFormat)
	}
	wantRefused(t, f, s, "newer and short", []byte{store.Format + 1}, store.ErrNewerFormat)
}

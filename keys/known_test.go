package keys

import (
	"errors"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

func TestROT13_KnownFrom(t *testing.T) {
	const lead = time.Hour
	at := func(d time.Duration) time.Time { return start.Add(d) }
	key := func(published, signs time.Time, lead time.Duration) Key {
		k := Key{KeyID: "k", Sealed: "x", PublishedAt: published, Windows: Windows{PublishLead: lead}}
		k.SignFrom = signs
		return k
	}
	gone := key(at(-9*lead), at(-8*lead), lead)
	gone.WithdrawAt = at(-lead)
	revoked := key(at(-9*lead), at(-lead), lead)
	revoked.RevokedAt, revoked.Sealed = at(-time.Minute), ""
	for _, c := range []struct {
		name   string
		keys   []Key
		others time.Duration // the longest lead of other rings
		want   time.Time     // zero: nobody knows
	}{
		{"no key", nil, lead, time.Time{}},
		{"a first key that signs at once", []Key{key(start, start, lead)}, 0, at(lead)},
		{"a first key that waits for the other servers", []Key{key(start, at(15*time.Second), lead)}, 0, at(lead)},
		{"a first key whose turn comes after its lead", []Key{key(start, at(2*lead), lead)}, 0, at(2 * lead)},
		{"a key that has been known for long", []Key{key(at(-5*lead), at(-3*lead), lead)}, 0, at(-3 * lead)},
		{"a key that took over in an emergency", []Key{key(at(-lead/2), at(-time.Minute), lead)}, 0, at(lead / 2)},
		{"a longer lead of the time before", []Key{key(start, start, lead)}, 3 * lead, at(3 * lead)},
		{"a shorter lead of another ring", []Key{key(start, start, lead)}, time.Minute, at(lead)},
		{"a next key that is not stamped", []Key{key(at(-5*lead), at(-3*lead), lead), key(start, time.Time{}, lead)}, 0, at(-3 * lead)},
		{"a turn to come, which brings a known key", []Key{key(at(-5*lead), at(-3*lead), lead), key(start, at(lead), lead)}, 0, at(-3 * lead)},
		{"a withdrawn key", []Key{gone}, 0, time.Time{}},
		{"a revoked key, and one whose turn comes", []Key{revoked, key(start, at(time.Minute), lead)}, 0, at(lead)},
	} {
		got, ok := RingRecord{Algorithm: jose.RS256, Keys: c.keys}.knownFrom(start, c.others)
		if ok == c.want.IsZero() || !got.Equal(c.want) {
			t.Errorf("%s: %v, %t, want %v", c.name, got, ok, c.want)
		}
	}
}

func TestROT13_KnownFromAsksEveryRing(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.PublishLead = 48 * time.Hour }) // settings of before
	w.clock.Advance(time.Hour)
	now := w.node() // the default lead: shorter
	if err := now.Step(bg, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := now.KnownFrom(jose.RS256); !errors.Is(err, ErrNoSigner) {
		t.Errorf("no ring: error %v, want ErrNoSigner", err)
	}
	if _, err := now.Ensure(bg, jose.RS256, admin); err != nil {
		t.Fatal(err)
	}
	// Somebody fetched the JWKS just before the ring was made, when it was allowed to be kept for long.
	if got, err := now.KnownFrom(jose.RS256); err != nil || !got.Equal(start.Add(49*time.Hour)) {
		t.Errorf("%v, %v, want the lead of the other ring after the key was published", got, err)
	}
	w.clock.Advance(DefaultStoreOutage + time.Second)
	if _, err := now.KnownFrom(jose.RS256); !errors.Is(err, ErrStale) {
		t.Errorf("a store that is silent: error %v, want ErrStale", err)
	}
}

func TestJWK13_TheDefaultAlgorithmAlone(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.RS256, jose.Ed25519} {
		w := newWorld(t, func(c *Config) { c.Default = alg })
		for _, k := range fetch(t, w.Ring).Keys() {
			if k.Algorithm().Canonical() != alg {
				t.Errorf("default %s: published a key for %s", alg, k.Algorithm())
			}
		}
		if signing(w.Ring, alg, w.clock.Now()) == "" {
			t.Errorf("default %s: nobody signs", alg)
		}
	}
}

package keys

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// cutOffRings is a store that one server does not reach.
type cutOffRings struct {
	*fakeRings
	closed *bool
}

func (c *cutOffRings) Rings(ctx context.Context) ([]RingRecord, error) {
	if *c.closed {
		return nil, errCutOff
	}
	return c.fakeRings.Rings(ctx)
}

// A server that is cut off hands out a document that lacks a key which signs elsewhere before long: whoever
// keeps it must fetch again before that, whatever the settings.
func TestROT02_ADocumentOfANodeThatIsCutOff(t *testing.T) {
	closed := false
	tight := func(c *Config) { c.PublishLead = c.JWKSMaxAge + c.RefreshInterval + c.Leeway }
	w := newWorld(t, tight)
	cut := w.node(tight, func(c *Config) { c.Rings = &cutOffRings{w.store, &closed} })
	w.after(time.Hour)
	if err := cut.Reload(bg); err != nil {
		t.Fatal(err)
	}
	closed = true
	w.rotate() // at once, and makes the next key, of which the other server does not hear
	w.clock.Advance(time.Second)
	w.rotate() // as soon as that has been published for its lead
	w.clock.Advance(DefaultStoreOutage - time.Second)
	had, d := published(t, cut), must(cut.JWKS())
	fetched := w.clock.Now()
	for w.clock.Now().Before(fetched.Add(d.MaxAge)) {
		if kid := signing(w.Ring, jose.ES256, w.clock.Now()); !slices.Contains(had, kid) {
			t.Fatalf("%q signs, and a document that was fetched %s ago for %s lacks it", kid, w.clock.Now().Sub(fetched), d.MaxAge)
		}
		w.after(time.Second)
	}
}

func must(d Document, err error) Document {
	if err != nil {
		panic(err)
	}
	return d
}

package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// The model: a few nodes with clocks that differ by up to their leeway, on one store; verifiers that
// keep a JWKS document for its full max-age; tokens that live. Anything may happen in any order:
// rotations, withdrawals, revocations, nodes that restart with other settings or lose the store for a
// while.

const modelLeeway = time.Second

var errCutOff = errors.New("cut off")

// settings is what an operator may turn.
type settings struct{ maxAge, refresh, lead, outage int }

func drawSettings(t *rapid.T) settings {
	s := settings{
		maxAge:  rapid.IntRange(1, 20).Draw(t, "max-age"),
		refresh: rapid.IntRange(1, 3).Draw(t, "refresh"),
	}
	s.lead = s.maxAge + s.refresh + 1 + rapid.IntRange(0, 20).Draw(t, "lead")
	s.outage = s.refresh + rapid.IntRange(1, 20).Draw(t, "outage")
	return s
}

type modelNode struct {
	*Ring
	skew     time.Duration
	settings settings
	stepped  time.Time // by the model's clock
	cutOff   time.Time // does not reach the store until then
	heard    int       // how many of the voided it has heard of
	store    *gate
}

// gate is a node's way to the store.
type gate struct {
	*fakeRings
	closed bool
}

// document is what a verifier keeps.
type cached struct {
	set   *jose.Set
	until time.Time
}

type model struct {
	t      *rapid.T
	clock  *clock
	store  *fakeRings
	nodes  []*modelNode
	caches []cached
	tokens map[string]time.Time // by kid, when the last token that it signed expires
	sets   map[string]*jose.Set // by ETag
	jwk    map[string]string    // by kid, of every key ever seen
	first  string               // the ring's first key, which signs before caches have expired
	born   time.Time            // when it starts
	signed map[string]bool      // kids that were seen to sign
	urgent map[string]int       // kids that took over from a revoked one, before caches have expired: how many were voided then
	dark   time.Time            // when the last of them starts, by the clock of the node that revoked
	voided []string             // kids that were revoked, in this order
}

func (m *model) now() time.Time { return m.clock.Now() }

// boot starts a node, anew if there is one at that place.
func (m *model) boot(i int) {
	n := &modelNode{settings: drawSettings(m.t), store: &gate{fakeRings: m.store}}
	n.skew = time.Duration(rapid.IntRange(0, int(modelLeeway/time.Second)).Draw(m.t, "skew")) * time.Second
	s := func(n int) time.Duration { return time.Duration(n) * time.Second }
	ring, err := NewRing(Config{
		Rings: n.store, KEKs: []*jose.KEK{testKEK(1)}, Installation: "model",
		JWKSMaxAge: s(n.settings.maxAge), RefreshInterval: s(n.settings.refresh), PublishLead: s(n.settings.lead),
		StoreOutage: s(n.settings.outage), Leeway: modelLeeway,
		Now: func() time.Time { return m.now().Add(n.skew) },
	})
	if err != nil {
		m.t.Fatal(err)
	}
	n.Ring = ring
	m.nodes[i] = n
	m.step(n)
}

func (m *model) step(n *modelNode) {
	if err := n.Step(bg, m.now().Add(n.skew)); err != nil {
		m.t.Fatalf("Step: %v", err)
	}
	n.stepped, n.heard = m.now(), len(m.voided)
}

// tick lets a second pass: nodes do their round, verifiers fetch, tokens are signed.
func (m *model) tick() {
	m.clock.Advance(time.Second)
	for _, n := range m.nodes {
		n.store.closed = m.now().Before(n.cutOff)
		if !n.store.closed && m.now().Sub(n.stepped) >= time.Duration(n.settings.refresh)*time.Second {
			m.step(n)
		}
	}
	m.fetch()
	m.issue()
	m.check()
}

// jump lets much time pass in which nobody asks anything.
func (m *model) jump(d time.Duration) {
	m.clock.Advance(d)
	for _, n := range m.nodes {
		n.cutOff, n.store.closed = time.Time{}, false
		m.step(n)
	}
	m.check()
}

// fetch lets a verifier fetch the document from each node that has the store.
func (m *model) fetch() {
	live := m.caches[:0]
	for _, c := range m.caches {
		if m.now().Before(c.until) {
			live = append(live, c)
		}
	}
	m.caches = live
	for _, n := range m.nodes {
		if n.store.closed {
			continue
		}
		d, err := n.JWKS()
		if err != nil {
			m.t.Fatalf("JWKS: %v", err)
		}
		set := m.parse(d)
		for _, k := range set.Keys() {
			if jwk, seen := m.jwk[k.KeyID()]; seen && jwk != string(k.BareJWK()) {
				m.t.Fatalf("JWK-04: kid %q names two keys", k.KeyID())
			}
			m.jwk[k.KeyID()] = string(k.BareJWK())
		}
		m.caches = append(m.caches, cached{set, m.now().Add(d.MaxAge)})
	}
}

func (m *model) parse(d Document) *jose.Set {
	if m.sets[d.ETag] == nil {
		set, err := jose.ParseSet(d.Body)
		if err != nil || set.Skipped() > 0 {
			m.t.Fatalf("JWKS: error %v, or keys skipped", err)
		}
		m.sets[d.ETag] = set
	}
	return m.sets[d.ETag]
}

// issue lets every node sign; every verifier must know the key already, from whatever document it
// still may keep, unless it is the first of its ring (ROT-02, ROT-05, JWK-10).
func (m *model) issue() {
	for _, n := range m.nodes {
		signer, err := n.Signer(jose.ES256, m.now().Add(n.skew))
		if errors.Is(err, ErrStale) && n.store.closed || errors.Is(err, ErrNoSigner) && (m.young() || m.behind(n)) {
			continue
		}
		if err != nil {
			m.t.Fatalf("Signer: %v at %s, a node %s ahead: %+v; dark until %s", err, m.now(), n.skew, n.List(), m.dark)
		}
		kid := signer.KeyID()
		if i := slices.Index(m.voided, kid); i >= 0 {
			if i < n.heard {
				m.t.Fatalf("ROT-07: %q signs at a node that knows that it is revoked", kid)
			}
			continue // what it signs is void
		}
		for _, c := range m.caches {
			if _, known := c.set.Lookup(kid); !known && kid != m.first && m.urgent[kid] == 0 {
				m.t.Fatalf("ROT-02: %q signs and a verifier that keeps its document until %s does not know it", kid, c.until)
			}
		}
		if !m.signed[kid] {
			m.signed[kid] = true
			m.verify(n, signer)
		}
		m.tokens[kid] = m.now().Add(n.skew + MaxTokenLifetime) // the last one is the one to watch
	}
}

// behind reports whether a node's clock has yet to reach the time at which the key starts that took over
// from a revoked one on a node whose clock is ahead.
func (m *model) behind(n *modelNode) bool {
	now := m.now().Add(n.skew)
	return now.Before(m.dark) && m.dark.Sub(now) <= modelLeeway
}

// revoke revokes a key at a node, and keeps what the others may not know yet.
func (m *model) revoke(n *modelNode, v View) {
	was := m.store.ring(jose.ES256)
	r, err := n.Revoke(bg, v.KeyID, admin)
	if n.store.closed {
		if err == nil {
			m.t.Fatal("revoked without a store")
		}
		return
	}
	if errors.Is(err, ErrNotFound) && was.index(v.KeyID) < 0 {
		return // the node's list was an old one
	}
	if err != nil {
		m.t.Fatalf("Revoke at %s: %v: %+v", m.now().Add(n.skew), err, n.List())
	}
	again, err := n.Revoke(bg, v.KeyID, admin)
	if err != nil || again != r {
		m.t.Fatalf("Revoke: %+v, and again: %+v, error %v", r, again, err)
	}
	first := !slices.Contains(m.voided, v.KeyID)
	if first {
		m.voided = append(m.voided, v.KeyID)
	}
	n.heard = len(m.voided)
	delete(m.tokens, v.KeyID)
	ring := m.store.ring(jose.ES256)
	for _, k := range ring.Keys {
		i := was.index(k.KeyID)
		if !k.SignFrom.IsZero() && (i < 0 || !was.Keys[i].SignFrom.Equal(k.SignFrom)) {
			m.urgent[k.KeyID] = len(m.voided)
			m.dark = latest(m.dark, k.SignFrom)
		}
	}
	if first && r.Was == StateActive {
		if k := ring.Keys[ring.index(r.Successor)]; k.SignFrom.After(m.now().Add(modelLeeway)) || k.RevokedAt != (time.Time{}) {
			m.t.Fatalf("EVT-05: %q takes over at %s, revoked at %s", k.KeyID, k.SignFrom, m.now().Add(n.skew))
		}
	}
}

// young reports whether the ring's first key still waits.
func (m *model) young() bool {
	return m.now().Before(m.born)
}

func (m *model) verify(n *modelNode, s *jose.Signer) {
	token, err := s.Sign("at+jwt", []byte(`{"iss":"x"}`))
	if err != nil {
		m.t.Fatal(err)
	}
	d, err := n.JWKS()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := verify(token, m.parse(d)); err != nil {
		m.t.Fatalf("JWT-04: %v", err)
	}
}

// check holds at all times.
func (m *model) check() {
	ring := m.store.ring(jose.ES256)
	counts := map[State]int{}
	for _, k := range ring.Keys {
		// At the time of the fastest clock: a node that has it may have made the next key already.
		counts[ring.State(k.KeyID, m.now().Add(modelLeeway))]++
	}
	for _, kid := range m.voided {
		if k := ring.Keys[ring.index(kid)]; k.RevokedAt.IsZero() || k.Sealed != "" {
			m.t.Fatalf("ROT-07: %q was revoked, and is stored as %+v", kid, k)
		}
	}
	if counts[StateActive] != 1 && !m.young() {
		m.t.Fatalf("ROT-04: %d keys are active: %v", counts[StateActive], counts)
	}
	if counts[StateNext] > 1 && !m.young() {
		m.t.Fatalf("JWK-13: %d keys are next", counts[StateNext])
	}
	maps.DeleteFunc(m.tokens, func(_ string, until time.Time) bool { return !m.now().Before(until) })
	for _, n := range m.nodes {
		d, err := n.JWKS()
		if errors.Is(err, ErrStale) && n.store.closed {
			continue
		}
		if err != nil {
			m.t.Fatalf("JWKS: %v", err)
		}
		if n.store.closed {
			continue // verifiers that ask it may have to ask again: JWK-14
		}
		set := m.parse(d)
		for _, kid := range m.voided[:n.heard] {
			if _, err := n.Lookup(kid); !errors.Is(err, jose.ErrUnknownKey) {
				m.t.Fatalf("ROT-07: %q is found although it is revoked: %v", kid, err)
			}
			if _, ok := set.Lookup(kid); ok || !slices.Contains(n.RevokedKeys(), kid) {
				m.t.Fatalf("ROT-07: %q is published, or not among the revoked", kid)
			}
		}
		for kid, until := range m.tokens {
			if slices.Contains(m.voided, kid) || n.heard < m.urgent[kid] {
				continue
			}
			if _, ok := set.Lookup(kid); !ok {
				m.t.Fatalf("ROT-03, JWK-10: a token that expires at %s has no key %q at %s", until, kid, m.now())
			}
		}
	}
}

func (g *gate) Rings(ctx context.Context) ([]RingRecord, error) {
	if g.closed {
		return nil, errCutOff
	}
	return g.fakeRings.Rings(ctx)
}

func (g *gate) PutRing(ctx context.Context, r RingRecord, e audit.Entry) (RingRecord, error) {
	if g.closed {
		return RingRecord{}, errCutOff
	}
	return g.fakeRings.PutRing(ctx, r, e)
}

func TestROT02_ROT03_ROT04_ROT05_ROT07_AnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			t: t, clock: newClock(), store: newFakeRings(),
			jwk: map[string]string{}, signed: map[string]bool{},
			tokens: map[string]time.Time{}, sets: map[string]*jose.Set{}, urgent: map[string]int{},
			nodes: make([]*modelNode, 3),
		}
		for i := range m.nodes {
			m.boot(i)
		}
		first := m.store.ring(jose.ES256).Keys[0]
		m.first, m.born = first.KeyID, first.SignFrom
		node := rapid.IntRange(0, len(m.nodes)-1)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { m.t = t },
			"tick": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "ticks") {
					m.tick()
				}
			},
			"jump": func(t *rapid.T) {
				m.jump(time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second)
			},
			"rotate": func(t *rapid.T) {
				n := m.nodes[node.Draw(t, "node")]
				list, err := n.Rotate(bg, "", admin)
				if n.store.closed == (err == nil) && !errors.Is(err, ErrTooManyKeys) {
					t.Fatalf("Rotate: %v, error %v, cut off %t", list, err, n.store.closed)
				}
			},
			"withdraw": func(t *rapid.T) {
				n := m.nodes[node.Draw(t, "node")]
				for _, v := range n.List() {
					if v.State == StateNext {
						if err := n.Withdraw(bg, v.KeyID, admin); err != nil && !n.store.closed && !errors.Is(err, ErrIllegalStep) {
							t.Fatalf("Withdraw: %v", err)
						}
					}
				}
			},
			"revoke": func(t *rapid.T) {
				n := m.nodes[node.Draw(t, "node")]
				list := n.List()
				for range rapid.IntRange(1, 3).Draw(t, "keys") { // several emergencies within one second, too
					m.revoke(n, list[rapid.IntRange(0, len(list)-1).Draw(t, "key")])
				}
			},
			"revoke what signs": func(t *rapid.T) {
				n := m.nodes[node.Draw(t, "node")]
				for _, v := range n.List() {
					if v.State == StateActive {
						m.revoke(n, v)
					}
				}
			},
			"restart with other settings": func(t *rapid.T) { m.boot(node.Draw(t, "node")) },
			"cut off": func(t *rapid.T) {
				n := m.nodes[node.Draw(t, "node")]
				n.cutOff = m.now().Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds")) * time.Second)
				n.store.closed = true
			},
		})
		if len(m.store.ring(jose.ES256).Keys) < 2 {
			t.Fatal(fmt.Sprint("a ring without a next key: ", m.store.ring(jose.ES256)))
		}
	})
}

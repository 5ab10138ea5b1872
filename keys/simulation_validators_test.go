package keys

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/keys/jose"
)

// The feed interval, of a server behind its store and of a follower behind its server.
const feedInterval = time.Second

// validator is a service that verifies tokens with a JWKS document that it keeps as long as it may. That no
// document is a bad one whenever it is fetched, judge sees to; this is about who follows, and who asks.
type validator struct {
	m       *simulation
	home    *server // which it follows, and asks; and the only one that it reaches, if it is bound
	bound   bool
	follows bool          // revocations
	asks    bool          // introspection
	delay   time.Duration // between two looks at what it follows, at most feedInterval
	heals   time.Time     // it reaches nobody until then

	copy    *kept // of the document
	sees    map[jose.Algorithm]RingRecord
	revoked []string
	polls   time.Time // zero: there is nothing new
	well    time.Time // it has followed since then
}

func (m *simulation) drawValidators(t *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(t, "validators") {
		v := &validator{m: m, home: rapid.SampledFrom(m.servers).Draw(t, "home"), well: m.now}
		kind := rapid.IntRange(0, 7).Draw(t, "kind")
		v.bound, v.follows, v.asks = kind&1 > 0, kind&2 > 0, kind&4 > 0
		v.delay = quantum * time.Duration(rapid.IntRange(1, 4).Draw(t, "delay"))
		m.validators = append(m.validators, v)
	}
}

// answers reports whether a server would answer a validator.
func (v *validator) answers(s *server) bool {
	return s.up() && s.shows != nil && !v.m.now.Before(v.heals)
}

// work follows what there is to follow.
func (v *validator) work() {
	if !v.follows {
		return
	}
	switch {
	case !v.answers(v.home):
		v.well, v.polls = v.m.now.Add(quantum), time.Time{}
		return
	case due(v.polls, v.m.now):
		v.revoked, v.sees, v.polls = v.home.RevokedKeys(), v.home.knows, time.Time{}
	}
	if v.polls.IsZero() && !sameMap(v.sees, v.home.knows) {
		v.polls = v.m.now.Add(v.delay)
	}
}

// present shows each validator a token that a server signs now.
func (m *simulation) present(s *server, signer *jose.Signer) {
	f := m.keys[signer.KeyID()]
	for _, v := range m.validators {
		if v.take(f) && !f.verified {
			f.verified = true
			m.verify(signer, v.copy.served)
		}
	}
}

// take judges what a validator says of a token, and reports whether it accepts it.
func (v *validator) take(f *fact) bool {
	m := v.m
	if v.follows && slices.Contains(v.revoked, f.kid) {
		if f.revoked.IsZero() {
			m.violate("P1", "EVT-05: a follower of server %d takes %q for revoked, and it is not", v.home.name, f.kid)
		}
		return false
	}
	if v.asks && v.answers(v.home) {
		return v.ask(f)
	}
	if v.copy == nil || !m.now.Before(v.copy.until()) {
		if v.copy = v.fetch(); v.copy == nil {
			return false // nobody answers: the server is unavailable, and says so
		}
	}
	if !v.copy.kids[f.kid] {
		if f.revoked.IsZero() {
			m.judgeCopy(v.copy, f)
		}
		return false
	}
	if v.follows {
		m.noLongerThan(2*feedInterval, f, v.home, v.well, "a follower")
	}
	return true
}

// ask is introspection at the validator's server.
func (v *validator) ask(f *fact) bool {
	_, err := v.m.lookup(v.home, f.kid)
	if err == nil {
		v.m.noLongerThan(feedInterval, f, v.home, v.m.began, "introspection")
	}
	return err == nil && v.copy != nil
}

// noLongerThan: P2: who is connected, to a server that is, hears of a revoked key in time.
func (m *simulation) noLongerThan(bound time.Duration, f *fact, s *server, well time.Time, who string) {
	if f.revoked.IsZero() || s.feed == 0 || s.well.After(f.revoked) || well.After(f.revoked) {
		return
	}
	if late := m.now.Sub(f.revoked); late > bound {
		m.violate("P2", "ROT-07: %s at server %d accepts %q, %s after it was revoked", who, s.name, f.kid, late)
	}
}

// fetch returns the document of a server that answers.
func (v *validator) fetch() *kept {
	for i := range v.m.servers {
		s := v.m.servers[(v.home.name+i)%len(v.m.servers)]
		if v.answers(s) && (s == v.home || !v.bound) {
			c := s.shows.kept
			c.last = v.m.now
			return &c
		}
	}
	return nil
}

// verify signs and verifies in earnest.
func (m *simulation) verify(s *jose.Signer, d *served) {
	if d.set == nil {
		set, err := jose.ParseSet(d.body)
		if err != nil || set.Skipped() > 0 || set.Len() != len(d.kids) {
			m.violate("P6", "JWK-11: a document of %d keys, error %v", len(d.kids), err)
		}
		d.set = set
	}
	token, err := s.Sign("at+jwt", []byte(`{"iss":"x"}`))
	if err != nil {
		m.violate("P1", "JWT-04: %q does not sign: %v", s.KeyID(), err)
	}
	if err := verify(token, d.set); err != nil && !(errors.Is(err, jose.ErrUnknownKey) && !d.kids[s.KeyID()]) {
		m.violate("P1", "JWT-04: a token of %q: %v", s.KeyID(), err)
	}
}

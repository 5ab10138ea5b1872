package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// served is a JWKS document that was served.
type served struct {
	kids map[string]bool
	set  *jose.Set // once somebody verifies with it
	body []byte
}

// kept is a document that somebody may use, who fetched it as late as possible: every other one's copy is too
// old before.
type kept struct {
	*served
	from  *server
	knows map[jose.Algorithm]RingRecord // what the server knew that it was fetched from
	read  time.Time                     // and until when that was all there was
	last  time.Time                     // until then it was served; exclusive
	step  time.Time                     // when the server had last stepped
	under settings                      // the server's, then
}

// until is the end of its max-age, which gets shorter when the server has not had the store for long.
func (k *kept) until() time.Time {
	whole, short := k.last.Add(k.under.maxAge), k.read.Add(roundUp(k.under.lead)-k.under.leeway)
	if short.Before(whole) {
		return latest(k.last, short)
	}
	return whole
}

// shown is the document that a server shows.
type shown struct{ kept }

// look asks every server everything, and judges the answers.
func (m *simulation) look() {
	m.kept = slices.DeleteFunc(m.kept, func(k kept) bool { return !m.now.Before(k.until()) })
	for _, s := range m.servers {
		m.tokensLive(s)
		if s.up() {
			m.lookAtDocument(s)
		}
	}
	for _, s := range m.servers {
		if s.up() {
			m.lookAtSigners(s)
		}
	}
	m.judge()
	for _, v := range m.validators {
		v.work()
	}
}

// tokensLive notes that whoever signed a moment ago may have done so until now.
func (m *simulation) tokensLive(s *server) {
	for _, kid := range s.signs {
		if f := m.keys[kid]; f.revoked.IsZero() {
			f.alive = latest(f.alive, m.now.Add(s.skew+MaxTokenLifetime+m.grace()))
		}
	}
}

// putAway ends the time for which a server shows its document and signs.
func (m *simulation) putAway(s *server) {
	m.tokensLive(s)
	s.signs = nil
	if s.shows != nil {
		s.shows.last = m.now
		m.kept = append(m.kept, s.shows.kept)
		s.shows = nil
	}
}

// silent reports whether a server has to be: what it knows is too old. It fails the history unless err says so.
func (m *simulation) silent(s *server, what string, err error) bool {
	if s.age() > s.settings.outage {
		if !errors.Is(err, ErrStale) {
			m.violate("P3", "%s: server %d goes on, %s after it last had the store; error %v", what, s.name, s.age(), err)
		}
		return true
	}
	return false
}

func (m *simulation) lookAtDocument(s *server) {
	d, err := s.JWKS()
	if m.hooks.document != nil {
		d = m.hooks.document(d)
	}
	if m.silent(s, "JWKS", err) {
		if s.shows != nil {
			signs := s.signs
			m.putAway(s)
			s.signs = signs
		}
		return
	}
	short := max(0, roundUp(s.settings.lead)-s.settings.leeway-s.age()).Truncate(time.Second)
	if err != nil || d.MaxAge != min(s.settings.maxAge, short) {
		m.violate("P1", "JWK-14: JWKS of server %d: max-age %s, error %v", s.name, d.MaxAge, err)
	}
	doc := m.document(d)
	if s.shows != nil && s.shows.served == doc && sameMap(s.shows.knows, s.knows) {
		s.shows.read, s.shows.step = s.read, s.stepped
		return
	}
	if s.shows != nil && s.shows.served != doc {
		signs := s.signs
		m.putAway(s)
		s.signs = signs
	}
	maps.Copy(m.opened, s.current.Load().keys)
	m.lookUp(s, doc)
	s.shows = &shown{kept{served: doc, from: s, knows: s.knows, read: s.read, step: s.stepped, under: s.settings}}
}

func sameMap(a, b map[jose.Algorithm]RingRecord) bool {
	if len(a) != len(b) {
		return false
	}
	for alg := range a {
		if a[alg].Version != b[alg].Version {
			return false
		}
	}
	return true
}

// lookUp: what a server knows is what it shows, and what it answers to introspection.
func (m *simulation) lookUp(s *server, doc *served) {
	revoked := s.RevokedKeys()
	for _, r := range s.knows {
		for i := range r.Keys {
			k := &r.Keys[i]
			gone := !k.RevokedAt.IsZero() || k.Sealed == "" || !k.WithdrawAt.IsZero() && !k.WithdrawAt.After(s.clock())
			_, err := m.lookup(s, k.KeyID)
			switch {
			case !k.RevokedAt.IsZero() && (!errors.Is(err, jose.ErrUnknownKey) || doc.kids[k.KeyID] || !slices.Contains(revoked, k.KeyID)):
				m.violate("P2", "ROT-07: server %d knows that %q is revoked; Lookup says %v, its document has it: %t", s.name, k.KeyID, err, doc.kids[k.KeyID])
			case gone != (err != nil) || gone == doc.kids[k.KeyID]:
				m.violate("P1", "JWK-10: server %d and %q: gone %t, Lookup says %v, its document has it: %t", s.name, k.KeyID, gone, err, doc.kids[k.KeyID])
			}
		}
	}
}

func (m *simulation) lookup(s *server, kid string) (*jose.PublicKey, error) {
	if m.hooks.lookup != nil {
		return m.hooks.lookup(s, kid)
	}
	return s.Lookup(kid)
}

func (m *simulation) lookAtSigners(s *server) {
	s.signs = nil
	for _, alg := range m.algorithms() {
		signer, err := m.signer(s, alg)
		if m.silent(s, "Signer", err) {
			continue
		}
		want := whoSigns(s.knows[alg], s.clock())
		if want == "" {
			if len(s.knows[alg].Keys) > 0 && !m.maySilent(s.knows[alg], s.clock()) {
				m.violate("P4", "JWT-25: nobody signs for %s at server %d: %s", alg, s.name, m.story(s.knows[alg]))
			}
			if !errors.Is(err, ErrNoSigner) {
				m.violate("P4", "ROT-04: somebody signs for %s at server %d, where nobody may; error %v", alg, s.name, err)
			}
			continue
		}
		if err != nil {
			m.violate("P4", "JWT-25: %q does not sign at server %d: %v", want, s.name, err)
		}
		kid := signer.KeyID()
		m.mustNotSign(s, kid)
		if kid != want {
			m.violate("P4", "ROT-04: %q signs for %s at server %d, and it is the turn of %q", kid, alg, s.name, want)
		}
		if from, used := m.usable[alg]; used && (m.early || !s.clock().Before(from)) {
			if s.signs == nil {
				s.signs = map[jose.Algorithm]string{}
			}
			s.signs[alg] = kid
			m.present(s, signer)
		}
	}
	m.tokensLive(s)
}

func (m *simulation) signer(s *server, alg jose.Algorithm) (*jose.Signer, error) {
	if m.hooks.signer != nil {
		return m.hooks.signer(s, alg)
	}
	return s.Signer(alg, s.clock())
}

// mustNotSign: P3.
func (m *simulation) mustNotSign(s *server, kid string) {
	f := m.keys[kid]
	switch {
	case f.revoked.IsZero():
	case s.knows[f.alg].Version >= f.revokedAt:
		m.violate("P3", "ROT-07: %q signs at server %d, which knows that it is revoked", kid, s.name)
	case s.feed > 0 && !s.well.After(f.revoked) && m.now.Sub(f.revoked) > time.Second:
		m.violate("P3", "ROT-07: %q signs at server %d, %s after it was revoked", kid, s.name, m.now.Sub(f.revoked))
	case m.now.Sub(f.revoked) > s.settings.outage:
		m.violate("P3", "ROT-07: %q signs at server %d, which is cut off, %s after it was revoked", kid, s.name, m.now.Sub(f.revoked))
	}
}

// judge: P1 and P2, of every copy of a document that anybody may have.
func (m *simulation) judge() {
	for _, f := range m.keys {
		if f.revoked.IsZero() && !m.now.Before(f.alive) {
			continue
		}
		for i := range m.kept {
			m.judgeCopy(&m.kept[i], f)
		}
		for _, s := range m.servers {
			if s.shows != nil {
				s.shows.last = m.now
				m.judgeCopy(&s.shows.kept, f)
			}
		}
	}
}

func (m *simulation) judgeCopy(c *kept, f *fact) {
	outage := c.under.outage
	switch has := c.kids[f.kid]; {
	case !f.revoked.IsZero():
		if has && m.now.Sub(f.revoked) > outage+c.under.maxAge {
			m.violate("P2", "ROT-07: %s after %q was revoked, somebody may still have a document with it", m.now.Sub(f.revoked), f.kid)
		}
	case has:
	case c.knows[f.alg].Version >= f.version:
		m.violate("P1", "ROT-03: a token of %q lives until %s, and a document of server %d has the key no more: %s",
			f.kid, f.alive.Sub(m.began), c.from.name, m.story(m.rings[f.alg]))
	case m.now.Sub(f.stored) > outage+c.under.maxAge:
		m.violate("P1", "ROT-08: %q is unknown to somebody for longer than the outage %s and max-age %s", f.kid, outage, c.under.maxAge)
	case !f.excused(m) && m.now.Before(m.promised(c, f)):
		m.violate("P1", "ROT-02: %q signs, stored at %s, and somebody has a document of server %d that was fetched at %s (as of %s) and is kept for %s: %s",
			f.kid, f.stored.Sub(m.began), c.from.name, c.last.Sub(m.began), c.read.Sub(m.began), c.under.maxAge, m.story(m.rings[f.alg]))
	}
}

// promised returns until when, exclusive, a copy is known to be complete: until it is too old, if the servers'
// settings are alike. If they differ, those count that have been stamped on the key before.
func (m *simulation) promised(c *kept, f *fact) time.Time {
	own := c.under.maxAge + c.under.refresh + m.apart
	if f.lead < own && !c.step.After(f.before) {
		return time.Time{}
	}
	if sooner := c.read.Add(max(c.under.refresh+c.under.maxAge, f.lead-m.apart)); sooner.Before(c.until()) {
		return sooner
	}
	return c.until()
}

// story tells of a ring what happens when, for a person to read.
func (m *simulation) story(r RingRecord) string {
	var b strings.Builder
	since := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Sub(m.began).String()
	}
	for i := range r.Keys {
		k := &r.Keys[i]
		fmt.Fprintf(&b, "\n  %.8s published %s, signs %s, leaves %s, revoked %s, lead %s", k.KeyID,
			since(k.PublishedAt), since(k.SignFrom), since(k.WithdrawAt), since(k.RevokedAt), k.Windows.PublishLead)
	}
	return b.String()
}

// document reads a document: P6.
func (m *simulation) document(d Document) *served {
	if doc := m.documents[d.ETag]; doc != nil {
		if !bytes.Equal(doc.body, d.Body) {
			m.violate("P6", "JWK-10: two documents have the ETag %s", d.ETag)
		}
		return doc
	}
	doc := &served{kids: map[string]bool{}, body: d.Body}
	inner, ok := strings.CutPrefix(string(d.Body), `{"keys":[`)
	inner, ok2 := strings.CutSuffix(inner, `]}`)
	if !ok || !ok2 || inner == "" {
		m.violate("P6", "JWK-14: the document is %q", d.Body)
	}
	for _, jwk := range strings.SplitAfter(inner, "}") {
		if jwk == "" {
			continue
		}
		kid, err := readJWK(strings.TrimPrefix(jwk, ","))
		if err != nil || doc.kids[kid] {
			m.violate("P6", "JWK-03, JWK-04: a key of the document is %s: error %v, twice: %t", jwk, err, doc.kids[kid])
		}
		doc.kids[kid] = true
	}
	if len(doc.kids) > jose.MaxSetKeys {
		m.violate("P6", "JWK-13: the document has %d keys", len(doc.kids))
	}
	m.documents[d.ETag] = doc
	return doc
}

var jwks sync.Map // of all histories: what readJWK returned, by JWK

// readJWK returns the kid of a JWK, which has public members only and is one that a verifier can use.
func readJWK(jwk string) (kid string, err error) {
	if v, ok := jwks.Load(jwk); ok {
		return v.(string), nil
	}
	members := map[string]any{}
	if err := json.Unmarshal([]byte(jwk), &members); err != nil {
		return "", err
	}
	for name := range members {
		if !slices.Contains([]string{"kty", "crv", "x", "y", "use", "alg", "kid"}, name) {
			return "", fmt.Errorf("has a member %q", name)
		}
	}
	set, err := jose.ParseSet([]byte(`{"keys":[` + jwk + `]}`))
	if err != nil || set.Len() != 1 {
		return "", fmt.Errorf("no usable key: %w", err)
	}
	kid = set.Keys()[0].KeyID()
	jwks.Store(jwk, kid)
	return kid, nil
}

// grace is the leeway of verifiers.
func (m *simulation) grace() time.Duration { return MaxVerifierLeeway }

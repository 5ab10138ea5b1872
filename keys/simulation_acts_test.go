package keys

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/keys/jose"
)

// act is something that happens to the simulation.
type act struct {
	name string
	do   func(*rapid.T)
}

// String is what rapid prints.
func (a act) String() string { return a.name }

// GoString is what rapid prints.
func (a act) GoString() string { return a.name }

// acts returns what may happen; what is in the list twice happens twice as often.
func (m *simulation) acts() []act {
	moment := act{"a moment", func(t *rapid.T) { m.advance(quantum * time.Duration(rapid.IntRange(1, 12).Draw(t, "quarters"))) }}
	while := act{"a while", func(t *rapid.T) { m.advance(m.unit * time.Duration(rapid.IntRange(1, 30).Draw(t, "units"))) }}
	stamp := act{"to a stamp", m.toAStamp}
	misfortunes := []act{{"a server crashes", m.crashes}, {"a server is cut off", m.cutsOff}}
	if m.calm {
		long := act{"long", func(t *rapid.T) { m.advance(m.unit * time.Duration(rapid.IntRange(60, 200).Draw(t, "units"))) }}
		return append(misfortunes, moment, while, long)
	}
	list := append(misfortunes, moment, moment, while, while, stamp, stamp, stamp,
		act{"all are off", func(t *rapid.T) { m.allOff(time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second) }},
		act{"an answer is lost", func(t *rapid.T) {
			s := rapid.SampledFrom(m.servers).Draw(t, "server")
			s.lose = true
		}},
		act{"a validator is cut off", func(t *rapid.T) {
			v := rapid.SampledFrom(m.validators).Draw(t, "validator")
			v.heals = m.now.Add(m.unit * time.Duration(rapid.IntRange(1, 30).Draw(t, "units")))
			v.well = v.heals
		}},
		act{"two act at once", m.race},
		act{"behind a server's back", m.behind},
	)
	for _, deed := range m.deeds() {
		list = append(list, act{deed.name, func(t *rapid.T) {
			if s := m.someone(t); s != nil {
				deed.do(t, s)
			}
		}})
	}
	return list
}

// someone returns a server that is up, or nil.
func (m *simulation) someone(t *rapid.T) *server {
	up := m.up(nil)
	if len(up) == 0 {
		return nil
	}
	return rapid.SampledFrom(up).Draw(t, "server")
}

func (m *simulation) up(but *server) []*server {
	return slices.DeleteFunc(slices.Clone(m.servers), func(s *server) bool { return !s.up() || s == but })
}

// GoString is what rapid prints.
func (s *server) GoString() string { return fmt.Sprintf("server %d", s.name) }

// GoString is what rapid prints.
func (v *validator) GoString() string { return fmt.Sprintf("a validator of server %d", v.home.name) }

// toAStamp lets time pass until just before, or just after, something is to happen. If that is far off, the
// servers are off most of the time.
func (m *simulation) toAStamp(t *rapid.T) {
	var stamps []time.Time
	add := func(at time.Time) {
		if at.After(m.now) {
			stamps = append(stamps, at)
		}
	}
	for _, alg := range m.algorithms() {
		for _, k := range m.rings[alg].Keys {
			add(k.SignFrom)
			add(k.WithdrawAt)
			add(k.PublishedAt.Add(k.Windows.PublishLead))
		}
	}
	if len(stamps) > 0 {
		m.around(t, rapid.SampledFrom(stamps).Draw(t, "stamp"))
	}
}

// around lets time pass until about that time.
func (m *simulation) around(t *rapid.T, at time.Time) {
	at = at.Add(quantum * time.Duration(rapid.IntRange(-8, 4).Draw(t, "quarters")))
	if far := at.Sub(m.now) - 20*m.unit; far > 0 {
		m.allOff(far)
	}
	if at.After(m.now) {
		m.advance(at.Sub(m.now))
	}
}

// allOff stops every server for a time.
func (m *simulation) allOff(d time.Duration) {
	for _, s := range m.servers {
		if s.up() {
			s.crash(d)
		}
	}
	m.advance(d)
}

// victim returns a server to which something bad may happen, or nil.
func (m *simulation) victim(t *rapid.T) *server {
	some := m.up(nil)
	if m.calm {
		some = m.up(m.servers[0])
	}
	if len(some) == 0 {
		return nil
	}
	return rapid.SampledFrom(some).Draw(t, "server")
}

func (m *simulation) crashes(t *rapid.T) {
	s := m.victim(t)
	if s == nil {
		return
	}
	s.crash(quantum * time.Duration(rapid.IntRange(1, 100).Draw(t, "quarters")))
	if !m.same && rapid.Bool().Draw(t, "other settings") {
		s.settings = m.draw(t)
	}
}

func (m *simulation) cutsOff(t *rapid.T) {
	if s := m.victim(t); s != nil {
		most := int((s.settings.outage + 3*s.settings.refresh) / quantum)
		s.cutOff(quantum * time.Duration(rapid.IntRange(1, most).Draw(t, "quarters")))
	}
}

// cutOff parts a server from its store.
func (s *server) cutOff(d time.Duration) {
	s.heals = s.m.now.Add(d)
	s.well = s.heals.Add(s.feed)
}

// deed is something that a person does at a server.
type deed struct {
	name string
	do   func(*rapid.T, *server)
}

// GoString is what rapid prints.
func (d deed) GoString() string { return d.name }

func (m *simulation) deeds() []deed {
	return []deed{
		{"rotate", m.rotate},
		{"rotate", m.rotate},
		{"withdraw", m.withdraw},
		{"revoke what signs", func(t *rapid.T, s *server) { m.revoke(t, s, StateActive) }},
		{"revoke", func(t *rapid.T, s *server) {
			m.revoke(t, s, rapid.SampledFrom([]State{StateNext, StateRetiring, StateWithdrawn, StateRevoked}).Draw(t, "state"))
		}},
		{"revoke all", m.revokeAll},
		{"import", m.imports},
		{"another algorithm", m.ensure},
	}
}

// race lets one server act just before another one stores what it does.
func (m *simulation) race(t *rapid.T) {
	a := m.someone(t)
	if a == nil || len(m.up(a)) == 0 {
		return
	}
	b := rapid.SampledFrom(m.up(a)).Draw(t, "at once")
	deeds := m.deeds()
	deeds = append(deeds, deed{"step", func(_ *rapid.T, s *server) { s.step() }})
	first, second := rapid.IntRange(0, len(deeds)-1).Draw(t, "deed"), rapid.IntRange(0, len(deeds)-1).Draw(t, "deed")
	a.before = func() { deeds[second].do(t, b) }
	deeds[first].do(t, a)
	a.before = nil
}

// behind cuts a server off, lets another one rotate or revoke, and time pass for as long as the first one may
// act on what it knew, and perhaps until the last key leaves for which another one signs now.
func (m *simulation) behind(t *rapid.T) {
	a := m.someone(t)
	if a == nil || len(m.up(a)) == 0 {
		return
	}
	b := rapid.SampledFrom(m.up(a)).Draw(t, "other server")
	a.cutOff(a.settings.outage + a.settings.refresh)
	m.advance(quantum)
	if b.up() {
		rapid.SampledFrom([]deed{{"rotate", m.rotate}, m.deeds()[3]}).Draw(t, "deed").do(t, b)
		m.look()
		m.advance(a.settings.outage)
	}
	var leaves time.Time
	for _, k := range m.rings[m.usual].Keys {
		leaves = latest(leaves, k.WithdrawAt)
	}
	if leaves.After(m.now) && rapid.Bool().Draw(t, "to the end") {
		m.around(t, leaves)
	}
}

func (m *simulation) rotate(t *rapid.T, s *server) {
	alg := rapid.SampledFrom(append(m.algorithms(), "")).Draw(t, "algorithm")
	_, err := s.Rotate(bg, alg, admin)
	s.expect(err, "Rotate", ErrTooManyKeys)
}

func (m *simulation) withdraw(_ *rapid.T, s *server) {
	for _, v := range s.List() {
		if v.State == StateNext {
			s.expect(s.Withdraw(bg, v.KeyID, admin), "Withdraw", ErrIllegalStep)
			return
		}
	}
}

// revoke revokes up to three keys of a state: several emergencies within one lead.
func (m *simulation) revoke(t *rapid.T, s *server, state State) {
	left := rapid.IntRange(1, 3).Draw(t, "keys")
	for _, v := range s.List() {
		if v.State != state || left == 0 {
			continue
		}
		left--
		done, err := s.Revoke(bg, v.KeyID, admin)
		s.expect(err, "Revoke", ErrNotFound) // its list was an old one
		if err != nil {
			continue
		}
		if m.keys[v.KeyID].revoked.IsZero() {
			m.violate("P2", "ROT-07: server %d says that %q is revoked, and it is not", s.name, v.KeyID)
		}
		if again, err := s.Revoke(bg, v.KeyID, admin); err != nil || again.KeyID != done.KeyID || again.Was != done.Was {
			m.violate("P2", "ROT-07: revoked %+v, and again %+v, error %v", done, again, err)
		}
	}
}

// revokeAll revokes every key, under an identifier that may have been used.
func (m *simulation) revokeAll(t *rapid.T, s *server) {
	before := map[string]*fact{}
	for kid, f := range m.keys {
		if r := m.rings[f.alg]; r.Keys[0].Algorithm == f.alg && f.revoked.IsZero() && m.published(r, kid) {
			before[kid] = f
		}
	}
	id := fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "identifier"))
	repeated := slices.ContainsFunc(m.algorithms(), func(alg jose.Algorithm) bool { return m.rings[alg].Emergency.ID == id })
	_, err := s.RevokeAll(bg, id, admin)
	s.expect(err, "RevokeAll")
	if err != nil || repeated {
		return
	}
	for kid, f := range before {
		if f.revoked.IsZero() {
			m.violate("P2", "ROT-07: server %d says that all keys are revoked, and %q is not", s.name, kid)
		}
	}
}

// published reports whether a key is published by the slowest clock.
func (m *simulation) published(r RingRecord, kid string) bool {
	i := r.index(kid)
	return i >= 0 && r.Keys[i].Sealed != "" && (r.Keys[i].WithdrawAt.IsZero() || r.Keys[i].WithdrawAt.After(m.now.Add(m.apart)))
}

// imports takes over keys of another server, which verifiers know already if somebody says so.
func (m *simulation) imports(t *rapid.T, s *server) {
	alg := rapid.SampledFrom([]jose.Algorithm{jose.ES256, jose.Ed25519}).Draw(t, "algorithm")
	known := rapid.IntRange(0, 3).Draw(t, "known") == 0
	count := rapid.SampledFrom([]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 40}).Draw(t, "keys")
	for range count {
		key, err := m.rack.take(alg)
		if err != nil {
			t.Fatal(err)
		}
		m.imported++
		in := ImportedKey{Key: key, Algorithm: alg, KeyID: fmt.Sprintf("theirs/%d", m.imported%70)}
		if known {
			in.PublishedAt = s.clock().Add(-100 * m.unit)
		}
		_, made := m.rings[alg]
		_, err = s.Import(bg, in, admin)
		s.expect(err, "Import", ErrTooManyKeys, ErrDuplicate)
		if err == nil && !made {
			m.use(s, alg)
		}
	}
}

// ensure brings an algorithm into use.
func (m *simulation) ensure(_ *rapid.T, s *server) {
	alg := jose.Ed25519
	if m.usual == alg {
		alg = jose.ES256
	}
	if _, made := m.rings[alg]; made {
		return
	}
	_, err := s.Ensure(bg, alg, admin)
	s.expect(err, "Ensure")
	if err == nil {
		m.use(s, alg)
	}
}

// use lets resources use a ring as soon as every verifier knows its key (ROT-13).
func (m *simulation) use(s *server, alg jose.Algorithm) {
	if _, used := m.usable[alg]; used {
		return
	}
	from, err := s.KnownFrom(alg)
	if err != nil {
		m.violate("P1", "ROT-13: server %d has made a ring for %s and does not know when it is known: %v", s.name, alg, err)
	}
	m.usable[alg] = from
}

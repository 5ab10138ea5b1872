package keys

import (
	"bytes"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// fact is what the simulation knows of a key, by the true clock, from what the store was told.
type fact struct {
	kid      string
	alg      jose.Algorithm
	public   []byte
	stored   time.Time
	version  uint64        // of the ring when it was
	signFrom time.Time     // as it is stamped
	lead     time.Duration // for which it was to be published before its turn, as of when that was stamped
	before   time.Time     // when the key was stored whose turn it was then

	first   bool // of a ring that came into use while there were documents
	urgent  bool // an emergency gave it its turn before its lead had passed
	claimed bool // imported, and somebody said that verifiers knew it already

	revoked   time.Time
	revokedAt uint64    // version of the ring
	alive     time.Time // until then, exclusive, somebody may take a token that it signed
	verified  bool      // a token of it was signed and verified in earnest
}

// excused reports whether the turn of a key may begin before each verifier knows it: README.md lists when.
func (k *fact) excused(m *simulation) bool {
	return k.urgent || k.claimed || k.first && m.early
}

// record notes a change of the store, and judges it.
func (m *simulation) record(s *server, from, to RingRecord, e audit.Entry) {
	emergency := e.Action == ActionRevoke || e.Action == ActionRevokeAll
	for i := range to.Keys {
		k := &to.Keys[i]
		f := m.keys[k.KeyID]
		switch {
		case f == nil:
			f = &fact{kid: k.KeyID, alg: to.Algorithm, public: k.Public, stored: m.now, version: to.Version}
			f.first = len(from.Keys) == 0 && to.Algorithm != m.usual
			f.claimed = k.Imported && k.PublishedAt.Before(floor(s.clock()))
			m.keys[k.KeyID] = f
		case !bytes.Equal(f.public, k.Public), f.alg != to.Algorithm:
			m.violate("P6", "JWK-04: kid %q names two keys", k.KeyID)
		}
		if !k.SignFrom.Equal(f.signFrom) && !k.SignFrom.IsZero() {
			f.lead, f.before = k.Windows.PublishLead, f.stored
			if i := from.index(whoSigns(from, s.clock())); i >= 0 {
				f.lead, f.before = max(f.lead, from.Keys[i].Windows.PublishLead), m.keys[from.Keys[i].KeyID].stored
			}
			f.urgent = emergency && k.SignFrom.Before(k.PublishedAt.Add(m.longestLead(to)))
		}
		f.signFrom = k.SignFrom
		if !k.RevokedAt.IsZero() && f.revoked.IsZero() {
			f.revoked, f.revokedAt, f.alive = m.now, to.Version, time.Time{}
		}
	}
	m.neverComesBack(to)
	m.oneSigns(to)
	if e.Action == ActionRotate && e.Actor.Kind == audit.ActorSystem {
		m.onceAPeriod(s, from, to)
	}
}

func (m *simulation) longestLead(r RingRecord) (lead time.Duration) {
	for i := range r.Keys {
		lead = max(lead, r.Keys[i].Windows.PublishLead)
	}
	return lead
}

// neverComesBack: P2, of the store.
func (m *simulation) neverComesBack(r RingRecord) {
	for _, f := range m.keys {
		if f.alg != r.Algorithm || f.revoked.IsZero() {
			continue
		}
		if i := r.index(f.kid); i < 0 || r.Keys[i].RevokedAt.IsZero() || r.Keys[i].Sealed != "" {
			m.violate("P2", "ROT-07: %q was revoked, and is stored as if it were not", f.kid)
		}
	}
}

// whoSigns says whose turn it is, from stamps alone, in the words of README.md rather than those of the code.
func whoSigns(r RingRecord, at time.Time) (kid string) {
	var turn *Key
	for i := range r.Keys {
		k := &r.Keys[i]
		switch {
		case k.SignFrom.IsZero(), k.SignFrom.After(at):
		case turn == nil, k.SignFrom.After(turn.SignFrom), k.SignFrom.Equal(turn.SignFrom) && !turn.RevokedAt.IsZero():
			turn = k
		}
	}
	if turn == nil || !turn.RevokedAt.IsZero() || !turn.WithdrawAt.IsZero() && !turn.WithdrawAt.After(at) {
		return ""
	}
	return turn.KeyID
}

// oneSigns: P4, of the store: by every clock, now and at each turn to come, exactly one key signs.
func (m *simulation) oneSigns(r RingRecord) {
	at := []time.Time{m.now, m.now.Add(m.apart)}
	starts := map[int64]string{}
	for i := range r.Keys {
		k := &r.Keys[i]
		if k.SignFrom.After(m.now) {
			at = append(at, k.SignFrom, k.SignFrom.Add(-quantum))
		}
		if !k.WithdrawAt.IsZero() && k.WithdrawAt.After(m.now) {
			at = append(at, k.WithdrawAt)
		}
		if !k.SignFrom.IsZero() && k.RevokedAt.IsZero() {
			if other := starts[k.SignFrom.Unix()]; other != "" {
				m.violate("P4", "ROT-04: %q and %q start together", k.KeyID, other)
			}
			starts[k.SignFrom.Unix()] = k.KeyID
		}
	}
	for _, t := range at {
		if whoSigns(r, t) == "" && !m.maySilent(r, t) {
			m.violate("P4", "ROT-04: of ring %s nobody signs at %s: %s", r.Algorithm, t.Sub(m.began), m.story(r))
		}
	}
}

// maySilent reports whether nobody need sign for a ring by a clock that shows at: its first key has yet to
// start, or a server whose clock is ahead revoked the key whose turn it is, and the next turn begins by that
// clock.
func (m *simulation) maySilent(r RingRecord, at time.Time) bool {
	first := m.firstTurn[r.Algorithm]
	if first.IsZero() {
		first = r.Keys[0].SignFrom
		m.firstTurn[r.Algorithm] = first
	}
	revoked := slices.ContainsFunc(r.Keys, func(k Key) bool { return !k.RevokedAt.IsZero() })
	return at.Before(first) || revoked && slices.ContainsFunc(r.Keys, func(k Key) bool {
		return k.SignFrom.After(at) && k.SignFrom.Sub(at) <= m.apart
	})
}

// stampedLead is the longest lead of the active keys that the server knows: documents from before the key in
// question may be kept for as long as that allows.
func (s *server) stampedLead() (lead time.Duration) {
	for _, r := range s.knows {
		if k, ok := r.Signing(s.clock()); ok {
			lead = max(lead, k.Windows.PublishLead)
		}
	}
	return lead
}

// onceAPeriod: P5: what the schedule stamps is not too early, nor later than it has to be.
func (m *simulation) onceAPeriod(s *server, from, to RingRecord) {
	i := from.index(whoSigns(from, s.clock()))
	if i < 0 {
		m.violate("P5", "ROT-06: a scheduled turn of ring %s while nobody signs", to.Algorithm)
	}
	active := from.Keys[i]
	due := active.SignFrom.Add(roundUp(s.settings.period))
	for j := range to.Keys {
		k := to.Keys[j]
		if i := from.index(k.KeyID); i >= 0 && from.Keys[i].SignFrom.Equal(k.SignFrom) {
			continue
		}
		known := k.PublishedAt.Add(max(k.Windows.PublishLead, active.Windows.PublishLead, s.windows.PublishLead, s.stampedLead()))
		switch last := latest(due, known, floor(s.clock())); {
		case s.settings.period == 0 || k.SignFrom.Before(due):
			m.violate("P5", "ROT-06: %q takes over %s after %q did; the period is %s", k.KeyID, k.SignFrom.Sub(active.SignFrom), active.KeyID, s.settings.period)
		case k.SignFrom.After(last.Add(time.Second)):
			m.violate("P5", "ROT-06: %q takes over at %s, and could at %s", k.KeyID, k.SignFrom, last)
		}
		m.turns++
	}
}

// onSchedule: P5: once a server has stepped, each turn that it has to see to is stamped.
func (m *simulation) onSchedule(s *server) {
	p, now := s.settings.period, s.clock()
	for alg, r := range m.rings {
		i := r.index(whoSigns(r, now))
		if p == 0 || i < 0 {
			continue
		}
		waits := slices.ContainsFunc(r.Keys, func(k Key) bool {
			return k.RevokedAt.IsZero() && k.Sealed != "" && k.SignFrom.After(now)
		})
		if at := r.Keys[i].SignFrom.Add(roundUp(p) - s.settings.outage - s.settings.refresh); !waits && !now.Before(at) {
			m.violate("P5", "ROT-06: %q signs for %s at %s, and no turn is stamped although one is due at %s",
				r.Keys[i].KeyID, alg, now.Sub(m.began), r.Keys[i].SignFrom.Add(p).Sub(m.began))
		}
	}
}

// inTheEnd: P5: where nobody did anything, one turn followed on another, a period apart.
func (m *simulation) inTheEnd() {
	s := m.servers[0]
	if !m.calm {
		return
	}
	for _, r := range m.rings {
		var turns []time.Time
		for i := range r.Keys {
			if at := r.Keys[i].SignFrom; !at.IsZero() && !at.After(s.clock()) {
				turns = append(turns, at)
			}
		}
		turns = append(turns, s.clock())
		for i, at := range turns[1:] {
			last, gap := i+2 == len(turns), at.Sub(turns[i])
			if most := roundUp(s.settings.period) + 2*time.Second; gap > most || !last && gap < s.settings.period {
				m.violate("P5", "ROT-06: %s between two turns, and the period is %s", gap, s.settings.period)
			}
		}
	}
}

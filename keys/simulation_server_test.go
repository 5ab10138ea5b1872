package keys

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// settings is what an operator may turn.
type settings struct {
	maxAge, refresh, lead, outage, leeway, period time.Duration
}

// draw returns settings that Validate accepts, as tight as it accepts them half of the time. Steps of the
// timeline are units apart, so that one history spans seconds, and another one days.
func (m *simulation) draw(t *rapid.T) settings {
	odd := func(name string) time.Duration { return quantum * time.Duration(rapid.IntRange(0, 3).Draw(t, name)) }
	some := func(name string, least, most int) time.Duration {
		return m.unit * time.Duration(rapid.IntRange(least, most).Draw(t, name))
	}
	s := settings{
		maxAge:  some("max-age", 1, 20),
		refresh: some("refresh", 1, 7) + odd("refresh"),
		leeway:  m.apart,
	}
	least := s.maxAge + s.refresh + s.leeway
	s.lead = least + m.unit*time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 7, 40}).Draw(t, "lead"))
	s.outage = s.refresh + some("outage", 1, 30) + odd("outage")
	if !m.byHand {
		// Few keys are published at a time: each step has to write their documents.
		retire := Config{StoreOutage: s.outage, RefreshInterval: s.refresh, Leeway: s.leeway}.windows().RetireAfter
		s.period = max(s.lead+s.refresh+s.leeway, roundUp(retire/8)) + some("period", 0, 30)
	}
	return s
}

// server is one server with its way to the store.
type server struct {
	*Ring    // nil while it is down
	m        *simulation
	name     int
	skew     time.Duration // how far its clock is ahead of the true one; at most simulation.apart
	settings settings
	feed     time.Duration // how long after a change it reads the rings; zero: it has no feed, and only steps

	// When what happens next, by the true clock; zero: never.
	boots, steps, reloads, heals time.Time

	well    time.Time // since then it has been up, and has had its store
	stepped time.Time // when it last carried out what is due

	// What it knows, by what its store has answered.
	knows map[jose.Algorithm]RingRecord // replaced, never changed
	read  time.Time                     // the true time at which that was all there was

	shows *shown                    // its document
	signs map[jose.Algorithm]string // kids

	lose   bool   // the next write is stored, and its answer is lost
	before func() // happens just before the next write
}

var errCutOff = errors.New("cut off")

func (s *server) up() bool           { return s.Ring != nil }
func (s *server) cut() bool          { return s.m.now.Before(s.heals) }
func (s *server) clock() time.Time   { return s.m.now.Add(s.skew) }
func (s *server) age() time.Duration { return s.m.now.Sub(s.read) } // of what it knows

// boot starts the server, as a process that remembers nothing.
func (s *server) boot() {
	ring, err := NewRing(Config{
		Rings: s, KEKs: []*jose.KEK{testKEK(1)}, Installation: "simulation", Provider: s.m.rack,
		JWKSMaxAge: s.settings.maxAge, RefreshInterval: s.settings.refresh, PublishLead: s.settings.lead,
		StoreOutage: s.settings.outage, Leeway: s.settings.leeway, FirstKeyAtOnce: len(s.m.servers) == 1,
		Default: s.m.usual,
		Periods: map[jose.Algorithm]time.Duration{jose.ES256: s.settings.period, jose.Ed25519: s.settings.period},
		Now:     s.clock,
	})
	if err != nil {
		s.m.t.Fatalf("settings %+v: %v", s.settings, err)
	}
	s.Ring, s.boots, s.reloads, s.well = ring, time.Time{}, time.Time{}, s.m.now
	if s.m.hooks.build != nil {
		s.m.hooks.build(s)
	}
	s.step()
}

// crash ends the process: documents that it handed out, and tokens that it signed, stay where they are.
func (s *server) crash(d time.Duration) {
	s.m.putAway(s)
	s.Ring, s.knows, s.boots = nil, nil, s.m.now.Add(d)
	s.steps, s.reloads = time.Time{}, time.Time{}
}

func (s *server) step() {
	s.steps = s.m.now.Add(s.settings.refresh)
	err := s.Step(bg, s.clock())
	s.expect(err, "Step", ErrTooManyKeys)
	if err == nil {
		s.stepped = s.m.now
		s.m.onSchedule(s)
	}
}

// hears is what the feed tells of a change.
func (s *server) hears() {
	if s.up() && s.feed > 0 && s.reloads.IsZero() {
		s.reloads = s.m.now.Add(s.feed)
	}
}

// expect fails the history unless err is nil, or what a server that is cut off says, or one of those allowed.
func (s *server) expect(err error, what string, allowed ...error) {
	switch {
	case err == nil && s.cut():
		s.m.violate("P0", "%s at server %d, which is cut off, succeeds", what, s.name)
	case err == nil, s.cut() && errors.Is(err, errCutOff), errors.Is(err, errLost):
	case slices.ContainsFunc(allowed, func(a error) bool { return errors.Is(err, a) }):
	default:
		s.m.violate("P0", "%s at server %d: %v", what, s.name, err)
	}
}

// wake does what is due at this server now.
func (s *server) wake() {
	if !s.heals.IsZero() && !s.cut() {
		s.heals = time.Time{}
		if s.up() && s.feed > 0 {
			s.reloads = s.m.now.Add(s.feed)
		}
	}
	if due(s.boots, s.m.now) {
		if s.cut() {
			s.boots = s.heals // a server does not start without its store
		} else {
			s.boot()
		}
	}
	if !s.up() {
		return
	}
	if due(s.reloads, s.m.now) {
		s.reloads = time.Time{}
		if !s.cut() && !s.m.hooks.deaf {
			s.expect(s.Reload(bg), "Reload")
		}
	}
	if due(s.steps, s.m.now) {
		s.step()
	}
	if s.feed > 0 && !s.cut() && s.reloads.IsZero() {
		s.ConfirmedAt(s.clock()) // it has followed every change, and would hear of another one
		s.read = s.m.now
	}
}

func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// events returns the times at which something may happen at this server by itself.
func (s *server) events(at func(time.Time)) {
	for _, t := range []time.Time{s.boots, s.steps, s.reloads, s.heals} {
		at(t)
	}
	if !s.up() {
		return
	}
	at(s.read.Add(s.settings.outage + quantum))
	for _, r := range s.knows {
		for i := range r.Keys {
			k := &r.Keys[i]
			if !k.SignFrom.IsZero() {
				at(k.SignFrom.Add(-s.skew))
			}
			if !k.WithdrawAt.IsZero() {
				at(k.WithdrawAt.Add(-s.skew))
			}
		}
	}
}

// Rings implements Rings: the way to the store.
func (s *server) Rings(context.Context) ([]RingRecord, error) {
	if s.cut() {
		return nil, errCutOff
	}
	s.knows, s.read = maps.Clone(s.m.rings), s.m.now
	s.warm()
	var list []RingRecord
	for _, r := range s.m.rings {
		list = append(list, r.clone())
	}
	return list, nil
}

// warm gives the server what others have opened already: opening keys would take most of the time. The
// snapshot with it is replaced right after.
func (s *server) warm() {
	if s.m.cold {
		return
	}
	with := snapshot{}
	if current := s.current.Load(); current != nil {
		with = *current
	}
	with.keys = s.m.opened
	s.current.Store(&with)
}

// PutRing implements Rings.
func (s *server) PutRing(_ context.Context, r RingRecord, e audit.Entry) (RingRecord, error) {
	if f := s.before; f != nil {
		s.before = nil
		f()
	}
	from := s.m.rings[r.Algorithm]
	switch {
	case s.cut():
		return RingRecord{}, errCutOff
	case from.Version != r.Version:
		return RingRecord{}, ErrConflict
	}
	r = r.clone()
	r.Version++
	lost := s.lose
	s.lose = false
	s.m.commit(s, from, r, e)
	if lost {
		s.hears()
		return RingRecord{}, errLost
	}
	s.knows = maps.Clone(s.knows)
	s.knows[r.Algorithm] = r
	return r.clone(), nil
}

var errLost = errors.New("the answer is lost")

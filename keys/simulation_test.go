package keys

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// The simulation: 1 to 5 servers on one store, whose clocks are apart, and whoever verifies their tokens,
// on a virtual clock that jumps from one time at which something may happen to the next. In between nothing
// changes, so that what holds at those times holds at all times. A history is drawn: rotations by hand and by
// schedule, withdrawals, emergencies, imports, crashes, other settings, lost stores and lost answers, and two
// servers that act at once.
//
//   - simulation_server_test.go: a server, and its way to the store.
//   - simulation_acts_test.go: what people, and bad luck, do to the servers.
//   - simulation_facts_test.go: what the store was told, and what has to be true of that.
//   - simulation_sight_test.go: what servers show, and what has to be true of that.
//   - simulation_validators_test.go: services that verify tokens.
//   - simulation_wrong_test.go: the test of this test.
//
// README.md, "What is promised", has the bounds.

// quantum is the time between two times that differ: clocks and settings are not in whole seconds.
const quantum = 250 * time.Millisecond

// simulation is one history.
type simulation struct {
	t     *rapid.T
	now   time.Time
	began time.Time
	unit  time.Duration // of settings
	apart time.Duration // how far clocks may be apart: the leeway of everybody
	usual jose.Algorithm
	hooks hooks

	calm   bool // nobody does anything, and server 0 is always well: what is left is the schedule
	same   bool // all servers have the same settings, all the time
	early  bool // resources use a new algorithm without waiting for verifiers to know its first key
	byHand bool // no schedule

	cold       bool                 // each server opens each key
	opened     map[string]*material // what servers have opened, by kid
	rack       *rack
	rings      map[jose.Algorithm]RingRecord // the store
	keys       map[string]*fact              // of every key ever stored, by kid
	servers    []*server
	validators []*validator
	documents  map[string]*served           // by ETag
	kept       []kept                       // documents that somebody may still use, of servers that show another one now
	usable     map[jose.Algorithm]time.Time // from when on resources use a ring, by the clock of whoever signs
	firstTurn  map[jose.Algorithm]time.Time // of a ring's first key
	imported   int
	turns      int // of the schedule, in all rings
}

// violation is what a history ends with that breaks a promise.
type violation struct {
	promise string // P1 to P6 of README.md, or P0: the simulation itself, or an act that fails
	text    string
}

func (v *violation) Error() string { return v.promise + ": " + v.text }

func (m *simulation) violate(promise, format string, args ...any) {
	panic(&violation{promise, fmt.Sprintf(format, args...) + fmt.Sprintf(" (%s after the beginning)", m.now.Sub(m.began))})
}

// play draws a history and returns how it breaks a promise.
func play(t *rapid.T, h hooks) (broken *violation) {
	defer func() {
		if r := recover(); r != nil {
			v, ok := r.(*violation)
			if !ok {
				panic(r)
			}
			broken = v
		}
	}()
	m := newSimulation(t, h)
	acts := m.acts()
	for range rapid.IntRange(1, 30).Draw(t, "acts") {
		act := rapid.SampledFrom(acts).Draw(t, "act")
		act.do(t)
		m.look()
	}
	m.advance(m.unit * time.Duration(rapid.IntRange(0, 60).Draw(t, "in the end")))
	m.inTheEnd()
	return nil
}

func newSimulation(t *rapid.T, h hooks) *simulation {
	m := &simulation{
		t: t, now: start, began: start, hooks: h, rack: newRack(),
		rings: map[jose.Algorithm]RingRecord{}, keys: map[string]*fact{},
		opened: map[string]*material{}, firstTurn: map[jose.Algorithm]time.Time{}, documents: map[string]*served{}, usable: map[jose.Algorithm]time.Time{},
	}
	m.unit = rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, time.Minute}).Draw(t, "unit")
	m.apart = quantum * time.Duration(rapid.SampledFrom([]int{0, 1, 4, 5, 20, 40}).Draw(t, "apart"))
	m.usual = rapid.SampledFrom([]jose.Algorithm{jose.Ed25519, jose.ES256}).Draw(t, "algorithm")
	m.calm = rapid.IntRange(0, 7).Draw(t, "calm") == 0
	m.same = m.calm || rapid.Bool().Draw(t, "same settings")
	m.early = rapid.IntRange(0, 3).Draw(t, "early") == 0
	m.cold = rapid.IntRange(0, 15).Draw(t, "cold") == 0
	m.byHand = !m.calm && rapid.IntRange(0, 3).Draw(t, "by hand") == 0
	all := m.draw(t)
	for i := range rapid.IntRange(1, 5).Draw(t, "servers") {
		s := &server{m: m, name: i, settings: all}
		if !m.same {
			s.settings = m.draw(t)
		}
		s.skew = quantum * time.Duration(rapid.IntRange(0, int(m.apart/quantum)).Draw(t, "skew"))
		if rapid.IntRange(0, 3).Draw(t, "feed") > 0 {
			s.feed = quantum * time.Duration(rapid.IntRange(1, 4).Draw(t, "feed"))
		}
		m.servers = append(m.servers, s)
	}
	m.drawValidators(t)
	for _, s := range m.servers {
		s.boot()
	}
	m.usable[m.usual] = time.Time{} // no document was ever without its first key
	m.look()
	return m
}

// advance lets time pass.
func (m *simulation) advance(d time.Duration) {
	until := m.now.Add(d)
	for {
		next := until
		at := func(t time.Time) {
			if t.After(m.now) && t.Before(next) {
				next = t
			}
		}
		for _, s := range m.servers {
			s.events(at)
		}
		for _, v := range m.validators {
			at(v.polls)
			at(v.heals)
		}
		m.now = next
		for _, s := range m.servers {
			s.wake()
		}
		m.look()
		if !m.now.Before(until) {
			return
		}
	}
}

// histories is how many times rapid plays its -rapid.checks histories (100), as tests of their own.
func histories() int {
	switch {
	case raceEnabled, testing.Short(): // it has nothing to find here: a history is one goroutine
		return 2
	}
	return 20
}

func TestROT02_ROT03_ROT04_ROT05_ROT06_ROT07_JWK04_JWK10_AnyHistory(t *testing.T) {
	for i := range histories() {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				if v := play(t, hooks{}); v != nil {
					t.Fatal(v)
				}
			})
		})
	}
}

// commit is what the store does with a change.
func (m *simulation) commit(s *server, from, to RingRecord, e audit.Entry) {
	m.t.Logf("%s server %d (%s ahead): %s %s", m.now.Sub(m.began), s.name, s.skew, e.Action, e.Target)
	m.rings[to.Algorithm] = to
	m.record(s, from, to, e)
	for _, other := range m.servers {
		if other != s {
			other.hears()
		}
	}
}

func (m *simulation) algorithms() []jose.Algorithm {
	var list []jose.Algorithm
	for _, alg := range []jose.Algorithm{jose.ES256, jose.Ed25519} {
		if _, ok := m.rings[alg]; ok {
			list = append(list, alg)
		}
	}
	return slices.Clip(list)
}

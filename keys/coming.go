package keys

import (
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// PlannedStep is something that the timeline will do by itself, or should have done.
type PlannedStep struct {
	At        time.Time
	Algorithm jose.Algorithm
	KeyID     string // empty for a key that is yet to be made
	State     State  // that the key will have from At on
	Scheduled bool   // by the period in force today; otherwise it is stamped, and nothing but a person changes it
	Overdue   bool   // see [Ring.Overdue]
}

// Plan returns what will happen to the keys that exist, soonest first: what their stamps say, and the next
// turn of each ring's schedule, with what it brings about; before all that, what is overdue. What will be
// decided only then, such as which key is made next, is not in it. It does no I/O, and is empty before the
// rings were read.
func (r *Ring) Plan() []PlannedStep {
	s, now := r.current.Load(), r.config.Now()
	if s == nil {
		return nil
	}
	steps := r.Overdue()
	for _, alg := range slices.Sorted(maps.Keys(s.rings)) {
		rec := s.rings[alg]
		stamped := rec.coming(now)
		steps = append(steps, stamped...)
		for _, p := range r.scheduled(rec, now).coming(now) {
			if !slices.Contains(stamped, p) {
				p.Scheduled = true
				steps = append(steps, p)
			}
		}
	}
	slices.SortStableFunc(steps, func(a, b PlannedStep) int { return a.At.Compare(b.At) })
	return steps
}

// scheduled returns the ring as it will be once the next turn of its schedule is stamped.
func (r *Ring) scheduled(rec RingRecord, now time.Time) RingRecord {
	at, ok := rec.turnDue(r.config.period(rec.Algorithm), now)
	if !ok {
		return rec
	}
	return r.promotion(rec, rec.next(now), latest(at, ceil(now)), now).ring
}

// coming compares the states before and after each stamp that lies ahead.
func (r RingRecord) coming(now time.Time) []PlannedStep {
	var stamps []time.Time
	for _, k := range r.Keys {
		for _, at := range []time.Time{k.SignFrom, k.WithdrawAt} {
			if at.After(now) {
				stamps = append(stamps, at)
			}
		}
	}
	slices.SortFunc(stamps, time.Time.Compare)
	var steps []PlannedStep
	before := now
	for _, at := range slices.CompactFunc(stamps, time.Time.Equal) {
		for i, k := range r.Keys {
			if state := r.state(i, at); state != r.state(i, before) {
				steps = append(steps, PlannedStep{At: at, Algorithm: r.Algorithm, KeyID: k.KeyID, State: state})
			}
		}
		before = at
	}
	return steps
}

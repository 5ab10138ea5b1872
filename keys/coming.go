package keys

import (
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// PlannedStep is something that the timeline will do by itself.
type PlannedStep struct {
	At        time.Time
	Algorithm jose.Algorithm
	KeyID     string
	State     State // that the key will have from At on
}

// Plan returns what will happen to the keys that exist, as their stamps say, soonest first. What will
// be decided only then, such as which key is made next, is not in it. It does no I/O, and is empty
// before the rings were read.
func (r *Ring) Plan() []PlannedStep {
	s, now := r.current.Load(), r.config.Now()
	if s == nil {
		return nil
	}
	var steps []PlannedStep
	for _, alg := range slices.Sorted(maps.Keys(s.rings)) {
		steps = append(steps, s.rings[alg].coming(now)...)
	}
	slices.SortStableFunc(steps, func(a, b PlannedStep) int { return a.At.Compare(b.At) })
	return steps
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

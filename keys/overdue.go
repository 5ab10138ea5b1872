package keys

import (
	"maps"
	"slices"
	"time"
)

// grace is how late a step may be before it counts as missed: each node gets two chances to do it, by a
// clock that may be off.
func (r *Ring) grace() time.Duration { return 2*r.config.RefreshInterval + r.config.Leeway }

// Overdue returns the steps that should have been done by now and were not, as far as this node knows,
// with the time at which each was due: because no node has reached the store, or because each fails. Whoever
// runs the server wants to hear of it (ROT-06). It does no I/O, and is empty before the rings were read.
func (r *Ring) Overdue() []PlannedStep {
	s, now := r.current.Load(), r.config.Now()
	if s == nil {
		return nil
	}
	var missed []PlannedStep
	for _, alg := range slices.Sorted(maps.Keys(s.rings)) {
		missed = append(missed, r.missed(s.rings[alg], now)...)
	}
	return missed
}

// missed returns what was due a grace ago and is not done in rec. Who signs is what counts, and not what is
// stamped: a turn that a node with a wrong clock stamped for a time far ahead does not take place either.
func (r *Ring) missed(rec RingRecord, now time.Time) []PlannedStep {
	then := now.Add(-r.grace())
	var missed []PlannedStep
	late := func(at time.Time, kid string, becomes State) {
		if !at.After(then) {
			missed = append(missed, PlannedStep{At: at, Algorithm: rec.Algorithm, KeyID: kid, State: becomes, Overdue: true})
		}
	}
	if i := rec.signing(now); i >= 0 {
		since, period := rec.Keys[i].SignFrom, r.config.period(rec.Algorithm)
		if rec.lacksNext(now) {
			late(since, "", StateNext)
		}
		if next := rec.next(now); period > 0 && next >= 0 {
			late(since.Add(roundUp(period)), rec.Keys[next].KeyID, StateActive)
		}
	}
	for _, k := range rec.Keys {
		if k.Sealed != "" && k.expired(now) {
			late(k.WithdrawAt, k.KeyID, StateWithdrawn)
		}
	}
	return missed
}

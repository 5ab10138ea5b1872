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
	s, then := r.current.Load(), r.config.Now().Add(-r.grace())
	if s == nil {
		return nil
	}
	var missed []PlannedStep
	for _, alg := range slices.Sorted(maps.Keys(s.rings)) {
		missed = append(missed, r.missed(s.rings[alg], then)...)
	}
	return missed
}

// missed returns what was due at that time and is not done in rec.
func (r *Ring) missed(rec RingRecord, then time.Time) []PlannedStep {
	var missed []PlannedStep
	late := func(at time.Time, kid string, becomes State) {
		missed = append(missed, PlannedStep{At: at, Algorithm: rec.Algorithm, KeyID: kid, State: becomes, Overdue: true})
	}
	if i := rec.signing(then); i >= 0 && rec.lacksNext(then) {
		late(rec.Keys[i].SignFrom, "", StateNext)
	}
	if at, ok := rec.turnDue(r.config.period(rec.Algorithm), then); ok && !then.Before(at) {
		late(at, rec.Keys[rec.next(then)].KeyID, StateActive)
	}
	for _, k := range rec.Keys {
		if k.Sealed != "" && k.expired(then) {
			late(k.WithdrawAt, k.KeyID, StateWithdrawn)
		}
	}
	return missed
}

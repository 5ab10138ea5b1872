package keys

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// Rotation by schedule (ROT-06): any node carries it out, compare-and-swap decides which.

// period returns how long a key of alg signs; zero: until somebody says so.
func (c Config) period(alg jose.Algorithm) time.Duration {
	if p, ok := c.Periods[alg]; ok {
		return p
	}
	return c.Period
}

// checkPeriods returns what is wrong with Period and Periods.
func (c Config) checkPeriods() []error {
	var errs []error
	refuse := func(field, format string, args ...any) {
		errs = append(errs, &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	least := c.PublishLead + c.RefreshInterval + c.Leeway
	judge := func(field, of string, p time.Duration) {
		switch {
		case p < 0:
			refuse(field, "is %s%s: it cannot be negative; 0 means that keys rotate by hand", p, of)
		case p > 0 && p < least:
			refuse(field, "is %s%s: it must be at least PublishLead + RefreshInterval + Leeway, %s + %s + %s = %s, "+
				"for the next key is made when one takes over, and published for its lead before its own turn",
				p, of, c.PublishLead, c.RefreshInterval, c.Leeway, least)
		}
	}
	judge("Period", "", c.Period)
	for _, alg := range slices.Sorted(maps.Keys(c.Periods)) {
		if canonical, err := jose.ParseAlgorithm(string(alg)); err != nil || canonical != alg {
			refuse("Periods", "names %q: not the canonical name of an algorithm", alg)
		}
		judge("Periods", " for "+string(alg), c.Periods[alg])
	}
	if len(errs) > 0 {
		return errs
	}
	if n := c.mostPublished(); n > maxPublished {
		refuse("Period", "is %s: a key is published for %s after its turn, until no token that it signed can be alive, so that with a ring for each algorithm %d keys would be published, and verifiers must not meet more than %d",
			c.Period, c.windows().RetireAfter, n, maxPublished)
	}
	return errs
}

// mostPublished returns how many keys are published at most when every algorithm is in use and nobody
// rotates by hand: of each ring the active one, the next one, and those whose turn ended within RetireAfter.
func (c Config) mostPublished() int {
	n, retire := 0, c.windows().RetireAfter
	for _, alg := range jose.Algorithms() {
		n += 2
		if p := c.period(alg); p > 0 {
			n += int((retire + p - 1) / p)
		}
	}
	return n
}

// rotation stamps the turn of the next key when the period of the one that signs is nearly over: as long
// before as a node may act on what it knows without the store, so that one which is cut off then has the
// stamp already, and all switch at the same second. It is nil when there is nothing to do yet.
func (r *Ring) rotation(rec RingRecord, now time.Time) (*step, error) {
	at, ok := rec.turnDue(r.config.period(rec.Algorithm), now)
	if !ok || now.Before(at.Add(-r.ahead())) {
		return nil, nil
	}
	if err := r.room(maxPublished, now); err != nil {
		return nil, fmt.Errorf("keys: ring %s: scheduled rotation: %w", rec.Algorithm, err)
	}
	s := r.promotion(rec, rec.next(now), at, now)
	s.reason = fmt.Sprintf("the period of %s is over", r.config.period(rec.Algorithm))
	if late := now.Sub(at); late > 0 {
		s.reason += fmt.Sprintf(", since %s", roundUp(late))
	}
	return s, nil
}

// ahead is how long before its time a turn is stamped.
func (r *Ring) ahead() time.Duration { return r.config.StoreOutage + r.config.RefreshInterval }

// turnDue returns when the next key of a ring is to take over by schedule; false if that is stamped already,
// if there is no schedule, or no next key yet.
func (r RingRecord) turnDue(period time.Duration, now time.Time) (time.Time, bool) {
	active := r.signing(now)
	if period <= 0 || active < 0 || r.pending(now) >= 0 || r.next(now) < 0 {
		return time.Time{}, false
	}
	return r.Keys[active].SignFrom.Add(roundUp(period)), true
}

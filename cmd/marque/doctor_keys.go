package main

import (
	"context"
	"slices"
	"time"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// byHandPeriod is the age at which somebody who rotates by hand should.
const byHandPeriod = 30 * 24 * time.Hour

// period is the age at which a signing key makes room for the next one by itself; zero: it does not.
func (d *doctor) period(alg jose.Algorithm) time.Duration {
	c := timelineConfig(d.config)
	if p, ok := c.Periods[alg]; ok {
		return p
	}
	return c.Period
}

// lookAtKeys checks each ring of signing keys against its timeline and today's settings.
func (d *doctor) lookAtKeys(ctx context.Context) {
	const check = "keys"
	rings, err := d.store.Rings(ctx)
	if err != nil {
		d.error(check, "", d.recordFix(err), "the signing keys cannot be read: %v", err)
		return
	}
	have := map[jose.Algorithm]bool{}
	for _, r := range rings {
		have[r.Algorithm] = true
		d.lookAtRing(r)
	}
	used, err := algorithmsOf(ctx, d.store, d.now())
	if err != nil {
		d.error(check, "", d.recordFix(err), "the resources cannot be read: %v", err)
		return
	}
	if d.server == nil && len(rings) == 0 && len(used) == 0 { // init makes none
		d.ok(check, "", "no key yet; the first start makes them")
		return
	}
	if alg := jose.Algorithm(d.config.Keys.Algorithm); !slices.Contains(used, alg) {
		used = append(used, alg)
	}
	for _, alg := range used {
		if !have[alg] {
			d.error(check, string(alg), d.start("the server makes one when it starts"), "there is no key, and resources are signed with it")
		}
	}
}

func (d *doctor) lookAtRing(r keys.RingRecord) {
	const check = "keys"
	now := d.now()
	alg := string(r.Algorithm)
	active, signs := r.Signing(now)
	next := false
	var first time.Time // when a key signs, if none does yet
	for _, k := range r.Keys {
		switch r.State(k.KeyID, now) {
		case keys.StateNext:
			next = true
			if !k.SignFrom.IsZero() && (first.IsZero() || k.SignFrom.Before(first)) {
				first = k.SignFrom
			}
			d.lookAtWindows(k)
			if !k.SignFrom.IsZero() {
				d.ok(check, k.KeyID, "%s: takes over at %s", alg, instant(&k.SignFrom))
			}
		case keys.StateActive, keys.StateRetiring:
			d.lookAtWindows(k)
		case keys.StateRevoked:
			d.ok(check, k.KeyID, "%s: revoked at %s; every token that it signed is void", alg, instant(&k.RevokedAt))
		default:
		}
	}
	period := d.period(r.Algorithm)
	switch age := now.Sub(active.SignFrom); {
	case !signs && !first.IsZero():
		d.warning(check, alg, "wait until then: every server must know a key before it signs",
			"a key signs from %s; until then requests for its resources are answered 503", instant(&first))
	case !signs:
		d.error(check, alg, d.start("wait for the next key's time, which marque key list shows, or restore the database from a backup"),
			"no key signs: requests for its resources are answered 503")
	case period == 0 && age > byHandPeriod:
		d.warning(check, active.KeyID, "marque key rotate --algorithm "+alg, "%s: has signed for %d days; %d are enough", alg, age/(24*time.Hour), byHandPeriod/(24*time.Hour))
	case period > 0 && age > period+overdueAfter(d.config):
		d.error(check, active.KeyID, d.start("the server lets the next key take over by itself; its log says why it does not"),
			"%s: it was to be followed by the next key at %s, a period of %s after it began to sign", alg, instant(new(active.SignFrom.Add(period))), shortDuration(period))
	default:
		d.ok(check, active.KeyID, "%s: signs since %s", alg, instant(&active.SignFrom))
	}
	if !next {
		d.warning(check, alg, d.start("the server makes one by itself every keys.refresh_interval; its log says why it does not"),
			"there is no next key: if this one had to be revoked, nothing could take over at once")
	}
}

// overdueAfter is how late a turn may be: as keys.Ring.Overdue has it.
func overdueAfter(c configs.Config) time.Duration {
	return 2*time.Duration(c.Keys.RefreshInterval) + time.Duration(c.Leeway)
}

// lookAtWindows holds the stamps of a published key to the settings. Longer stamps are obeyed, and
// are no fault; shorter ones grow at the server's next step.
func (d *doctor) lookAtWindows(k keys.Key) {
	const check = "keys"
	now := timelineConfig(d.config).StampedWindows()
	lead, retire := now.PublishLead, now.RetireAfter
	switch w := k.Windows; {
	case w.PublishLead < lead || w.RetireAfter < retire:
		d.warning(check, k.KeyID, d.start("the server lengthens them at its next step; its log says why it does not"),
			"its stamped windows are shorter than the settings: lead %s (now %s), retires for %s (now %s)",
			shortDuration(w.PublishLead), shortDuration(lead), shortDuration(w.RetireAfter), shortDuration(retire))
	case w.PublishLead > lead || w.RetireAfter > retire:
		d.ok(check, k.KeyID, "earlier, longer settings still hold for it: lead %s, retires for %s", shortDuration(w.PublishLead), shortDuration(w.RetireAfter))
	default:
	}
	if k.PublishedAt.After(d.now().Add(time.Duration(d.config.Leeway) + time.Second)) {
		d.error("clock", k.KeyID, "set the clock, and let a time daemon keep it", "this key was published in the future, at %s", instant(&k.PublishedAt))
	}
}

// start says how to mend what a running server mends by itself.
func (d *doctor) start(running string) string {
	if d.server != nil {
		return running
	}
	return "start the server, which sees to it"
}

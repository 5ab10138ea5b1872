package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// algorithm is what this server signs with where nobody chose: see configs.KeysConfig.
func (s *server) algorithm() jose.Algorithm { return jose.Algorithm(s.config.Keys.Algorithm) }

// openRing makes the signing keys' ring and lets it carry out what is due, so that there is a key
// before anybody asks. A store that can be read and takes no write, such as a full disk, keeps no server from starting
// with the key that signs: what is due is tried again, and is told as any write that was refused.
func (s *server) openRing(ctx context.Context) error {
	if err := s.findClock(ctx); err != nil {
		return err
	}
	c := timelineConfig(s.config)
	c.Rings, c.KEKs, c.KEKID, c.Installation = s.store, s.keks, s.installation.KEKID, s.installation.ID
	c.FirstKeyAtOnce = !s.shared // the embedded store has no second node that could not know the key yet
	c.Algorithms, c.Confirm, c.Now, c.Log = s.algorithmsInUse, s.lasting, s.commonNow, s.log
	var err error
	s.ring, err = keys.NewRing(c)
	switch {
	case err != nil:
		return inSettings(err)
	case s.clockOff():
		return s.ring.Reload(ctx)
	}
	if err = s.ring.Step(ctx, s.commonNow()); err == nil || !s.backend.refuses(err) {
		return err
	}
	if _, none := s.ring.Signer(s.algorithm(), s.commonNow()); none != nil {
		return err
	}
	s.log.Error("a step of the signing keys is due, and could not be stored; it is tried again", "err", err)
	return nil
}

// timelineConfig is what the settings say of the timeline of signing keys.
func timelineConfig(c configs.Config) keys.Config {
	k := c.Keys
	periods, _ := k.PeriodsByAlgorithm() // settings that were loaded are in order
	byAlgorithm := make(map[jose.Algorithm]time.Duration, len(periods))
	for alg, p := range periods {
		byAlgorithm[jose.Algorithm(alg)] = p
	}
	return keys.Config{
		JWKSMaxAge:      time.Duration(k.JWKSMaxAge),
		RefreshInterval: time.Duration(k.RefreshInterval),
		PublishLead:     time.Duration(k.PublishLead),
		StoreOutage:     time.Duration(c.Store.Outage),
		Leeway:          time.Duration(c.Leeway),
		Period:          time.Duration(k.Period),
		Periods:         byAlgorithm,
		WireEd25519:     jose.Algorithm(k.Ed25519Name),
		Default:         jose.Algorithm(k.Algorithm),
	}
}

// settingOf is the setting behind a field of keys.Config.
var settingOf = strings.NewReplacer(
	"JWKSMaxAge", "keys.jwks_max_age", "RefreshInterval", "keys.refresh_interval", "PublishLead", "keys.publish_lead",
	"StoreOutage", "store.outage", "Leeway", "leeway", "Periods", "keys.periods", "Period", "keys.period", "WireEd25519", "keys.ed25519_name",
	"Default", "keys.algorithm",
)

// inSettings says what is wrong with a configuration of keys in the names of settings.
func inSettings(err error) error {
	var wrong *keys.ConfigError
	if !errors.As(err, &wrong) {
		return err
	}
	return errors.New(settingOf.Replace(strings.TrimPrefix(err.Error(), "keys: ")))
}

// checkTimeline returns what the settings would make of the windows of signing keys that the rules of single
// settings do not see, such as too many keys in the JWKS.
func checkTimeline(c configs.Config) error {
	err := timelineConfig(c).Validate()
	var errs []error
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			var wrong *keys.ConfigError
			if errors.As(err, &wrong) && slices.Contains([]string{"Period", "Periods"}, wrong.Field) {
				errs = append(errs, inSettings(err))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *server) algorithmsInUse(ctx context.Context) ([]jose.Algorithm, error) {
	return algorithmsOf(ctx, s.store, s.commonNow())
}

// algorithmsOf returns what tokens for the resources are signed with from now on, each once: also what one
// will be signed with, and what it is until then.
func algorithmsOf(ctx context.Context, records authz.ResourceRecords, now time.Time) ([]jose.Algorithm, error) {
	const page = 256
	var all []jose.Algorithm
	var after authz.ResourceID
	for {
		resources, err := records.ListResources(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, r := range resources {
			for _, alg := range []jose.Algorithm{r.AlgorithmAt(now), r.Algorithm} {
				if !slices.Contains(all, alg) {
					all = append(all, alg)
				}
			}
			after = r.ID
		}
		if len(resources) < page {
			return all, nil
		}
	}
}

// ensureKeys makes a ring for an algorithm, and returns from when on verifiers know who signs there.
func (s *server) ensureKeys(ctx context.Context, alg jose.Algorithm, by audit.Origin) (known time.Time, err error) {
	if _, err := s.ring.Ensure(ctx, alg, by); err != nil {
		return time.Time{}, err
	}
	known, err = s.ring.KnownFrom(alg)
	if errors.Is(err, keys.ErrStale) { // the store is back, and the follower has not looked yet
		if err := s.reloadRing(ctx); err != nil {
			return time.Time{}, err
		}
		return s.ring.KnownFrom(alg)
	}
	return known, err
}

// apply hands changes on to what holds copies of records.
//
// One rule holds here and in loadIndex: copies of clients and resources are replaced or dropped before the index
// learns of the revocations that were committed with their changes. A token is dated after the
// revocations that the index knows, and is decided again if a copy was dropped meanwhile. The other way
// round, one that was decided from what was just withdrawn would be dated after its own revocation.
func (s *server) apply(ctx context.Context, changes []store.Change) error {
	ring := false
	var clients []authz.ClientID
	var resources []authz.ResourceID
	for _, c := range changes {
		switch c.Kind {
		case store.KindClient:
			clients = append(clients, authz.ClientID(c.ID))
		case store.KindResource:
			resources = append(resources, authz.ResourceID(c.ID))
		case store.KindRing:
			ring = true
		case store.KindRevocation: // below, all of them at once
		default: // of a newer version that shares the store: dropping too much is harmless
			s.tokens.AllChanged()
			ring = true
		}
	}
	changed, err := s.changed(ctx, clients, resources)
	if err != nil {
		return err
	}
	if err := s.followRevocations(ctx, changes); err != nil {
		return err
	}
	if ring {
		if err := s.reloadRing(ctx); err != nil {
			return err
		}
	}
	if changed { // who follows the feed may no longer be allowed to
		s.feed.Look()
	}
	return nil
}

// changed replaces copies of clients and resources that changed, or drops them, and reports whether one of a client was
// held. Those of a shared store that is away meanwhile stay as they are: after it was away the feed is read again from a
// minute before, so that most of what it names changed long ago, and whoever is served must be, also when the
// store goes away once more.
func (s *server) changed(ctx context.Context, clients []authz.ClientID, resources []authz.ResourceID) (client bool, err error) {
	if !s.shared {
		for _, id := range clients {
			client = s.tokens.ClientChanged(id) || client
		}
		for _, id := range resources {
			s.tokens.ResourceChanged(id)
		}
		return client, nil
	}
	bounded, cancel := s.inTime(ctx)
	defer cancel()
	renewal, err := s.tokens.Reread(bounded, clients, resources, s.backend.passes)
	if err = cmp.Or(err, ctx.Err()); err != nil { // who ends the pass is not a slow store
		return false, fmt.Errorf("read what changed: %w", err)
	}
	return renewal.TakeEffect(), nil
}

// inTime bounds what is read anew by an interval of following: what was committed meanwhile must not wait for a slow
// store.
func (s *server) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(s.config.Cache.MaxAge))
}

// reload replaces every copy and loads the index anew, unless the ring or the index notices that the store
// went back in time: then what is held is newer than what would be read, such as a client that was
// disabled since, and stays. What a shared store has lost of revocations is put back all the same: the ring
// stays as it is until somebody starts this server anew, and others may take what is there for all there is.
func (s *server) reload(ctx context.Context) error {
	err := s.reloadRing(ctx)
	switch {
	case s.shared && errors.Is(err, keys.ErrRegressed):
		return errors.Join(err, s.repair(ctx))
	case err != nil:
		return err
	}
	return s.loadIndex(ctx)
}

// stepKeys carries out what is due on the timeline of signing keys, until ctx ends. A failure is
// logged when it begins and when it is over.
func (s *server) stepKeys(ctx context.Context) {
	ticks := time.NewTicker(time.Duration(s.config.Keys.RefreshInterval))
	defer ticks.Stop()
	failing, late := false, false
	clock := steady{last: time.Now(), most: max(time.Duration(s.config.Leeway), minClockJump)}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if jump, jumped := clock.look(time.Now()); jumped {
			s.log.ErrorContext(ctx, "the clock jumped; signing keys are left as they are until it has stood for a refresh interval", "by", jump.String())
			continue
		}
		err := s.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			s.log.ErrorContext(ctx, "cannot carry out what is due for signing keys", "err", err)
		case err == nil && failing:
			s.log.InfoContext(ctx, "signing keys are up to date again")
		}
		failing = err != nil
		late = s.alarmOverdue(ctx, late)
	}
}

// alarmOverdue logs when a step of the timeline has been missed, and when it is made up for. It returns
// whether one is missing now.
func (s *server) alarmOverdue(ctx context.Context, before bool) bool {
	missed := s.ring.Overdue()
	switch {
	case len(missed) > 0 && !before:
		s.log.ErrorContext(ctx, "a step of the timeline of signing keys is overdue", "step", overdueText(missed[0]), "overdue", len(missed))
	case len(missed) == 0 && before:
		s.log.InfoContext(ctx, "no step of the timeline of signing keys is overdue any more")
	}
	return len(missed) > 0
}

// overdueText says which step is missing.
func overdueText(p keys.PlannedStep) string {
	at := p.At.UTC().Format(time.RFC3339)
	switch {
	case p.KeyID == "":
		return fmt.Sprintf("%s: a next key was to be made at %s", p.Algorithm, at)
	case p.State == keys.StateActive:
		return fmt.Sprintf("%s: key %s was to take over at %s", p.Algorithm, p.KeyID, at)
	}
	return fmt.Sprintf("%s: the private part of key %s was to be removed at %s", p.Algorithm, p.KeyID, at)
}

// step carries out what is due, unless nobody knows what time it is.
func (s *server) step(ctx context.Context) error {
	if s.clockOff() {
		return nil
	}
	err := s.ring.Step(ctx, s.commonNow())
	s.indexKeys() // the step may have read what another process revoked
	return err
}

// minClockJump is the least difference that counts as a jump: less is what time daemons do all day.
const minClockJump = 5 * time.Second

// clockJump is by how much the wall clock moved more than time went by. Steps of the timeline cannot be
// taken back (a withdrawn key loses its private part), so a clock that is wrong for a moment must not
// cause one.
func clockJump(last, now time.Time) time.Duration {
	return now.Round(0).Sub(last.Round(0)) - now.Sub(last)
}

// background runs f until the server is closed, which waits for it.
func (s *server) background(name string, f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	s.onClose(name, func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// signingAlgorithms lists what tokens can be signed with, as the JWKS spells it.
func signingAlgorithms(ed25519Name string) []jose.Algorithm {
	return []jose.Algorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.Algorithm(ed25519Name)}
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// keptReadings is how many readings of the store's clock the least uncertain one is taken from.
const keptReadings = 8

// reading is one look at the store's clock.
type reading struct {
	own    time.Time     // this server's clock, half-way between question and answer
	store  time.Time     // what the store's showed, at some time in between
	within time.Duration // by how much own may be off for that: half the time of asking
}

// then is what the store's clock shows when this server's shows own. Time that went by since is told by the
// machine's count of it, where own has one: the wall clock may have been set meanwhile.
func (r *reading) then(own time.Time) time.Time { return r.store.Add(own.Sub(r.own)) }

// fits reports whether both can be true of clocks that went on as time does.
func (r *reading) fits(later *reading) bool {
	const drift = 1000 // a part of the time between them: a clock that is worse than that is no clock
	age := later.own.Sub(r.own)
	return age >= 0 && r.then(later.own).Sub(later.store).Abs() <= r.within+later.within+age/drift
}

// storeClock is the clock of a store that several servers share, as this one knows it (ROT-09).
type storeClock struct {
	source store.Clock
	now    func() time.Time // this server's own
	log    *slog.Logger

	best atomic.Pointer[reading] // nil: it was never read
	off  atomic.Bool             // this server's clock is; what is not certain leaves it as it was

	mu     sync.Mutex // held by who looks
	recent []reading  // that fit the newest, which is the last
	said   bool       // off was logged
}

var _ authz.SharedClock = (*storeClock)(nil)

// look reads the store's clock. Without an answer everything stays as it was.
func (c *storeClock) look(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.now()
	at, err := c.source.Clock(ctx)
	if after := c.now(); err == nil {
		c.take(before, after, at.Round(0))
	}
	c.tell(ctx)
	return err
}

// take makes a reading of an answer, and chooses the best of those that fit it. The caller holds mu.
func (c *storeClock) take(before, after, at time.Time) {
	half := after.Sub(before) / 2
	if half < 0 { // the clock was set back while the question was on its way
		return
	}
	r := reading{own: before.Add(half), store: at, within: half}
	best, kept := &r, c.recent[:0]
	for i := range c.recent {
		if old := c.recent[i]; old.fits(&r) {
			if kept = append(kept, old); old.within < best.within {
				best = &old
			}
		}
	}
	if len(kept) == keptReadings {
		kept = append(kept[:0], kept[1:]...)
	}
	c.recent = append(kept, r)
	c.best.Store(best)
}

// tell logs when this server's clock turns out to be off, and when that is over. The caller holds mu.
func (c *storeClock) tell(ctx context.Context) {
	ahead, off := c.Off()
	switch {
	case off && !c.said:
		c.log.ErrorContext(ctx, "this server's clock is off from the store's: it issues nothing until both are right; see to it that both follow a time server",
			"ahead", ahead.Round(time.Millisecond).String(), "most", authz.MaxSkew.String())
	case !off && c.said:
		c.log.InfoContext(ctx, "this server's clock is as the store's again", "ahead", ahead.Round(time.Millisecond).String())
	}
	c.said = off
}

// Now implements authz.SharedClock. Before the first reading it is this server's clock.
func (c *storeClock) Now() time.Time {
	now := c.now()
	if r := c.best.Load(); r != nil {
		return r.then(now)
	}
	return now
}

// Off implements authz.SharedClock. It looks at this server's clock each time, so that one which jumps is
// off at once, and not when the store is asked next.
func (c *storeClock) Off() (ahead time.Duration, off bool) {
	r := c.best.Load()
	if r == nil {
		return 0, false
	}
	now := c.now()
	ahead = now.Round(0).Sub(r.then(now))
	switch far := ahead.Abs(); {
	case far-r.within > authz.MaxSkew:
		off = true
	case far+r.within > authz.MaxSkew: // perhaps
		return ahead, c.off.Load()
	}
	if c.off.Load() != off {
		c.off.Store(off)
	}
	return ahead, off
}

// findClock finds out whether the store has a clock that other servers go by, too.
func (s *server) findClock(ctx context.Context) error {
	source, ok := s.store.(store.Clock)
	if !ok {
		return nil
	}
	if s.clock == nil {
		s.clock = &storeClock{source: source, now: s.now, log: s.log}
	}
	return s.clock.look(ctx)
}

// commonNow is the time that all servers of a store agree on: the store's, or this server's own when nobody
// else uses the store.
func (s *server) commonNow() time.Time {
	if s.clock == nil {
		return s.now()
	}
	return s.clock.Now()
}

// sharedClock is the store's clock, or nil.
func (s *server) sharedClock() authz.SharedClock {
	if s.clock == nil {
		return nil
	}
	return s.clock
}

// clockOffset is how far this server's clock is ahead of the store's, and whether that is too far; 0 when
// nobody else uses the store.
func (s *server) clockOffset() (ahead time.Duration, off bool) {
	if s.clock == nil {
		return 0, false
	}
	return s.clock.Off()
}

// clockOff reports whether this server's clock is off. Nothing that cannot be taken back is done meanwhile:
// which of the two clocks is right is not known.
func (s *server) clockOff() bool {
	_, off := s.clockOffset()
	return off
}

// skew is how far ahead of the store's clock the tokens may be dated that another server issues before it
// hears of a change: by a clock that may just not be off, and for as long as it may take to hear.
func (s *server) skew() time.Duration {
	if s.clock == nil {
		return 0
	}
	return authz.MaxSkew + max(time.Second, time.Duration(s.config.Cache.MaxAge))
}

// lookAtClock reads the store's clock before the change feed is read, so that what is confirmed was confirmed
// by a clock that is known.
func (s *server) lookAtClock(ctx context.Context) error {
	if s.clock == nil {
		return nil
	}
	if err := s.clock.look(ctx); err != nil {
		return fmt.Errorf("read the store's clock: %w", err)
	}
	// Should the store's clock be set back, as when another Redis with a clock of its own takes over, tokens
	// remain that are dated by what it showed.
	if !s.clockOff() {
		s.revoker.Dated(s.clock.Now().Add(authz.MaxSkew))
	}
	return nil
}

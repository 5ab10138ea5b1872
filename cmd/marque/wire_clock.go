package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/configs"
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

// storeClock is the clock of a store that several servers share, as this one knows it (ROT-09).
type storeClock struct {
	source store.Clock
	now    func() time.Time // this server's own
	log    *slog.Logger

	// between is how much time went by between two times of now. That is told by the machine's count of it,
	// where they have one: the wall clock may have been set meanwhile.
	between func(from, to time.Time) time.Duration

	best atomic.Pointer[reading] // nil: it was never read
	off  atomic.Bool             // this server's clock is; what is not certain leaves it as it was

	mu     sync.Mutex // held by who looks
	recent []reading  // that fit the newest, which is the last
	said   bool       // off was logged
}

var _ authz.SharedClock = (*storeClock)(nil)

func newStoreClock(source store.Clock, now func() time.Time, log *slog.Logger) *storeClock {
	return &storeClock{
		source: source, now: now, log: log,
		between: func(from, to time.Time) time.Duration { return to.Sub(from) },
	}
}

// then is what the store's clock shows, by a reading, when this server's shows own.
func (c *storeClock) then(r *reading, own time.Time) time.Time {
	return r.store.Add(c.between(r.own, own))
}

// fit reports whether both readings can be true of clocks that go on as time does.
func (c *storeClock) fit(r, later *reading) bool {
	const drift = 1000 // a part of the time between them: a clock that is worse than that is none
	age := c.between(r.own, later.own)
	return age >= 0 && c.then(r, later.own).Sub(later.store).Abs() <= r.within+later.within+age/drift
}

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
	half := c.between(before, after) / 2
	if half < 0 { // the clock was set back while the question was on its way
		return
	}
	r := reading{own: before.Add(half), store: at, within: half}
	c.recent = slices.DeleteFunc(c.recent, func(old reading) bool { return !c.fit(&old, &r) })
	if len(c.recent) == keptReadings {
		c.recent = slices.Delete(c.recent, 0, 1)
	}
	c.recent = append(c.recent, r)
	best := slices.MinFunc(c.recent, func(a, b reading) int { return cmp.Compare(a.within, b.within) })
	c.best.Store(&best)
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
		return c.then(r, now)
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
	return c.judge(r, c.now())
}

// judge is Off by a reading, when this server's clock shows now.
func (c *storeClock) judge(r *reading, now time.Time) (ahead time.Duration, off bool) {
	ahead = now.Round(0).Sub(c.then(r, now))
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
	source, ok := s.plain.(store.Clock)
	if !ok {
		return nil
	}
	if s.clock == nil {
		s.clock = newStoreClock(source, s.now, s.log)
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

// ForgetsAt is the time by which something may be forgotten for good: Now, or while this server's clock is off
// the earlier of the two, because nobody knows which one is right. All of it is told by one reading.
func (c *storeClock) ForgetsAt() time.Time {
	now := c.now()
	r := c.best.Load()
	if r == nil {
		return now
	}
	common := c.then(r, now)
	if ahead, off := c.judge(r, now); off && ahead < 0 {
		return now
	}
	return common
}

// forgetsAt is the time by which a revocation may be forgotten for good. A store whose clock is hours ahead for a
// moment, as after a failover to a machine with a wrong one, must not revive what is revoked.
func (s *server) forgetsAt() time.Time {
	if s.clock == nil {
		return s.now()
	}
	return s.clock.ForgetsAt()
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
	return sharedSkew(s.config)
}

// sharedSkew is skew on a store that several servers share.
func sharedSkew(c configs.Config) time.Duration {
	return authz.MaxSkew + max(time.Second, time.Duration(c.Cache.MaxAge))
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

package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Defaults of [FollowerConfig].
const (
	DefaultFollowInterval = time.Second
	followBatch           = 256
)

// waitPause is the least time from one call of FollowerConfig.Wait to the look at the feed that it leads
// to: a feed that always says that there is more is looked at 200 times a second, and not in a circle. A
// change after a quiet moment waits for nothing.
const waitPause = 5 * time.Millisecond

// FollowerConfig says what to follow and whom to tell.
type FollowerConfig struct {
	// Changes is the feed. Required.
	Changes Changes
	// Apply drops or reloads what is held of the records that the changes name. It may be given the
	// same change again, also an old one. Required.
	Apply func(ctx context.Context, changes []Change) error
	// Reload drops or reloads everything. Required.
	Reload func(ctx context.Context) error
	// Confirmed is told, after each pass that reached the end of the feed and was applied, the time
	// before which every committed change is now known. Optional.
	Confirmed func(at time.Time)
	// Failed is told why a pass did not reach the end of the feed, or was not applied. Optional.
	Failed func(err error)
	// Wait is a Waiter's, or nil: Run then looks at the feed whenever it returns nil, beside the ticks.
	// While it fails, or passes do, the ticks are all there is.
	Wait func(ctx context.Context, after Cursor) error
	// Interval is the time between two looks at the feed; 0 means DefaultFollowInterval.
	Interval time.Duration
	// Ticker makes the ticks that Run waits for and a function that stops them; nil means a
	// time.Ticker.
	Ticker func(time.Duration) (ticks <-chan time.Time, stop func())
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets one line when following begins to fail and one when it works again; nil is silence.
	Log *slog.Logger
}

// Follower keeps caches up to date with the change feed. What it calls, it calls from one goroutine
// at a time. Its methods may be called concurrently.
type Follower struct {
	config FollowerConfig

	turn  chan struct{} // holds one element while a pass runs, which owns what follows
	place Cursor        // everything before it was applied; empty: everything must be reloaded
	front Cursor        // the furthest place that a pass has reached; empty if there is none
	trail trail
	lost  bool // the last pass did not reach the store, or stopped half-way
}

// NewFollower returns a follower that has seen nothing yet.
func NewFollower(config FollowerConfig) (*Follower, error) {
	if config.Changes == nil || config.Apply == nil || config.Reload == nil {
		return nil, errors.New("store: a follower needs Changes, Apply and Reload")
	}
	if config.Interval < 0 {
		return nil, errors.New("store: a follower's Interval must not be negative")
	}
	if config.Interval == 0 {
		config.Interval = DefaultFollowInterval
	}
	if config.Confirmed == nil {
		config.Confirmed = func(time.Time) {}
	}
	if config.Failed == nil {
		config.Failed = func(error) {}
	}
	if config.Ticker == nil {
		config.Ticker = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(d)
			return t.C, t.Stop
		}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Follower{config: config, turn: make(chan struct{}, 1)}, nil
}

// Start loads everything for the first time. After an error Run, or another Start, tries again.
func (f *Follower) Start(ctx context.Context) error { return f.CatchUp(ctx) }

// CatchUp returns nil once every change that was committed before the call has been applied. Who
// acknowledges a write calls it first, so that this server obeys what it has acknowledged. After an
// error nothing is skipped: the next pass continues from the same place.
func (f *Follower) CatchUp(ctx context.Context) error {
	_, err := f.catchUp(ctx)
	return err
}

// catchUp is CatchUp, and returns up to where everything is applied then.
func (f *Follower) catchUp(ctx context.Context) (Cursor, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	err := f.pass(ctx)
	f.lost = err != nil
	if err != nil {
		f.config.Failed(err)
	}
	return f.place, err
}

// Run looks at the feed at every tick, and whenever it says that there is more, until ctx ends; then it
// returns nil. A failure is logged when it begins and when it is over, and never ends Run.
func (f *Follower) Run(ctx context.Context) error {
	ticks, stop := f.config.Ticker(f.config.Interval)
	defer stop()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	var more chan error // what comes of the Wait that is under way; nil: there is none
	place := f.at(ctx)  // empty: the next tick must show first whether anybody is there
	failing := false
	for {
		if place != "" && more == nil && f.config.Wait != nil {
			answer, after := make(chan error, 1), place
			more = answer
			waiting.Go(func() { answer <- f.wait(ctx, after) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
		case err := <-more:
			more = nil
			if err != nil {
				place = ""
				continue
			}
		}
		var err error
		if place, err = f.catchUp(ctx); err != nil {
			place = ""
		}
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err != nil && !failing:
			f.config.Log.ErrorContext(ctx, "cannot follow the store's changes", "err", err)
		case err == nil && failing:
			f.config.Log.InfoContext(ctx, "following the store's changes again")
		}
		failing = err != nil
	}
}

// at returns up to where everything is applied; empty if ctx ends before that can be told.
func (f *Follower) at(ctx context.Context) Cursor {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
		return f.place
	case <-ctx.Done():
		return ""
	}
}

// wait returns nil when there may be a change after the cursor, and not before waitPause is over.
func (f *Follower) wait(ctx context.Context, after Cursor) error {
	pause := time.NewTimer(waitPause)
	defer pause.Stop()
	if err := f.config.Wait(ctx, after); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-pause.C:
		return nil
	}
}

// pass applies the feed to its end. It reloads at most once, so that a feed which knows none of its
// own cursors is an error and not a loop.
func (f *Follower) pass(ctx context.Context) error {
	if f.lost {
		// A store that was away may have come back as a replica that had not seen the last changes,
		// and given their places in the feed to others. Going a minute back finds those.
		f.place = f.trail.back(f.config.Now(), f.place)
	}
	if f.place == "" {
		if err := f.reload(ctx); err != nil {
			return err
		}
	}
	at, err := f.followFrom(ctx)
	if errors.Is(err, ErrCursor) {
		f.config.Log.WarnContext(ctx, "the store's change feed cannot be continued, reloading everything")
		f.place, f.front, f.trail = "", "", nil // no way leads back from here, should the reload fail
		if err := f.reload(ctx); err != nil {
			return err
		}
		at, err = f.follow(ctx)
	}
	if err != nil {
		return err
	}
	f.front = f.place
	f.trail.add(at, f.place)
	f.config.Confirmed(at)
	return nil
}

// followFrom is follow, from a place that may lie behind the front. The front must still be in the feed: a
// store that was restored from a backup may know a place of a minute ago, and nothing of what came after it.
func (f *Follower) followFrom(ctx context.Context) (at time.Time, err error) {
	if f.front != "" && f.front != f.place {
		if _, _, err := f.config.Changes.Changes(ctx, f.front, 1); err != nil {
			return time.Time{}, err
		}
	}
	return f.follow(ctx)
}

// reload takes the head before it reloads: what is committed in between is then applied twice,
// rather than never.
func (f *Follower) reload(ctx context.Context) error {
	head, err := f.config.Changes.Head(ctx)
	if err != nil {
		return err
	}
	if err := f.config.Reload(ctx); err != nil {
		return err
	}
	f.place, f.front, f.trail = head, head, nil
	return nil
}

// follow applies page after page and returns the time at which the last one was asked for: nothing
// committed before that time is unknown now.
func (f *Follower) follow(ctx context.Context) (at time.Time, err error) {
	for {
		at = f.config.Now()
		changes, next, err := f.config.Changes.Changes(ctx, f.place, followBatch)
		if err != nil {
			return at, err
		}
		if len(changes) > 0 {
			if err := f.config.Apply(ctx, changes); err != nil {
				return at, err
			}
		}
		f.place = next
		if len(changes) < followBatch {
			return at, nil
		}
	}
}

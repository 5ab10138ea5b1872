package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

// neighbours is what a server needs because others may use its store. What is in it may be used
// concurrently.
type neighbours struct {
	clock      *storeClock            // nil: nobody else goes by it
	back       wentBack               // whether the store went back in time
	doubts     doubts                 // revocations that somebody missed in the store
	unfollowed atomic.Pointer[string] // why the change feed could not be followed; nil: it could
	movedAway  atomic.Bool            // see unfollow
	moved      atomic.Bool            // the store goes on elsewhere: see mayFollow

	refusedWrite atomic.Pointer[refusedWrite] // the last write, if the store did not take it
}

// follow reads everything once, and starts what keeps it current.
func (s *server) follow(ctx context.Context) error {
	config := store.FollowerConfig{
		Changes:   &feed{s.store, s},
		Apply:     s.apply,
		Reload:    s.reload,
		Interval:  time.Duration(s.config.Cache.MaxAge),
		Confirmed: s.confirm,
		Failed:    s.unfollow,
		Now:       s.commonNow,
		Log:       s.log,
	}
	if w, ok := s.plain.(store.Waiter); ok {
		config.Wait = w.Wait
	}
	var err error
	if s.follower, err = store.NewFollower(config); err != nil {
		return err
	}
	if err := s.follower.Start(ctx); err != nil {
		return err
	}
	s.background("the follower", func(ctx context.Context) { _ = s.follower.Run(ctx) }) // it logs, and only ends with ctx
	s.background("the key timeline", s.stepKeys)
	s.background("the sweep of the index", s.sweepIndex)
	return nil
}

// unfollow notes why the feed could not be followed. A store that was closed for a final export is not away: what it
// held goes on elsewhere, where a client may be disabled, and no copy of it serves until the outage is over.
func (s *server) unfollow(err error) {
	why := err.Error()
	s.unfollowed.Store(&why)
	if errors.Is(err, store.ErrClosed) {
		s.movedAway.Store(true)
		if errors.Is(err, store.ErrMoved) {
			s.moved.Store(true)
		}
		s.tokens.ConfirmedAt(time.Unix(0, 0))
	}
}

// mayFollow fails for good once the store was seen to go on elsewhere. That it does is one write there, which can be lost as any:
// a stale replica is promoted, and what was revoked at the new place would be served here.
func (s *server) mayFollow(ctx context.Context) error {
	if s.moved.Load() {
		return fmt.Errorf("%w, so that this process serves no more, whatever the store says now", store.ErrMoved)
	}
	return s.lookAtClock(ctx)
}

// confirm notes that every change that was committed before at is applied here.
func (s *server) confirm(at time.Time) {
	s.agree()
	s.unfollowed.Store(nil)
	s.movedAway.Store(false)
	s.confirmed.Store(at.UnixNano())
	s.tokens.ConfirmedAt(at)
	s.ring.ConfirmedAt(at)
}

// feed is the change feed as this server follows it.
type feed struct {
	of     store.Changes
	server *server
}

// Head implements store.Changes.
func (f *feed) Head(ctx context.Context) (store.Cursor, error) {
	if err := f.server.mayFollow(ctx); err != nil {
		return "", err
	}
	return f.of.Head(ctx)
}

// Changes implements store.Changes. Behind what it says there come the doubts, unless only one change is wanted:
// that is a look at whether the cursor is known, and nobody acts on what it returns.
func (f *feed) Changes(ctx context.Context, after store.Cursor, limit int) ([]store.Change, store.Cursor, error) {
	if err := f.server.mayFollow(ctx); err != nil {
		return nil, "", err
	}
	changes, next, err := f.of.Changes(ctx, after, limit)
	if err != nil {
		return nil, "", err
	}
	if limit == 1 {
		return changes, next, nil
	}
	return append(changes, f.server.doubts.some(limit-len(changes))...), next, nil
}

// doubts are revocations that are known here, and that somebody missed in the store. No change names them;
// the follower is told that they changed, looks, and puts them back.
type doubts struct {
	mu       sync.Mutex
	subjects map[token.Subject]struct{}
}

// mostDoubts bounds what is remembered. What is forgotten is missed again.
const mostDoubts = 1_000

func (d *doubts) add(s token.Subject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.subjects == nil {
		d.subjects = map[token.Subject]struct{}{}
	}
	if len(d.subjects) < mostDoubts {
		d.subjects[s] = struct{}{}
	}
}

// some returns some of them as changes. They stay until settled: who looks may fail.
func (d *doubts) some(most int) []store.Change {
	d.mu.Lock()
	defer d.mu.Unlock()
	var changes []store.Change
	for s := range d.subjects {
		if len(changes) == most {
			break
		}
		changes = append(changes, store.Change{Kind: store.KindRevocation, ID: s.String()})
	}
	return changes
}

// settle forgets those that the changes name: they were looked at.
func (d *doubts) settle(changes []store.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range changes {
		if len(d.subjects) == 0 {
			return
		}
		if s, err := token.ParseSubject(c.ID); err == nil && c.Kind == store.KindRevocation {
			delete(d.subjects, s)
		}
	}
}

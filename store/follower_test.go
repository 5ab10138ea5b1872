package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// feed is a change feed in memory whose cursors are epoch.number. Tests break and cut it.
type feed struct {
	mu      sync.Mutex
	epoch   string
	changes []store.Change
	trimmed int   // so many are gone from the front
	err     error // what every call returns, if set
	onRead  func()
}

func (f *feed) Head(context.Context) (store.Cursor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor(len(f.changes)), f.err
}

func (f *feed) Changes(_ context.Context, after store.Cursor, limit int) ([]store.Change, store.Cursor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onRead != nil {
		f.onRead()
	}
	if f.err != nil {
		return nil, "", f.err
	}
	var n int
	if _, err := fmt.Sscanf(string(after), f.epoch+".%d", &n); err != nil || n > len(f.changes) || n < f.trimmed {
		return nil, "", store.ErrCursor
	}
	end := min(n+limit, len(f.changes))
	return f.changes[n:end:end], f.cursor(end), nil
}

func (f *feed) cursor(n int) store.Cursor { return store.Cursor(fmt.Sprintf("%s.%d", f.epoch, n)) }

func (f *feed) commit(ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.changes = append(f.changes, store.Change{Kind: store.KindClient, ID: id})
	}
}

func (f *feed) set(change func(*feed)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// followed is a follower on a feed, and all that the follower has told.
type followed struct {
	*store.Follower
	feed      *feed
	now       atomic.Int64 // Unix seconds
	ticks     chan time.Time
	applied   []string
	applyErr  error
	reloads   int
	reloadErr error
	onReload  func()
	confirmed []time.Time
	log       bytes.Buffer
}

func follow(t *testing.T) *followed {
	t.Helper()
	f := &followed{feed: &feed{epoch: "e"}, ticks: make(chan time.Time)}
	f.now.Store(1_800_000_000)
	var err error
	f.Follower, err = store.NewFollower(store.FollowerConfig{
		Changes: f.feed,
		Apply: func(_ context.Context, changes []store.Change) error {
			if f.applyErr != nil {
				return f.applyErr
			}
			for _, c := range changes {
				f.applied = append(f.applied, c.ID)
			}
			return nil
		},
		Reload: func(context.Context) error {
			f.reloads++
			if f.onReload != nil {
				f.onReload()
			}
			return f.reloadErr
		},
		Confirmed: func(at time.Time) { f.confirmed = append(f.confirmed, at) },
		Ticker:    func(time.Duration) (<-chan time.Time, func()) { return f.ticks, func() {} },
		Now:       func() time.Time { return time.Unix(f.now.Load(), 0) },
		Log:       slog.New(slog.NewTextHandler(&f.log, nil)),
	})
	if err != nil {
		t.Fatalf("NewFollower: %v", err)
	}
	return f
}

func (f *followed) must(t *testing.T, pass func(context.Context) error) {
	t.Helper()
	if err := pass(t.Context()); err != nil {
		t.Fatalf("got error %v", err)
	}
}

// wantApplied checks what was applied since the last time.
func (f *followed) wantApplied(t *testing.T, want ...string) {
	t.Helper()
	if d := storetest.Diff(f.applied, want); d != "" {
		t.Errorf("applied (-want +got):\n%s", d)
	}
	f.applied = nil
}

func (f *followed) wantReloads(t *testing.T, want int) {
	t.Helper()
	if f.reloads != want {
		t.Errorf("got %d reloads, want %d", f.reloads, want)
	}
}

func TestFollower_StartReloads(t *testing.T) {
	f := follow(t)
	f.feed.commit("before")
	f.onReload = func() { f.feed.commit("meanwhile") } // committed while everything is being read
	f.must(t, f.Start)
	f.wantReloads(t, 1)
	f.wantApplied(t, "meanwhile")
	f.feed.commit("a", "b")
	f.must(t, f.CatchUp)
	f.wantApplied(t, "a", "b")
	f.must(t, f.CatchUp)
	f.wantApplied(t)
	f.wantReloads(t, 1)
}

func TestFollower_ManyPages(t *testing.T) {
	f := follow(t)
	f.must(t, f.Start)
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprint(i))
	}
	f.feed.commit(want...)
	f.must(t, f.CatchUp)
	f.wantApplied(t, want...)
}

func TestFollower_KeepsItsPlaceOnError(t *testing.T) {
	f := follow(t)
	f.must(t, f.Start)
	f.feed.commit("a")
	broken := errors.New("broken")
	f.applyErr = broken
	for range 2 {
		if err := f.CatchUp(t.Context()); !errors.Is(err, broken) {
			t.Errorf("got error %v, want %v", err, broken)
		}
	}
	f.applyErr = nil
	f.feed.set(func(x *feed) { x.err = broken })
	if err := f.CatchUp(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
	f.feed.set(func(x *feed) { x.err = nil })
	f.must(t, f.CatchUp)
	f.wantApplied(t, "a")
	f.wantReloads(t, 1)
}

// A start that fails is made good by the next pass, which starts again from nothing.
func TestFollower_FailedStart(t *testing.T) {
	f := follow(t)
	f.reloadErr = errors.New("away")
	if err := f.Start(t.Context()); !errors.Is(err, f.reloadErr) {
		t.Fatalf("got error %v, want %v", err, f.reloadErr)
	}
	if len(f.confirmed) != 0 {
		t.Error("confirmed what was never loaded")
	}
	f.reloadErr = nil
	f.must(t, f.CatchUp)
	f.wantReloads(t, 2)
	f.must(t, f.CatchUp)
	f.wantReloads(t, 2)
}

func TestFollower_UnknownCursorReloads(t *testing.T) {
	for name, breakIt := range map[string]func(*feed){
		"another epoch":   func(x *feed) { x.epoch = "other" },
		"trimmed":         func(x *feed) { x.trimmed = 3 },
		"behind our back": func(x *feed) { x.changes = nil }, // a backup was restored
	} {
		f := follow(t)
		f.feed.commit("1", "2")
		f.must(t, f.Start)
		f.feed.commit("3", "4")
		f.feed.set(breakIt)
		f.onReload = func() { f.feed.commit("during") }
		f.must(t, f.CatchUp)
		f.onReload = nil
		f.wantReloads(t, 2)
		f.wantApplied(t, "during")
		f.feed.commit("after")
		f.must(t, f.CatchUp)
		f.wantApplied(t, "after")
		f.wantReloads(t, 2)
		if !strings.Contains(f.log.String(), "reloading everything") {
			t.Errorf("%s: the log does not say so: %s", name, &f.log)
		}
	}
}

// A reload that fails after ErrCursor is not forgotten.
func TestFollower_FailedReloadIsRepeated(t *testing.T) {
	f := follow(t)
	f.must(t, f.Start)
	f.feed.set(func(x *feed) { x.epoch = "other" })
	f.reloadErr = errors.New("away")
	if err := f.CatchUp(t.Context()); !errors.Is(err, f.reloadErr) {
		t.Errorf("got error %v, want %v", err, f.reloadErr)
	}
	f.feed.set(func(x *feed) { x.epoch = "e" }) // even if the old cursor should fit again
	f.reloadErr = nil
	f.must(t, f.CatchUp)
	f.wantReloads(t, 3)
}

// A feed that does not know the cursor that it has just given out is an error and not a loop.
func TestFollower_NoEndlessReload(t *testing.T) {
	f := follow(t)
	f.must(t, f.Start)
	f.onReload = func() { f.feed.set(func(x *feed) { x.epoch += "'" }) }
	f.feed.set(func(x *feed) { x.epoch = "other" })
	if err := f.CatchUp(t.Context()); !errors.Is(err, store.ErrCursor) {
		t.Errorf("got error %v, want ErrCursor", err)
	}
	f.wantReloads(t, 2)
}

// Confirmed gets the time before the feed was read: what is committed while it is read may be
// missing.
func TestFollower_Confirmed(t *testing.T) {
	f := follow(t)
	f.onReload = func() { f.now.Add(7) }
	f.feed.onRead = func() { f.now.Add(100) }
	start := f.now.Load()
	f.must(t, f.Start)
	f.now.Add(10)
	f.must(t, f.CatchUp)
	f.feed.set(func(x *feed) { x.err = errors.New("away") })
	f.now.Add(10)
	_ = f.CatchUp(t.Context())
	f.feed.set(func(x *feed) { x.err = nil })
	f.applyErr = errors.New("broken")
	f.feed.commit("a")
	_ = f.CatchUp(t.Context())
	var got []int64
	for _, at := range f.confirmed {
		got = append(got, at.Unix()-start)
	}
	if d := storetest.Diff(got, []int64{7, 117}); d != "" {
		t.Errorf("confirmed (-want +got):\n%s", d)
	}
}

// After the store was away, the last minute is read again: a replica that took over may have given
// the places of what it had not seen to others.
func TestFollower_GoesAMinuteBack(t *testing.T) {
	f := follow(t)
	f.must(t, f.Start)
	for i := range 200 { // two changes a second
		f.feed.commit(fmt.Sprint(i))
		if i%2 == 1 {
			f.now.Add(1)
		}
		f.must(t, f.CatchUp)
	}
	f.applied = nil
	f.feed.set(func(x *feed) { x.err = errors.New("away") })
	_ = f.CatchUp(t.Context())
	f.feed.set(func(x *feed) {
		x.err = nil
		x.changes[195].ID = "written by another"
	})
	f.must(t, f.CatchUp)
	if n := len(f.applied); n < 110 || n > 130 {
		t.Errorf("read %d changes again, want about 120", n)
	}
	if !strings.Contains(strings.Join(f.applied, ","), "194,written by another,196") {
		t.Errorf("the change that took another's place was missed: %v", f.applied)
	}
	f.applied = nil
	f.must(t, f.CatchUp) // once
	f.wantApplied(t)
	f.wantReloads(t, 1)
}

// A backup that was put in the store's place knows the place of a minute ago, and not what came after it.
// Were that overlooked, a revocation that the backup lacks would never be missed.
func TestFollower_ARestoredFeedIsNoticedThoughItKnowsThePlaceOfAMinuteAgo(t *testing.T) {
	f := follow(t)
	f.must(t, f.Start)
	f.feed.commit("a", "b")
	f.must(t, f.CatchUp)
	f.feed.commit("revoked since the backup")
	f.must(t, f.CatchUp)
	f.wantReloads(t, 1)
	f.feed.set(func(x *feed) { x.err = errors.New("emptied") })
	for range 3 { // each of which goes back, and gets nowhere
		_ = f.CatchUp(t.Context())
	}
	f.feed.set(func(x *feed) { x.err, x.changes = nil, x.changes[:2] })
	f.must(t, f.CatchUp)
	f.wantReloads(t, 2)
	f.must(t, f.CatchUp)
	f.wantReloads(t, 2)
}

// With a clock that jumps back and forth a follower still goes back, and not without bound.
func TestFollower_ClockJumps(t *testing.T) {
	f := follow(t)
	f.must(t, f.Start)
	for i := range 50 {
		f.feed.commit(fmt.Sprint(i))
		f.now.Add([]int64{100, -100, 3, -3, 0}[i%5])
		f.must(t, f.CatchUp)
	}
	f.applied = nil
	f.feed.set(func(x *feed) { x.err = errors.New("away") })
	_ = f.CatchUp(t.Context())
	f.feed.set(func(x *feed) { x.err = nil })
	f.must(t, f.CatchUp)
	if len(f.applied) == 0 {
		t.Error("nothing was read again")
	}
}

func TestFollower_RunLogsTransitions(t *testing.T) {
	f := follow(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	tick := func(n int) {
		for range n {
			f.ticks <- time.Time{} // taken only when the pass before is over
		}
	}
	tick(2)
	f.feed.set(func(x *feed) { x.err = errors.New("away") })
	tick(5)
	f.feed.set(func(x *feed) { x.err = nil })
	tick(5)
	f.feed.set(func(x *feed) { x.err = errors.New("away") })
	tick(2)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: got error %v, want nil", err)
	}
	failed := strings.Count(f.log.String(), "cannot follow the store's changes")
	again := strings.Count(f.log.String(), "following the store's changes again")
	if failed != 2 || again != 1 {
		t.Errorf("logged %d failures and %d recoveries, want 2 and 1:\n%s", failed, again, &f.log)
	}
}

// Run and any number of CatchUps take turns, and each CatchUp has seen what was committed before it.
func TestFollower_TakesTurns(t *testing.T) {
	x := &feed{epoch: "e"}
	var busy atomic.Int32
	var seen sync.Map
	follower, err := store.NewFollower(store.FollowerConfig{
		Changes: x,
		Apply: func(_ context.Context, changes []store.Change) error {
			if busy.Add(1) != 1 {
				t.Error("two passes at once")
			}
			defer busy.Add(-1)
			for _, c := range changes {
				seen.Store(c.ID, true)
			}
			return nil
		},
		Reload:   func(context.Context) error { return nil },
		Interval: time.Microsecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := follower.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var run sync.WaitGroup
	run.Go(func() { _ = follower.Run(ctx) })
	for i := range 16 {
		wg.Go(func() {
			for n := range 50 {
				id := fmt.Sprintf("%d-%d", i, n)
				x.commit(id)
				if err := follower.CatchUp(ctx); err != nil {
					t.Errorf("CatchUp: %v", err)
				}
				if _, ok := seen.Load(id); !ok {
					t.Errorf("%s was committed before CatchUp and is unknown after it", id)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	run.Wait()
}

// Who waits for a turn can give up.
func TestFollower_CatchUpHonoursContext(t *testing.T) {
	f := follow(t)
	entered, leave := make(chan bool), make(chan bool)
	f.onReload = func() { entered <- true; <-leave }
	done := make(chan error)
	go func() { done <- f.Start(t.Context()) }()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.CatchUp(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	leave <- true
	if err := <-done; err != nil {
		t.Errorf("Start: %v", err)
	}
}

func TestNewFollower_Refuses(t *testing.T) {
	x := &feed{}
	apply := func(context.Context, []store.Change) error { return nil }
	reload := func(context.Context) error { return nil }
	for name, config := range map[string]store.FollowerConfig{
		"no feed":   {Apply: apply, Reload: reload},
		"no apply":  {Changes: x, Reload: reload},
		"no reload": {Changes: x, Apply: apply},
		"interval":  {Changes: x, Apply: apply, Reload: reload, Interval: -1},
	} {
		if _, err := store.NewFollower(config); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

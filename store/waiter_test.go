package store_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/marque-auth/marque/store"
)

// waited is a follower on a feed whose Wait the test answers. It runs in a bubble of testing/synctest:
// time passes when everybody waits, and a goroutine that is left behind fails the test.
type waited struct {
	*followed
	asked chan store.Cursor // what Wait was called with; it waits until the test takes it
	say   chan error        // what it returns

	mu      sync.Mutex
	waiting int // calls of Wait that have not returned
	most    int
}

// await starts a follower with that Wait, nil for one that the test answers, and runs it until the test ends.
func await(t *testing.T, wait func(context.Context, store.Cursor) error) *waited {
	t.Helper()
	w := &waited{followed: &followed{feed: &feed{epoch: "e"}, ticks: make(chan time.Time)}, asked: make(chan store.Cursor), say: make(chan error)}
	if wait == nil {
		wait = w.wait
	}
	var err error
	w.Follower, err = store.NewFollower(store.FollowerConfig{
		Changes: w.feed,
		Apply: func(_ context.Context, changes []store.Change) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, c := range changes {
				w.applied = append(w.applied, c.ID)
			}
			return w.applyErr
		},
		Reload:    func(context.Context) error { return nil },
		Confirmed: func(at time.Time) { w.mu.Lock(); defer w.mu.Unlock(); w.confirmed = append(w.confirmed, at) },
		Wait:      wait,
		Ticker:    func(time.Duration) (<-chan time.Time, func()) { return w.ticks, func() {} },
		Log:       slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if w.waiting != 0 {
			t.Error("Run returned before its Wait did")
		}
	})
	return w
}

func (w *waited) wait(ctx context.Context, after store.Cursor) error {
	w.mu.Lock()
	w.waiting++
	w.most = max(w.most, w.waiting)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.waiting--
		w.mu.Unlock()
	}()
	select {
	case w.asked <- after:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.say:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isAsked reports whether Wait is being called, once everybody waits.
func (w *waited) isAsked() (store.Cursor, bool) {
	synctest.Wait()
	select {
	case at := <-w.asked:
		return at, true
	default:
		return "", false
	}
}

func (w *waited) seen() (applied []string, passes int) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applied, len(w.confirmed)
}

// RVK-12: what another server wrote is applied when the feed says so, and not at the next tick.
func TestRVK12_FollowerLooksWhenTheFeedSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := await(t, nil)
		began := time.Now()
		for i, id := range []string{"a", "b", "c"} {
			at, ok := w.isAsked()
			if want := w.feed.cursor(i); !ok || at != want {
				t.Fatalf("asked %t, after %q, want %q", ok, at, want)
			}
			time.Sleep(time.Hour) // nothing happens
			w.feed.commit(id)
			w.say <- nil
			if applied, passes := w.seen(); len(applied) != i+1 || applied[i] != id || passes != i+2 {
				t.Fatalf("applied %v in %d passes", applied, passes)
			}
		}
		if took := time.Since(began); took != 3*time.Hour {
			t.Errorf("it took %v longer than nothing", took-3*time.Hour)
		}
	})
}

// A feed that always says that there is more costs a look now and then, and not a processor.
func TestFollower_AWaitThatReturnsAtOnceIsNoCircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := await(t, func(context.Context, store.Cursor) error { return nil })
		time.Sleep(time.Second)
		if _, passes := w.seen(); passes < 100 || passes > 202 {
			t.Errorf("%d passes in a second, want 200", passes)
		}
	})
}

// A Wait that fails leaves the ticks, says nothing, and is asked again once a tick has found somebody.
func TestFollower_AWaitThatFailsLeavesTheTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := await(t, nil)
		for range 3 {
			if _, ok := w.isAsked(); !ok {
				t.Fatal("not asked again after a tick")
			}
			w.say <- errors.New("away")
			time.Sleep(time.Hour)
			if _, ok := w.isAsked(); ok {
				t.Fatal("asked again before a tick")
			}
			w.feed.commit("x")
			w.ticks <- time.Time{}
		}
		if applied, _ := w.seen(); len(applied) != 3 {
			t.Errorf("applied %v", applied)
		}
		if w.log.Len() > 0 {
			t.Errorf("logged: %s", &w.log)
		}
	})
}

// While passes fail, Wait is not asked: it would say at once that there is more, again and again.
func TestFollower_FailingPassesWaitForTheTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := await(t, nil)
		if _, ok := w.isAsked(); !ok {
			t.Fatal("not asked")
		}
		w.mu.Lock()
		w.applyErr = errors.New("broken")
		w.mu.Unlock()
		w.feed.commit("x")
		w.say <- nil
		for range 3 {
			time.Sleep(time.Hour)
			if _, ok := w.isAsked(); ok {
				t.Fatal("asked while passes fail")
			}
			w.ticks <- time.Time{}
		}
		if applied, _ := w.seen(); len(applied) != 4 {
			t.Errorf("tried %d times, want 4: once when told, and at each tick", len(applied))
		}
		w.mu.Lock()
		w.applyErr = nil
		w.mu.Unlock()
		w.ticks <- time.Time{}
		if at, ok := w.isAsked(); !ok || at != w.feed.cursor(1) {
			t.Errorf("asked %t, after %q", ok, at)
		}
	})
}

// Ticks go on beside a Wait, which is called once at a time.
func TestFollower_TicksBesideAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := await(t, nil)
		if _, ok := w.isAsked(); !ok {
			t.Fatal("not asked")
		}
		for range 5 {
			w.feed.commit("x")
			w.ticks <- time.Time{}
		}
		if applied, _ := w.seen(); len(applied) != 5 {
			t.Errorf("applied %v", applied)
		}
		if _, ok := w.isAsked(); ok || w.most != 1 {
			t.Errorf("Wait was called %d times at once", w.most)
		}
		time.Sleep(time.Hour)
		w.say <- nil
		if at, ok := w.isAsked(); !ok || at != w.feed.cursor(5) {
			t.Errorf("asked %t, after %q", ok, at)
		}
	})
}

// A Run that begins where nothing is loaded yet has no place to wait at.
func TestFollower_NothingToWaitForBeforeTheFirstPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		ticks := make(chan time.Time)
		f, err := store.NewFollower(store.FollowerConfig{
			Changes: &feed{epoch: "e"},
			Apply:   func(context.Context, []store.Change) error { return nil },
			Reload:  func(context.Context) error { return nil },
			Wait: func(ctx context.Context, after store.Cursor) error {
				if asked++; after == "" {
					t.Error("asked to wait nowhere")
				}
				<-ctx.Done()
				return ctx.Err()
			},
			Ticker: func(time.Duration) (<-chan time.Time, func()) { return ticks, func() {} },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		if asked != 0 {
			t.Errorf("asked %d times before the first pass", asked)
		}
		ticks <- time.Time{}
		synctest.Wait()
		if asked != 1 {
			t.Errorf("asked %d times after it", asked)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Failed is told of every pass that fails, whoever asked for it, and of no other.
func TestFollower_Failed(t *testing.T) {
	var told []error
	x := &feed{epoch: "e"}
	f, err := store.NewFollower(store.FollowerConfig{
		Changes: x,
		Apply:   func(context.Context, []store.Change) error { return nil },
		Reload:  func(context.Context) error { return nil },
		Failed:  func(err error) { told = append(told, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	away := errors.New("away")
	for _, err := range []error{nil, away, nil} {
		x.set(func(x *feed) { x.err = err })
		if got := f.CatchUp(t.Context()); !errors.Is(got, err) {
			t.Errorf("got %v, want %v", got, err)
		}
	}
	if len(told) != 1 || !errors.Is(told[0], away) {
		t.Errorf("told %v", told)
	}
}

package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newTestCache(t *testing.T, c *clock, load func(context.Context, ClientID) (int, error)) *cache[ClientID, int] {
	t.Helper()
	fresh := &freshness{outage: time.Minute, now: c.now}
	fresh.confirm(c.now())
	got, err := newCache(8, fresh, load)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCache_SharesOneLoadAndKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loads atomic.Int64
		release := make(chan struct{})
		c := newTestCache(t, newClock(), func(context.Context, ClientID) (int, error) {
			<-release
			return int(loads.Add(1)), nil
		})
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if v, err := c.get(t.Context(), "a"); v != 1 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		synctest.Wait() // all of them wait for one load
		close(release)
		wg.Wait()
		if _, held := c.cached("a"); !held || loads.Load() != 1 {
			t.Errorf("held %t after %d loads", held, loads.Load())
		}
	})
}

// A load that began before a change was reported must neither be kept nor be joined after it: else a
// disabled client would be served until its next change.
func TestCache_LoadFromBeforeADropIsNotKept(t *testing.T) {
	var loads atomic.Int64
	began, release := make(chan struct{}), make(chan struct{})
	c := newTestCache(t, newClock(), func(context.Context, ClientID) (int, error) {
		n := int(loads.Add(1))
		if n == 1 {
			close(began)
			<-release
		}
		return n, nil
	})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.get(t.Context(), "a") })
	<-began
	c.drop("a")
	if v, err := c.get(t.Context(), "a"); v != 2 || err != nil {
		t.Errorf("joined the old load: %d, %v", v, err)
	}
	close(release)
	wg.Wait()
	if v, _ := c.get(t.Context(), "a"); v != 2 {
		t.Errorf("kept the old load: %d", v)
	}
}

func TestCache_OneCallersEndIsNotEveryones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, release := make(chan struct{}), make(chan struct{})
		c := newTestCache(t, newClock(), func(ctx context.Context, _ ClientID) (int, error) {
			close(began)
			<-release
			return 7, ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { _, err := c.get(ctx, "a"); first <- err }()
		<-began
		second := make(chan error, 1)
		go func() { _, err := c.get(t.Context(), "a"); second <- err }()
		synctest.Wait() // both wait for the one load
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first got %v", err)
		}
		close(release)
		if err := <-second; err != nil {
			t.Errorf("the second got %v", err)
		}
	})
}

func TestTOK36_CacheServesUntilTheOutageLimit(t *testing.T) {
	clk := newClock()
	var down atomic.Bool
	c := newTestCache(t, clk, func(context.Context, ClientID) (int, error) {
		if down.Load() {
			return 0, errDown
		}
		return 1, nil
	})
	if _, err := c.get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	clk.advance(time.Minute)
	if _, held := c.cached("a"); !held {
		t.Error("not served at the limit")
	}
	clk.advance(time.Nanosecond)
	if _, err := c.get(t.Context(), "a"); !errors.Is(err, errStale) || !errors.Is(err, errDown) {
		t.Errorf("past the limit: %v", err)
	}
	down.Store(false)
	if v, err := c.get(t.Context(), "a"); v != 1 || err != nil {
		t.Errorf("the store is back: %d, %v", v, err)
	}
	if _, held := c.cached("a"); held {
		t.Error("served from the cache although nothing has confirmed it")
	}
}

func TestCache_AbsencesEvictNothing(t *testing.T) {
	c := newTestCache(t, newClock(), func(_ context.Context, id ClientID) (int, error) {
		if id == "a" {
			return 1, nil
		}
		return 0, ErrNotFound
	})
	_, _ = c.get(t.Context(), "a")
	for i := range 1000 {
		if _, err := c.get(t.Context(), ClientID(rune(0x400+i))); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	c.entries.CleanUp()
	if _, held := c.cached("a"); !held {
		t.Error("evicted")
	}
}

func TestCache_APanicWhileLoadingIsAFault(t *testing.T) {
	c := newTestCache(t, newClock(), func(context.Context, ClientID) (int, error) { panic("a secret") })
	if _, err := c.get(t.Context(), "a"); err == nil || errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "a secret") {
		t.Errorf("got %v", err)
	}
}

// While a dropped record is loaded again and again, as wrong secrets make it, no reader may see a record
// from before the drop, not even for the moment between a check and the entry.
func TestCache_NothingFromBeforeADropIsEverServed(t *testing.T) {
	var stored atomic.Int64
	c := newTestCache(t, newClock(), func(context.Context, ClientID) (int, error) { return int(stored.Load()), nil })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = c.renew(t.Context(), "a")
				}
			}
		})
	}
	for want := range int64(20_000) {
		stored.Store(want)
		c.drop("a")
		for range 3 {
			if v, held := c.cached("a"); held && int64(v) < want {
				t.Errorf("served %d after the drop of %d", v, want)
			}
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	wg.Wait()
}

func TestCache_ClearedWhileLoading(t *testing.T) {
	var loads atomic.Int64
	began, release := make(chan struct{}), make(chan struct{})
	c := newTestCache(t, newClock(), func(context.Context, ClientID) (int, error) {
		if loads.Add(1) == 1 {
			close(began)
			<-release
		}
		return int(loads.Load()), nil
	})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.get(t.Context(), "a") })
	<-began
	c.clear()
	close(release)
	wg.Wait()
	if v, held := c.cached("a"); held {
		t.Errorf("kept %d from before everything was cleared", v)
	}
}

func TestCache_ALoadHasADeadlineOfItsOwn(t *testing.T) {
	c := newTestCache(t, newClock(), func(ctx context.Context, _ ClientID) (int, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			return 0, errDown
		}
		return 1, nil
	})
	if _, err := c.get(t.Context(), "a"); err != nil {
		t.Errorf("got %v", err)
	}
}

// Who drops a record that was held can read it again at once: were that left to the next request, an outage
// that comes before it would find a client that the server had known for hours uncached.
func TestCache_ADropSaysWhatWasHeld(t *testing.T) {
	c := newTestCache(t, newClock(), func(context.Context, ClientID) (int, error) { return 1, nil })
	if c.drop("a") {
		t.Error("a record that was never loaded was held")
	}
	if _, err := c.get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if !c.drop("a") || c.drop("a") {
		t.Error("a record that was loaded was not held, or still is after the drop")
	}
}

// TestTOK36_ManyUncached: strangers who make up identifiers take a bounded number of the store's connections, and what
// is cached is served meanwhile.
func TestTOK36_ManyUncached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loading, most atomic.Int64
		release := make(chan struct{})
		c := newTestCache(t, newClock(), func(_ context.Context, id ClientID) (int, error) {
			if id == "known" {
				return 1, nil
			}
			if n := loading.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer loading.Add(-1)
			<-release
			return 0, ErrNotFound
		})
		if _, err := c.get(t.Context(), "known"); err != nil {
			t.Fatal(err)
		}
		const turnedAway = 50
		var full, absent atomic.Int64
		var strangers sync.WaitGroup
		for i := range parallelLoads + queuedLoads + turnedAway {
			strangers.Go(func() {
				id := ClientID(fmt.Sprint("stranger-", i))
				var err error
				if i%2 == 0 {
					_, err = c.get(t.Context(), id)
				} else { // who fails in a known one's name takes the same way
					_, err = c.version(t.Context(), id, func(ctx context.Context, id ClientID) (uint64, error) {
						_, err := c.load(ctx, id)
						return 0, err
					})
				}
				switch {
				case errors.Is(err, errQueueFull):
					full.Add(1)
				case errors.Is(err, ErrNotFound):
					absent.Add(1)
				default:
					t.Errorf("got error %v", err)
				}
			})
		}
		synctest.Wait()
		if loading.Load() != parallelLoads || full.Load() != turnedAway {
			t.Errorf("%d are read and %d were turned away, want %d and %d", loading.Load(), full.Load(), parallelLoads, turnedAway)
		}
		if v, err := c.get(t.Context(), "known"); v != 1 || err != nil {
			t.Errorf("a known one: %d, %v", v, err)
		}
		close(release)
		strangers.Wait()
		if most.Load() != parallelLoads || absent.Load() != parallelLoads+queuedLoads {
			t.Errorf("%d at a time, %d in all; want %d and %d", most.Load(), absent.Load(), parallelLoads, parallelLoads+queuedLoads)
		}
	})
}

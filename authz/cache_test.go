package authz

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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
	var loads atomic.Int64
	release := make(chan struct{})
	c := newTestCache(t, newClock(), func(context.Context, ClientID) (int, error) {
		<-release
		return int(loads.Add(1)), nil
	})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if v, _, err := c.get(t.Context(), "a"); v != 1 || err != nil {
				t.Errorf("got %d, %v", v, err)
			}
		})
	}
	close(release)
	wg.Wait()
	if _, cached, _ := c.get(t.Context(), "a"); !cached {
		t.Error("not cached")
	}
	if n := loads.Load(); n > 16 || n < 1 {
		t.Errorf("%d loads", n)
	}
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
	wg.Go(func() { _, _, _ = c.get(t.Context(), "a") })
	<-began
	c.drop("a")
	if v, _, err := c.get(t.Context(), "a"); v != 2 || err != nil {
		t.Errorf("joined the old load: %d, %v", v, err)
	}
	close(release)
	wg.Wait()
	if v, _, _ := c.get(t.Context(), "a"); v != 2 {
		t.Errorf("kept the old load: %d", v)
	}
}

func TestCache_OneCallersEndIsNotEveryones(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	c := newTestCache(t, newClock(), func(ctx context.Context, _ ClientID) (int, error) {
		close(began)
		<-release
		return 7, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, _, err := c.get(ctx, "a"); first <- err }()
	<-began
	second := make(chan error, 1)
	go func() { _, _, err := c.get(t.Context(), "a"); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first got %v", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("the second got %v", err)
	}
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
	if _, _, err := c.get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	clk.advance(time.Minute)
	if _, cached, err := c.get(t.Context(), "a"); !cached || err != nil {
		t.Errorf("at the limit: cached %t, %v", cached, err)
	}
	clk.advance(time.Nanosecond)
	if _, _, err := c.get(t.Context(), "a"); !errors.Is(err, errStale) || !errors.Is(err, errDown) {
		t.Errorf("past the limit: %v", err)
	}
	down.Store(false)
	if v, cached, err := c.get(t.Context(), "a"); v != 1 || cached || err != nil {
		t.Errorf("the store is back: %d, cached %t, %v", v, cached, err)
	}
}

func TestCache_AbsencesEvictNothing(t *testing.T) {
	c := newTestCache(t, newClock(), func(_ context.Context, id ClientID) (int, error) {
		if id == "a" {
			return 1, nil
		}
		return 0, ErrNotFound
	})
	_, _, _ = c.get(t.Context(), "a")
	for i := range 1000 {
		if _, _, err := c.get(t.Context(), ClientID(rune(0x400+i))); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	c.entries.CleanUp()
	if _, cached, _ := c.get(t.Context(), "a"); !cached {
		t.Error("evicted")
	}
}

func TestCache_APanicWhileLoadingIsAFault(t *testing.T) {
	c := newTestCache(t, newClock(), func(context.Context, ClientID) (int, error) { panic("a secret") })
	if _, _, err := c.get(t.Context(), "a"); err == nil || errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "a secret") {
		t.Errorf("got %v", err)
	}
}

package authz

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"
)

// loadTimeout bounds one read of the store for the cache, whoever waits for it.
const loadTimeout = 5 * time.Second

// errStale says that nothing confirmed the cache for too long and that the store did not answer.
var errStale = errors.New("no contact with the store")

// cache keeps records that the token path needs, so that it does no I/O once a client is known.
//
// Three rules hold. Who follows the change feed drops what changed, before the write that changed it
// is acknowledged. A load that began before a drop is never kept after it. And what is cached serves
// only until outage after the last confirmation that the feed was read to its end: the one stated
// exception to "nothing becomes more permissive by failing".
//
// Absences are not cached: they cost one read of the store, shared by concurrent callers, and so
// cannot evict what is present. It is safe for concurrent use.
type cache[K ~string, V any] struct {
	load    func(context.Context, K) (V, error)
	entries *otter.Cache[K, V]
	flight  singleflight.Group
	drops   atomic.Uint64 // counts drop and clear: loads of an earlier count are not kept
	fresh   *freshness
}

// freshness is when the change feed was last read to its end, shared by the caches that depend on it.
type freshness struct {
	confirmed atomic.Int64 // Unix nanoseconds
	outage    time.Duration
	now       func() time.Time
}

func (f *freshness) confirm(at time.Time) { f.confirmed.Store(at.UnixNano()) }

func (f *freshness) ok() bool {
	return f.now().UnixNano()-f.confirmed.Load() <= int64(f.outage)
}

func newCache[K ~string, V any](size int, fresh *freshness, load func(context.Context, K) (V, error)) (*cache[K, V], error) {
	entries, err := otter.New(&otter.Options[K, V]{MaximumSize: size})
	if err != nil {
		return nil, fmt.Errorf("authz: cache: %w", err)
	}
	return &cache[K, V]{load: load, entries: entries, fresh: fresh}, nil
}

// get returns the record, and whether it came from the cache rather than from the store just now.
func (c *cache[K, V]) get(ctx context.Context, id K) (v V, cached bool, err error) {
	if c.fresh.ok() {
		if v, ok := c.entries.GetIfPresent(id); ok {
			return v, true, nil
		}
	}
	v, err = c.reload(ctx, id)
	return v, false, err
}

// reload reads the store, once for all who ask for the same record at the same time.
func (c *cache[K, V]) reload(ctx context.Context, id K) (V, error) {
	drops := c.drops.Load()
	// The count is part of the key: who comes after a drop must not share a load from before it.
	key := fmt.Sprintf("%d\x00%s", drops, string(id))
	result := c.flight.DoChan(key, func() (any, error) {
		// The first caller's deadline is not everyone's.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		v, err := c.loadSafely(ctx, id)
		if err == nil {
			c.keep(id, v, drops)
		}
		return v, err
	})
	var zero V
	select {
	case <-ctx.Done():
		return zero, ctx.Err()
	case r := <-result:
		if r.Err == nil || errors.Is(r.Err, ErrNotFound) {
			v, _ := r.Val.(V)
			return v, r.Err
		}
		if !c.fresh.ok() {
			return zero, fmt.Errorf("%w: %w", errStale, r.Err)
		}
		return zero, r.Err
	}
}

// loadSafely turns a panic into a fault: singleflight would raise it where nobody can recover, and
// one bad record would end the process.
func (c *cache[K, V]) loadSafely(ctx context.Context, id K) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("authz: load: panic with a %T\n%s", p, debug.Stack())
		}
	}()
	return c.load(ctx, id)
}

func (c *cache[K, V]) keep(id K, v V, drops uint64) {
	if c.drops.Load() != drops {
		return
	}
	c.entries.Set(id, v)
	if c.drops.Load() != drops { // a drop overtook us: it may have run before the Set
		c.entries.Invalidate(id)
	}
}

// drop forgets one record. What is loaded from then on is at least as new as the call.
func (c *cache[K, V]) drop(id K) {
	c.drops.Add(1)
	c.entries.Invalidate(id)
}

// clear forgets everything.
func (c *cache[K, V]) clear() {
	c.drops.Add(1)
	c.entries.InvalidateAll()
}

package authz

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"
)

// loadTimeout bounds one read of the store for the cache, whoever waits for it.
const loadTimeout = 5 * time.Second

// How many records of one kind are read at a time, and how many wait for that. Each of two kinds takes so many of the
// connections to a store that has 32, and leaves the rest to introspection and to what is written: whoever makes up
// client identifiers has each of them read.
const (
	parallelLoads = 12
	queuedLoads   = 128
)

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
// cannot evict what is present. So many go on at a time; when too many wait for that, the error is
// errQueueFull, which means "unknown". It is safe for concurrent use.
type cache[K ~string, V any] struct {
	load    func(context.Context, K) (V, error)
	entries *otter.Cache[K, V]
	flight  singleflight.Group
	turns   *turns // of what is asked of the store
	fresh   *freshness

	mu    sync.Mutex // held while entries change, so that no load slips in behind a drop; not by readers
	drops uint64     // counts drop and clear: loads of an earlier count are not kept
}

// freshness is when the change feed was last read to its end, shared by the caches that depend on it.
type freshness struct {
	confirmed atomic.Int64  // Unix nanoseconds
	dropped   atomic.Uint64 // see changes
	outage    time.Duration
	now       func() time.Time
}

func (f *freshness) confirm(at time.Time) { f.confirmed.Store(at.UnixNano()) }

// changes counts what the caches were told to forget. What was read from them is what they would give
// now if the count is the same as before it was read, or else only perhaps.
func (f *freshness) changes() uint64 { return f.dropped.Load() }

func (f *freshness) ok() bool {
	return f.now().UnixNano()-f.confirmed.Load() <= int64(f.outage)
}

// explain says of a fault of the store that what is cached could not stand in for it either.
func (f *freshness) explain(err error) error {
	if err != nil && !f.ok() {
		return fmt.Errorf("%w: %w", errStale, err)
	}
	return err
}

func newCache[K ~string, V any](size int, fresh *freshness, load func(context.Context, K) (V, error)) (*cache[K, V], error) {
	entries, err := otter.New(&otter.Options[K, V]{MaximumSize: size})
	if err != nil {
		return nil, fmt.Errorf("authz: cache: %w", err)
	}
	return &cache[K, V]{load: load, entries: entries, fresh: fresh, turns: newTurns(parallelLoads, queuedLoads)}, nil
}

// cached returns the record if it is held and may be served.
func (c *cache[K, V]) cached(id K) (v V, ok bool) {
	if !c.fresh.ok() {
		return v, false
	}
	return c.entries.GetIfPresent(id)
}

// get returns the record, from the cache or from the store.
func (c *cache[K, V]) get(ctx context.Context, id K) (V, error) {
	if v, ok := c.cached(id); ok {
		return v, nil
	}
	return c.reload(ctx, id)
}

// reload reads the store, once for all who ask for the same record at the same time.
func (c *cache[K, V]) reload(ctx context.Context, id K) (V, error) { return c.read(ctx, id, true) }

// renew reads the store for a caller that knows of a newer record: it shares no load that may have
// begun before.
func (c *cache[K, V]) renew(ctx context.Context, id K) (V, error) { return c.read(ctx, id, false) }

func (c *cache[K, V]) read(ctx context.Context, id K, share bool) (V, error) {
	drops := c.count()
	return fly(ctx, c, drops, id, share, func(ctx context.Context) (V, error) {
		v, err := c.load(ctx, id)
		if err == nil {
			c.keep(id, v, drops)
		}
		return v, err
	})
}

// fly asks the store something about a record, with others who ask the same: who share may be given an
// answer that they did not wait for from its beginning.
func fly[K ~string, V, T any](ctx context.Context, c *cache[K, V], drops uint64, id K, share bool, ask func(context.Context) (T, error)) (T, error) {
	var zero T
	// The count is part of the key: who comes after a drop must not share a load from before it.
	key := fmt.Sprintf("%T\x00%d\x00%s", zero, drops, string(id))
	if !share {
		c.flight.Forget(key)
	}
	result := c.flight.DoChan(key, func() (any, error) {
		deepen(len(key))
		// The first caller's deadline is not everyone's.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		var answer T
		err := c.turns.do(ctx, func() (err error) {
			answer, err = safely(ctx, ask)
			return err
		})
		return answer, err
	})
	select {
	case <-ctx.Done():
		return zero, ctx.Err()
	case r := <-result:
		if r.Err == nil || errors.Is(r.Err, ErrNotFound) {
			v, _ := r.Val.(T)
			return v, r.Err
		}
		return zero, c.fresh.explain(r.Err)
	}
}

// loadStack is more of the stack, in octets, than any load takes.
const loadStack = 12 << 10

// deepen gives the goroutine of a load all the stack that it may need, at once. A stack that grows on the way is copied
// at some depth, which takes longer than the load; reading a client goes deeper than asking for its version, and so
// a stranger could tell an identifier that nobody has from one that is held, by the time: 24 against 13 µs.
//
//go:noinline
func deepen(n int) byte {
	var room [loadStack]byte // a place that the compiler cannot foresee keeps it from leaving this out
	room[n%len(room)]++
	return room[(n+1)%len(room)]
}

// version asks the store for the version of a record that is held. It takes the way of a load, and so as long
// as a load that finds nothing: who fails is not to tell one from the other.
func (c *cache[K, V]) version(ctx context.Context, id K, ask func(context.Context, K) (uint64, error)) (uint64, error) {
	return fly(ctx, c, c.count(), id, true, func(ctx context.Context) (uint64, error) { return ask(ctx, id) })
}

// safely turns a panic into a fault: singleflight would raise it where nobody can recover, and one bad
// record would end the process.
func safely[T any](ctx context.Context, ask func(context.Context) (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("authz: load: panic with a %T\n%s", p, debug.Stack())
		}
	}()
	return ask(ctx)
}

func (c *cache[K, V]) count() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drops
}

func (c *cache[K, V]) keep(id K, v V, drops uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops == drops {
		c.entries.Set(id, v)
	}
}

// drop forgets one record, and reports whether it was held. What is served from then on is at least as new
// as the call.
func (c *cache[K, V]) drop(id K) (held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	_, held = c.entries.Invalidate(id)
	c.fresh.dropped.Add(1) // then: who sees the count does not see the record
	return held
}

// clear forgets everything.
func (c *cache[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	c.entries.InvalidateAll()
	c.fresh.dropped.Add(1)
}

package authz

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// rereadsAtOnce is how many records of one kind are read anew at a time. They do not wait for turns, in which strangers
// would stand before those who were served until now.
const rereadsAtOnce = 3

// Renewal is what a server was told to replace of what it holds: clients and resources that changed, or everything.
type Renewal struct {
	clients   renewal[ClientID, Client]
	resources renewal[ResourceID, Resource]
	server    *Server
}

// Reread reads anew what is held of clients and resources that changed, and returns what is to be held instead of it.
// Until that is told to take effect nothing changes. An error of which passes says that it passes by itself is returned:
// the store is away, and whoever was served is served on, as if the changes had not been heard of. What cannot be read for
// another reason, or before ctx ends, is forgotten, so that a slow store or one bad record holds up nobody.
func (s *Server) Reread(ctx context.Context, clients []ClientID, resources []ResourceID, passes func(error) bool) (*Renewal, error) {
	r := &Renewal{server: s}
	var err error
	if r.clients, err = s.authenticator.clients.reread(ctx, clients, passes); err != nil {
		return nil, err
	}
	r.resources, err = s.policy.resources.reread(ctx, resources, passes)
	return r, err
}

// RereadAll is [Server.Reread] of everything that is held, what is used most first.
func (s *Server) RereadAll(ctx context.Context, passes func(error) bool) (*Renewal, error) {
	r, err := s.Reread(ctx, s.authenticator.clients.hottest(), s.policy.resources.hottest(), passes)
	if err != nil {
		return nil, err
	}
	r.clients.all, r.resources.all = true, true
	return r, nil
}

// TakeEffect replaces the copies, and reports whether one of a client was held. What the server loads or decides
// afterwards is at least as new as the call of Reread.
func (r *Renewal) TakeEffect() (client bool) {
	client = r.server.authenticator.clients.replace(r.clients)
	r.server.policy.resources.replace(r.resources)
	return client
}

// renewal are records that were read, of those that are to be replaced or forgotten.
type renewal[K ~string, V any] struct {
	of   []K
	all  bool // whatever else is held is forgotten, too
	read map[K]V
}

// reread reads records that are held; see [Server.Reread].
func (c *cache[K, V]) reread(ctx context.Context, ids []K, passes func(error) bool) (renewal[K, V], error) {
	r := renewal[K, V]{read: map[K]V{}}
	known := map[K]bool{}
	for _, id := range ids {
		if !known[id] {
			r.of, known[id] = append(r.of, id), true
		}
	}
	var (
		mu      sync.Mutex // guards what follows, and read
		away    error
		next    int
		reading sync.WaitGroup
	)
	take := func() (id K, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if away != nil || ctx.Err() != nil || next == len(r.of) {
			return id, false
		}
		next++
		return r.of[next-1], true
	}
	for range min(rereadsAtOnce, len(r.of)) {
		reading.Go(func() {
			for id, ok := take(); ok; id, ok = take() {
				if _, held := c.entries.GetIfPresent(id); !held {
					continue
				}
				// A read that has begun is not cut off by ctx: how it ends tells a slow store from one that is away.
				one, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
				v, err := safely(one, func(ctx context.Context) (V, error) { return c.load(ctx, id) })
				cancel()
				mu.Lock()
				switch {
				case err == nil:
					r.read[id] = v
				case !errors.Is(err, ErrNotFound) && passes(err):
					away = err
				}
				mu.Unlock()
			}
		})
	}
	reading.Wait()
	return r, away
}

// hottest are the records that are held, those first that are used most.
func (c *cache[K, V]) hottest() (ids []K) {
	for e := range c.entries.Hottest() {
		ids = append(ids, e.Key)
	}
	return ids
}

// replace puts what was read in the place of what is held, and reports whether something was held of it.
func (c *cache[K, V]) replace(r renewal[K, V]) (held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++ // no load from before is kept
	if r.all {
		r.of = slices.AppendSeq(r.of, c.entries.Keys())
	}
	for _, id := range r.of {
		var was bool
		if v, ok := r.read[id]; ok { // in one step: nobody finds nothing there
			_, inserted := c.entries.Set(id, v)
			was = !inserted
		} else {
			_, was = c.entries.Invalidate(id)
		}
		held = held || was
	}
	c.fresh.dropped.Add(1) // then: who sees the count does not see what was replaced
	return held
}

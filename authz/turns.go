package authz

import (
	"context"
	"errors"
	"sync/atomic"
)

// turns lets a bounded number of callers work at once and a bounded number wait, so that under overload
// callers are told to come back (503) instead of all of them waiting for ever. It is safe for concurrent
// use.
type turns struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
}

func newTurns(parallel, queue int) *turns {
	return &turns{slots: make(chan struct{}, parallel), queue: int64(queue)}
}

// errQueueFull says that too many wait for their turn already.
var errQueueFull = errors.New("authz: the queue is full")

// do runs f when there is a slot. It returns errQueueFull, without running f, when too many wait
// already, and the context's error when ctx ends first.
func (t *turns) do(ctx context.Context, f func() error) error {
	select {
	case t.slots <- struct{}{}:
	default:
		if t.waiting.Add(1) > t.queue {
			t.waiting.Add(-1)
			return errQueueFull
		}
		defer t.waiting.Add(-1)
		select {
		case t.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-t.slots }()
	return f()
}

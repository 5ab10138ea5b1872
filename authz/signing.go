package authz

import (
	"context"
	"errors"
	"sync/atomic"
)

// signing lets a bounded number of signatures run at once and a bounded number wait, so that under
// overload callers are told to come back (503) instead of all of them waiting for ever. It is safe
// for concurrent use.
type signing struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
}

func newSigning(parallel, queue int) *signing {
	return &signing{slots: make(chan struct{}, parallel), queue: int64(queue)}
}

// errQueueFull says that too many wait for a signature already.
var errQueueFull = errors.New("authz: the signing queue is full")

// do runs f when there is a slot. It returns errQueueFull, without running f, when too many wait
// already, and the context's error when ctx ends first.
func (s *signing) do(ctx context.Context, f func() error) error {
	select {
	case s.slots <- struct{}{}:
	default:
		if s.waiting.Add(1) > s.queue {
			s.waiting.Add(-1)
			return errQueueFull
		}
		defer s.waiting.Add(-1)
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-s.slots }()
	return f()
}

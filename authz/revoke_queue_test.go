package authz

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// A client that revokes all that it has, at once, does not keep an administrator from disabling it: the
// write waits for a few others, however many are asked for. A store makes one write at a time.
func TestEVT01_WhatAClientRevokesDelaysNoAdministrator(t *testing.T) {
	const all = 900
	s := newScene(t, nil)
	var tokens []string
	for range all {
		tokens = append(tokens, s.issue(t, s.partner, "").AccessToken)
	}
	var refused, place atomic.Int64
	writers := &line{}
	s.onCall(func(op string) error {
		if op == "revoke" || op == "put" {
			if n := <-writers.join(op); op == "put" {
				place.Store(n)
			}
		}
		return nil
	})
	var asking sync.WaitGroup
	for _, compact := range tokens {
		asking.Go(func() {
			_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)})
			var unavailable *UnavailableError
			switch {
			case errors.As(err, &unavailable) && unavailable.Cause == CauseRevocationsFull && unavailable.RetryAfter > 0:
				refused.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	// Each has got as far as it gets. Nobody counts twice: who is refused has waited for an instant before.
	for refused.Load()+s.server.revoking.waiting.Load()+writers.joined("revoke") < all {
		runtime.Gosched()
	}
	asking.Go(func() {
		if _, err := s.registry.SetClientDisabled(t.Context(), admin, s.partner.id, true); err != nil {
			t.Error(err)
		}
	})
	for writers.joined("put") == 0 && !t.Failed() {
		runtime.Gosched()
	}
	done := make(chan struct{})
	go func() {
		asking.Wait()
		close(done)
	}()
	writes := int64(0)
	for open := true; open; {
		select {
		case <-done:
			open = false
		default:
			writes = writers.next(writes)
			runtime.Gosched()
		}
	}
	if got := place.Load(); got < 1 || got > 8 {
		t.Errorf("the administrator's was write %d of %d", got, writes)
	}
	if revoked := writes - 1; revoked+refused.Load() != all || revoked < queuedRevocations || s.live() != int(revoked)+1 {
		t.Errorf("%d revoked, %d told to come back, %d stored", revoked, refused.Load(), s.live())
	}
}

// line is a store's: who joined first writes first, at whatever moment the machine lets it go on.
type line struct {
	mu      sync.Mutex
	waiting []chan int64
	ops     map[string]int64
}

// join returns what says that it is one's turn, and which one.
func (l *line) join(op string) <-chan int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ops == nil {
		l.ops = map[string]int64{}
	}
	l.ops[op]++
	turn := make(chan int64, 1)
	l.waiting = append(l.waiting, turn)
	return turn
}

func (l *line) joined(op string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ops[op]
}

// next lets the first one write, if anybody waits, after so many writes, and returns how many that makes.
func (l *line) next(writes int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 {
		writes++
		l.waiting[0] <- writes
		l.waiting = l.waiting[1:]
	}
	return writes
}

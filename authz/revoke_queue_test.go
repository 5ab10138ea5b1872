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
	var arrived, refused, place atomic.Int64
	turn := make(chan int64) // who waits longest is next
	s.onCall(func(op string) error {
		if op == "revoke" || op == "put" {
			arrived.Add(1)
			if n := <-turn; op == "put" {
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
	for arrived.Load()+s.server.revoking.waiting.Load()+refused.Load() < all { // each has got as far as it gets
		runtime.Gosched()
	}
	before := arrived.Load()
	asking.Go(func() {
		if _, err := s.registry.SetClientDisabled(t.Context(), admin, s.partner.id, true); err != nil {
			t.Error(err)
		}
	})
	for arrived.Load() == before {
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
		case turn <- writes + 1:
			writes++
		case <-done:
			open = false
		}
	}
	if got := place.Load(); got < 1 || got > 8 {
		t.Errorf("the administrator's was write %d of %d", got, writes)
	}
	if revoked := writes - 1; revoked+refused.Load() != all || revoked < queuedRevocations || s.live() != int(revoked)+1 {
		t.Errorf("%d revoked, %d told to come back, %d stored", revoked, refused.Load(), s.live())
	}
}

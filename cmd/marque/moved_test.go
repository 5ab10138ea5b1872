package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// TestFollow_MovedForGood: that a store goes on elsewhere is one write there, and when it is lost, say with its primary, a server
// that was told so does not go on: it would serve what was revoked at the new place.
func TestFollow_MovedForGood(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	s := startTest(t, nodeConfig(t, redis.Addr), options{withoutSample: true})
	raw, ctx := redis.Client(), t.Context()
	keys, err := raw.Keys(ctx, "*:epoch").Result()
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	before := raw.Get(ctx, keys[0]).Val()
	mark := func(text string) {
		t.Helper()
		if err := raw.Set(ctx, keys[0], text, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	away := "2." + strings.TrimPrefix(before, "1.")
	mark(away + ".closed.E1")
	if err := s.follower.CatchUp(ctx); !errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrMoved) {
		t.Errorf("closed: got error %v, want ErrClosed", err)
	}
	mark(before)
	if err := s.follower.CatchUp(ctx); err != nil || s.movedAway.Load() {
		t.Errorf("reopened: got error %v", err)
	}
	mark(away + ".moved.E1.new")
	if err := s.follower.CatchUp(ctx); !errors.Is(err, store.ErrMoved) {
		t.Errorf("claimed: got error %v, want ErrMoved", err)
	}
	mark(before)
	if err := s.follower.CatchUp(ctx); !errors.Is(err, store.ErrMoved) || !s.movedAway.Load() {
		t.Errorf("the mark was lost: got error %v, want ErrMoved", err)
	}
}

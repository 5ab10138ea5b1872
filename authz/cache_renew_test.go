package authz

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("away")

func isAway(err error) bool { return errors.Is(err, errAway) }

// holding makes so many clients, all of which the server holds.
func holding(t *testing.T, n int) (w *world, ids []ClientID) {
	t.Helper()
	w = newWorld(t, nil)
	for i := range n {
		c, _ := w.client(t, ClientSpec{ID: fmt.Sprint("c-", i)})
		ids = append(ids, c.ID)
	}
	for _, id := range ids {
		if _, err := w.server.authenticator.clients.get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	return w, ids
}

func (w *world) held(ids []ClientID) (n int) {
	for _, id := range ids {
		if _, ok := w.server.authenticator.clients.cached(id); ok {
			n++
		}
	}
	return n
}

// Reading anew ends in time, and what was not read by then is forgotten: it may have changed.
func TestServer_RereadEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 20
		w, ids := holding(t, all)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w.onCall(func(string) error {
			time.Sleep(300 * time.Millisecond) // of the bubble: a slow store
			return nil
		})
		before := w.calls.Load()
		r, err := w.server.Reread(ctx, append(ids, ids...), []ResourceID{api}, isAway)
		if err != nil {
			t.Fatal(err)
		}
		const want = 4 * rereadsAtOnce
		if n := w.calls.Load() - before; n != want {
			t.Errorf("%d reads, want %d", n, want)
		}
		if n := w.held(ids); n != all {
			t.Errorf("%d are held before it takes effect", n)
		}
		if !r.TakeEffect() {
			t.Error("no client was held")
		}
		if n := w.held(ids); n != want {
			t.Errorf("%d are held, and %d were read", n, want)
		}
		if r, err := w.server.Reread(ctx, []ClientID{"nobody"}, nil, isAway); err != nil || r.TakeEffect() {
			t.Errorf("one that is not held: %v", err)
		}
	})
}

// A store that is away changes nothing. A record that cannot be read for another reason, or is gone, is forgotten,
// and the others are new.
func TestServer_Reread_AwayOrNot(t *testing.T) {
	for _, r := range []struct {
		name  string
		fault error
		err   error
		held  int
	}{
		{"away", errAway, errAway, 3},
		{"damaged", errors.New("damaged"), nil, 0},
		{"gone", ErrNotFound, nil, 0},
		{"all is well", nil, nil, 3},
	} {
		for what, reread := range map[string]func(*Server, []ClientID) (*Renewal, error){
			"some": func(s *Server, ids []ClientID) (*Renewal, error) {
				return s.Reread(t.Context(), ids, nil, isAway)
			},
			"all": func(s *Server, _ []ClientID) (*Renewal, error) { return s.RereadAll(t.Context(), isAway) },
		} {
			w, ids := holding(t, 3)
			for _, id := range ids {
				w.memory.edit(id)
			}
			w.onCall(func(string) error { return r.fault })
			renewal, err := reread(w.server, ids)
			w.onCall(nil)
			if !errors.Is(err, r.err) {
				t.Errorf("%s, %s: %v", r.name, what, err)
			}
			want := uint64(1)
			if err == nil {
				renewal.TakeEffect()
				want = 2 // by the one who edited them
			}
			if n := w.held(ids); n != r.held {
				t.Errorf("%s, %s: %d are held, want %d", r.name, what, n, r.held)
			}
			if c, ok := w.server.authenticator.clients.cached(ids[0]); ok && c.Version != want {
				t.Errorf("%s, %s: version %d, want %d", r.name, what, c.Version, want)
			}
		}
	}
}

// A load that began before a renewal takes effect is not kept, and a decision from before it is made again.
func TestServer_Reread_OvertakesALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ids := holding(t, 1)
		c := w.server.authenticator.clients
		began, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		load := c.load
		var first atomic.Bool
		c.load = func(ctx context.Context, id ClientID) (Client, error) {
			v, err := load(ctx, id)
			if first.CompareAndSwap(false, true) {
				close(began)
				<-release
			}
			return v, err
		}
		go func() {
			defer close(done)
			_, _ = c.reload(t.Context(), ids[0])
		}()
		<-began
		w.memory.edit(ids[0])
		changes := w.server.fresh.changes()
		r, err := w.server.RereadAll(t.Context(), isAway)
		if err != nil {
			t.Fatal(err)
		}
		r.TakeEffect()
		close(release)
		<-done
		if v, ok := c.cached(ids[0]); !ok || v.Version != 2 {
			t.Errorf("held %v, version %d", ok, v.Version)
		}
		if w.server.fresh.changes() == changes {
			t.Error("a decision from before would be signed")
		}
	})
}

package authz

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/marque-auth/marque/keys/jose"
)

// behind is a scene whose server does not know the key yet that signs elsewhere.
func behind(t *testing.T, unknown float64, caughtUp func(show func()) error) (s *scene, compact string, runs *atomic.Int64) {
	t.Helper()
	var secret atomic.Bool
	runs = new(atomic.Int64)
	s = newScene(t, func(c *Config) {
		public := c.PublicKey
		c.PublicKey = func(kid string) (*jose.PublicKey, error) {
			if secret.Load() {
				return nil, jose.ErrUnknownKey
			}
			return public(kid)
		}
		c.Unknown = unknown
		c.CaughtUp = func(context.Context) error {
			runs.Add(1)
			return caughtUp(func() { secret.Store(false) })
		}
	})
	compact = s.issue(t, s.partner, "").AccessToken
	secret.Store(true)
	return s, compact, runs
}

func shown(show func()) error {
	show()
	return nil
}

// RVK-13, INT-13: a key that another server made a moment ago is looked for before its tokens are unknown.
func TestRVK13_INT13_AKeyOfAnotherServerIsLookedFor(t *testing.T) {
	s, compact, runs := behind(t, 0, shown)
	if got := s.withdraw(t, s.partner, compact); !got.Changed || runs.Load() != 1 {
		t.Errorf("%+v after %d looks", got, runs.Load())
	}
	s.wantInactive(t, s.partner, compact, CauseTokenRevoked)
	s, compact, _ = behind(t, 0, shown)
	s.wantActive(t, s.partner, compact)
	s, compact, _ = behind(t, 0, shown)
	if _, err := s.server.RevokeToken(t.Context(), admin, compact); err != nil || s.live() != 1 {
		t.Errorf("an administrator: %v", err)
	}
	s, compact, runs = behind(t, 0, func(func()) error { return nil }) // it is nobody's
	if got := s.withdraw(t, s.partner, compact); got.Changed || got.JTI != "" || runs.Load() != 1 {
		t.Errorf("%+v after %d looks", got, runs.Load())
	}
	s.wantInactive(t, s.partner, compact, CauseTokenUnknownKey)
}

// RVK-13, INT-13: while that cannot be found out nothing is done, nothing is unknown, and the answer is 503.
func TestRVK13_INT13_AKeyThatCannotBeLookedFor(t *testing.T) {
	s, compact, _ := behind(t, 0, func(func()) error { return errors.New("the store is away") })
	_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(s.partner.id, s.partner.secret)})
	wantUnavailable(t, err, CauseStoreUnavailable)
	_, err = s.server.RevokeToken(t.Context(), admin, compact)
	wantUnavailable(t, err, CauseStoreUnavailable)
	_, err = s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(s.first.id, s.first.secret)})
	wantUnavailable(t, err, CauseStoreUnavailable)
	if s.live() != 0 {
		t.Error("something was withdrawn")
	}
	// What bears no key at all is known to be no token of ours.
	if got := s.withdraw(t, s.partner, encode("random")); got.Changed {
		t.Errorf("%+v", got)
	}
}

// INT-12: made-up keys are looked for as often as strings that are not ours may be asked about, and no more;
// each counts once, and our own tokens never do.
func TestINT12_MadeUpKeysAreLookedForSoOften(t *testing.T) {
	const most = 5
	s, compact, runs := behind(t, most, func(func()) error { return nil })
	revoke := func(p party) error {
		_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(p.id, p.secret)})
		return err
	}
	introspect := func(p party) error {
		_, err := s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(p.id, p.secret)})
		return err
	}
	for i, ask := range []func(party) error{revoke, introspect, revoke, introspect, introspect} {
		if err := ask(s.partner); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	for _, ask := range []func(party) error{revoke, introspect} {
		var throttled *ThrottledError
		if err := ask(s.partner); !errors.As(err, &throttled) || throttled.Cause != CauseUnknownLimited || throttled.RetryAfter <= 0 {
			t.Errorf("%v", err)
		}
	}
	if runs.Load() != most {
		t.Errorf("looked %d times, want %d", runs.Load(), most)
	}
	if err := revoke(s.rival); err != nil { // somebody else
		t.Error(err)
	}
}

// However many come at once, the feed is read once at a time, and twice at most: nobody is told by a run that
// had begun before they came.
func TestUptodate_IsShared(t *testing.T) {
	var runs, at atomic.Int64
	first, finish := make(chan struct{}), make(chan struct{})
	u := newUptodate(func(context.Context) error {
		if at.Add(1) != 1 {
			t.Error("two at a time")
		}
		defer at.Add(-1)
		if runs.Add(1) == 1 {
			close(first)
			<-finish
			return errors.New("the first")
		}
		return nil
	})
	var all sync.WaitGroup
	all.Go(func() {
		if err := u.wait(t.Context()); err == nil {
			t.Error("the first one's fault is not told")
		}
	})
	<-first
	var came atomic.Int64
	for range 50 {
		all.Go(func() {
			came.Add(1)
			if err := u.wait(t.Context()); err != nil {
				t.Errorf("told of a run that had begun before: %v", err)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := u.wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("waited for somebody who has gone: %v", err)
	}
	for came.Load() < 50 {
		runtime.Gosched()
	}
	close(finish)
	all.Wait()
	if n := runs.Load(); n < 2 || n > 3 { // who had not yet looked at the count may need a third
		t.Errorf("%d runs", n)
	}
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// clocks are this server's clock and the store's, as a test moves them. Real time stands still.
type clocks struct {
	own, store time.Time
	ticks      time.Duration // what the machine has counted
	takes      time.Duration // so long the store takes to answer, half of it before it looks
	err        error
}

func newClocks() (*clocks, *storeClock, *logBuffer) {
	c := &clocks{own: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	c.store = c.own
	log := &logBuffer{}
	s := newStoreClock(c, func() time.Time { return c.own }, slog.New(slog.NewTextHandler(log, nil)))
	return c, s, log
}

// pass lets time go by for both.
func (c *clocks) pass(d time.Duration) {
	c.own, c.store, c.ticks = c.own.Add(d), c.store.Add(d), c.ticks+d
}

// Clock implements store.Clock.
func (c *clocks) Clock(context.Context) (time.Time, error) {
	c.pass(c.takes / 2)
	at := c.store
	c.pass(c.takes / 2)
	return at, c.err
}

func (c *clocks) look(t *testing.T, s *storeClock) {
	t.Helper()
	if err := s.look(t.Context()); !errors.Is(err, c.err) {
		t.Fatal(err)
	}
}

// ROT-09: what is certain counts, at the limit and beyond; what is not changes nothing.
func TestROT09_StoreClock_WhatIsCertain(t *testing.T) {
	for name, r := range map[string]struct {
		ahead, takes time.Duration
		before, want bool
	}{
		"equal":                          {0, 0, true, false},
		"at the limit":                   {authz.MaxSkew, 0, true, false},
		"at the limit, behind":           {-authz.MaxSkew, 0, true, false},
		"beyond":                         {authz.MaxSkew + 1, 0, false, true},
		"beyond, behind":                 {-authz.MaxSkew - 1, 0, false, true},
		"perhaps not beyond":             {authz.MaxSkew + time.Second, 2 * time.Second, false, false},
		"perhaps beyond":                 {authz.MaxSkew - time.Second/2, 2 * time.Second, true, true},
		"perhaps, behind":                {-authz.MaxSkew - time.Second/2, 2 * time.Second, true, true},
		"beyond whatever the time taken": {authz.MaxSkew + time.Second + 1, 2 * time.Second, false, true},
		"not beyond, however long":       {authz.MaxSkew - time.Second, 2 * time.Second, true, false},
	} {
		c, s, _ := newClocks()
		if r.before {
			c.own = c.own.Add(time.Hour)
			c.look(t, s)
			c.own = c.own.Add(-time.Hour)
			s.between = func(from, to time.Time) time.Duration { return to.Sub(from) }
			s.recent = nil
		}
		c.own, c.takes = c.own.Add(r.ahead), r.takes
		c.look(t, s)
		if ahead, off := s.Off(); off != r.want || ahead != r.ahead {
			t.Errorf("%s: off %t, ahead %v; want %t, %v", name, off, ahead, r.want, r.ahead)
		}
		if got := s.Now(); !got.Equal(c.store) {
			t.Errorf("%s: the store's clock shows %v, and is taken to show %v", name, c.store, got)
		}
	}
}

// Of the recent readings the one that was quickest counts, and one that a jump has made untrue does not.
func TestROT09_StoreClock_TheLeastUncertainReading(t *testing.T) {
	c, s, _ := newClocks()
	c.own = c.own.Add(authz.MaxSkew + 100*time.Millisecond)
	c.takes = 2 * time.Second
	c.look(t, s)
	if _, off := s.Off(); off {
		t.Error("certain, by an answer that took 2 s")
	}
	c.takes = 20 * time.Millisecond
	c.look(t, s)
	c.takes = 2 * time.Second
	for range keptReadings - 1 {
		c.pass(time.Second)
		c.look(t, s)
		if _, off := s.Off(); !off {
			t.Error("the quick answer is forgotten too soon")
		}
	}
	c.look(t, s) // and now it is too long ago
	if r := s.best.Load(); r.within != time.Second || len(s.recent) != keptReadings {
		t.Errorf("%d readings, the best within %v", len(s.recent), r.within)
	}

	c.takes = 0
	c.look(t, s)
	c.takes = 20 * time.Millisecond
	c.store = c.store.Add(200 * time.Millisecond) // another Redis, with a clock of its own
	c.look(t, s)
	if ahead, off := s.Off(); off || ahead != authz.MaxSkew-100*time.Millisecond {
		t.Errorf("after the store's clock was set: %v, off %t", ahead, off)
	}
	c.own = c.own.Add(-time.Hour) // set back while the question is on its way
	before := s.best.Load()
	s.take(c.own.Add(time.Hour), c.own, c.store)
	if s.best.Load() != before {
		t.Error("a reading of no time was taken")
	}
}

// A wall clock that is set is off at once, whether or not the store can be asked, and so is the end of it.
func TestROT09_StoreClock_AJumpCountsAtOnce(t *testing.T) {
	c, s, _ := newClocks()
	counted := map[time.Time]time.Duration{}
	s.between = func(from, to time.Time) time.Duration { return counted[to] - counted[from] }
	s.now = func() time.Time { counted[c.own] = c.ticks; return c.own }
	c.look(t, s)
	c.err = errAway
	var sum time.Duration
	for _, jump := range []time.Duration{time.Hour, -time.Hour, -time.Minute, time.Minute} {
		c.pass(time.Second)
		c.own = c.own.Add(jump)
		sum += jump
		if ahead, off := s.Off(); ahead != sum || off != (sum != 0) {
			t.Errorf("after a jump by %v: ahead %v, off %t", jump, ahead, off)
		}
		if got := s.Now(); !got.Equal(c.store) {
			t.Errorf("after a jump by %v the store's clock is taken to show %v, and shows %v", jump, got, c.store)
		}
	}
}

// A store that is away changes nothing, and what begins and ends is said once.
func TestROT09_StoreClock_SilenceAndWhatIsSaid(t *testing.T) {
	c, s, log := newClocks()
	if _, off := s.Off(); off || !s.Now().Equal(c.own) {
		t.Error("an opinion before the first reading")
	}
	c.look(t, s)
	c.own = c.own.Add(time.Minute)
	for _, err := range []error{nil, nil, errAway, errAway} {
		c.err = err
		c.look(t, s)
		c.pass(time.Hour)
	}
	if _, off := s.Off(); !off {
		t.Error("right again by silence")
	}
	c.own, c.err = c.own.Add(-time.Minute), nil
	for range 3 {
		c.look(t, s)
		if _, off := s.Off(); off {
			t.Error("off although it is right")
		}
	}
	c.err = errAway
	c.look(t, s)
	if _, off := s.Off(); off {
		t.Error("off by silence")
	}
	text := log.String()
	if strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "level=INFO") != 1 || !strings.Contains(text, "ahead=1m0s") {
		t.Errorf("the log: %s", text)
	}
}

// Requests ask while the follower looks.
func TestROT09_StoreClock_AtOnce(t *testing.T) {
	var ahead atomic.Int64
	s := newStoreClock(clockFunc(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }), time.Now, slog.New(slog.DiscardHandler))
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.Off()
					s.Now()
				}
			}
		})
	}
	for i := range 200 {
		ahead.Store(int64(i) * int64(time.Second))
		if err := s.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	asking.Wait()
	if _, off := s.Off(); !off {
		t.Error("not off")
	}
}

type clockFunc func() time.Time

func (f clockFunc) Clock(context.Context) (time.Time, error) { return f(), nil }

// sharedStore makes of the embedded store one that several servers share: with a clock, and a feed that says
// when there is more.
type sharedStore struct {
	store.Store
	ahead  atomic.Int64 // of the store's clock before the machine's
	silent atomic.Bool  // its clock cannot be read
	rings  atomic.Int64 // writes of rings
	looks  atomic.Int64 // reads of rings
	more   chan struct{}
}

func (s *sharedStore) Clock(context.Context) (time.Time, error) {
	if s.silent.Load() {
		return time.Time{}, errAway
	}
	return time.Now().Add(time.Duration(s.ahead.Load())), nil
}

func (s *sharedStore) Wait(ctx context.Context, _ store.Cursor) error {
	select {
	case <-s.more:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sharedStore) Rings(ctx context.Context) ([]keys.RingRecord, error) {
	s.looks.Add(1)
	return s.Store.Rings(ctx)
}

func (s *sharedStore) PutRing(ctx context.Context, r keys.RingRecord, e audit.Entry) (keys.RingRecord, error) {
	s.rings.Add(1)
	return s.Store.PutRing(ctx, r, e)
}

// startShared starts a server on such a store. It looks at the store when the test says so.
func startShared(t *testing.T, o options) (*server, *sharedStore, *logBuffer) {
	t.Helper()
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute)
	shared, log := &sharedStore{more: make(chan struct{})}, &logBuffer{}
	o.log, o.shared = newLog(log, c.Log), true
	o.storeAs = func(inner store.Store) store.Store {
		shared.Store = inner
		return shared
	}
	s := startTest(t, c, o)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s, shared, log
}

// ROT-09: 503 at a server whose clock is off, wherever something depends on it; it says why; it can be managed;
// and it recovers by itself.
func TestROT09_AServerWhoseClockIsOff(t *testing.T) {
	var ahead atomic.Int64
	s, shared, log := startShared(t, options{now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	waitReady(t, s)
	compact := getSample(t, s)
	about := sampleForm(t, s)
	about.Del("grant_type")
	about.Set("token", compact)
	public := "http://" + s.Address()
	wantEverywhere := func(want int) {
		t.Helper()
		for path, form := range map[string]url.Values{"/oauth2/token": sampleForm(t, s), "/oauth2/introspect": about} {
			if code, body := post(t, public+path, form); code != want {
				t.Errorf("%s: %d, %s; want %d", path, code, body, want)
			}
		}
		if got := status(t, http.DefaultClient, public+"/readyz"); got != want {
			t.Errorf("/readyz: %d, want %d", got, want)
		}
	}
	wantEverywhere(http.StatusOK)
	if got := s.status(); got.State != admin.StateOK || len(got.Reasons) != 0 || got.ClockOffset == nil || got.ClockOffset.Abs() > time.Second {
		t.Errorf("%+v", got)
	}

	for _, d := range []time.Duration{10 * time.Second, -10 * time.Second} {
		ahead.Store(int64(d))
		if err := s.applied(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantEverywhere(http.StatusServiceUnavailable)
		if code, body := post(t, public+"/oauth2/revoke", about); code != http.StatusServiceUnavailable {
			t.Errorf("revocation: %d, %s", code, body)
		}
		got := s.status()
		if got.State != admin.StateUnavailable || len(got.Reasons) == 0 || got.Reasons[0].Code != reasonClockSkew || (*got.ClockOffset-d).Abs() > time.Second {
			t.Errorf("%+v", got)
		}
		looks := shared.looks.Load()
		if err := s.step(t.Context()); err != nil || shared.looks.Load() != looks {
			t.Errorf("a step of the keys by a wrong clock: %v", err)
		}
		// By the store's clock it can be managed: "until now" is by that, and covers clocks that are ahead.
		now := time.Now()
		r, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedCredential, Value: sampleCredential(t, s)}})
		if least := now.Add(s.skew()); err != nil || r.Before.Before(least) || r.Before.After(least.Add(2*time.Second)) {
			t.Errorf("%v ahead: before %v at %v, %v", d, r.Before, now, err)
		}
		shared.silent.Store(true) // unknown: as it was
		if err := s.applied(t.Context()); err == nil {
			t.Error("confirmed by a clock that nobody knows")
		}
		wantEverywhere(http.StatusServiceUnavailable)
		shared.silent.Store(false)
		ahead.Store(0)
		if err := s.applied(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.ready(t.Context()); err != nil {
			t.Errorf("after the clock was set right: %v", err)
		}
	}
	if got := testutil.ToFloat64(s.metrics.refusals.WithLabelValues("token", string(authz.CauseClockSkew))); got != 4 {
		t.Errorf("%v token requests were counted as refused for the clock", got)
	}
	text := log.String()
	if strings.Count(text, "clock is off from the store's") != 2 || strings.Count(text, "is as the store's again") != 2 {
		t.Errorf("the log: %s", text)
	}
}

func sampleCredential(t *testing.T, s *server) string {
	t.Helper()
	c, err := s.registry.Client(t.Context(), sampleClient)
	if err != nil {
		t.Fatal(err)
	}
	return string(c.Credentials[0].ID)
}

// A server that starts with a wrong clock starts, makes no keys by it, and is ready once it is right.
func TestROT09_AStartWithAClockThatIsOff(t *testing.T) {
	var ahead atomic.Int64
	ahead.Store(int64(time.Hour))
	s, shared, _ := startShared(t, options{now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, withoutSample: true})
	if err := s.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("ready: %v", err)
	}
	if n := shared.rings.Load(); n != 0 {
		t.Errorf("%d writes of keys", n)
	}
	ahead.Store(0)
	for range 2 { // the first look finds out what time it is, the second one is dated by it
		if err := s.applied(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waitReady(t, s) // the timeline makes a key, which signs a refresh interval later
	if n := shared.rings.Load(); n == 0 {
		t.Error("no writes of keys")
	}
}

// A store's clock that is set back, as when another Redis takes over, leaves tokens that are dated by what it
// showed: they are covered.
func TestROT09_EVT09_AStoreClockThatWasSetBack(t *testing.T) {
	var ahead atomic.Int64
	s, shared, _ := startShared(t, options{now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	waitReady(t, s)
	shared.ahead.Store(int64(4 * time.Second))
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	most := s.commonNow().Add(authz.MaxSkew).Truncate(time.Second) // what another server may have dated
	shared.ahead.Store(int64(-time.Minute))
	ahead.Store(int64(-time.Minute))
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}})
	if err != nil || r.Before.Before(most) {
		t.Errorf("before %v, want %v at least, %v", r.Before, most, err)
	}
}

// RVK-12: a change at another server is known here when the feed says so, long before the next look.
func TestRVK12_TheFeedSaysWhenThereIsMore(t *testing.T) {
	wantNothingRunning(t)
	t.Run("server", func(t *testing.T) {
		s, shared, _ := startShared(t, options{})
		subject := token.Subject{Kind: token.RevokedJTI, Value: "of another server"}
		_, err := shared.PutRevocation(t.Context(), authz.Revocation{
			Revocation: token.Revocation{Subject: subject, Until: time.Now().Add(time.Hour).Truncate(time.Second)},
			Actor:      byTest.Actor, CreatedAt: time.Now().Truncate(time.Second),
		}, byTest.Done(time.Now(), "revocation.create", subject.String()))
		if err != nil {
			t.Fatal(err)
		}
		shared.more <- struct{}{}
		waitFor(t, func() bool {
			time.Sleep(time.Millisecond)
			_, ok := s.index.Revocation(subject)
			return ok
		})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The embedded store has one server: nothing is different there.
func TestROT09_TheEmbeddedStoreHasNoClock(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	if s.clock != nil || s.skew() != 0 || s.sharedClock() != nil || s.clockOff() || s.status().ClockOffset != nil {
		t.Errorf("a clock, or a skew of %v", s.skew())
	}
	r, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}})
	if ahead := time.Until(r.Before); err != nil || ahead > time.Second {
		t.Errorf("until %v from now, %v", ahead, err)
	}
}

// ROT-09 and EVT-09 with a real Redis: of two servers the one whose clock is off issues nothing, and can be told
// to withdraw what the other one issues.
func TestROT09_OneOfTwoServersOnARedis(t *testing.T) {
	redis := redistest.Start(t)
	well := startNodes(t, 1, redis.Addr)[0]
	defer http.DefaultClient.CloseIdleConnections()
	c := nodeConfig(t, redis.Addr)
	c.Keys.KEKFile = well.config.Keys.KEKFile
	off := startTest(t, c, options{withoutSample: true, now: func() time.Time { return time.Now().Add(-time.Minute) }})
	p := newPartner(t, off, "partner")
	code, compact := p.asksFor(t, well)
	if code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	if code, _ := p.asksFor(t, off); code != http.StatusServiceUnavailable {
		t.Errorf("a token by a wrong clock: %d", code)
	}
	if got := off.status(); got.State != admin.StateUnavailable || got.Reasons[0].Code != reasonClockSkew || (*got.ClockOffset+time.Minute).Abs() > time.Second {
		t.Errorf("%+v", got)
	}
	if offset := well.status().ClockOffset; offset == nil || offset.Abs() > time.Second {
		t.Errorf("the other one is off by %v", offset)
	}
	if _, err := off.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: p.id}}); err != nil {
		t.Fatal(err)
	}
	if code, active := p.hears(t, well, compact); code != http.StatusOK || active {
		t.Errorf("%d, active %v", code, active)
	}
}

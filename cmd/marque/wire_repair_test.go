package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// lossy is a shared store that can lose revocations: it says what it said before, until somebody puts back
// what it has lost.
type lossy struct {
	*sharedStore
	mu        sync.Mutex
	lost      map[token.Subject]authz.Revocation // what it says of them; the zero value: nothing
	puts      int                                // since then
	conflicts int                                // so many puts lose a race
	err       error                              // of puts
	cut       atomic.Bool
	noRings   atomic.Bool
}

// goBack makes it say of some subjects what it is given, or nothing, and of its feed that it cannot be
// continued.
func (l *lossy) goBack(lost map[token.Subject]authz.Revocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost, l.puts = lost, 0
	l.cut.Store(true)
}

func (l *lossy) remembered(found []authz.Revocation) (out []authz.Revocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range found {
		if old, lost := l.lost[r.Subject]; lost {
			r = old
		}
		if r.Version > 0 {
			out = append(out, r)
		}
	}
	return out
}

func (l *lossy) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	found, err := l.Store.Revocations(ctx, subjects)
	return l.remembered(found), err
}

func (l *lossy) ListRevocations(ctx context.Context, after string, limit int) ([]authz.Revocation, error) {
	all, err := l.Store.ListRevocations(ctx, after, 10_000)
	all = l.remembered(all)
	return all[:min(limit, len(all))], err
}

func (l *lossy) PutRevocation(ctx context.Context, r authz.Revocation, e audit.Entry) (authz.Revocation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return authz.Revocation{}, l.err
	case l.conflicts > 0:
		l.conflicts--
		return authz.Revocation{}, authz.ErrConflict
	}
	old, lost := l.lost[r.Subject]
	if lost {
		if r.Version != old.Version {
			return authz.Revocation{}, authz.ErrConflict
		}
		found, err := l.Store.Revocations(ctx, []token.Subject{r.Subject})
		if err != nil {
			return authz.Revocation{}, err
		}
		r.Version = found[0].Version // what lies below has lost nothing
	}
	r, err := l.Store.PutRevocation(ctx, r, e)
	if err == nil {
		l.puts++
		delete(l.lost, r.Subject)
	}
	return r, err
}

func (l *lossy) Changes(ctx context.Context, after store.Cursor, limit int) ([]store.Change, store.Cursor, error) {
	if l.cut.CompareAndSwap(true, false) {
		return nil, "", store.ErrCursor
	}
	return l.Store.Changes(ctx, after, limit)
}

func (l *lossy) Rings(ctx context.Context) ([]keys.RingRecord, error) {
	if l.noRings.Load() {
		return nil, nil
	}
	return l.sharedStore.Rings(ctx)
}

func startLossy(t *testing.T, shared bool) (*server, *lossy, *logBuffer) {
	t.Helper()
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute) // no look at the store by itself
	l, log := &lossy{sharedStore: &sharedStore{more: make(chan struct{})}}, &logBuffer{}
	s := startTest(t, c, options{log: newLog(log, c.Log), shared: shared, storeAs: func(inner store.Store) store.Store {
		if l.Store = inner; !shared {
			return struct{ store.Store }{l} // without a clock
		}
		return l
	}})
	waitReady(t, s)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s, l, log
}

func ofClient(id string) token.Subject {
	return token.Subject{Kind: token.RevokedClient, Value: id}
}

// repaired lists what was put back, by its audit entries.
func repaired(t *testing.T, s *server) (targets []string) {
	t.Helper()
	entries, _, err := s.registry.Audit(t.Context(), authz.AuditQuery{Action: "revocation.restore", Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Actor != byRepair.Actor || e.Reason != byRepair.Reason {
			t.Errorf("%+v", e)
		}
		targets = append(targets, e.Target)
	}
	slices.Sort(targets)
	return targets
}

// wantRegained wants the server to agree with its store again, and that to be told.
func wantRegained(t *testing.T, s *server, log *logBuffer, targets ...string) {
	t.Helper()
	slices.Sort(targets)
	if got := repaired(t, s); !slices.Equal(got, targets) {
		t.Errorf("put back %q, want %q", got, targets)
	}
	if err := s.ready(t.Context()); err != nil {
		t.Error(err)
	}
	got := s.status()
	if got.State != admin.StateDegraded || len(got.Reasons) != 1 || got.Reasons[0].Code != reasonWentBack || got.WentBackAt.IsZero() {
		t.Errorf("%+v", got)
	}
	if n := strings.Count(log.String(), "the store went back in time: it was emptied"); n != 1 || !strings.Contains(log.String(), "the store says again") {
		t.Errorf("%d alarms: %s", n, log)
	}
}

// RVK-12, EVT-13: what the store lost of revocations is put back from memory, whatever it was, and only that.
func TestRVK12_EVT13_WhatTheStoreLostIsPutBack(t *testing.T) {
	s, l, log := startLossy(t, true)
	compact, single := getSample(t, s), getSample(t, s)
	jti := token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, single)}
	for _, revoke := range []func() error{
		func() error {
			_, err := s.tokens.RevokeToken(t.Context(), byTest, single)
			return err
		},
		func() error {
			_, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: ofClient(sampleClient)})
			return err
		},
		func() error {
			_, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}})
			return err
		},
	} {
		if err := revoke(); err != nil {
			t.Fatal(err)
		}
	}
	all := token.Subject{Kind: token.RevokedAll}
	found, err := l.Store.Revocations(t.Context(), []token.Subject{all})
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	weaker := found[0] // of the revocation before
	weaker.Before, weaker.Until = weaker.Before.Add(-time.Minute), weaker.Until.Add(-time.Minute)

	held, confirmed := s.index.Len(), s.confirmed.Load()
	l.goBack(map[token.Subject]authz.Revocation{jti: {}, ofClient(sampleClient): {}, all: weaker})
	if code, body := asks(t, s, compact); code != http.StatusServiceUnavailable {
		t.Errorf("introspection beside a store that lost something: %d, %s", code, body)
	}
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRegained(t, s, log, "jti:"+jti.Value, "client:"+sampleClient, "all:")
	if l.puts != 3 || s.index.Len() != held || s.confirmed.Load() == confirmed {
		t.Errorf("%d puts, %d held, want 3, %d; confirmed anew %t", l.puts, s.index.Len(), held, s.confirmed.Load() != confirmed)
	}
	for _, compact := range []string{compact, single} {
		wantActive(t, s, compact, false)
	}
	if r, ok := s.index.Held(jti); !ok || r.Client != sampleClient || s.index.Tokens(sampleClient) != 1 {
		t.Errorf("whose token it is was lost: %+v", r)
	}
	if err := s.applied(t.Context()); err != nil || l.puts != 3 {
		t.Errorf("put back again: %d, %v", l.puts, err)
	}
	if got := testutil.ToFloat64(gaugeOf(t, s, "marque_store_went_back_total")); got != 1 {
		t.Errorf("counted %v times", got)
	}
}

// A revocation that had ended for its client, and for which the one before it came back, is no news: who was
// disabled again must not be enabled by that.
func TestEVT10_ADisabledClientIsNotEnabledByAStoreThatWentBack(t *testing.T) {
	s, l, log := startLossy(t, true)
	var before authz.Revocation
	for _, disabled := range []bool{true, false, true} {
		found, err := l.Store.Revocations(t.Context(), []token.Subject{ofClient(sampleClient)})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 1 {
			before = found[0]
		}
		if _, err := s.registry.SetClientDisabled(t.Context(), byTest, sampleClient, disabled); err != nil {
			t.Fatal(err)
		}
	}
	if before.Before.IsZero() {
		t.Fatal("nothing is tested: it was open-ended before")
	}
	l.goBack(map[token.Subject]authz.Revocation{ofClient(sampleClient): before})
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRegained(t, s, log, "client:"+sampleClient)
	if r, _ := s.index.Stored(ofClient(sampleClient)); !r.Before.IsZero() {
		t.Errorf("the index has %+v", r)
	}

	// The other way round nothing is lost: it is disabled again, as it was.
	s, l, _ = startLossy(t, true)
	for _, disabled := range []bool{true, false} {
		found, err := l.Store.Revocations(t.Context(), []token.Subject{ofClient(sampleClient)})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 1 {
			before = found[0]
		}
		if _, err := s.registry.SetClientDisabled(t.Context(), byTest, sampleClient, disabled); err != nil {
			t.Fatal(err)
		}
	}
	l.goBack(map[token.Subject]authz.Revocation{ofClient(sampleClient): before})
	if err := s.applied(t.Context()); err != nil || l.puts != 0 {
		t.Errorf("%d puts, %v", l.puts, err)
	}
	if r, _ := s.index.Stored(ofClient(sampleClient)); !r.Before.IsZero() {
		t.Errorf("the index has %+v", r)
	}
}

// What is missed by a change that names it, and by introspection, is put back too, without a reload.
func TestEVT13_WhatIsMissedIsPutBack(t *testing.T) {
	s, l, log := startLossy(t, true)
	compact := getSample(t, s)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: ofClient(sampleClient)}); err != nil {
		t.Fatal(err)
	}
	l.goBack(map[token.Subject]authz.Revocation{ofClient(sampleClient): {}})
	l.cut.Store(false)
	if err := s.applied(t.Context()); err != nil || l.puts != 0 {
		t.Fatalf("nobody has missed it yet: %d, %v", l.puts, err)
	}
	if code, body := asks(t, s, compact); code != http.StatusServiceUnavailable {
		t.Errorf("introspection: %d, %s", code, body)
	}
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantActive(t, s, compact, false)
	wantRegained(t, s, log, "client:"+sampleClient)

	l.goBack(map[token.Subject]authz.Revocation{ofClient(sampleClient): {}})
	l.cut.Store(false)
	changes := []store.Change{{Kind: store.KindRevocation, ID: "client:" + sampleClient}}
	if err := s.apply(t.Context(), changes); err != nil || l.puts != 1 {
		t.Errorf("%d puts, %v", l.puts, err)
	}
	if len(s.doubts.some(10)) != 0 {
		t.Error("a doubt is left")
	}
}

// What cannot be put back confirms nothing, and is tried again. A lost race is no failure.
func TestEVT13_WhatCannotBePutBackYet(t *testing.T) {
	s, l, log := startLossy(t, true)
	compact := getSample(t, s)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: ofClient(sampleClient)}); err != nil {
		t.Fatal(err)
	}
	confirmed := s.confirmed.Load()
	l.goBack(map[token.Subject]authz.Revocation{ofClient(sampleClient): {}})
	l.mu.Lock()
	l.err = errAway
	l.mu.Unlock()
	for range 2 {
		if err := s.applied(t.Context()); !errors.Is(err, errRevocationLost) || !errors.Is(err, errAway) {
			t.Errorf("got %v", err)
		}
	}
	if _, ok := s.index.Stored(ofClient(sampleClient)); !ok || s.confirmed.Load() != confirmed {
		t.Error("taken over, or confirmed, from a store that went back in time")
	}
	if got := s.status(); len(got.Reasons) != 1 || got.Reasons[0].Code != reasonWentBack || got.State != admin.StateDegraded {
		t.Errorf("%+v", got)
	}
	if code, body := asks(t, s, compact); code != http.StatusServiceUnavailable {
		t.Errorf("introspection: %d, %s", code, body)
	}
	l.mu.Lock()
	l.err, l.conflicts = nil, 3
	l.mu.Unlock()
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRegained(t, s, log, "client:"+sampleClient)
	wantActive(t, s, compact, false)
}

// The ring of keys is not put back: the server keeps its own, confirms nothing, and waits for somebody to
// decide. The revocations are put back all the same.
func TestEVT13_AKeyRingThatWentBack(t *testing.T) {
	s, l, log := startLossy(t, true)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: ofClient(sampleClient)}); err != nil {
		t.Fatal(err)
	}
	kid, confirmed := activeKey(t, s), s.confirmed.Load()
	l.goBack(map[token.Subject]authz.Revocation{ofClient(sampleClient): {}})
	l.noRings.Store(true)
	for range 2 {
		if err := s.applied(t.Context()); !errors.Is(err, keys.ErrRegressed) {
			t.Errorf("got %v", err)
		}
	}
	if activeKey(t, s) != kid || s.confirmed.Load() != confirmed {
		t.Error("another key, or confirmed")
	}
	if got := repaired(t, s); !slices.Equal(got, []string{"client:" + sampleClient}) {
		t.Errorf("put back %q", got)
	}
	if n := strings.Count(log.String(), "the store went back in time: it was emptied"); n != 1 || strings.Contains(log.String(), "the store says again") {
		t.Errorf("%d alarms: %s", n, log)
	}
	if got := s.status(); len(got.Reasons) != 1 || got.Reasons[0].Code != reasonWentBack {
		t.Errorf("%+v", got)
	}
}

// Of the embedded store nothing is put back: whoever restored it has stopped the server, or it is damaged.
func TestEVT13_TheEmbeddedStoreIsLeftAsItIs(t *testing.T) {
	s, l, _ := startLossy(t, false)
	compact := getSample(t, s)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: ofClient(sampleClient)}); err != nil {
		t.Fatal(err)
	}
	found, err := l.Store.Revocations(t.Context(), []token.Subject{ofClient(sampleClient)})
	if err != nil {
		t.Fatal(err)
	}
	weaker := found[0]
	weaker.Before = weaker.Before.Add(-time.Minute)
	for _, lost := range []authz.Revocation{{}, weaker} {
		l.goBack(map[token.Subject]authz.Revocation{ofClient(sampleClient): lost})
		if code, body := asks(t, s, compact); code != http.StatusServiceUnavailable {
			t.Errorf("introspection: %d, %s", code, body)
		}
		for range 2 {
			if err := s.applied(t.Context()); !errors.Is(err, errRevocationLost) {
				t.Errorf("got %v", err)
			}
		}
		changes := []store.Change{{Kind: store.KindRevocation, ID: "client:" + sampleClient}}
		if err := s.apply(t.Context(), changes); !errors.Is(err, errRevocationLost) || l.puts != 0 {
			t.Errorf("%d were put back, %v", l.puts, err)
		}
	}
	if got := s.status(); len(got.Reasons) != 1 || got.Reasons[0].Code != reasonWentBack {
		t.Errorf("%+v", got)
	}
}

// EVT-13, ROT-09: the store's clock is hours ahead for a moment, and the store drops by it what is in force. No
// server forgets that, whether it reads everything anew then or is told of a change.
func TestEVT13_ROT09_AStoreClockFarAheadForgetsNothing(t *testing.T) {
	for _, how := range []string{"reload", "change"} {
		t.Run(how, func(t *testing.T) {
			s, l, _ := startLossy(t, true)
			single := getSample(t, s)
			jti := token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, single)}
			if _, err := s.tokens.RevokeToken(t.Context(), byTest, single); err != nil {
				t.Fatal(err)
			}
			l.ahead.Store(int64(3 * time.Hour))
			l.goBack(map[token.Subject]authz.Revocation{jti: {}})
			if how == "change" {
				l.cut.Store(false)
				s.doubts.add(jti)
			}
			if err := s.applied(t.Context()); !errors.Is(err, errRevocationLost) || !s.clockOff() {
				t.Errorf("while it is: %v, clock off %v", err, s.clockOff())
			}
			s.index.Sweep(s.forgetsAt())
			if s.index.Len() != 1 {
				t.Errorf("%d revocations are held", s.index.Len())
			}
			l.ahead.Store(0)
			_ = s.applied(t.Context())
			if _, body := asks(t, s, single); strings.Contains(body, "true") { // the least: it is not good again
				t.Error(body)
			}
			if err := s.applied(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantActive(t, s, single, false)
			if got := repaired(t, s); !slices.Equal(got, []string{jti.String()}) {
				t.Errorf("put back %q", got)
			}
		})
	}
}

// ROT-09: what is forgotten is so by the store's clock, and while that may be wrong by the earlier one.
func TestROT09_StoreClock_ForgetsAt(t *testing.T) {
	own := time.Unix(1_800_000_000, 0)
	for _, r := range []struct{ ahead, want time.Duration }{
		{0, 0}, {4 * time.Second, 4 * time.Second}, {-4 * time.Second, -4 * time.Second}, {3 * time.Hour, 0}, {-3 * time.Hour, -3 * time.Hour},
	} {
		c := newStoreClock(nil, func() time.Time { return own }, nil)
		if got := c.ForgetsAt(); !got.Equal(own) {
			t.Errorf("before it was read: %v", got)
		}
		c.take(own, own, own.Add(r.ahead))
		if got := c.ForgetsAt().Sub(own); got != r.want {
			t.Errorf("the store's is ahead by %v: got %v", r.ahead, got)
		}
	}
}

func TestSaysLess_Versions(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	open, early, late := token.Revocation{}, token.Revocation{Before: at(4), Until: at(9)}, token.Revocation{Before: at(5), Until: at(10)}
	for _, r := range []struct {
		name                       string
		stored, held               token.Revocation
		storedVersion, heldVersion uint64
		want                       bool
	}{
		{"enabled", late, open, 4, 3, false},
		{"back to before it was disabled", late, open, 2, 3, true},
		{"back to when it was disabled", open, late, 2, 3, false},
		{"back, and the same again", late, late, 2, 3, false},
		{"back, and more", late, early, 2, 3, false},
		{"back to earlier", early, late, 2, 3, true},
		{"later", late, early, 4, 3, false},
	} {
		stored := authz.Revocation{Revocation: r.stored, Version: r.storedVersion}
		if got := saysLess(stored, token.Indexed{Revocation: r.held, Version: r.heldVersion}); got != r.want {
			t.Errorf("%s: got %v", r.name, got)
		}
	}
}

// EVT-13: what somebody missed is missed until it is back: neither a pass that fails nor a look at whether the feed
// can be continued makes it forgotten, and meanwhile nothing is confirmed.
func TestEVT13_ADoubtStaysUntilItIsSettled(t *testing.T) {
	s, l, _ := startLossy(t, true)
	compact := getSample(t, s)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: ofClient(sampleClient)}); err != nil {
		t.Fatal(err)
	}
	l.goBack(map[token.Subject]authz.Revocation{ofClient(sampleClient): {}})
	l.cut.Store(false)
	fails := func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err = err
	}
	fails(errAway)
	if code, body := asks(t, s, compact); code != http.StatusServiceUnavailable {
		t.Errorf("introspection: %d, %s", code, body)
	}
	f := &feed{s.store, s}
	head, err := f.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if changes, _, err := f.Changes(t.Context(), head, 1); err != nil || len(changes) != 0 {
		t.Errorf("a look at the front is told of %v, %v", changes, err)
	}
	confirmed := s.confirmed.Load()
	for i := range 3 {
		if err := s.applied(t.Context()); !errors.Is(err, errRevocationLost) || s.confirmed.Load() != confirmed {
			t.Errorf("pass %d: %v, confirmed anew %v", i, err, s.confirmed.Load() != confirmed)
		}
	}
	fails(nil)
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.doubts.some(10)); n != 0 || l.puts != 1 {
		t.Errorf("%d doubts are left after %d puts", n, l.puts)
	}
	wantActive(t, s, compact, false)
}

func TestDoubts_AreBounded(t *testing.T) {
	var d doubts
	for i := range 2 * mostDoubts {
		d.add(token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint(i)})
	}
	three := d.some(3)
	if len(three) != 3 || len(d.some(1_000_000)) != mostDoubts {
		t.Errorf("%d of three, and %d in all: they stay until somebody has looked", len(three), len(d.some(1_000_000)))
	}
	d.settle(append(three, store.Change{Kind: store.KindClient, ID: "x"}, store.Change{Kind: store.KindRevocation, ID: "?"}))
	if n := len(d.some(1_000_000)); n != mostDoubts-3 {
		t.Errorf("%d are left", n)
	}
	if d.some(0) != nil {
		t.Error("something out of nothing")
	}
}

// snapshot is everything in a Redis, as a backup has it.
type snapshot map[string]string

func takeSnapshot(t *testing.T, c *redis.Client) snapshot {
	t.Helper()
	out := snapshot{}
	names, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if out[name], err = c.Dump(t.Context(), name).Result(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// restore puts it in place of what there is, at once.
func (s snapshot) restore(t *testing.T, c *redis.Client) {
	t.Helper()
	if err := s.put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func (s snapshot) put(ctx context.Context, c *redis.Client) error {
	_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.FlushAll(ctx)
		for name, value := range s {
			p.Restore(ctx, name, 0, value)
		}
		return nil
	})
	return err
}

// RVK-12, EVT-13, with a real Redis and two servers: a backup comes back under running servers. What was revoked
// since is never answered active by any of them, and is revoked again in Redis, once, without anybody's doing.
func TestRVK12_EVT13_ARedisThatWentBackInTime(t *testing.T) {
	redis := redistest.Start(t)
	nodes := startNodes(t, 2, redis.Addr)
	defer http.DefaultClient.CloseIdleConnections()
	a, b := nodes[0], nodes[1]
	one, two := newPartner(t, a, "one"), newPartner(t, a, "two")
	compactOf := func(p partner, s *server) string {
		t.Helper()
		status, compact := p.asksFor(t, s)
		if status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		return compact
	}
	single, more, disabled := compactOf(one, a), compactOf(one, b), compactOf(two, b)
	waitFor(t, func() bool { // nothing is due for the keys
		time.Sleep(10 * time.Millisecond)
		return slices.ContainsFunc(a.ring.List(), func(v keys.View) bool { return v.State == keys.StateNext })
	})
	backup := takeSnapshot(t, redis.Client())

	if code, body := post(t, "http://"+a.Address()+"/oauth2/revoke", one.form("token", single)); code != http.StatusOK {
		t.Fatalf("%d, %s", code, body)
	}
	if _, err := a.registry.SetClientDisabled(t.Context(), byTest, authz.ClientID(two.id), true); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // both know it
		time.Sleep(time.Millisecond)
		return b.index.Len() == a.index.Len() && a.index.Len() == 2
	})

	backup.restore(t, redis.Client())
	jti := token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, single)}
	took := until(t, func() bool {
		time.Sleep(time.Millisecond)
		for _, s := range nodes {
			for _, c := range []struct {
				p       partner
				compact string
			}{{one, single}, {two, disabled}} {
				if _, active := c.p.hears(t, s, c.compact); active {
					t.Fatal("a revoked token is active again")
				}
			}
		}
		found, err := a.store.Revocations(t.Context(), []token.Subject{jti, ofClient(two.id)})
		return err == nil && len(found) == 2 && a.applied(t.Context()) == nil && b.applied(t.Context()) == nil
	})
	t.Logf("put back after %v", took.Round(time.Millisecond))
	want := []string{"client:two", jti.String()}
	slices.SortFunc(want, cmp.Compare)
	if got := repaired(t, a); !slices.Equal(got, want) {
		t.Errorf("put back %q, want %q, each once", got, want)
	}
	for _, s := range nodes {
		for _, c := range []struct {
			p       partner
			compact string
			active  bool
		}{{one, single, false}, {two, disabled, false}, {one, more, true}} {
			if code, active := c.p.hears(t, s, c.compact); code != http.StatusOK || active != c.active {
				t.Errorf("%d, active %v, want %v", code, active, c.active)
			}
		}
		// Its record says that it may, and its revocation that it gets nothing.
		if code, _ := two.asksFor(t, s); code != http.StatusServiceUnavailable {
			t.Errorf("a client that was disabled: %d", code)
		}
		if code, _ := one.asksFor(t, s); code != http.StatusOK {
			t.Errorf("another one: %d", code)
		}
	}
	alarms := 0
	for _, s := range nodes { // whoever found everything put back by the other one has lost nothing
		if got := s.status(); got.State == admin.StateDegraded && got.Reasons[0].Code == reasonWentBack {
			alarms++
		}
	}
	if alarms == 0 {
		t.Error("nobody says that the store went back in time")
	}
}

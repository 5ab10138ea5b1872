package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store/redistest"
)

// load is a partner that asks for tokens all the time, and what it was answered.
type load struct {
	stop     context.CancelFunc
	workers  sync.WaitGroup
	answered [600]atomic.Int64 // by status
	longest  atomic.Int64      // nanoseconds
}

// asking begins to ask a server for tokens, from a few workers.
func asking(t *testing.T, s *server, p partner) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	form := p.form("grant_type", "client_credentials").Encode()
	for range 4 {
		l.workers.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Address()+"/oauth2/token", strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				resp, err := transport.RoundTrip(r)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				l.answered[resp.StatusCode].Add(1)
				if took := int64(time.Since(began)); took > l.longest.Load() {
					l.longest.Store(took)
				}
				time.Sleep(2 * time.Millisecond) // a partner, not a flood
			}
		})
	}
	t.Cleanup(func() { l.end(); transport.CloseIdleConnections() })
	return l
}

func (l *load) end() {
	l.stop()
	l.workers.Wait()
}

// count returns how many requests were answered with a token, and how many were not.
func (l *load) count() (tokens, other int64) {
	for status := range l.answered {
		if n := l.answered[status].Load(); status == http.StatusOK {
			tokens = n
		} else {
			other += n
		}
	}
	return tokens, other
}

// heap is what is held after a collection, in octets.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestOutage_CachedClientsKeepTheirTokens cuts the way to Redis under load, once so that connections hang
// and once so that they are refused, and then kills Redis and starts it again. A client that the server
// knows gets tokens all the time; nothing that needs the store is answered but 503; and everything comes
// back by itself, without a restart.
func TestOutage_CachedClientsKeepTheirTokens(t *testing.T) {
	redistest.Require(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("outage", func(t *testing.T) { // so that everything has ended before goroutines are counted
		cut := 30 * time.Second
		if testing.Short() {
			cut = 3 * time.Second
		}
		redis := redistest.Start(t)
		proxy := redistest.StartProxy(t, redis.Addr)
		s := startNodes(t, 1, proxy.Addr())[0]
		defer http.DefaultClient.CloseIdleConnections()
		known, unknown := newPartner(t, s, "known"), newPartner(t, s, "unknown")
		_, compact := known.asksFor(t, s)
		l := asking(t, s, known)
		before := heap()

		for i, fault := range []struct {
			name       string
			begin, end func()
			lasts      time.Duration
		}{
			{"cut, connections hang", proxy.Stall, proxy.Restore, cut},
			{"cut, connections are refused", proxy.Cut, proxy.Restore, cut / 2},
			{"killed and started again", redis.Kill, redis.Restart, time.Second},
		} {
			// What changed within the last minute is read anew after an outage: let that happen first.
			if status, _ := known.asksFor(t, s); status != http.StatusOK {
				t.Fatalf("before %s: %d", fault.name, status)
			}
			tokens, _ := l.count()
			began := time.Now()
			fault.begin()
			away(t, s, known, unknown, compact)
			for time.Since(began) < fault.lasts {
				time.Sleep(50 * time.Millisecond)
				if err := s.ready(t.Context()); err != nil {
					t.Fatalf("%s: not ready: %v", fault.name, err)
				}
			}
			served, other := l.count()
			if other != 0 || served == tokens {
				t.Errorf("%s: %d tokens, %d other answers", fault.name, served-tokens, other)
			}
			fault.end()
			took := until(t, func() bool {
				time.Sleep(time.Millisecond)
				status, active := known.hears(t, s, compact)
				return status == http.StatusOK && active
			})
			wrote := until(t, func() bool {
				time.Sleep(time.Millisecond)
				_, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint("nobody-", i)}})
				return err == nil
			})
			t.Logf("%s for %v: %d tokens meanwhile, longest answer so far %v; afterwards introspection answers after %v, writes after %v",
				fault.name, time.Since(began).Round(time.Second), served-tokens, time.Duration(l.longest.Load()).Round(time.Millisecond), took.Round(time.Millisecond), (took + wrote).Round(time.Millisecond))
		}
		// RVK: what is revoked after all that is obeyed at once.
		if status, body := post(t, "http://"+s.Address()+"/oauth2/revoke", known.form("token", compact)); status != http.StatusOK {
			t.Errorf("revocation: %d, %s", status, body)
		}
		if status, active := known.hears(t, s, compact); status != http.StatusOK || active {
			t.Errorf("after the revocation: %d, active %v", status, active)
		}
		l.end()
		if _, other := l.count(); other != 0 {
			t.Errorf("%d requests were not answered with a token", other)
		}
		if after := heap(); after > before+memoryGrows {
			t.Errorf("%d KiB are held, %d before the faults", after>>10, before>>10)
		}
	})
}

// memoryGrows is by how much the heap may differ before and after faults.
const memoryGrows = 8 << 20

// away checks what is answered while the store is away: 503 to whatever needs it, and never a 401 to a
// client that has not been read yet.
func away(t *testing.T, s *server, known, unknown partner, compact string) {
	t.Helper()
	if status, _ := unknown.asksFor(t, s); status != http.StatusServiceUnavailable {
		t.Errorf("an uncached client: %d", status)
	}
	mistyped := known
	mistyped.secret += "x"
	if status, _ := mistyped.asksFor(t, s); status != http.StatusServiceUnavailable {
		t.Errorf("a wrong secret: %d", status) // it may have been added meanwhile
	}
	if status, _ := (partner{"nobody", "x"}).asksFor(t, s); status != http.StatusServiceUnavailable {
		t.Errorf("an unknown client: %d", status)
	}
	if status, _ := known.hears(t, s, compact); status != http.StatusServiceUnavailable {
		t.Errorf("introspection: %d", status)
	}
	if status, body := post(t, "http://"+s.Address()+"/oauth2/revoke", known.form("token", compact)); status != http.StatusServiceUnavailable {
		t.Errorf("revocation: %d, %s", status, body)
	}
	if _, err := s.registry.SetClientDisabled(t.Context(), byTest, authz.ClientID(known.id), true); err == nil {
		t.Error("a change was acknowledged that cannot have been stored")
	}
	if status, _ := known.asksFor(t, s); status != http.StatusOK {
		t.Errorf("a cached client: %d", status)
	}
	if status := status(t, http.DefaultClient, "http://"+s.Address()+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
}

// TestOutage_LongerThanItMayLast: after store.outage without the store nothing is issued any more, and with
// the store everything is again.
func TestOutage_LongerThanItMayLast(t *testing.T) {
	redis := redistest.Start(t)
	c := nodeConfig(t, redis.Addr)
	c.Store.Outage = c.Keys.RefreshInterval + c.Keys.RefreshInterval
	s := startTest(t, c, options{})
	defer http.DefaultClient.CloseIdleConnections()
	waitFor(t, func() bool { time.Sleep(time.Millisecond); return s.ready(t.Context()) == nil })
	p := newPartner(t, s, "partner")
	if status, _ := p.asksFor(t, s); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	redis.Kill()
	var seen []int
	waitFor(t, func() bool {
		time.Sleep(5 * time.Millisecond)
		status, _ := p.asksFor(t, s)
		if !slices.Contains(seen, status) {
			seen = append(seen, status)
		}
		return status != http.StatusOK
	})
	if !slices.Equal(seen, []int{http.StatusOK, http.StatusServiceUnavailable}) {
		t.Errorf("answers %v, want tokens and then 503", seen)
	}
	if status := status(t, http.DefaultClient, "http://"+s.Address()+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", status)
	}
	redis.Restart()
	waitFor(t, func() bool {
		time.Sleep(5 * time.Millisecond)
		status, _ := p.asksFor(t, s)
		return status == http.StatusOK
	})
}

// TestOutage_AnEmptiedRedis: FLUSHALL under a running server is an outage, and no answer: nobody is unknown,
// nothing is revoked or good, nothing is written into the void.
func TestOutage_AnEmptiedRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := startNodes(t, 1, redis.Addr)[0]
	defer http.DefaultClient.CloseIdleConnections()
	known, unknown := newPartner(t, s, "known"), newPartner(t, s, "unknown")
	_, compact := known.asksFor(t, s)
	if err := redis.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	away(t, s, known, unknown, compact)
	if n, err := redis.Client().DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys were written into an emptied Redis, %v", n, err)
	}
}

// TestOutage_ARestoredRedisGetsItsRevocationsBack: Redis is emptied, and comes back as it was before two
// revocations. Servers that knew them put them back: no token is good again, not even at a server that starts
// afterwards. It is told as an alarm.
func TestOutage_ARestoredRedisGetsItsRevocationsBack(t *testing.T) {
	redis := redistest.Start(t)
	nodes := startNodes(t, 2, redis.Addr)
	defer http.DefaultClient.CloseIdleConnections()
	s := nodes[0]
	p, stopped := newPartner(t, s, "partner"), newPartner(t, s, "stopped")
	_, compact := p.asksFor(t, s)
	_, other := p.asksFor(t, s)
	_, ofStopped := stopped.asksFor(t, s)
	older := takeSnapshot(t, redis.Client())
	if status, body := post(t, "http://"+s.Address()+"/oauth2/revoke", p.form("token", compact)); status != http.StatusOK {
		t.Fatalf("revocation: %d, %s", status, body)
	}
	if _, err := s.registry.SetClientDisabled(t.Context(), byTest, "stopped", true); err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		waitFor(t, func() bool { return node.index.Len() == 2 })
	}
	if err := redis.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { time.Sleep(time.Millisecond); return s.status().State == admin.StateDegraded })
	older.restore(t, redis.Client())
	alarms := 0
	for i, node := range nodes {
		waitFor(t, func() bool {
			time.Sleep(time.Millisecond)
			status, active := p.hears(t, node, compact)
			if active {
				t.Fatalf("server %d: a revoked token is good again", i)
			}
			return status == http.StatusOK // until it is put back the answer is 503
		})
		if status, active := p.hears(t, node, other); status != http.StatusOK || !active {
			t.Errorf("server %d: a token that nobody revoked: %d, active %v", i, status, active)
		}
		// The record of the client came back enabled; what it obtained stays void, and it obtains nothing.
		if status, _ := stopped.asksFor(t, node); status != http.StatusServiceUnavailable {
			t.Errorf("server %d: a client that was disabled: %d", i, status)
		}
		if status, active := p.hears(t, node, ofStopped); active {
			t.Errorf("server %d: a token of a client that was disabled: %d, active", i, status)
		}
		if _, _, times := node.back.look(); times > 0 {
			alarms++
		}
	}
	if alarms == 0 { // who comes second may find everything there again
		t.Error("no server raised the alarm")
	}
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		n, err := redis.Client().ZCard(t.Context(), "{marque}:revocation-index").Result()
		return err == nil && n == 2
	})
}

// TestOutage_ARepeatIsNotMoreThanTheFirstAttempt: a change that no replica confirmed is no success when it is said
// again and found to be there, and is one as soon as a replica has it.
func TestOutage_ARepeatIsNotMoreThanTheFirstAttempt(t *testing.T) {
	redis := redistest.Start(t)
	redistest.StartReplica(t, redis) // that one stays: a primary without replicas is not believed
	replica := redistest.StartReplica(t, redis)
	c := nodeConfig(t, redis.Addr)
	c.Durability.Replicas = 2
	s := startTest(t, c, options{})
	defer http.DefaultClient.CloseIdleConnections()
	subject := token.Subject{Kind: token.RevokedJTI, Value: "unconfirmed"}
	spec := authz.ClientSpec{ID: "unconfirmed", Name: "Nobody has it", Resources: []string{sampleResource}}
	attempt := func() (errs [2]error) {
		_, _, _, errs[0] = s.registry.CreateClient(t.Context(), byTest, spec)
		_, errs[1] = s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: subject})
		return errs
	}
	replica.Kill()
	for i := range 3 {
		for what, err := range attempt() {
			if err == nil {
				t.Errorf("attempt %d: change %d was acknowledged, and no replica has it", i, what)
			}
		}
	}
	if _, err := s.registry.Client(t.Context(), "unconfirmed"); err != nil {
		t.Errorf("the change was not even made: %v", err)
	}
	replica.Restart()
	waitFor(t, func() bool { time.Sleep(10 * time.Millisecond); return attempt() == [2]error{} })
}

//go:build linux || darwin

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store/redistest"
)

// TestFault_FlushAll: somebody empties Redis under load. The servers notice; partners get tokens or 503, and nobody is told
// that it is unknown; nothing is written into the void. A backup from before comes back: what the servers know to be revoked
// is so again, and of everything else that came after the backup it is counted what is gone.
func TestFault_FlushAll(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	servers := startFaultServers(t, 2, func(c *configs.Config) { c.Redis.Addrs = []string{redis.Addr} })
	w := emptiedWorld(t, servers)
	for range faultTimes(1, 10) {
		w.settle(t)
		older := oneInstant(t, redis)
		w.settle(t)
		begun := w.history.now()
		if err := redis.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		emptied(t, w, servers, func() *redistest.Server { return redis }, begun, older)
	}
	w.concludeEmptied(t, servers)
}

// TestFault_AnEmptyReplicaIsPromoted: the primary dies, and the replica that takes over holds nothing at all.
func TestFault_AnEmptyReplicaIsPromoted(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	group := redistest.StartSentinel(t)
	servers := startFaultServers(t, 2, func(c *configs.Config) { c.Redis.Addrs, c.Redis.MasterName = group.Addrs(), group.MasterName })
	w := emptiedWorld(t, servers)
	for range faultTimes(1, 5) {
		w.settle(t)
		old, replicas := group.Master(), group.Replicas()
		older := oneInstant(t, old)
		w.settle(t)
		begun := w.history.now()
		for _, one := range group.Sentinels() { // nobody is promoted before everybody is empty
			one.Pause()
		}
		old.Kill() // first: it would tell its replicas everything that comes
		for _, r := range replicas {
			for _, command := range [][]any{{"CONFIG", "SET", "replica-read-only", "no"}, {"FLUSHALL"}, {"CONFIG", "SET", "replica-read-only", "yes"}} {
				if err := r.Client().Do(t.Context(), command...).Err(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, one := range group.Sentinels() {
			one.Resume()
		}
		group.AwaitFailover(old)
		emptied(t, w, servers, group.Master, begun, older)
		old.Restart()
		group.AwaitReady()
	}
	w.concludeEmptied(t, servers)
}

// oneInstant is everything in a Redis that is written to meanwhile. Of a copy that was made key by key the servers say that
// it is damaged.
func oneInstant(t *testing.T, redis *redistest.Server) snapshot {
	t.Helper()
	all, err := redis.Client().Eval(t.Context(), `
		local all = {}
		for _, key in ipairs(redis.call('KEYS', '*')) do
			all[#all + 1] = key
			all[#all + 1] = redis.call('DUMP', key)
		end
		return all`, nil).StringSlice()
	if err != nil {
		t.Fatal(err)
	}
	s := snapshot{}
	for i := 0; i < len(all); i += 2 {
		s[all[i]] = all[i+1]
	}
	return s
}

func emptiedWorld(t *testing.T, servers *faultServers) *world {
	t.Helper()
	w := newWorld(t, servers.nodes()...)
	waitFor(t, func() bool { // nothing is due for keys: a ring that is older than what is known is for somebody to decide
		time.Sleep(10 * time.Millisecond)
		for _, s := range servers.running {
			waiting := map[jose.Algorithm]bool{}
			for _, k := range s.ring.List() {
				waiting[k.Algorithm] = waiting[k.Algorithm] || k.State == keys.StateNext
			}
			for _, has := range waiting {
				if !has {
					return false
				}
			}
		}
		return true
	})
	w.keysRest, w.mayLose = true, []string{"client", "credential"}
	w.begin(t)
	return w
}

// emptied waits until every server has noticed that its store is empty, looks whether anything was written there, and
// brings the backup back.
func emptied(t *testing.T, w *world, servers *faultServers, primary func() *redistest.Server, begun time.Duration, older snapshot) {
	t.Helper()
	var reason string
	waitFor(t, func() bool {
		time.Sleep(5 * time.Millisecond)
		for _, s := range servers.running {
			why, ok := hasReason(s, reasonUnconfirmed)
			if !ok || !strings.Contains(why, "it was emptied or replaced") {
				return false
			}
			reason = why
		}
		return true
	})
	noticed := w.history.now() - begun
	time.Sleep(time.Duration(faultTimes(500, 10_000)) * time.Millisecond)
	for _, s := range servers.running {
		if err := s.ready(t.Context()); err != nil {
			t.Errorf("it issues nothing: %v", err)
		}
	}
	if n, err := primary().Client().DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys were written into an emptied Redis, %v", n, err)
	}
	back := w.history.now()
	took := w.bringBack(t, older, primary)
	alarms := 0
	for _, s := range servers.running {
		if _, _, times := s.back.look(); times > 0 {
			alarms++
		}
	}
	if alarms == 0 {
		t.Error("no server raised the alarm")
	}
	t.Logf("noticed after %v (%s); meanwhile %s; all servers acknowledge changes %v after a backup was restored; %d of them say that the store went back",
		noticed.Round(time.Millisecond), reason, w.history.between(begun, back), took.Round(time.Millisecond), alarms)
}

// bringBack restores a backup and waits until every server acknowledges changes. On a busy machine one stalled moment of the
// new primary is enough for Sentinel to go on to the other replica, which is as empty, and whose replica the first becomes:
// then it is restored once more.
func (w *world) bringBack(t *testing.T, backup snapshot, primary func() *redistest.Server) (took time.Duration) {
	t.Helper()
	begun := w.history.now()
	for range 5 {
		redis := primary()
		err := backup.put(t.Context(), redis.Client())
		if err == nil {
			if err = w.settles(t.Context(), 20*time.Second); err == nil {
				return w.history.now() - begun
			}
		}
		if primary() == redis {
			t.Fatal(err)
		}
	}
	t.Fatal("Sentinel does not come to rest")
	return 0
}

// concludeEmptied wants every acknowledged revocation of a token, whatever else a backup did not hold.
func (w *world) concludeEmptied(t *testing.T, servers *faultServers) {
	t.Helper()
	n := w.conclude(t, servers.start())
	if n.lostOf["jti"] > 0 {
		t.Errorf("%d acknowledged revocations of tokens are lost", n.lostOf["jti"])
	}
	if bad, first := w.failures("token"); bad > 0 {
		t.Errorf("%d token requests of a client that is known failed, the first at %s", bad, first)
	}
}

//go:build linux || darwin

package main

import (
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store/redistest"
)

// onSentinel are the settings of servers on a group that Sentinels watch.
func onSentinel(group *redistest.Sentinel, replicas int) func(*configs.Config) {
	return func(c *configs.Config) {
		c.Redis.Addrs, c.Redis.MasterName = group.Addrs(), group.MasterName
		c.Durability.Replicas = replicas
	}
}

// hesitant are Sentinels that take a server for dead after 2 s, and so promote a replica that has lost its primary for up
// to ten times as long.
func hesitant(t *testing.T) *redistest.Sentinel {
	t.Helper()
	group := redistest.StartSentinel(t)
	for _, one := range group.Sentinels() {
		if err := one.Client().Do(t.Context(), "SENTINEL", "SET", group.MasterName, "down-after-milliseconds", 2000).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return group
}

// failovers are ways in which a primary is replaced. Each returns once there is another one, with what brings the old one back.
var failovers = []struct {
	name string
	of   func(t *testing.T, group *redistest.Sentinel, old *redistest.Server) (back func())
}{
	{"kill -9", func(_ *testing.T, group *redistest.Sentinel, old *redistest.Server) func() {
		old.Kill()
		group.AwaitFailover(old)
		return old.Restart
	}},
	// It goes on as the primary that it was, until somebody tells it.
	{"SIGSTOP", func(_ *testing.T, group *redistest.Sentinel, old *redistest.Server) func() {
		old.Pause()
		group.AwaitFailover(old)
		return old.Resume
	}},
	// Both are primaries for a moment.
	{"SENTINEL FAILOVER", func(t *testing.T, group *redistest.Sentinel, old *redistest.Server) func() {
		if err := group.Sentinels()[0].Client().Do(t.Context(), "SENTINEL", "FAILOVER", group.MasterName).Err(); err != nil {
			t.Fatal(err)
		}
		group.AwaitFailover(old)
		return func() {}
	}},
}

// TestFault_SentinelFailover: primaries are replaced under load, again and again. With durability.replicas at all there
// are, nothing that was acknowledged is lost, and clients that the servers know get tokens all the time. Changes are
// acknowledged again when every replica is back.
func TestFault_SentinelFailover(t *testing.T) {
	breaksProcesses(t)
	group := redistest.StartSentinel(t)
	servers := startFaultServers(t, 2, onSentinel(group, 2))
	w := newWorld(t, servers.nodes()...)
	w.begin(t)
	w.settle(t)
	var without delays
	for i := range faultTimes(2, 10) {
		how, begun := failovers[i%len(failovers)], w.history.now()
		back := how.of(t, group, group.Master())
		promoted := w.history.now()
		back()
		group.AwaitReady()
		ready := w.history.now()
		w.settle(t)
		without = append(without, w.history.now()-begun)
		t.Logf("failover %d (%s): another primary after %v, all three together after %v, changes acknowledged after %v", i+1, how.name,
			(promoted - begun).Round(time.Millisecond), (ready - begun).Round(time.Millisecond), (w.history.now() - begun).Round(time.Millisecond))
	}
	w.conclude(t, servers.start())
	t.Logf("%d failovers; without changes for %v", len(without), without)
	servers.issuedAlways(w)
}

// TestFault_APromotedReplicaThatLags: nobody waits for replicas, and the one that is promoted lacks the last changes. The
// servers notice: what they know to be revoked comes back, and at no time is a token good that was revoked. What else is lost is counted.
func TestFault_APromotedReplicaThatLags(t *testing.T) {
	breaksProcesses(t)
	group := hesitant(t)
	servers := startFaultServers(t, 2, onSentinel(group, 0))
	nodes := slices.Clone(servers.running)
	w := newWorld(t, servers.nodes()...)
	w.keysRest, w.mayLose = true, []string{"client", "credential"}
	w.begin(t)
	w.settle(t)
	alarms := func() (all int) { // who comes second may find that everything was put back
		for _, s := range nodes {
			_, _, times := s.back.look()
			all += times
		}
		return all
	}
	for i := range faultTimes(1, 5) {
		old, before := group.Master(), alarms()
		old.ExpelReplicas()
		for range 5 { // changes that nobody has but the primary, and whoever asked for them
			w.settle(t)
		}
		begun := w.history.now()
		old.Kill()
		group.AwaitFailover(old)
		promoted := w.history.now()
		eventually(t, "a server notices", func() bool { return alarms() > before })
		noticed := w.history.now()
		w.settle(t)
		t.Logf("failover %d: another primary after %v, that it lacks something noticed %v later, changes acknowledged after %v", i+1,
			(promoted - begun).Round(time.Millisecond), (noticed - promoted).Round(time.Millisecond), (w.history.now() - begun).Round(time.Millisecond))
		old.Restart()
		group.AwaitReady()
	}
	n := w.conclude(t, servers.start())
	if n.lost == 0 {
		t.Error("nothing is lost: the replica had everything")
	}
	servers.issuedAlways(w)
}

// TestFault_APromotedReplicaThatLacksARevokedKey: the ring of the promoted replica is older than the servers'. They keep
// the keys that they know, say so, and go on refusing what the revoked key signed. A server that starts takes the
// older ring, until the key is revoked again.
func TestFault_APromotedReplicaThatLacksARevokedKey(t *testing.T) {
	breaksProcesses(t)
	group := hesitant(t)
	servers := startFaultServers(t, 2, onSentinel(group, 0))
	w := newWorld(t, servers.nodes()...)
	old, s := group.Master(), servers.running[0]
	compact, kid := w.token(w.nodes[0], w.known), activeKey(t, s)
	old.ExpelReplicas()
	if _, err := s.adminConfig().Keys.Revoke(t.Context(), kid, byTest); err != nil {
		t.Fatal(err)
	}
	for _, one := range servers.running {
		eventually(t, "the key is revoked everywhere", func() bool { return !slices.Contains(signingKeys(one), kid) })
	}
	old.Kill()
	group.AwaitFailover(old)
	for i, one := range servers.running {
		eventually(t, "it is noticed", func() bool {
			if c, ok := w.introspect(w.nodes[i], compact); ok && c.life == there {
				t.Fatal("what the revoked key signed is good again")
			}
			still, _, _ := one.back.look()
			return still
		})
		if said := one.status(); !slices.ContainsFunc(said.Reasons, func(r admin.StatusReason) bool { return r.Code == reasonWentBack }) {
			t.Errorf("status: %+v", said)
		}
		if slices.Contains(signingKeys(one), kid) {
			t.Error("the revoked key signs again")
		}
	}
	fresh := servers.start()
	if c, ok := w.introspect(fresh, compact); !ok || c.life != there {
		t.Errorf("at a server that took the older ring: %v, %v", c, ok)
	}
	if _, err := servers.running[2].adminConfig().Keys.Revoke(t.Context(), kid, byTest); err != nil {
		t.Fatal(err)
	}
	if c, ok := w.introspect(fresh, compact); !ok || c.life != void {
		t.Errorf("once it is revoked again: %v, %v", c, ok)
	}
	w.end()
}

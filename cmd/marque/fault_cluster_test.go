//go:build linux || darwin

package main

import (
	"testing"
	"time"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store/redistest"
)

// TestFault_Cluster: under load the slot in which everything lies moves to another primary and back, and the primary that
// has it is killed, and replaced by its replica. Nothing that was acknowledged is lost, and clients that the servers
// know get tokens all the time.
func TestFault_Cluster(t *testing.T) {
	breaksProcesses(t)
	cluster := redistest.StartClusterWithReplicas(t, 1)
	servers := startFaultServers(t, 2, func(c *configs.Config) {
		c.Redis.Addrs, c.Redis.Cluster, c.Durability.Replicas = cluster.Addrs(), true, 1
	})
	w := newWorld(t, servers.nodes()...)
	w.begin(t)
	w.settle(t)
	const key = "{marque}:epoch"
	for range faultTimes(1, 5) {
		for range 2 { // there and back, or on to the next
			from, begun := cluster.Owner(key), w.history.now()
			to := another(t, cluster, from)
			moved := cluster.Migrate(key, to, func(int) { time.Sleep(20 * time.Millisecond) }) // so that it is asked for meanwhile
			arrived := w.history.now() - begun
			w.settle(t)
			t.Logf("the slot and its %d keys moved within %v, changes acknowledged after %v", moved, arrived.Round(time.Millisecond), (w.history.now() - begun).Round(time.Millisecond))
		}
		old, begun := cluster.Owner(key), w.history.now()
		old.Kill()
		eventually(t, "another primary", func() bool { return cluster.Owner(key) != old })
		promoted := w.history.now() - begun
		old.Restart()
		cluster.AwaitServed()
		together := w.history.now() - begun
		w.settle(t)
		t.Logf("the primary was killed: another one after %v, all together after %v, changes acknowledged after %v",
			promoted.Round(time.Millisecond), together.Round(time.Millisecond), (w.history.now() - begun).Round(time.Millisecond))
	}
	w.conclude(t, servers.start())
	servers.issuedAlways(w)
}

// another returns a primary that does not serve the slot.
func another(t *testing.T, cluster *redistest.Cluster, not *redistest.Server) *redistest.Server {
	t.Helper()
	for _, node := range cluster.Nodes() {
		info, err := node.Info()
		if err == nil && info["role"] == "master" && node != not {
			return node
		}
	}
	t.Fatal("there is no other primary")
	return nil
}

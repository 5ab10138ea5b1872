package redistest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store/redistest"
)

// keys finds one key for each of the primaries.
func keys(c *redistest.Cluster) map[*redistest.Server]string {
	found := map[*redistest.Server]string{}
	for i := 0; len(found) < 3; i++ {
		key := fmt.Sprintf("k%d", i)
		found[c.Owner(key)] = key
	}
	return found
}

func TestStartCluster_EachNodeServesItsKeys(t *testing.T) {
	cluster := redistest.StartCluster(t)
	if n := len(cluster.Nodes()); n != 3 || len(cluster.Addrs()) != n {
		t.Fatalf("%d nodes, %d addresses", n, len(cluster.Addrs()))
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()[:1]})
	defer func() { _ = c.Close() }()
	owned := keys(cluster)
	for _, node := range cluster.Nodes() {
		key := owned[node]
		if err := c.Set(t.Context(), key, node.Addr, 0).Err(); err != nil {
			t.Fatal(err)
		}
		wantValue(t, node.Client(), key, node.Addr)
	}
	// A node that comes back has its keys and its place.
	for _, node := range cluster.Nodes() {
		node.Kill()
		node.Restart()
		cluster.AwaitServed()
		wantValue(t, node.Client(), owned[node], node.Addr)
	}
}

func TestCluster_Migrate(t *testing.T) {
	cluster := redistest.StartCluster(t)
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()})
	defer func() { _ = c.Close() }()
	const count = 50
	for i := range count {
		if err := c.Set(t.Context(), fmt.Sprintf("{a}%d", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	from := cluster.Owner("{a}")
	to := cluster.Nodes()[0]
	if to == from {
		to = cluster.Nodes()[1]
	}
	divided := false
	if moved := cluster.Migrate("{a}", to, func(moved int) { divided = divided || moved < count }); moved != count || !divided {
		t.Errorf("%d keys moved, divided %v", moved, divided)
	}
	if cluster.Owner("{a}") != to || to.Client().Get(t.Context(), "{a}7").Val() != "7" {
		t.Error("it is not there")
	}
	cluster.AwaitServed()
}

func TestStartCluster_WithPasswordAndTLS(t *testing.T) {
	cert, key, ca := redistest.Certificate(t, "127.0.0.1")
	cluster := redistest.StartCluster(t, redistest.Password("secret"), redistest.TLS(cert, key, ca))
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs(), Password: "secret", TLSConfig: trusting(t, ca)})
	defer func() { _ = c.Close() }()
	for _, key := range keys(cluster) {
		if err := c.Set(t.Context(), key, "v", 0).Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestStartClusterWithReplicas_ReplacesAKilledPrimary(t *testing.T) {
	cluster := redistest.StartClusterWithReplicas(t, 1)
	if n := len(cluster.Nodes()); n != 6 {
		t.Fatalf("%d nodes", n)
	}
	owner := cluster.Owner("k")
	conn := owner.Client().Conn()
	defer func() { _ = conn.Close() }()
	if err := conn.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Wait(t.Context(), 1, 0).Result(); err != nil || n != 1 {
		t.Fatalf("WAIT: %d replicas, %v", n, err)
	}
	owner.Kill()
	soon(t, "another owner", func() bool { return cluster.Owner("k") != owner })
	next := cluster.Owner("k").Client()
	soon(t, "the cluster's opinion that it is whole", func() bool {
		return next.Get(context.Background(), "k").Val() == "v"
	})
	owner.Restart()
	cluster.AwaitServed()
	if cluster.Owner("k") == owner {
		t.Error("the one that was killed took its slots back")
	}
}

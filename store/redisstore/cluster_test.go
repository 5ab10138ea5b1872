package redisstore

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store/redistest"
)

// TestMigration: while the slot of the namespace moves to another node, key by key, nothing that is there is
// called absent, and what is acknowledged is there afterwards.
func TestMigration(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	db := openTest(t, Config{Addrs: c.Addrs(), Cluster: true, CallTimeout: time.Second})
	s := newStore(t, db)
	fill(t, s)
	l := startLoad(t, s)
	l.goesOn(t, patient)

	from := c.Owner(db.names.of(nameEpoch))
	to := c.Nodes()[0]
	if to == from {
		to = c.Nodes()[1]
	}
	source, target := from.Client(), to.Client()
	slot := int(source.ClusterKeySlot(t.Context(), db.names.of(nameEpoch)).Val())
	id := func(c *redis.Client) string { return c.Do(t.Context(), "CLUSTER", "MYID").Val().(string) }
	sourceID, targetID := id(source), id(target)
	host, port := split(to.Addr)
	must(t, target.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "IMPORTING", sourceID).Err())
	must(t, source.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "MIGRATING", targetID).Err())
	moved := 0
	for {
		names := source.ClusterGetKeysInSlot(t.Context(), slot, 5).Val()
		if len(names) == 0 {
			break
		}
		args := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
		for _, name := range names {
			args = append(args, name)
		}
		must(t, source.Do(t.Context(), args...).Err())
		moved += len(names)
	}
	reads := l.reads.Load()
	waitFor(t, "reads from where the keys are", func() bool { return l.reads.Load() > reads })
	for _, node := range c.Nodes() {
		must(t, node.Client().Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", targetID).Err())
	}
	l.goesOn(t, 5*time.Second)
	l.kept(t, s)
	t.Logf("%d keys moved; %d writes", moved, l.writes.Load())
}

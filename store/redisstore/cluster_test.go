package redisstore

import (
	"testing"
	"time"

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
	moved := c.Migrate(db.names.of(nameEpoch), to, func(int) {
		if len(from.Client().Keys(t.Context(), db.names.of("*")).Val()) == 0 { // all of it is there, and nobody says so yet
			reads := l.reads.Load()
			waitFor(t, "reads from where the keys are", func() bool { return l.reads.Load() > reads })
		}
	})
	l.goesOn(t, 5*time.Second)
	l.kept(t, s)
	t.Logf("%d keys moved; %d writes", moved, l.writes.Load())
}

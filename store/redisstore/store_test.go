package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
	"github.com/marque-auth/marque/store/storetest"
)

// patient is how long a call may take where a test is not about that.
const patient = 20 * time.Second

func TestConformance(t *testing.T) {
	t.Parallel()
	conformance(t, Config{Addrs: []string{redistest.Start(t).Addr}})
}

func TestConformance_Sentinel(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	conformance(t, Config{Addrs: s.Addrs(), MasterName: s.MasterName, Replicas: 2, Timeout: patient})
}

func TestConformance_Cluster(t *testing.T) {
	t.Parallel()
	conformance(t, Config{Addrs: redistest.StartCluster(t).Addrs(), Cluster: true})
}

func conformance(t *testing.T, c Config) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		c.Namespace = newNamespace()
		db, peer := openTest(t, c), openTest(t, c)
		return storetest.Fixture{Store: newStore(t, db), Peer: newStore(t, peer), Raw: raw{db}}
	})
	t.Run("mover", func(t *testing.T) {
		storetest.RunMover(t, func(t *testing.T) storetest.MoverFixture {
			c.Namespace = newNamespace()
			db, peer := openTest(t, c), openTest(t, c)
			return storetest.MoverFixture{DB: handle(t, db), Peer: handle(t, peer), Env: newStore(t, db).env, Raw: raw{db}}
		})
	})
	t.Run("genesis", func(t *testing.T) {
		storetest.RunGenesis(t, func(t *testing.T) storetest.GenesisFixture {
			c.Namespace = newNamespace()
			db, peer := openTest(t, c), openTest(t, c)
			return storetest.GenesisFixture{Genesis: db, Peer: peer, Log: newStore(t, db), Raw: raw{db}}
		})
	})
}

func handle(t *testing.T, db *DB) storetest.Moved {
	return storetest.Moved{Mover: db, Genesis: db, Store: newStore(t, db)}
}

var namespaces atomic.Int64

// newNamespace names a namespace that no other test has.
func newNamespace() string { return fmt.Sprintf("test-%d", namespaces.Add(1)) }

func openTest(t testing.TB, c Config) *DB {
	t.Helper()
	if c.Namespace == "" {
		c.Namespace = "test"
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = patient
	}
	db, err := OpenDB(t.Context(), c)
	if err != nil {
		t.Fatalf("OpenDB: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func newStore(t testing.TB, db *DB) *Store {
	t.Helper()
	env, err := store.NewEnvelope([32]byte{1, 2, 3}, db.ns)
	if err != nil {
		t.Fatalf("NewEnvelope: %v", err)
	}
	s, err := New(db, env)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

// raw writes to the keys of a DB directly, and to the lists of kinds, as one does who knows them.
type raw struct{ db *DB }

func (r raw) key(kind store.Kind, key string) string {
	if kind == store.KindInstallation {
		return r.db.names.of(nameGenesis)
	}
	return r.db.names.record(kind, key)
}

func (r raw) Get(t *testing.T, kind store.Kind, key string) []byte {
	t.Helper()
	b, err := r.db.client.Get(context.Background(), r.key(kind, key)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r raw) Put(t *testing.T, kind store.Kind, key string, b []byte) {
	t.Helper()
	if err := r.db.client.Set(context.Background(), r.key(kind, key), b, redis.KeepTTL).Err(); err != nil {
		t.Fatal(err)
	}
	if kind == store.KindInstallation || kind == store.KindCredential {
		return
	}
	if err := r.db.client.ZAdd(context.Background(), r.db.names.index(kind), redis.Z{Member: key}).Err(); err != nil {
		t.Fatal(err)
	}
}

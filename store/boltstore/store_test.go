package boltstore

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		db := openTemp(t, Config{})
		return storetest.Fixture{Store: newStore(t, db), Peer: newStore(t, db), Raw: raw{db}}
	})
}

func TestGenesisConformance(t *testing.T) {
	storetest.RunGenesis(t, func(t *testing.T) storetest.GenesisFixture {
		db := openTemp(t, Config{})
		return storetest.GenesisFixture{Genesis: db, Peer: db, Log: newStore(t, db), Raw: raw{db}}
	})
}

func TestMoverConformance(t *testing.T) {
	storetest.RunMover(t, func(t *testing.T) storetest.MoverFixture {
		db := openTemp(t, Config{})
		s := newStore(t, db)
		h := storetest.Moved{Mover: db, Genesis: db, Store: s}
		return storetest.MoverFixture{DB: h, Peer: h, Env: s.env, Raw: raw{db}}
	})
}

// openTemp opens a file in a folder of the test's own. The empty fields of config are filled in.
func openTemp(t testing.TB, config Config) *DB {
	t.Helper()
	if config.Path == "" {
		config.Path = filepath.Join(t.TempDir(), "data", "marque.db")
	}
	if config.Namespace == "" {
		config.Namespace = "test"
	}
	if config.Timeout == 0 {
		config.Timeout = 10 * time.Second
	}
	db, err := OpenDB(config)
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
	env, err := store.NewEnvelope([32]byte{1, 2, 3}, string(db.ns))
	if err != nil {
		t.Fatalf("NewEnvelope: %v", err)
	}
	s, err := New(db, env)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

// raw writes to the buckets of a DB directly.
type raw struct{ db *DB }

func place(kind store.Kind, key string) (bucket, k []byte) {
	switch kind {
	case store.KindClient:
		return bucketClients, []byte(key)
	case store.KindResource:
		return bucketResources, []byte(key)
	case store.KindRing:
		return bucketRings, []byte(key)
	case store.KindCredential:
		return bucketCredentials, []byte(key)
	case store.KindRevocation:
		return bucketRevocations, []byte(key)
	case store.KindInstallation:
		return bucketGenesis, keyInstallation
	}
	panic("no such kind: " + kind)
}

func (r raw) Get(t *testing.T, kind store.Kind, key string) (b []byte) {
	t.Helper()
	bucket, k := place(kind, key)
	if err := r.db.bolt.View(func(tx *bolt.Tx) error {
		b = bytes.Clone(tx.Bucket(r.db.name()).Bucket(bucket).Get(k))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (r raw) Put(t *testing.T, kind store.Kind, key string, b []byte) {
	t.Helper()
	bucket, k := place(kind, key)
	r.update(t, bucket, func(bucket *bolt.Bucket) error { return bucket.Put(k, b) })
}

func (r raw) update(t *testing.T, bucket []byte, fn func(*bolt.Bucket) error) {
	t.Helper()
	if err := r.db.bolt.Update(func(tx *bolt.Tx) error {
		return fn(tx.Bucket(r.db.name()).Bucket(bucket))
	}); err != nil {
		t.Fatal(err)
	}
}

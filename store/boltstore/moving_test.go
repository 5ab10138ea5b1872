package boltstore

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// formatIn reads the format of a file that nobody has open.
func formatIn(t *testing.T, path string) (format string) {
	t.Helper()
	edit(t, path, func(tx *bolt.Tx) error {
		format = string(tx.Bucket(fileBucket).Get(keyFormat))
		return nil
	})
	return format
}

// tryOpen opens a file, and closes it.
func tryOpen(t *testing.T, c Config) error {
	t.Helper()
	db, err := OpenDB(c)
	if err == nil {
		err = db.Close()
	}
	return err
}

// ending is a revocation of a client's tokens that ends.
func ending(client string, until time.Time) authz.Revocation {
	return authz.Revocation{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedClient, Value: client}, Until: until}}
}

// TestMoving_Opened: a namespace that is closed, or half imported, is opened by a Mover alone, after a restart too, and
// not at all by a version of the program that knows nothing of it; other namespaces of the file are used as ever.
func TestMoving_Opened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "marque.db")
	moving := func(namespace string, fn func(db *DB) error) {
		t.Helper()
		db, err := OpenDB(Config{Path: path, Namespace: namespace, Moving: true})
		if err == nil {
			err = errors.Join(fn(db), db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	opens := func(namespace string, want error, text string) {
		t.Helper()
		for _, mustExist := range []bool{true, false} {
			err := tryOpen(t, Config{Path: path, Namespace: namespace, MustExist: mustExist})
			if !errors.Is(err, want) || err != nil && (!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), text)) {
				t.Errorf("opening %s: got error %v, want %v, with %q", namespace, err, want, text)
			}
		}
	}
	format := func(want string) {
		t.Helper()
		if got := formatIn(t, path); got != want {
			t.Errorf("the file has format %s, want %s", got, want)
		}
	}
	ctx := t.Context()
	in := storetest.FullInstallation("a")
	moving("a", func(db *DB) error {
		_, err := db.PutInstallation(ctx, in, testEntry("a"))
		return err
	})
	format("2")
	moving("a", func(db *DB) error { return db.CloseFor(ctx, "E1") })
	format("3")
	opens("a", store.ErrClosed, "marque export --reopen")
	moving("a", func(db *DB) error {
		if _, err := db.PutInstallation(ctx, in, testEntry("a")); !errors.Is(err, store.ErrClosed) {
			t.Errorf("a write to what is closed: got error %v", err)
		}
		if _, err := newStore(t, db).Client(ctx, "x"); !errors.Is(err, store.ErrClosed) {
			t.Errorf("a read of what is closed: got error %v", err)
		}
		_, err := db.Installation(ctx)
		return err
	})
	e, err := store.EncodeEntry(testEntry("old"))
	if err != nil {
		t.Fatal(err)
	}
	moving("b", func(db *DB) error {
		return db.Restore(ctx, "E2", 0, []store.Stored{{Kind: store.KindAudit, Key: "1", Octets: e}})
	})
	opens("b", store.ErrUnfinished, "marque import")
	if err := tryOpen(t, Config{Path: path, Namespace: "c"}); err != nil {
		t.Errorf("a new namespace beside them: %v", err)
	}
	opens("c", nil, "")
	format("3")
	moving("a", func(db *DB) error { return db.Reopen(ctx) })
	format("3") // for b
	opens("a", nil, "")
	moving("b", func(db *DB) error { return db.Complete(ctx, "E2", 1, nil, 0, in, testEntry("b")) })
	opens("b", nil, "")
	format("2")
	moving("a", func(db *DB) error {
		err := db.CloseFor(ctx, "E3")
		if first, err := db.Claim(ctx, "E3", "the-new-place"); !first || err != nil {
			t.Errorf("Claim: %v, %v", first, err)
		}
		return err
	})
	opens("a", store.ErrClosed, "the-new-place")
	moving("a", func(db *DB) error {
		if err := db.Reopen(ctx); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Reopen: got error %v, want ErrClosed", err)
		}
		return nil
	})
	format("3")
	edit(t, path, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(namespacePrefix+"a")).Bucket(bucketGenesis).Put(keyState, []byte("closed"))
	})
	opens("a", store.ErrDamaged, "state")
	if err := tryOpen(t, Config{Path: path, Namespace: "a", Moving: true}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a state that is none: got error %v, want ErrDamaged", err)
	}
}

// TestDump_Missing: what was removed is named, and not passed over.
func TestDump_Missing(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	s := newStore(t, db)
	for _, id := range []string{"a", "b", "c"} {
		if _, err := s.PutClient(t.Context(), authz.Client{ID: authz.ClientID(id)}, testEntry(id), ending(id, testTime.AddDate(100, 0, 0))); err != nil {
			t.Fatal(err)
		}
	}
	all := func(kind store.Kind) error {
		return db.Dump(t.Context(), kind, func(store.Stored) error { return nil })
	}
	for _, kind := range store.MovedKinds() {
		if err := all(kind); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		kind   store.Kind
		bucket []byte
		key    []byte
		name   string
	}{
		{store.KindAudit, bucketAudit, sequenceKey(3), "3"},
		{store.KindAudit, bucketAudit, sequenceKey(2), "2"},
		{store.KindAudit, bucketAudit, sequenceKey(1), "1"},
		{store.KindRevocation, bucketRevocations, []byte("client:b"), "client:b"},
	} {
		raw{db}.update(t, c.bucket, func(b *bolt.Bucket) error { return b.Delete(c.key) })
		var record *store.RecordError
		if err := all(c.kind); !errors.As(err, &record) || record.Kind != c.kind || record.Key != c.name {
			t.Errorf("%s %s was removed: got error %v", c.kind, c.name, err)
		}
	}
}

// TestDump_Pages: nothing is lost or given twice where one transaction ends and the next begins.
func TestDump_Pages(t *testing.T) {
	t.Parallel()
	const n = 2*scanned + 1
	from, to := openTemp(t, Config{}), openTemp(t, Config{})
	s := newStore(t, from)
	var all []store.Stored
	for i := range n {
		c := authz.Client{ID: authz.ClientID(strconv.Itoa(i)), Version: 1}
		sealed, err := s.env.SealClient(c)
		if err != nil {
			t.Fatal(err)
		}
		e, err := store.EncodeEntry(testEntry(string(c.ID)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, store.Stored{Kind: store.KindClient, Key: string(c.ID), Octets: sealed},
			store.Stored{Kind: store.KindAudit, Key: strconv.Itoa(i + 1), Octets: e})
	}
	in := storetest.FullInstallation("a")
	if err := from.Complete(t.Context(), "E1", 0, all, 0, in, testEntry("import")); err != nil {
		t.Fatal(err)
	}
	var moved []store.Stored
	for _, kind := range store.MovedKinds() {
		if err := from.Dump(t.Context(), kind, func(r store.Stored) error {
			moved = append(moved, r)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(moved) != 2*n+1 {
		t.Fatalf("%d records are given out, want %d", len(moved), 2*n+1)
	}
	if err := to.Complete(t.Context(), "E1", 0, moved, 0, in, testEntry("import")); err != nil {
		t.Fatal(err) // it refuses what comes twice
	}
}

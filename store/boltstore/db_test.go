package boltstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

var testTime = time.Date(2026, 11, 5, 12, 30, 0, 0, time.UTC)

func testEntry(target string) audit.Entry {
	return audit.Origin{Actor: audit.System("test")}.Done(testTime, "test.put", target)
}

func mustPut(t testing.TB, s *Store, c authz.Client) authz.Client {
	t.Helper()
	c, err := s.PutClient(t.Context(), c, testEntry(string(c.ID)))
	if err != nil {
		t.Fatalf("PutClient %q: %v", c.ID, err)
	}
	return c
}

func TestOpenDB_Modes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(folder, "marque.db")
	openTemp(t, Config{Path: path})
	for name, want := range map[string]os.FileMode{path: 0o600, folder: 0o700 | os.ModeDir} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: got mode %v, want %v", name, info.Mode(), want)
		}
	}
}

// A folder that exists is taken as it is: whether others may read it is not for us to say.
func TestOpenDB_KeepsFolder(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	openTemp(t, Config{Path: filepath.Join(folder, "marque.db")})
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o755 {
		t.Errorf("got mode %v, want 0755", got)
	}
}

func TestOpenDB_Locked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder-name", "marque.db")
	first := openTemp(t, Config{Path: path})
	_, err := OpenDB(Config{Path: path, Namespace: "test", Timeout: time.Millisecond})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("got error %v, want ErrLocked", err)
	}
	for _, want := range []string{filepath.Dir(path), "another process holds it"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message %q does not say %q", err, want)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	openTemp(t, Config{Path: path}) // closing let go of it
}

func TestOpenDB_Refuses(t *testing.T) {
	folder := t.TempDir()
	file := func(name, content string) string {
		p := filepath.Join(folder, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, config := range map[string]Config{
		"no path":           {Namespace: "test"},
		"no namespace":      {Path: filepath.Join(folder, "1")},
		"namespace":         {Path: filepath.Join(folder, "2"), Namespace: "a/b"},
		"a folder":          {Path: folder, Namespace: "test"},
		"folder is a file":  {Path: filepath.Join(file("file", "x"), "marque.db"), Namespace: "test"},
		"text file":         {Path: file("text", "not a database at all\n"), Namespace: "test"},
		"zeros":             {Path: file("zeros", strings.Repeat("\x00", 1<<15)), Namespace: "test"},
		"someone else's db": {Path: foreignFile(t), Namespace: "test"},
	} {
		db, err := OpenDB(config)
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = db.Close()
		}
	}
	for _, made := range []string{"1", "2"} {
		if _, err := os.Stat(filepath.Join(folder, made)); err == nil {
			t.Errorf("a refused configuration made the file %s", made)
		}
	}
}

// foreignFile returns the path of a bbolt file that another program made.
func foreignFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "foreign.db")
	f, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenDB_FileFormat(t *testing.T) {
	for format, want := range map[string]error{
		"4": store.ErrNewerFormat, "99": store.ErrNewerFormat,
		"": store.ErrDamaged, "0": store.ErrDamaged, "-1": store.ErrDamaged, "x": store.ErrDamaged,
	} {
		path := filepath.Join(t.TempDir(), "marque.db")
		db := openTemp(t, Config{Path: path})
		if err := db.bolt.Update(func(tx *bolt.Tx) error {
			return tx.Bucket(fileBucket).Put(keyFormat, []byte(format))
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Another namespace too: nothing may be added to a file that is not understood.
		for _, namespace := range []string{"test", "other"} {
			_, err = OpenDB(Config{Path: path, Namespace: namespace})
			if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
				t.Errorf("format %q: got error %v, want %v with the path", format, err, want)
			}
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(before) != string(after) {
			t.Errorf("format %q: the file was written to", format)
		}
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marque.db")
	db := openTemp(t, Config{Path: path})
	s := newStore(t, db)
	start, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.PutInstallation(t.Context(), storetest.FullInstallation("i"), testEntry("i")); err != nil {
		t.Fatal(err)
	}
	want := mustPut(t, s, storetest.FullClient(t, "c"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	again := openTemp(t, Config{Path: path})
	if again.Epoch() != db.Epoch() || again.Epoch() == "" {
		t.Errorf("epoch: got %q, want %q", again.Epoch(), db.Epoch())
	}
	s = newStore(t, again)
	got, err := s.Client(t.Context(), "c")
	if err != nil {
		t.Fatalf("Client: %v", err)
	}
	if d := storetest.Diff(got, want); d != "" {
		t.Errorf("client (-want +got):\n%s", d)
	}
	if in, err := again.Installation(t.Context()); err != nil || in.ID != "i" {
		t.Errorf("Installation: got %+v, %v", in, err)
	}
	// A follower continues over a restart.
	changes, _, err := s.Changes(t.Context(), start, 10)
	if err != nil || len(changes) != 1 || changes[0].ID != "c" {
		t.Errorf("Changes: got %v, %v", changes, err)
	}
	if entries, _, err := s.Entries(t.Context(), "", 10); err != nil || len(entries) != 2 {
		t.Errorf("Entries: got %v, %v, want 2", entries, err)
	}
}

// Two issuers in one file know nothing of each other; a record carried over does not pass.
func TestNamespaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marque.db")
	a := openTemp(t, Config{Path: path, Namespace: "a"})
	sa := newStore(t, a)
	mustPut(t, sa, authz.Client{ID: "c"})
	if _, err := a.PutInstallation(t.Context(), storetest.FullInstallation("a"), testEntry("a")); err != nil {
		t.Fatal(err)
	}
	record := raw{a}.Get(t, store.KindClient, "c")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b := openTemp(t, Config{Path: path, Namespace: "b"})
	sb := newStore(t, b)
	if _, err := sb.Client(t.Context(), "c"); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("Client: got error %v, want ErrNotFound", err)
	}
	if _, err := b.Installation(t.Context()); !errors.Is(err, keys.ErrNotFound) {
		t.Errorf("Installation: got error %v, want ErrNotFound", err)
	}
	if entries, _, err := sb.Entries(t.Context(), "", 10); err != nil || len(entries) != 0 {
		t.Errorf("Entries: got %v, %v", entries, err)
	}
	raw{b}.Put(t, store.KindClient, "c", record)
	if _, err := sb.Client(t.Context(), "c"); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("record of another namespace: got error %v, want ErrDamaged", err)
	}
}

func TestNew_Refuses(t *testing.T) {
	db := openTemp(t, Config{})
	other, err := store.NewEnvelope([32]byte{1}, "other")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		db  *DB
		env *store.Envelope
	}{{nil, other}, {db, nil}, {db, other}} {
		if _, err := New(c.db, c.env); err == nil {
			t.Errorf("New(%v, %v): got no error", c.db, c.env)
		}
	}
}

// The wrong record key makes every record a fault, and none absent.
func TestWrongRecordKey(t *testing.T) {
	db := openTemp(t, Config{})
	mustPut(t, newStore(t, db), authz.Client{ID: "c"})
	env, err := store.NewEnvelope([32]byte{9}, "test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(db, env)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client(t.Context(), "c"); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Client: got error %v, want ErrDamaged", err)
	}
	if _, err := s.PutClient(t.Context(), authz.Client{ID: "c"}, testEntry("c")); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("PutClient: got error %v, want ErrDamaged", err)
	}
}

func TestClosed(t *testing.T) {
	db := openTemp(t, Config{})
	s := newStore(t, db)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	_, err1 := s.Client(t.Context(), "c")
	_, err2 := s.PutClient(t.Context(), authz.Client{ID: "c"}, testEntry("c"))
	_, err3 := db.Installation(t.Context())
	for i, err := range []error{err1, err2, err3} {
		if err == nil || errors.Is(err, authz.ErrNotFound) || errors.Is(err, keys.ErrNotFound) {
			t.Errorf("case %d: got error %v, want a fault", i, err)
		}
	}
}

// leavingContext ends after it was asked once, as that of a caller who leaves while others write.
type leavingContext struct {
	context.Context
	asked atomic.Int32
}

func (c *leavingContext) Err() error {
	if c.asked.Add(1) > 1 {
		return context.Canceled
	}
	return nil
}

// A write whose caller has left while it waited for its turn is not made.
func TestUpdate_ContextEndsWhileWaiting(t *testing.T) {
	s := newStore(t, openTemp(t, Config{}))
	_, err := s.PutClient(&leavingContext{Context: t.Context()}, authz.Client{ID: "c"}, testEntry("c"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
	if _, err := s.Client(t.Context(), "c"); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("Client: got error %v, want ErrNotFound", err)
	}
}

// Who waits for other writers can give up.
func TestUpdate_WaitHonoursContext(t *testing.T) {
	db := openTemp(t, Config{})
	s := newStore(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	if err := db.update(t.Context(), func(*bolt.Tx) error {
		go func() {
			_, err := s.PutClient(ctx, authz.Client{ID: "c"}, testEntry("c"))
			result <- err
		}()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) { // while the turn is still taken
			t.Errorf("got error %v, want context.Canceled", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What is acknowledged has been synced: the switches that would skip it are off.
func TestSyncs(t *testing.T) {
	db := openTemp(t, Config{})
	if db.bolt.NoSync || db.bolt.NoGrowSync || db.bolt.NoFreelistSync {
		t.Error("the file is opened without syncing")
	}
}

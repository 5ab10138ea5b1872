package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// A full disk fails the write and nothing else: no part of it stays, and what was stored is served.
func TestFullDisk(t *testing.T) {
	db := openTemp(t, Config{})
	s := newStore(t, db)
	mustPut(t, s, authz.Client{ID: "first"})
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db.bolt.MaxSize = 64 << 10
	big := storetest.FullClient(t, "big")
	for i := range 20000 {
		big.Resources = append(big.Resources, authz.ResourceID(fmt.Sprintf("https://r%d.example", i)))
	}
	_, err = s.PutClient(t.Context(), big, testEntry("big"))
	if err == nil || errors.Is(err, authz.ErrConflict) {
		t.Fatalf("got error %v, want a fault", err)
	}
	db.bolt.MaxSize = 0
	if _, err := s.Client(t.Context(), "big"); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("Client: got error %v, want ErrNotFound", err)
	}
	if changes, _, err := s.Changes(t.Context(), head, 10); err != nil || len(changes) != 0 {
		t.Errorf("Changes: got %v, %v", changes, err)
	}
	if _, err := s.ClientOf(t.Context(), big.Credentials[0].ID); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("ClientOf: got error %v, want ErrNotFound", err)
	}
	mustPut(t, s, big) // there is room again
	if _, err := s.Client(t.Context(), "first"); err != nil {
		t.Errorf("Client: %v", err)
	}
}

// After a panic of bbolt nothing is known of its locks: no caller may wait for one, not even Close.
func TestBroken(t *testing.T) {
	db := openTemp(t, Config{})
	s := newStore(t, db)
	mustPut(t, s, authz.Client{ID: "c"})
	const writers = 8
	errs := make(chan error, writers)
	for i := range writers {
		go func() {
			errs <- db.update(t.Context(), func(*bolt.Tx) error { panic(fmt.Sprintf("page %d: invalid page type", i)) })
		}()
	}
	for range writers {
		if err := <-errs; !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "invalid page type") {
			t.Errorf("update: got error %v, want ErrDamaged", err)
		}
	}
	if _, err := db.bolt.Begin(true); err != nil { // bbolt's lock is now held for good
		t.Fatal(err)
	}
	_, err1 := s.PutClient(t.Context(), authz.Client{ID: "d"}, testEntry("d"))
	_, err2 := s.Client(t.Context(), "c")
	_, err3 := s.Client(t.Context(), "none")
	for i, err := range []error{err1, err2, err3} {
		if !errors.Is(err, store.ErrDamaged) || errors.Is(err, authz.ErrNotFound) {
			t.Errorf("case %d: got error %v, want ErrDamaged", i, err)
		}
	}
	for range 2 {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// A bucket that has gone is damage: taken for an empty one, it would make every record absent.
func TestMissingBucket(t *testing.T) {
	for _, name := range namespaceBuckets(fileFormat) {
		path := filepath.Join(t.TempDir(), "marque.db")
		db := openTemp(t, Config{Path: path})
		s := newStore(t, db)
		if err := db.bolt.Update(func(tx *bolt.Tx) error {
			return tx.Bucket(db.name()).DeleteBucket(name)
		}); err != nil {
			t.Fatal(err)
		}
		_, err1 := s.Client(t.Context(), "c")
		_, err2 := s.ClientOf(t.Context(), "c")
		_, err3 := s.Resource(t.Context(), "r")
		_, err4 := s.Rings(t.Context())
		_, err5 := s.Head(t.Context())
		_, _, err6 := s.Entries(t.Context(), "", 1)
		_, err7 := db.Installation(t.Context())
		_, err8 := s.PutClient(t.Context(), storetest.FullClient(t, "c"), testEntry("c"))
		faults := 0
		_, err9 := s.Revocations(t.Context(), []token.Subject{{Kind: token.RevokedAll}})
		for _, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9} {
			if errors.Is(err, store.ErrDamaged) {
				faults++
			}
		}
		if faults == 0 {
			t.Errorf("without bucket %s nothing fails", name)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDB(Config{Path: path, Namespace: "test"}); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("OpenDB without bucket %s: got error %v, want ErrDamaged", name, err)
		}
	}
}

// An audit log with a gap, or with something else in it, does not pass for a shorter one.
func TestAuditLogDamaged(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*bolt.Bucket) error
		want  error
	}{
		"removed first": {func(b *bolt.Bucket) error { return b.Delete(sequenceKey(1)) }, store.ErrDamaged},
		"removed last":  {func(b *bolt.Bucket) error { return b.Delete(sequenceKey(3)) }, store.ErrDamaged},
		"not JSON":      {func(b *bolt.Bucket) error { return b.Put(sequenceKey(2), []byte("x")) }, store.ErrDamaged},
		"newer":         {func(b *bolt.Bucket) error { return b.Put(sequenceKey(2), []byte(`{"format":3,"x":1}`)) }, store.ErrNewerFormat},
	} {
		db := openTemp(t, Config{})
		s := newStore(t, db)
		for i := range 3 {
			mustPut(t, s, authz.Client{ID: authz.ClientID(fmt.Sprint(i))})
		}
		raw{db}.update(t, bucketAudit, c.spoil)
		if got, _, err := s.Entries(t.Context(), "", 10); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
}

// TestDamagedFile cuts the file off, zeroes its pages (a write that was lost) and puts them in each
// other's place (a write that went astray). Nothing may panic or return a record that was not stored.
// (That a flipped bit in a page's own header may lead bbolt anywhere is its limit: README.md.)
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marque.db")
	db := openTemp(t, Config{Path: path})
	s := newStore(t, db)
	stored := map[authz.ClientID]authz.Client{}
	for i := range 30 {
		c := mustPut(t, s, storetest.FullClient(t, authz.ClientID(fmt.Sprintf("client-%d", i))))
		stored[c.ID] = c
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	faults, files := 0, 0
	try := func(content []byte) {
		files++
		if readDamaged(t, filepath.Join(t.TempDir(), "damaged.db"), content, stored) {
			faults++
		}
	}
	for i := 0; i+page <= len(clean); i += page {
		if bytes.Count(clean[i:i+page], []byte{0}) == page {
			continue // never used
		}
		zeroed, astray := bytes.Clone(clean), bytes.Clone(clean)
		clear(zeroed[i : i+page])
		copy(astray[i:i+page], clean[3*page:])
		try(clean[:i])
		try(clean[:i+page/2])
		try(zeroed)
		try(astray)
	}
	t.Logf("damage was noticed in %d of %d files", faults, files)
	if faults < files/4 {
		t.Error("too little damage was noticed for this test to test anything")
	}
}

// readDamaged opens and reads a damaged file and reports whether anything failed.
func readDamaged(t *testing.T, path string, content []byte, stored map[authz.ClientID]authz.Client) (failed bool) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := OpenDB(Config{Path: path, Namespace: "test"})
	if err != nil {
		return true
	}
	defer func() { _ = db.Close() }()
	s := newStore(t, db)
	for id, want := range stored {
		got, err := s.Client(t.Context(), id)
		if err != nil {
			failed = true
			continue
		}
		if d := storetest.Diff(got, want); d != "" {
			t.Errorf("a record that was never stored (-want +got):\n%s", d)
		}
	}
	_, err1 := s.ListClients(t.Context(), authz.ClientQuery{Limit: 100})
	_, _, err2 := s.Entries(t.Context(), "", 100)
	_, err3 := s.PutClient(t.Context(), authz.Client{ID: "new"}, testEntry("new"))
	return failed || err1 != nil || err2 != nil || err3 != nil
}

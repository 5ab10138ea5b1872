package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// goings are the ways in which a file goes from under a server.
func goings(t *testing.T) map[string]func(path string) error {
	return map[string]func(string) error{
		"removed":        os.Remove,
		"renamed":        func(path string) error { return os.Rename(path, path+".old") },
		"replaced":       func(path string) error { return os.Rename(closedFile(t, "test"), path) },
		"folder renamed": func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") },
		"folder removed": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
	}
}

// A write to a file that has gone is not acknowledged, and that lasts.
func TestGone_Write(t *testing.T) {
	for name, going := range goings(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data", "marque.db")
			s := newStore(t, openTemp(t, Config{Path: path}))
			mustPut(t, s, authz.Client{ID: "before"})
			if err := going(path); err != nil {
				t.Fatal(err)
			}
			_, err := s.PutClient(t.Context(), authz.Client{ID: "after"}, testEntry("after"))
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path+" was removed or replaced while it was in use; start again") {
				t.Fatalf("PutClient: got error %v, want ErrDamaged that says what happened", err)
			}
			if _, err := s.Client(t.Context(), "before"); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("Client, later: got error %v, want ErrDamaged", err)
			}
			if _, err := s.PutClient(t.Context(), authz.Client{ID: "again"}, testEntry("again")); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("PutClient, later: got error %v, want ErrDamaged", err)
			}
		})
	}
}

// The feed says so as well, to a server that writes nothing; putting the file back does not help it.
func TestGone_Changes(t *testing.T) {
	for name, going := range goings(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data", "marque.db")
			s := newStore(t, openTemp(t, Config{Path: path}))
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Changes(t.Context(), head, 1); err != nil {
				t.Fatalf("Changes: %v", err)
			}
			if err := going(path); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Changes(t.Context(), head, 1); !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("Changes: got error %v, want ErrDamaged", err)
			}
			if name == "renamed" {
				if err := os.Rename(path+".old", path); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := s.Changes(t.Context(), head, 1); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("Changes, later: got error %v, want ErrDamaged", err)
			}
		})
	}
}

// Close lets go of a file that has gone: bbolt is well.
func TestGone_Close(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marque.db")
	db := openTemp(t, Config{Path: path})
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := db.inPlace(); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("got error %v, want ErrDamaged", err)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	openTemp(t, Config{Path: path + ".old", Timeout: time.Millisecond})
}

// A look that fails says nothing about the file: the call fails, and the next may succeed.
func TestGone_Unknown(t *testing.T) {
	s := newStore(t, openTemp(t, Config{}))
	path := s.db.path
	s.db.path = filepath.Join(path, "below") // ENOTDIR
	if _, err := s.PutClient(t.Context(), authz.Client{ID: "c"}, testEntry("c")); err == nil || errors.Is(err, store.ErrDamaged) {
		t.Errorf("got error %v, want one that is not ErrDamaged", err)
	}
	s.db.path = path
	mustPut(t, s, authz.Client{ID: "d"})
}

// Who waited for the lock of a file that was replaced meanwhile does not get the old one.
func TestOpenDB_ReplacedWhileWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marque.db")
	first := openTemp(t, Config{Path: path})
	opened := make(chan error, 1)
	config := Config{Path: path, Namespace: "test", Timeout: time.Minute, Now: time.Now}
	waiting := newDB(config)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := waiting.openFile(path, time.Minute, f) // it was opened before the file went
		opened <- err
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(waiting.inPlace(), waiting.Close()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got error %v, want ErrDamaged", err)
	}
}

// Go's own words for a fault do not reach the operator.
func TestBroken_MemoryFault(t *testing.T) {
	db := openTemp(t, Config{})
	err := db.update(t.Context(), func(*bolt.Tx) error {
		var page *[1]byte
		return errors.New(string(page[:]))
	})
	if !errors.Is(err, store.ErrDamaged) || strings.Contains(err.Error(), "runtime") || !strings.Contains(err.Error(), "a page could not be read") {
		t.Errorf("got error %v, want ErrDamaged in our words", err)
	}
}

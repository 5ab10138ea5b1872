package boltstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// onlyFile fails the test unless the folder holds the file and nothing else.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("the folder holds %v, want %s alone", entries, filepath.Base(path))
	}
}

// What a killed creation left, whatever it is, is in nobody's way.
func TestCreate_StaleDraft(t *testing.T) {
	whole, err := os.ReadFile(closedFile(t, "earlier"))
	if err != nil {
		t.Fatal(err)
	}
	for name, draft := range map[string][]byte{
		"empty": nil, "stub": whole[:1], "head pages": whole[:8192], "other content": bytes.Repeat([]byte("x"), 1<<17), "whole": whole,
	} {
		path := filepath.Join(t.TempDir(), "marque.db")
		if err := os.WriteFile(path+draftSuffix, draft, 0o666); err != nil {
			t.Fatal(err)
		}
		db := openTemp(t, Config{Path: path})
		mustPut(t, newStore(t, db), authz.Client{ID: "c"})
		onlyFile(t, path)
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: got %v, %v, want mode 0600", name, info.Mode(), err)
		}
		if err := db.bolt.View(func(tx *bolt.Tx) error {
			if tx.Bucket([]byte(namespacePrefix+"earlier")) != nil {
				t.Errorf("%s: something of the draft was kept", name)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// closedFile makes a file with a namespace and returns its path.
func closedFile(t *testing.T, namespace string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "marque.db")
	if err := openTemp(t, Config{Path: path, Namespace: namespace}).Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// A creation that was killed between its last two steps leaves the file with two names. The second
// must go: were the first removed one day, the next creation would empty what is left of it.
func TestCreate_SecondName(t *testing.T) {
	path := closedFile(t, "test")
	if err := os.Link(path, path+draftSuffix); err != nil {
		t.Fatal(err)
	}
	openTemp(t, Config{Path: path})
	onlyFile(t, path)
}

// A draft that somebody else makes is waited for and not touched.
func TestCreate_DraftTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marque.db")
	draft, err := takeDraft(path + draftSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := draft.WriteString("theirs"); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDB(Config{Path: path, Namespace: "test", Timeout: time.Millisecond}); !errors.Is(err, ErrLocked) {
		t.Errorf("got error %v, want ErrLocked", err)
	}
	if b, err := os.ReadFile(path + draftSuffix); err != nil || string(b) != "theirs" {
		t.Errorf("the draft holds %q, %v", b, err)
	}
	if err := draft.Close(); err != nil {
		t.Fatal(err)
	}
	openTemp(t, Config{Path: path})
}

// Who waited for the lock of a draft that has become the file does not write to it.
func TestCreate_DraftBecameFile(t *testing.T) {
	path := closedFile(t, "test")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name := path + draftSuffix
	draft, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = draft.Close() }()
	if err := stillNamed(draft, name); !errors.Is(err, errDraftTaken) {
		t.Errorf("without the name: got error %v, want errDraftTaken", err)
	}
	// Even where the name is still there: the file is, too.
	if err := os.Link(path, name); err != nil {
		t.Fatal(err)
	}
	if err := stillNamed(draft, name); err != nil {
		t.Fatal(err)
	}
	config := Config{Path: path, Namespace: "test", Timeout: time.Second, Now: time.Now}
	if err := config.finish(draft, name); err != nil {
		t.Errorf("finish: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was written to (%v)", err)
	}
	onlyFile(t, path)
}

// A file that came while the draft was written, a backup perhaps, stays as it is.
func TestCreate_ReplacesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marque.db")
	draft, err := takeDraft(path + draftSuffix)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = draft.Close() }()
	if err := os.WriteFile(path, []byte("backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := publish(draft, path+draftSuffix, path); err != nil {
		t.Errorf("publish: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "backup" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

// A link in the draft's place, to a file that is not ours, is not followed.
func TestCreate_DraftIsLink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marque.db")
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path+draftSuffix); err != nil {
		t.Fatal(err)
	}
	if db, err := OpenDB(Config{Path: path, Namespace: "test"}); err == nil {
		t.Error("opened")
		_ = db.Close()
	}
	if b, err := os.ReadFile(other); err != nil || string(b) != "precious" {
		t.Errorf("the other file holds %q, %v", b, err)
	}
}

// Of several who create at once one makes the file; each ends with that file, and what one has put
// there the others find.
func TestCreate_AtOnce(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "folder", "marque.db")
		const openers = 6
		epochs, start := make(chan string, openers), make(chan struct{})
		var all sync.WaitGroup
		for range openers {
			all.Go(func() {
				<-start
				db, err := OpenDB(Config{Path: path, Namespace: "test", Timeout: 30 * time.Second})
				if err != nil {
					t.Errorf("OpenDB: %v", err)
					return
				}
				epochs <- db.Epoch()
				if err := db.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		close(start)
		all.Wait()
		close(epochs)
		first := <-epochs
		for epoch := range epochs {
			if epoch != first {
				t.Errorf("two files were made: %s and %s", epoch, first)
			}
		}
		onlyFile(t, path)
	}
}

func TestOpenDB_MustExist(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "none")
	path := closedFile(t, "test")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]Config{
		"no file":      {Path: filepath.Join(folder, "marque.db"), Namespace: "named-so"},
		"no namespace": {Path: path, Namespace: "named-so"},
	} {
		config.MustExist = true
		_, err := OpenDB(config)
		if !errors.Is(err, ErrNoInstallation) || !strings.Contains(err.Error(), "named-so") || !strings.Contains(err.Error(), config.Path) {
			t.Errorf("%s: got error %v, want ErrNoInstallation with the namespace and the path", name, err)
		}
	}
	if !missing(folder) {
		t.Error("the folder was made")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was written to (%v)", err)
	}
	onlyFile(t, path)
	openTemp(t, Config{Path: path, MustExist: true})
}

// An empty file is what is left of one, and not a new one, whoever opens it.
func TestOpenDB_Empty(t *testing.T) {
	for _, mustExist := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "marque.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDB(Config{Path: path, Namespace: "test", MustExist: mustExist}); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("got error %v, want ErrDamaged with the path", err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != 0 {
			t.Errorf("the file was written to: %v, %v", info, err)
		}
		onlyFile(t, path)
	}
}

//go:build linux || darwin

package boltstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// restored restores the backup in the place of path, whole.
func restored(t *testing.T, path, from, aside string) {
	t.Helper()
	r := restoring(t, path, from, aside != "")
	if err := r.Renew(t.Context(), testEntry("restore")); err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(aside); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func restoring(t *testing.T, path, from string, replace bool) *Restoration {
	t.Helper()
	b, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, err := Restore(t.Context(), Config{Path: path, Namespace: "test", Timeout: 10 * time.Second}, b, replace)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRestoration(t *testing.T) {
	t.Parallel()
	first := openTemp(t, Config{})
	s := newStore(t, first)
	mustPut(t, s, authz.Client{ID: "kept"})
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from := backup(t, first)

	path := filepath.Join(t.TempDir(), "marque.db")
	restored(t, path, from, "")
	onlyFile(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	second := openTemp(t, Config{Path: path, MustExist: true})
	copied := newStore(t, second)
	if second.Epoch() == first.Epoch() {
		t.Error("both have the same epoch")
	}
	if _, _, err := copied.Changes(t.Context(), head, 10); !errors.Is(err, store.ErrCursor) {
		t.Errorf("a cursor of the first: %v", err)
	}
	if _, err := copied.Client(t.Context(), "kept"); err != nil {
		t.Errorf("the client: %v", err)
	}
	if found := inspected(t, copied); found != nil {
		t.Errorf("found %v", found)
	}
	entries, _, err := copied.Entries(t.Context(), "", 100)
	if err != nil || len(entries) != 3 || entries[2].Target != "restore" {
		t.Errorf("entries %+v, %v", entries, err)
	}
}

// What is there is replaced only on demand, and then it stays under another name.
func TestRestoration_Replaces(t *testing.T) {
	t.Parallel()
	first := openTemp(t, Config{})
	from := backup(t, first)
	mustPut(t, newStore(t, first), authz.Client{ID: "later"})
	config := Config{Path: first.path, Namespace: "test", Timeout: 50 * time.Millisecond}
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	try := func(replace bool) error {
		r, err := Restore(t.Context(), config, bytes.NewReader(content), replace)
		if err == nil {
			err = errors.Join(errors.New("it was begun"), r.Close())
		}
		return err
	}
	if err := try(false); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("without replacing: %v", err)
	}
	if err := try(true); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is in use: %v", err)
	}
	onlyFile(t, first.path)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	// Who restores keeps out who starts, and who restores.
	r := restoring(t, first.path, from, true)
	if _, err := OpenDB(config); !errors.Is(err, ErrLocked) {
		t.Errorf("a start meanwhile: %v", err)
	}
	if err := try(true); !errors.Is(err, ErrLocked) {
		t.Errorf("another one meanwhile: %v", err)
	}
	if err := r.Close(); err != nil { // given up
		t.Fatal(err)
	}
	onlyFile(t, first.path)

	// A second name of the file where the draft belongs is not written to.
	if err := os.Link(first.path, first.path+draftSuffix); err != nil {
		t.Fatal(err)
	}
	aside := first.path + ".aside"
	restored(t, first.path, from, aside)
	if !missing(first.path + draftSuffix) {
		t.Error("the draft is still there")
	}
	if _, err := newStore(t, openTemp(t, Config{Path: aside, MustExist: true})).Client(t.Context(), "later"); err != nil {
		t.Errorf("in what was replaced: %v", err)
	}
	if _, err := newStore(t, openTemp(t, Config{Path: first.path, MustExist: true})).Client(t.Context(), "later"); !errors.Is(err, authz.ErrNotFound) {
		t.Errorf("in what was restored: %v", err)
	}
}

// A file that came there meanwhile, by whatever way, is not replaced.
func TestRestoration_LeavesWhatCame(t *testing.T) {
	t.Parallel()
	first := openTemp(t, Config{})
	from := backup(t, first)
	path := filepath.Join(t.TempDir(), "marque.db")
	r := restoring(t, path, from, false)
	if err := os.WriteFile(path, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(""); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("in an empty place: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, path)

	r = restoring(t, path, from, true)
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("a third"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(path + ".aside"); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("in the place of another: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "a third" {
		t.Errorf("there is %.20q, %v", got, err)
	}

	r = restoring(t, path, from, true)
	defer r.Close()
	if err := os.WriteFile(path+".aside", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Publish(path + ".aside"); !errors.Is(err, os.ErrExist) {
		t.Errorf("a name that is taken: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "a third" {
		t.Errorf("there is %.20q, %v", got, err)
	}
}

func TestRestoration_Refuses(t *testing.T) {
	t.Parallel()
	first := openTemp(t, Config{})
	whole, err := os.ReadFile(backup(t, first))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "marque.db")
	ended, stop := context.WithCancel(t.Context())
	stop()
	for name, c := range map[string]struct {
		ctx       context.Context
		namespace string
		content   []byte
		want      error
	}{
		"empty":             {t.Context(), "test", nil, nil},
		"text":              {t.Context(), "test", bytes.Repeat([]byte("hello "), 10_000), nil},
		"cut off":           {t.Context(), "test", whole[:len(whole)/2], nil},
		"another namespace": {t.Context(), "other", whole, ErrNoInstallation},
		"interrupted":       {ended, "test", whole, context.Canceled},
	} {
		r, err := Restore(c.ctx, Config{Path: path, Namespace: c.namespace}, bytes.NewReader(c.content), false)
		if err == nil {
			err = r.Check(t.Context())
			if closed := r.Close(); closed != nil {
				t.Errorf("%s: %v", name, closed)
			}
		}
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
			t.Errorf("%s: left %v, %v", name, entries, err)
		}
	}
}

// What was closed for a final export goes on elsewhere: neither is a backup of it restored, nor one from before
// opened in its place by whoever looks first.
func TestRestoration_Closed(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	if err := db.CloseFor(t.Context(), "export"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Backup(t.Context(), testEntry("backup"), nil); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a backup of it: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBackup(Config{Path: db.path, Namespace: "test"}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("opened: %v", err)
	}
	closed, err := os.Open(db.path)
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	path := filepath.Join(t.TempDir(), "marque.db")
	if _, err := Restore(t.Context(), Config{Path: path, Namespace: "test"}, closed, false); !errors.Is(err, store.ErrClosed) {
		t.Errorf("restored: %v", err)
	}
	if !missing(path) || !missing(path+draftSuffix) {
		t.Error("something was left")
	}
}

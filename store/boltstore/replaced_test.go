package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// A restoration that was killed between its two steps leaves the live file a second name: it is removed by whoever
// has the file next, and what was really replaced is not.
func TestRestoration_SecondName(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	from := backup(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	killed, real := Aside(db.path, testTime), Aside(db.path, testTime.Add(time.Hour))
	if err := os.WriteFile(real, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func() {
		t.Helper()
		if err := os.Link(db.path, killed); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		if !missing(killed) || missing(real) {
			t.Errorf("%s: the second name is gone: %v, what was replaced: %v", when, missing(killed), missing(real))
		}
	}
	link()
	again := openTemp(t, Config{Path: db.path, MustExist: true})
	check("opened")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	link()
	if err := restoring(t, db.path, from, true).Close(); err != nil {
		t.Fatal(err)
	}
	check("restored, and given up")
}

// Where there are no links what is replaced is copied.
func TestRestoration_NoLinks(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	from := backup(t, db)
	mustPut(t, newStore(t, db), authz.Client{ID: "later"})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, refusal := range []error{syscall.EPERM, errors.ErrUnsupported} {
		aside := filepath.Join(filepath.Dir(db.path), "aside-"+refusal.Error())
		r := restoring(t, db.path, from, true)
		if _, err := r.Old(); err != nil { // read before
			t.Fatal(err)
		}
		r.link = func(string, string) error { return &os.LinkError{Op: "link", Err: refusal} }
		if err := errors.Join(r.Publish(aside), r.Close()); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, openTemp(t, Config{Path: aside, MustExist: true}))
		if _, err := s.Client(t.Context(), "later"); err != nil && refusal == error(syscall.EPERM) {
			t.Errorf("in what was replaced: %v", err)
		}
	}
}

// What is replaced is read under the lock, which it keeps, whether or not it can be read.
func TestRestoration_Old(t *testing.T) {
	t.Parallel()
	first := openTemp(t, Config{})
	from := backup(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(first.path)
	if err != nil {
		t.Fatal(err)
	}
	closed := openTemp(t, Config{})
	if err := errors.Join(closed.CloseFor(t.Context(), "export"), closed.Close()); err != nil {
		t.Fatal(err)
	}
	moved, err := os.ReadFile(closed.path)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := openTemp(t, Config{Namespace: "other"})
	if err := elsewhere.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(elsewhere.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"sound": {whole, nil}, "empty": {nil, store.ErrDamaged}, "text": {[]byte("no database"), store.ErrDamaged},
		"cut off": {whole[:5000], store.ErrDamaged}, "closed": {moved, store.ErrClosed}, "of another namespace": {other, ErrNoInstallation},
	} {
		path := filepath.Join(t.TempDir(), "marque.db")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		r := restoring(t, path, from, true)
		db, err := r.Old()
		if !errors.Is(err, c.want) || (db != nil) != (c.want == nil) {
			t.Errorf("%s: %v, %v", name, db, err)
		}
		b, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), Config{Path: path, Namespace: "test", Timeout: time.Millisecond}, b, true); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: another restoration: %v", name, err)
		}
		if err := errors.Join(b.Close(), r.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

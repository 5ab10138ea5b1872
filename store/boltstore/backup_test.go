//go:build linux || darwin

package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

// backup saves a backup of the file, and returns its path.
func backup(t *testing.T, db *DB) string {
	t.Helper()
	from, err := db.Backup(t.Context(), testEntry("backup"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(t.TempDir(), "backup")
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func openBackup(t *testing.T, path string) *DB {
	t.Helper()
	db, err := OpenBackup(Config{Path: path, Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A backup amid writes is of one instant: everything that is in it is whole, with what was committed before
// the call, and the entry of the backup itself.
func TestBackup_IsOfOneInstant(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	s := newStore(t, db)
	mustPut(t, s, authz.Client{ID: "before"})
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("create-%d-%d", w, n)
				c := authz.Client{ID: authz.ClientID(id), Name: strings.Repeat("x", 200), Credentials: []authz.Credential{{ID: authz.CredentialID("k-" + id)}}}
				if _, err := s.PutClient(ctx, c, testEntry(id), killRevocation(token.RevokedClient, id, id, 0)); err != nil && ctx.Err() == nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	for range 5 {
		b := openBackup(t, backup(t, db))
		if err := b.Check(t.Context()); err != nil {
			t.Fatalf("Check: %v", err)
		}
		copied := newStore(t, b)
		if found := inspected(t, copied); found != nil {
			t.Errorf("found %v", found)
		}
		if _, err := copied.Client(t.Context(), "before"); err != nil {
			t.Errorf("what was committed before: %v", err)
		}
		entries, _, err := copied.Entries(t.Context(), "", 1<<20)
		if err != nil || count(entries, func(e audit.Entry) string { return e.Target })["backup"] == 0 {
			t.Errorf("the backup's own entry is missing: %v", err)
		}
		clients, err := copied.ListClients(t.Context(), authz.ClientQuery{Limit: 1 << 20})
		if err != nil || len(clients)+count(entries, func(e audit.Entry) string { return e.Target })["backup"] != len(entries) {
			t.Errorf("%d clients, %d entries, %v", len(clients), len(entries), err)
		}
	}
	stop()
	writers.Wait()
	entries, err := os.ReadDir(filepath.Dir(db.path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the file: %v, %v", entries, err)
	}
}

// However slowly a backup is taken away, a write that has to map more of the file does not wait for it.
func TestBackup_HoldsUpNoWrite(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	s := newStore(t, db)
	mustPut(t, s, authz.Client{ID: "before"})
	from, err := db.Backup(t.Context(), testEntry("backup"), nil) // nobody reads it
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	before, err := os.Stat(db.path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		mustPut(t, s, authz.Client{ID: authz.ClientID(fmt.Sprint("c", n)), Name: strings.Repeat("x", 100_000)})
		if now, err := os.Stat(db.path); err != nil || now.Size() > 8<<20 {
			break // it was mapped anew several times
		}
	}
	if got, err := io.ReadAll(from); err != nil || int64(len(got)) > before.Size() {
		t.Errorf("the backup has %d octets, the file had %d: %v", len(got), before.Size(), err)
	}
}

func TestBackup_Fails(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := db.Backup(ctx, testEntry("backup"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if _, err := cancelable(ctx, io.Discard).Write([]byte{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended while it copies: %v", err)
	}
	if err := os.Mkdir(db.path+copySuffix, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(db.path+copySuffix, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Backup(t.Context(), testEntry("backup"), nil); err == nil {
		t.Error("a folder in the way of the copy is no error")
	}
	if err := os.RemoveAll(db.path + copySuffix); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(db.path+copySuffix, []byte("left by a process that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	backup(t, db)
	if err := os.Rename(db.path, db.path+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Backup(t.Context(), testEntry("backup"), nil); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a file that has gone: %v", err)
	}
}

// Every page of a backup in turn is overwritten, and the file cut off before it: what is missing is noticed,
// and nothing of it ends the process.
func TestOpenBackup_Damaged(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	s := newStore(t, db)
	for n := range 40 {
		mustPut(t, s, authz.Client{ID: authz.ClientID(fmt.Sprint("c", n)), Name: strings.Repeat("x", 300)})
	}
	mustPut(t, s, authz.Client{ID: "long", Name: strings.Repeat("x", 20_000)})
	whole, err := os.ReadFile(backup(t, db))
	if err != nil {
		t.Fatal(err)
	}
	page := db.bolt.Info().PageSize
	free := map[int]bool{}
	for n := range len(whole) / page {
		if err := db.bolt.View(func(tx *bolt.Tx) error {
			info, err := tx.Page(n)
			free[n] = info != nil && info.Type == "free"
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	look := func(content []byte) error {
		path := filepath.Join(t.TempDir(), "backup")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := OpenBackup(Config{Path: path, Namespace: "test"})
		if err != nil {
			return err
		}
		defer b.Close()
		if err := b.Check(t.Context()); err != nil {
			return err
		}
		bad := error(nil)
		_, err = newStore(t, b).Inspect(t.Context(), func(err error) { bad = err })
		return errors.Join(bad, err)
	}
	if err := look(whole); err != nil {
		t.Fatalf("the whole one: %v", err)
	}
	noticed := 0
	for n := 2; n < len(whole)/page; n++ {
		spoiled := append([]byte(nil), whole...)
		for i := n * page; i < (n+1)*page; i++ {
			spoiled[i] ^= 0x5a
		}
		if err := look(spoiled); err == nil && !free[n] {
			t.Errorf("page %d is spoiled, and nobody noticed", n)
		} else if err != nil {
			noticed++
		}
		if err := look(whole[:n*page]); err == nil {
			t.Errorf("cut off before page %d, and nobody noticed", n)
		}
	}
	t.Logf("%d pages, %d damages noticed", len(whole)/page, noticed)
	for name, content := range map[string][]byte{"empty": nil, "text": []byte(strings.Repeat("hello ", 10_000)), "one page": whole[:page], "half": whole[:len(whole)/2+17]} {
		if err := look(content); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestOpenBackup_NotOurs(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	if _, err := OpenBackup(Config{Path: db.path, Namespace: "test"}); !errors.Is(err, ErrLocked) {
		t.Errorf("in use: %v", err)
	}
	path := backup(t, db)
	if _, err := OpenBackup(Config{Path: path, Namespace: "other"}); !errors.Is(err, ErrNoInstallation) {
		t.Errorf("another namespace: %v", err)
	}
	if _, err := OpenBackup(Config{Path: path + "x", Namespace: "test"}); !errors.Is(err, ErrNoInstallation) {
		t.Errorf("no file: %v", err)
	}
	other := openTemp(t, Config{Path: path, Namespace: "second"})
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := openBackup(t, path).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "second") {
		t.Errorf("a second namespace: %v", err)
	}
	strange := filepath.Join(t.TempDir(), "strange")
	b, err := bolt.Open(strange, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBackup(Config{Path: strange, Namespace: "test"}); err == nil || !strings.Contains(err.Error(), "no file of this program") {
		t.Errorf("another program's: %v", err)
	}
}

// Few copies are open at a time, and the room for one is looked for when no other is being made.
func TestBackup_Bounds(t *testing.T) {
	t.Parallel()
	db := openTemp(t, Config{})
	full := errors.New("no room")
	if _, err := db.Backup(t.Context(), testEntry("backup"), func(size int64) error {
		if size <= 0 || len(db.copying) == 0 {
			t.Errorf("asked for %d octets, with the turn: %v", size, len(db.copying) > 0)
		}
		return full
	}); !errors.Is(err, full) {
		t.Errorf("without room: %v", err)
	}
	var open []*Copy
	for range maxCopies {
		c, err := db.Backup(t.Context(), testEntry("backup"), nil)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if _, err := db.Backup(t.Context(), testEntry("backup"), nil); !errors.Is(err, ErrCopies) {
		t.Errorf("one too many: %v", err)
	}
	for range 2 { // closing again gives no second place
		_ = open[0].Close()
	}
	backup(t, db)
	if err := open[1].Close(); err != nil {
		t.Error(err)
	}
	if len(db.copies) != 0 {
		t.Errorf("%d places are taken", len(db.copies))
	}
	entries, _, err := newStore(t, db).Entries(t.Context(), "", 100)
	if err != nil || len(entries) != maxCopies+1 {
		t.Errorf("%d entries, %v: want one for each copy", len(entries), err)
	}
}

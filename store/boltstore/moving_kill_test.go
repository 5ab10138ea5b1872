//go:build linux || darwin

package boltstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// importEnv holds the path of the file when the test binary runs as the child of TestRestore_Kill9.
const importEnv = "MARQUE_BOLTSTORE_TEST_IMPORT"

// What a child imports, in batches.
const (
	importedClients = 500
	importedAll     = 3 * importedClients // with as many audit entries and revocations
	importedBatch   = 20
)

// imported is record number n of what is imported.
func imported(env *store.Envelope, n int) (r store.Stored, err error) {
	id := strconv.Itoa(n / 3)
	switch n % 3 {
	case 0:
		r = store.Stored{Kind: store.KindClient, Key: id}
		r.Octets, err = env.SealClient(authz.Client{ID: authz.ClientID(id), Version: 1})
	case 1:
		revocation := ending(id, time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC))
		revocation.Version = 1
		r = store.Stored{Kind: store.KindRevocation, Key: revocation.Subject.String(), Ends: revocation.Until}
		r.Octets, err = env.SealRevocation(revocation)
	case 2:
		r = store.Stored{Kind: store.KindAudit, Key: strconv.Itoa(n/3 + 1)}
		r.Octets, err = store.EncodeEntry(testEntry(id))
	}
	return r, err
}

// importUntilKilled goes on with the import where it stands, and says how many records are put after each batch; it
// returns when all are, or because of an error.
func importUntilKilled(path string) error {
	ctx := context.Background()
	db, err1 := OpenDB(Config{Path: path, Namespace: "test", Moving: true})
	env, err2 := store.NewEnvelope([32]byte{1, 2, 3}, "test")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	say := func(done int) error {
		_, err := os.Stdout.WriteString(strconv.Itoa(done) + "\n")
		return err
	}
	done, err := db.Imported(ctx, "E1")
	for err == nil && done < importedAll {
		var batch []store.Stored
		for n := done; n < min(done+importedBatch, importedAll); n++ {
			r, err := imported(env, n)
			if err != nil {
				return err
			}
			batch = append(batch, r)
		}
		if err = db.Restore(ctx, "E1", done, batch); err == nil {
			done += len(batch)
			err = say(done)
		}
	}
	if err != nil {
		return err
	}
	return say(done) // the last one may have been killed before it could
}

// TestRestore_Kill9: an import that is killed goes on where it was; nothing is lost that was acknowledged, and nothing is put
// twice. Until it is completed nobody takes the file for an installation.
func TestRestore_Kill9(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "marque.db")
	acknowledged, kills := 0, 0
	for ; acknowledged < importedAll; kills++ {
		before := acknowledged
		acknowledged = importAndKill(t, path, 1+kills*7%11)
		db, err := OpenDB(Config{Path: path, Namespace: "test", Moving: true, Timeout: 10 * time.Second})
		if err != nil {
			t.Fatalf("after kill %d: %v", kills, err)
		}
		there, err := db.Imported(ctx, "E1")
		if err != nil || there < acknowledged || acknowledged <= before && acknowledged < importedAll {
			t.Errorf("after kill %d: %d are put, %v, acknowledged were %d, before %d", kills, there, err, acknowledged, before)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := tryOpen(t, Config{Path: path, Namespace: "test", Timeout: 10 * time.Second}); !errors.Is(err, store.ErrUnfinished) {
			t.Errorf("after kill %d: opened: got error %v, want ErrUnfinished", kills, err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("killed %d times", kills)
	db := openTemp(t, Config{Path: path, Moving: true})
	if err := db.Complete(ctx, "E1", importedAll, nil, 0, storetest.FullInstallation("x"), testEntry("import")); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, db)
	clients, err1 := s.ListClients(ctx, authz.ClientQuery{Limit: importedAll})
	revocations, err2 := s.ListRevocations(ctx, "", importedAll)
	entries, _, err3 := s.Entries(ctx, "", importedAll)
	read, err4 := s.Inspect(ctx, func(err error) { t.Error(err) })
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if len(clients) != importedClients || len(revocations) != importedClients || len(entries) != importedClients+1 {
		t.Errorf("got %d clients, %d revocations, %d audit entries, %+v", len(clients), len(revocations), len(entries), read)
	}
}

// importAndKill runs a child until it has said that many words, kills it with SIGKILL, and returns the last number that
// it said.
func importAndKill(t *testing.T, path string, words int) (done int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), importEnv+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for said := 1; lines.Scan(); said++ { // to the end: what was said before the kill was said
		if done, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if said == words {
			if err := child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); done == 0 {
		t.Fatal(fmt.Errorf("the child said nothing: %w", err))
	}
	return done
}

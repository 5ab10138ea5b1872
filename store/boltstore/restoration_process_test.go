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
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
)

// restoreEnv holds the path of the file when the test binary runs as a child that restores it, again and again.
const restoreEnv = "MARQUE_BOLTSTORE_TEST_RESTORE"

// restoreAgain replaces the file by the backup until it is killed, and says so each time it begins.
func restoreAgain(path, from string) error {
	for n := 0; ; n++ {
		fmt.Println("begin", n)
		b, err := os.Open(from)
		if err != nil {
			return err
		}
		r, err := Restore(context.Background(), Config{Path: path, Namespace: "test", Timeout: time.Minute}, b, true)
		if err != nil {
			return err
		}
		if err := r.Renew(context.Background(), testEntry("restore")); err != nil {
			return err
		}
		if err := r.Publish(fmt.Sprintf("%s.aside-%d-%d", path, os.Getpid(), n)); err != nil {
			return err
		}
		if err := errors.Join(r.Close(), b.Close()); err != nil {
			return err
		}
	}
}

// TestRestoration_Kill9: a restoration that is killed at any of its stages leaves the file as it was or as it is to
// be, whole, and a server that starts on it does not care about what else is left.
func TestRestoration_Kill9(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "marque.db")
	first := openTemp(t, Config{Path: path})
	mustPut(t, newStore(t, first), authz.Client{ID: "old"})
	from := backup(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	epoch := first.Epoch()
	var old, replaced, drafts int
	for round := range 40 {
		killRestoring(t, path, from, round)
		if !missing(path + draftSuffix) {
			drafts++
		}
		db, err := OpenDB(Config{Path: path, Namespace: "test", MustExist: true})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		s := newStore(t, db)
		if found := inspected(t, s); found != nil {
			t.Errorf("round %d: found %v", round, found)
		}
		if err := db.Check(t.Context()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		entries, _, err := s.Entries(t.Context(), "", 100)
		if err != nil || db.Epoch() == epoch && round > 0 && len(entries) < 3 {
			t.Errorf("round %d: entries %+v, %v", round, entries, err)
		}
		if len(entries) == 3 {
			replaced++
		} else {
			old++
		}
		if db.Epoch() != epoch && len(entries) != 3 {
			t.Errorf("round %d: another epoch, and no entry of a restoration: %+v", round, entries)
		}
		epoch = db.Epoch()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed 40 times: %d times as it was at first, %d times replaced; %d drafts left", old, replaced, drafts)
}

// killRestoring kills a child in its second restoration, or later.
func killRestoring(t *testing.T, path, from string, round int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), restoreEnv+"="+path, restoreEnv+"_FROM="+from)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == round%3 { // the first of all leaves it as it was
			time.Sleep(time.Duration(round) * 300 * time.Microsecond) // wherever that is
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

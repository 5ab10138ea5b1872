//go:build linux || darwin

package boltstore

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
)

// createEnv holds the path of the file when the test binary runs as a child that makes one.
const createEnv = "MARQUE_BOLTSTORE_TEST_CREATE"

// createLimited opens the file in a process whose files cannot grow beyond that many octets, says its
// epoch, and closes it.
func createLimited(path, limit string) error {
	if limit != "" {
		n, err := strconv.ParseUint(limit, 10, 64)
		if err != nil {
			return err
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	db, err := OpenDB(Config{Path: path, Namespace: "test", Timeout: time.Minute})
	if err != nil {
		return err
	}
	fmt.Println("epoch", db.Epoch())
	return db.Close()
}

// creator is a child that makes the file, not yet started.
func creator(t *testing.T, path, limit string) (*exec.Cmd, *strings.Builder) {
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), createEnv+"="+path, createEnv+"_LIMIT="+limit)
	out := new(strings.Builder)
	child.Stdout, child.Stderr = out, out
	return child, out
}

// A creation for which there is no room leaves nothing, and the next one, with room, succeeds.
func TestCreate_FileSizeLimit(t *testing.T) {
	for _, limit := range []int{0, 1, 4095, 4096, 8192, 12288, 16383, 16384, 20480, 32767} {
		path := filepath.Join(t.TempDir(), "marque.db")
		child, out := creator(t, path, strconv.Itoa(limit))
		if err := child.Run(); err == nil {
			t.Fatalf("limit %d: the child has made it: the limit does not bind", limit)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != 0 {
			t.Errorf("limit %d: the child left %v, %v; it said: %s", limit, entries, err, out)
		}
		mustPut(t, newStore(t, openTemp(t, Config{Path: path})), authz.Client{ID: "c"})
		onlyFile(t, path)
	}
}

// TestCreate_Kill9 kills creations at all their stages: there is no file then, or a whole one, and
// the next start has one.
func TestCreate_Kill9(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	var none, drafts, whole int
	for round := range 60 {
		path := filepath.Join(t.TempDir(), "marque.db")
		child, _ := creator(t, path, "")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// To the first sign of its work, and then a little further in each round.
		for missing(path+draftSuffix) && missing(path) {
			time.Sleep(50 * time.Microsecond)
		}
		time.Sleep(time.Duration(round) * 15 * time.Microsecond)
		if err := child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		_ = child.Wait()
		draft := !missing(path + draftSuffix)
		switch {
		case !missing(path):
			whole++
			// Whole means: for one who may make nothing, too.
			db, err := OpenDB(Config{Path: path, Namespace: "test", MustExist: true})
			if err != nil {
				t.Fatalf("round %d: a file that is not whole: %v", round, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		case draft:
			drafts++
		default:
			none++
		}
		mustPut(t, newStore(t, openTemp(t, Config{Path: path})), authz.Client{ID: "c"})
		onlyFile(t, path)
	}
	t.Logf("killed: %d with no file, %d with a draft, %d with the file", none, drafts, whole)
}

// Processes that create at once end with one file, even if one of them is killed.
func TestCreate_Processes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	for round := range 5 {
		path := filepath.Join(t.TempDir(), "marque.db")
		victim, _ := creator(t, path, "")
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		children := make([]*exec.Cmd, 4)
		outs := make([]*strings.Builder, len(children))
		for i := range children {
			children[i], outs[i] = creator(t, path, "")
			if err := children[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		if err := victim.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		_ = victim.Wait()
		said := map[string]bool{}
		for i, child := range children {
			if err := child.Wait(); err != nil {
				t.Errorf("round %d: a child failed: %v: %s", round, err, outs[i])
			}
			said[outs[i].String()] = true
		}
		if len(said) != 1 {
			t.Errorf("round %d: the children have different files: %v", round, said)
		}
		openTemp(t, Config{Path: path})
		onlyFile(t, path)
	}
}

//go:build linux || darwin

package boltstore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// childEnv holds the path of the file when the test binary runs as the child of TestKill9.
const childEnv = "MARQUE_BOLTSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(createEnv); path != "" {
		if err := createLimited(path, os.Getenv(createEnv+"_LIMIT")); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv(childEnv); path != "" {
		fmt.Fprintln(os.Stderr, "child:", writeUntilKilled(path, os.Getenv(childEnv+"_ROUND")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled creates clients from several goroutines and says "begin ID" before and "ack ID"
// after each; it returns only because of an error.
func writeUntilKilled(path, round string) error {
	db, err := OpenDB(Config{Path: path, Namespace: "test"})
	if err != nil {
		return err
	}
	env, err := store.NewEnvelope([32]byte{1, 2, 3}, "test")
	if err != nil {
		return err
	}
	s, err := New(db, env)
	if err != nil {
		return err
	}
	var stdout sync.Mutex
	say := func(word, id string) {
		stdout.Lock()
		defer stdout.Unlock()
		// Unbuffered: a word is out, as an acknowledgement would be, before the next thing happens.
		_, _ = os.Stdout.WriteString(word + " " + id + "\n")
	}
	failed := make(chan error)
	for writer := range 4 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("r%s-w%d-%d", round, writer, n)
				say("begin", id)
				c := authz.Client{ID: authz.ClientID(id), Credentials: []authz.Credential{{ID: authz.CredentialID("k-" + id)}}}
				if _, err := s.PutClient(context.Background(), c, testEntry(id)); err != nil {
					failed <- err
					return
				}
				say("ack", id)
			}
		}()
	}
	return <-failed
}

// TestKill9: what was acknowledged survives SIGKILL, and what was not is there whole or not at all.
func TestKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	path := filepath.Join(t.TempDir(), "marque.db")
	begun, acknowledged := map[string]bool{}, map[string]bool{}
	for round := range 6 {
		// Each round is killed elsewhere; the second early, while its first writes are under way.
		runAndKill(t, path, round, 1+round*61, begun, acknowledged)

		db, err := OpenDB(Config{Path: path, Namespace: "test"})
		if err != nil {
			t.Fatalf("round %d: the file does not open after SIGKILL: %v", round, err)
		}
		found, lost := countSurvivors(t, newStore(t, db), begun, acknowledged)
		t.Logf("round %d: written %d, acknowledged %d, found %d, lost %d", round, len(begun), len(acknowledged), found, lost)
		if lost != 0 {
			t.Errorf("round %d: %d acknowledged writes are lost", round, lost)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runAndKill runs a child until it has acknowledged that many writes, kills it with SIGKILL, and
// notes all that it had said by then.
func runAndKill(t *testing.T, path string, round, acks int, begun, acknowledged map[string]bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path, fmt.Sprintf("%s_ROUND=%d", childEnv, round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	before := len(acknowledged)
	killed := false
	lines := bufio.NewScanner(out)
	for lines.Scan() { // to the end: what was said before the kill was said
		word, id, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "begin":
			begun[id] = true
		case "ack":
			acknowledged[id] = true
		}
		if !killed && len(acknowledged)-before >= acks {
			killed = true
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = child.Wait()
	if !killed || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

// countSurvivors checks every write that was begun: record, index entry, change and audit entry are
// all there or all absent, and all there if the write was acknowledged.
func countSurvivors(t *testing.T, s *Store, begun, acknowledged map[string]bool) (found, lost int) {
	t.Helper()
	changes, _, err := s.Changes(t.Context(), store.Cursor(s.db.cursor(0)), 1<<20)
	if err != nil {
		t.Fatalf("Changes: %v", err)
	}
	entries, _, err := s.Entries(t.Context(), "", 1<<20)
	if err != nil {
		t.Fatalf("Entries: %v", err)
	}
	changed := count(changes, func(c store.Change) string { return c.ID })
	audited := count(entries, func(e audit.Entry) string { return e.Target })
	clients, err := s.ListClients(t.Context(), authz.ClientQuery{Limit: 1 << 20})
	if err != nil {
		t.Fatalf("ListClients: %v", err)
	}
	there := count(clients, func(c authz.Client) string { return string(c.ID) })
	for id := range begun {
		_, err := s.ClientOf(t.Context(), authz.CredentialID("k-"+id))
		indexed := 0
		if err == nil {
			indexed = 1
		}
		if n := there[id]; n != indexed || n != changed[id] || n != audited[id] {
			t.Errorf("%s: records %d, index entries %d, changes %d, audit entries %d", id, n, indexed, changed[id], audited[id])
		}
		found += there[id]
		if acknowledged[id] && there[id] == 0 {
			lost++
		}
	}
	if len(clients) != found {
		t.Errorf("%d clients, of which %d were written", len(clients), found)
	}
	return found, lost
}

func count[T any](in []T, name func(T) string) map[string]int {
	n := map[string]int{}
	for _, v := range in {
		n[name(v)]++
	}
	return n
}

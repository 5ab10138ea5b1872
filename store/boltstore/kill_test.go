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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
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
	if path := os.Getenv(restoreEnv); path != "" {
		if err := restoreAgain(path, os.Getenv(restoreEnv+"_FROM")); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if folder := os.Getenv(garbledEnv); folder != "" {
		readGarbled(folder)
		os.Exit(0)
	}
	if path := os.Getenv(childEnv); path != "" {
		fmt.Fprintln(os.Stderr, "child:", writeUntilKilled(path, os.Getenv(childEnv+"_ROUND")))
		os.Exit(1)
	}
	if path := os.Getenv(importEnv); path != "" {
		if err := importUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killRounds is how often TestKill9 kills a writer.
const killRounds = 50

// The acts that a child repeats until it is killed, each named in what it says and in its audit entry.
// Revocations but the ended ones are open-ended, so none is removed.
var killActs = []struct {
	name string
	act  func(s *Store, writer int, id string) error
}{
	// A client is made, its tokens are void, and its credential is known, or none of it.
	{"create", func(s *Store, _ int, id string) error {
		c := authz.Client{ID: authz.ClientID(id), Credentials: []authz.Credential{{ID: authz.CredentialID("k-" + id)}}}
		_, err := s.PutClient(context.Background(), c, testEntry(id), killRevocation(token.RevokedClient, id, id, 0))
		return err
	}},
	{"revoke", func(s *Store, _ int, id string) error {
		_, err := s.PutRevocation(context.Background(), killRevocation(token.RevokedJTI, id, id, 0), testEntry(id))
		return err
	}},
	// A client and the revocation of its tokens are changed together, again and again.
	{"change", func(s *Store, writer int, id string) error {
		changed := killClient(writer)
		c, err := s.Client(context.Background(), changed)
		if err != nil && !errors.Is(err, authz.ErrNotFound) {
			return err
		}
		found, err := s.Revocations(context.Background(), []token.Subject{{Kind: token.RevokedClient, Value: string(changed)}})
		if err != nil {
			return err
		}
		var version uint64
		for _, r := range found {
			version = r.Version
		}
		c.ID, c.Name, c.Disabled = changed, id, !c.Disabled
		_, err = s.PutClient(context.Background(), c, testEntry(id), killRevocation(token.RevokedClient, string(changed), id, version))
		return err
	}},
	// A revocation that has ended long ago is made and, in the same commit, removed.
	{"ended", func(s *Store, _ int, id string) error {
		r := killRevocation(token.RevokedJTI, id, id, 0)
		r.Until = time.Unix(1_000_000_000, 0)
		_, err := s.PutRevocation(context.Background(), r, testEntry(id))
		return err
	}},
	{"resource", func(s *Store, _ int, id string) error {
		r := authz.Resource{ID: authz.ResourceID(id), TokenLifetime: time.Minute, DeletedAt: testTime}
		_, err := s.PutResource(context.Background(), r, testEntry(id), killRevocation(token.RevokedResource, id, id, 0))
		return err
	}},
}

// killClient is the client that a writer changes, in all rounds.
func killClient(writer int) authz.ClientID { return authz.ClientID(fmt.Sprintf("changed-%d", writer)) }

func killRevocation(kind token.RevocationKind, value, reason string, version uint64) authz.Revocation {
	return authz.Revocation{Revocation: token.Revocation{Subject: token.Subject{Kind: kind, Value: value}}, Reason: reason, Version: version}
}

// writeUntilKilled acts from several goroutines and says "begin ID" before and "ack ID" after each; it
// returns only because of an error.
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
				a := killActs[(n+writer)%len(killActs)]
				id := fmt.Sprintf("%s-r%s-w%d-%d", a.name, round, writer, n)
				say("begin", id)
				if err := a.act(s, writer, id); err != nil {
					failed <- fmt.Errorf("%s: %w", id, err)
					return
				}
				say("ack", id)
			}
		}()
	}
	return <-failed
}

// TestKill9: what was acknowledged survives SIGKILL, and what was not is there whole or not at all:
// clients, resources, revocations, what was committed with them, and their order.
func TestKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	path := filepath.Join(t.TempDir(), "marque.db")
	k := killed{t: t, begun: map[string]bool{}, acknowledged: map[string]bool{}}
	lost := 0
	for round := range killRounds {
		// Each round is killed elsewhere; the first early, while its first writes are under way.
		k.runAndKill(path, round, 1+round*37%97)

		db, err := OpenDB(Config{Path: path, Namespace: "test"})
		if err != nil {
			t.Fatalf("round %d: the file does not open after SIGKILL: %v", round, err)
		}
		found, gone := k.count(newStore(t, db))
		for _, id := range gone {
			t.Errorf("round %d: %s was acknowledged and is lost", round, id)
		}
		lost += len(gone)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() || round == killRounds-1 {
			t.Logf("killed %d times: written %d, acknowledged %d, found %d, lost %d", round+1, len(k.begun), len(k.acknowledged), found, lost)
		}
		if t.Failed() {
			return
		}
	}
}

// killed is what the children have said by the time they were killed.
type killed struct {
	t                   *testing.T
	begun, acknowledged map[string]bool
}

// runAndKill runs a child until it has said that many words, kills it with SIGKILL, and notes all that
// it had said by then. A word may be the beginning of a write, or the end of another writer's.
func (k killed) runAndKill(path string, round, words int) {
	k.t.Helper()
	child := exec.CommandContext(k.t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path, fmt.Sprintf("%s_ROUND=%d", childEnv, round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		k.t.Fatal(err)
	}
	said, done := 0, false
	lines := bufio.NewScanner(out)
	for lines.Scan() { // to the end: what was said before the kill was said
		word, id, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "begin":
			k.begun[id] = true
		case "ack":
			k.acknowledged[id] = true
		}
		if said++; !done && said >= words {
			done = true
			if err := child.Process.Kill(); err != nil {
				k.t.Fatal(err)
			}
		}
	}
	err = child.Wait()
	if !done || child.ProcessState.ExitCode() != -1 {
		k.t.Fatalf("the child ended by itself: %v", err)
	}
}

// count checks every write that was begun. Its parts are all there or all absent: records, index entry,
// revocation, changes, audit entry. It returns how many were found, and which were acknowledged and lost.
func (k killed) count(s *Store) (found int, lost []string) {
	k.t.Helper()
	ctx := k.t.Context()
	changes, _, err1 := s.Changes(ctx, store.Cursor(s.db.cursor(0)), 1<<20)
	entries, _, err2 := s.Entries(ctx, "", 1<<20)
	clients, err3 := s.ListClients(ctx, authz.ClientQuery{Limit: 1 << 20})
	revocations, err4 := s.ListRevocations(ctx, "", 1<<20)
	_, err5 := s.Inspect(ctx, func(err error) { k.t.Errorf("after the kill: %v", err) })
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		k.t.Fatal(err)
	}
	audited := count(entries, func(e audit.Entry) string { return e.Target })
	changed := count(changes, func(c store.Change) string { return string(c.Kind) + " " + c.ID })
	there := count(clients, func(c authz.Client) string { return string(c.ID) })
	revoked := count(revocations, func(r authz.Revocation) string { return r.Subject.String() })
	want := func(id, what string, got int) {
		k.t.Helper()
		if got != audited[id] {
			k.t.Errorf("%s: %s %d, audit entries %d", id, what, got, audited[id])
		}
	}
	for id := range k.begun {
		switch act, _, _ := strings.Cut(id, "-"); act {
		case "create":
			want(id, "clients", there[id])
			want(id, "revocations", revoked["client:"+id])
			want(id, "changes of the client", changed["client "+id])
			want(id, "changes of the revocation", changed["revocation client:"+id])
			owner, err := s.ClientOf(ctx, authz.CredentialID("k-"+id))
			if indexed := err == nil && string(owner) == id; indexed != (audited[id] == 1) {
				k.t.Errorf("%s: audit entries %d, owner of the credential %q, %v", id, audited[id], owner, err)
			}
		case "revoke":
			want(id, "revocations", revoked["jti:"+id])
			want(id, "changes", changed["revocation jti:"+id])
		case "ended":
			want(id, "changes", changed["revocation jti:"+id])
			if revoked["jti:"+id] != 0 {
				k.t.Errorf("%s: it was committed without its removal", id)
			}
		case "resource":
			r, err := s.Resource(ctx, authz.ResourceID(id))
			if there := err == nil && !r.DeletedAt.IsZero(); there != (audited[id] == 1) {
				k.t.Errorf("%s: audit entries %d, resource %v", id, audited[id], err)
			}
			want(id, "revocations", revoked["resource:"+id])
		}
		found += audited[id]
		if k.acknowledged[id] && audited[id] == 0 {
			lost = append(lost, id)
		}
	}
	if len(entries) != found {
		k.t.Errorf("%d audit entries, of which %d were written", len(entries), found)
	}
	k.checkChanged(clients, revocations, entries)
	return found, lost
}

// checkChanged checks that the newest change of each writer's client, by the audit log, is what the
// client and its revocation say.
func (k killed) checkChanged(clients []authz.Client, revocations []authz.Revocation, entries []audit.Entry) {
	k.t.Helper()
	newest, changes := map[string]string{}, map[string]int{}
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Target, "change-"); ok {
			client := "changed-" + strings.Split(rest, "-")[1][1:]
			newest[client], changes[client] = e.Target, changes[client]+1
		}
	}
	for _, c := range clients {
		if want, ok := newest[string(c.ID)]; ok && (c.Name != want || int(c.Version) != changes[string(c.ID)]) {
			k.t.Errorf("client %s: %s, version %d; the log has %d changes, the last %s", c.ID, c.Name, c.Version, changes[string(c.ID)], want)
		}
	}
	for _, r := range revocations {
		if want, ok := newest[r.Value]; ok && r.Reason != want {
			k.t.Errorf("revocation %s: %s, the log has %s", r.Subject, r.Reason, want)
		}
	}
}

func count[T any](in []T, name func(T) string) map[string]int {
	n := map[string]int{}
	for _, v := range in {
		n[name(v)]++
	}
	return n
}

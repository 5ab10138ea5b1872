package redisstore

import (
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
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// killRounds is how often TestKill9 kills Redis, for each way of writing its file.
const killRounds = 20

// The acts that writers repeat while Redis is killed, each named in its audit entry. Revocations but the ended
// ones are open-ended, so none is removed.
var killActs = []struct {
	name string
	act  func(ctx context.Context, s *Store, writer int, id string) error
}{
	// A client is made, its tokens are void, and its credential is known, or none of it.
	{"create", func(ctx context.Context, s *Store, _ int, id string) error {
		c := authz.Client{ID: authz.ClientID(id), Credentials: []authz.Credential{{ID: authz.CredentialID("k-" + id)}}}
		_, err := s.PutClient(ctx, c, testEntry(id), killRevocation(token.RevokedClient, id, id, 0))
		return err
	}},
	{"revoke", func(ctx context.Context, s *Store, _ int, id string) error {
		_, err := s.PutRevocation(ctx, killRevocation(token.RevokedJTI, id, id, 0), testEntry(id))
		return err
	}},
	// A client and the revocation of its tokens are changed together, again and again.
	{"change", func(ctx context.Context, s *Store, writer int, id string) error {
		changed := killClient(writer)
		c, err := s.Client(ctx, changed)
		if err != nil && !errors.Is(err, authz.ErrNotFound) {
			return err
		}
		found, err := s.Revocations(ctx, []token.Subject{{Kind: token.RevokedClient, Value: string(changed)}})
		if err != nil {
			return err
		}
		var version uint64
		for _, r := range found {
			version = r.Version
		}
		c.ID, c.Name, c.Disabled = changed, id, !c.Disabled
		_, err = s.PutClient(ctx, c, testEntry(id), killRevocation(token.RevokedClient, string(changed), id, version))
		return err
	}},
	// A revocation that has ended long ago is made and, in the same commit, removed.
	{"ended", func(ctx context.Context, s *Store, _ int, id string) error {
		r := killRevocation(token.RevokedJTI, id, id, 0)
		r.Until = time.Unix(1_000_000_000, 0)
		_, err := s.PutRevocation(ctx, r, testEntry(id))
		return err
	}},
	{"resource", func(ctx context.Context, s *Store, _ int, id string) error {
		r := authz.Resource{ID: authz.ResourceID(id), TokenLifetime: time.Minute, DeletedAt: testTime}
		_, err := s.PutResource(ctx, r, testEntry(id), killRevocation(token.RevokedResource, id, id, 0))
		return err
	}},
	// The keys of an algorithm are changed by the writer that has it.
	{"ring", func(ctx context.Context, s *Store, writer int, id string) error {
		ring := keys.RingRecord{Algorithm: killAlgorithm(writer)}
		rings, err := s.Rings(ctx)
		if err != nil {
			return err
		}
		for _, r := range rings {
			if r.Algorithm == ring.Algorithm {
				ring = r
			}
		}
		ring.Keys = []keys.Key{{KeyID: id}}
		_, err = s.PutRing(ctx, ring, testEntry(id))
		return err
	}},
}

const killWriters = 4

// sameRound reports whether two writes were of one round.
func sameRound(a, b string) bool { return strings.Split(a, "-")[1] == strings.Split(b, "-")[1] }

// killClient is the client that a writer changes, in all rounds.
func killClient(writer int) authz.ClientID { return authz.ClientID(fmt.Sprintf("changed-%d", writer)) }

func killAlgorithm(writer int) jose.Algorithm { return jose.Algorithm(fmt.Sprintf("A%d", writer)) }

func killRevocation(kind token.RevocationKind, value, reason string, version uint64) authz.Revocation {
	return authz.Revocation{Revocation: token.Revocation{Subject: token.Subject{Kind: kind, Value: value}}, Reason: reason, Version: version}
}

// TestKill9: what was acknowledged survives SIGKILL of a Redis that syncs always, and what was not is there whole or
// not at all: clients, resources, rings, revocations, what was committed with them, and their order. One that syncs
// once a second answers, while it does, before it hands anything to the system; so what was acknowledged last may be
// lost then, and nothing that was acknowledged before what is there. The store is opened once.
func TestKill9(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("kills processes")
	}
	for _, fsync := range []string{"always", "everysec"} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, redistest.Args("--appendfsync", fsync))
			k := &killed{t: t, begun: map[string]bool{}, acknowledged: map[string]bool{}}
			s := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}, CallTimeout: 2 * time.Second}))
			k.start = mustHead(t, s)
			lost := map[string]bool{}
			for round := range killRounds {
				// Each round is killed elsewhere; the first early, while its first writes are under way.
				k.writeAndKill(s, server, round, 1+round*37%97)
				server.Restart()
				rewrite(t, server)
				waitFor(t, "the connection", func() bool { return connected(t, s) })
				found, gone := k.count(s)
				for _, id := range gone {
					if fsync == "always" {
						t.Errorf("round %d: %s was acknowledged and is lost", round, id)
					}
					lost[id] = true
				}
				if t.Failed() || round == killRounds-1 {
					t.Logf("killed %d times: written %d, acknowledged %d, found %d, lost %d", round+1, len(k.begun), len(k.acknowledged), found, len(lost))
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// rewrite has Redis write its append-only file anew. If the old one ends in the middle of a commit, Redis 7 leaves the
// beginning of that in the file (valkey-io/valkey#4342 tells of it): with the next start it would come to life, or take
// what was written after it along.
func rewrite(t *testing.T, server *redistest.Server) {
	t.Helper()
	must(t, server.Client().BgRewriteAOF(t.Context()).Err())
	waitFor(t, "the file to be rewritten", func() bool {
		info, err := server.Info()
		return err == nil && info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0" && info["aof_last_bgrewrite_status"] == "ok"
	})
}

// TestTornFile: Redis was killed while it wrote a commit to its file. Of that commit nothing is there, then and after
// the next kill, and what is acknowledged in between is kept, if the file is mended as README.md says.
func TestTornFile(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(t *testing.T, s *redistest.Server){
		"rewritten": func(t *testing.T, s *redistest.Server) { s.Restart(); rewrite(t, s) },
		"checked": func(t *testing.T, s *redistest.Server) {
			tool := redistest.RequireCheck(t)
			check := exec.CommandContext(t.Context(), tool, "--fix", filepath.Join(s.Dir(), "appendonlydir", "appendonly.aof.manifest"))
			check.Stdin = strings.NewReader("y\n")
			if out, err := check.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			s.Restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t, redistest.Args("--appendfsync", "always"))
			s := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}}))
			fill(t, s)
			for cut := range 5 {
				torn, kept := fmt.Sprint("torn-", cut), fmt.Sprint("kept-", cut)
				file := aofOf(t, server)
				before, err := os.Stat(file)
				must(t, err)
				must(t, killActs[0].act(t.Context(), s, 0, torn))
				server.Kill()
				after, err := os.Stat(file)
				must(t, err)
				must(t, os.Truncate(file, before.Size()+(after.Size()-before.Size())*int64(2*cut+1)/10))
				mend(t, server)
				waitFor(t, "the connection", func() bool { return connected(t, s) })
				must(t, killActs[0].act(t.Context(), s, 0, kept))
				server.Kill()
				server.Restart()
				waitFor(t, "the connection", func() bool { return connected(t, s) })
				if _, err := s.Client(t.Context(), authz.ClientID(torn)); !isAbsence(err) {
					t.Errorf("%s: %v", torn, err)
				}
				if _, err := s.Client(t.Context(), authz.ClientID(kept)); err != nil {
					t.Errorf("%s: %v", kept, err)
				}
				if _, err := s.Inspect(t.Context(), func(err error) { t.Errorf("%s: %v", torn, err) }); err != nil {
					t.Error(err)
				}
				if all, _, err := s.Entries(t.Context(), "", 100); err != nil || len(all) != 6+cut {
					t.Errorf("%d audit entries, %v", len(all), err)
				}
			}
		})
	}
}

// aofOf is the file to which a server appends now.
func aofOf(t *testing.T, server *redistest.Server) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(server.Dir(), "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v", files, err)
	}
	return files[0]
}

// killed is what was written by the time Redis was killed.
type killed struct {
	t     *testing.T
	start store.Cursor

	mu                  sync.Mutex // guards what follows
	begun, acknowledged map[string]bool
	order               [killWriters][]string // what each writer had acknowledged, in that order
	words               int                   // how often anything began or was acknowledged in this round
}

// writeAndKill lets several writers act until Redis has been killed, which is when that many words were said. A word
// may be the beginning of a write, or the end of another writer's.
func (k *killed) writeAndKill(s *Store, server *redistest.Server, round, words int) {
	k.t.Helper()
	k.words = 0
	said := make(chan struct{})
	say := func(writer int, to map[string]bool, id string) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if to[id] = true; k.acknowledged[id] {
			k.order[writer] = append(k.order[writer], id)
		}
		if k.words++; k.words == words {
			close(said)
		}
	}
	var writers sync.WaitGroup
	for writer := range killWriters {
		writers.Go(func() {
			for n := 0; ; n++ {
				a := killActs[(n+writer)%len(killActs)]
				id := fmt.Sprintf("%s-r%d-w%d-%d", a.name, round, writer, n)
				say(writer, k.begun, id)
				if err := a.act(k.t.Context(), s, writer, id); err != nil {
					if errors.Is(err, ErrEmptied) || errors.Is(err, authz.ErrConflict) || errors.Is(err, store.ErrDamaged) {
						k.t.Errorf("%s: got error %v, want a fault", id, err)
					}
					return
				}
				say(writer, k.acknowledged, id)
			}
		})
	}
	select {
	case <-said:
	case <-time.After(patient):
		k.t.Errorf("%d words in %v", k.words, patient)
	}
	server.Kill()
	writers.Wait()
}

// count checks every write that was begun. Its parts are all there or all absent: records, index entry,
// revocation, changes, audit entry. It returns how many were found, and which were acknowledged and lost.
func (k *killed) count(s *Store) (found int, lost []string) {
	k.t.Helper()
	ctx := k.t.Context()
	changes, _, err1 := s.Changes(ctx, k.start, 1<<20)
	entries, _, err2 := s.Entries(ctx, "", 1<<20)
	clients, err3 := s.ListClients(ctx, authz.ClientQuery{Limit: 1 << 20})
	revocations, err4 := s.ListRevocations(ctx, "", 1<<20)
	_, err5 := s.Inspect(ctx, func(err error) { k.t.Errorf("after the kill: %v", err) })
	rings, err6 := s.Rings(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		k.t.Fatal(err)
	}
	audited := tally(entries, func(e audit.Entry) string { return e.Target })
	changed := tally(changes, func(c store.Change) string { return string(c.Kind) + " " + c.ID })
	there := tally(clients, func(c authz.Client) string { return string(c.ID) })
	revoked := tally(revocations, func(r authz.Revocation) string { return r.Subject.String() })
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
	for writer := range killWriters { // of each writer, only the last are lost
		missing := ""
		for _, id := range k.order[writer] {
			switch {
			case audited[id] == 0:
				missing = id
			case missing != "" && sameRound(missing, id):
				k.t.Errorf("%s is lost, and %s, which came after it, is there", missing, id)
			}
		}
	}
	if len(entries) != found {
		k.t.Errorf("%d audit entries, of which %d were written", len(entries), found)
	}
	k.checkChanged(clients, revocations, rings, entries)
	return found, lost
}

// checkChanged checks that the newest change of each writer's client and ring, by the audit log, is what they,
// and the client's revocation, say.
func (k *killed) checkChanged(clients []authz.Client, revocations []authz.Revocation, rings []keys.RingRecord, entries []audit.Entry) {
	k.t.Helper()
	newest, changes := map[string]string{}, map[string]int{}
	for _, e := range entries {
		var act, round string
		var writer int
		if _, err := fmt.Sscanf(strings.ReplaceAll(e.Target, "-", " "), "%s %s w%d", &act, &round, &writer); err != nil {
			k.t.Fatal(err)
		}
		name := map[string]string{"change": string(killClient(writer)), "ring": string(killAlgorithm(writer))}[act]
		newest[name], changes[name] = e.Target, changes[name]+1
	}
	check := func(name, says string, version uint64) {
		k.t.Helper()
		if want, ok := newest[name]; ok && (says != want || int(version) != changes[name]) {
			k.t.Errorf("%s: %s, version %d; the log has %d changes, the last %s", name, says, version, changes[name], want)
		}
	}
	for _, c := range clients {
		check(string(c.ID), c.Name, c.Version)
	}
	for _, r := range rings {
		check(string(r.Algorithm), r.Keys[0].KeyID, r.Version)
	}
	for _, r := range revocations {
		if want, ok := newest[r.Value]; ok && r.Reason != want {
			k.t.Errorf("revocation %s: %s, the log has %s", r.Subject, r.Reason, want)
		}
	}
}

func tally[T any](in []T, name func(T) string) map[string]int {
	n := map[string]int{}
	for _, v := range in {
		n[name(v)]++
	}
	return n
}

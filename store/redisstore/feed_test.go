package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

func mustHead(t testing.TB, s *Store) store.Cursor {
	t.Helper()
	head, err := s.Head(t.Context())
	must(t, err)
	return head
}

// mustPut makes a client.
func mustPut(t testing.TB, s *Store, id string) {
	t.Helper()
	_, err := s.PutClient(t.Context(), authz.Client{ID: authz.ClientID(id)}, testEntry(id))
	must(t, err)
}

func wantCursorError(t *testing.T, what string, s *Store, c store.Cursor) {
	t.Helper()
	if got, _, err := s.Changes(t.Context(), c, 10); !errors.Is(err, store.ErrCursor) {
		t.Errorf("%s: got %v, %v, want ErrCursor", what, got, err)
	}
	// There may be a change after it, as far as anybody knows: whoever waits is to look.
	if err := s.Wait(t.Context(), c); err != nil {
		t.Errorf("%s: Wait: %v", what, err)
	}
}

// TestFeed_Trimmed: a cursor whose entry was removed is told; the others go on.
func TestFeed_Trimmed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	s := newStore(t, db)
	cursors := []store.Cursor{mustHead(t, s)}
	for i := range 10 {
		mustPut(t, s, fmt.Sprint(i))
		cursors = append(cursors, mustHead(t, s))
	}
	must(t, server.Client().XTrimMaxLen(t.Context(), db.names.of(nameChanges), 4).Err()) // 7, 8, 9, 10 stay
	for i, c := range cursors {
		if i < 7 {
			wantCursorError(t, fmt.Sprint("cursor ", i), s, c)
			continue
		}
		got, next, err := s.Changes(t.Context(), c, 100)
		if err != nil || len(got) != 10-i || next != cursors[10] {
			t.Errorf("cursor %d: got %v, %q, %v", i, got, next, err)
		}
	}
}

// TestFeed_TrimsByAge: what is older than any token goes with later writes; what is younger stays, and so does the
// last one.
func TestFeed_TrimsByAge(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	s := newStore(t, db)
	feed := db.names.of(nameChanges)
	must(t, raw.Del(t.Context(), feed).Err())
	now := time.Now()
	add := func(age time.Duration, n int) {
		_, err := raw.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for i := range n {
				p.XAdd(t.Context(), &redis.XAddArgs{Stream: feed, ID: fmt.Sprintf("%d-%d", now.Add(-age).UnixMilli(), i), Values: []string{"kind", "client", "id", fmt.Sprint(age, i)}})
			}
			return nil
		})
		must(t, err)
	}
	add(3*time.Hour, 1000)
	add(changesKept-time.Minute, 1000)
	old := db.cursor(fmt.Sprintf("%d-0", now.Add(-3*time.Hour).UnixMilli()))
	young := db.cursor(fmt.Sprintf("%d-0", now.Add(-changesKept+time.Minute).UnixMilli()))
	if got, _, err := s.Changes(t.Context(), old, 10_000); err != nil || len(got) != 1999 {
		t.Fatalf("before: %d, %v", len(got), err)
	}
	mustPut(t, s, "a")
	wantCursorError(t, "an old one", s, old)
	if got, _, err := s.Changes(t.Context(), young, 10_000); err != nil || len(got) != 1000 {
		t.Errorf("younger ones: %d, %v", len(got), err)
	}
	if n := raw.XLen(t.Context(), feed).Val(); n < 1001 || n > 1200 { // Redis removes nodes of 100 entries
		t.Errorf("%d entries are left", n)
	}
}

// TestFeed_LostHistory: a replica was promoted that had not seen the last entries. Who has seen them is told, also
// when the new primary has entries of its own by then, which come after the cursor.
func TestFeed_LostHistory(t *testing.T) {
	t.Parallel()
	old := redistest.Start(t)
	next := redistest.StartReplica(t, old)
	w := newWire(t, old.Addr)
	db := openTest(t, Config{Addrs: []string{w.addr}})
	s := newStore(t, db)
	mustPut(t, s, "kept")
	kept := mustHead(t, s)
	waitFor(t, "the replica", func() bool { return next.Client().XLen(t.Context(), db.names.of(nameChanges)).Val() == 2 })

	must(t, next.Client().ReplicaOf(t.Context(), "NO", "ONE").Err())
	mustPut(t, s, "lost")
	lost := mustHead(t, s)
	w.leadTo(next.Addr)
	wantCursorError(t, "nothing new", s, lost)
	for i := range 3 {
		mustPut(t, s, fmt.Sprint("new-", i))
		wantCursorError(t, fmt.Sprint(i+1, " new"), s, lost)
	}
	got, _, err := s.Changes(t.Context(), kept, 10)
	if want := []store.Change{{Kind: store.KindClient, ID: "new-0"}, {Kind: store.KindClient, ID: "new-1"}, {Kind: store.KindClient, ID: "new-2"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("from before: got %v, %v", got, err)
	}
	if _, err := s.Client(t.Context(), "lost"); !isAbsence(err) {
		t.Errorf("what was lost: %v", err)
	}
	if _, err := s.Inspect(t.Context(), func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}

// TestReplicaIsNotBelieved: a primary that becomes a replica under open connections may lack what its primary has
// acknowledged. No call takes its word.
func TestReplicaIsNotBelieved(t *testing.T) {
	t.Parallel()
	server, other := redistest.Start(t), redistest.Start(t)
	s := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}, CallTimeout: time.Second}))
	fill(t, s)
	head := mustHead(t, s)
	raw := server.Client()
	host, port := split(other.Addr)
	must(t, raw.ConfigSet(t.Context(), "replica-serve-stale-data", "yes").Err())
	other.Pause() // so that it is a replica, and has everything still
	must(t, raw.ReplicaOf(t.Context(), host, port).Err())
	before := dump(t, raw)
	for name, c := range calls {
		err := c.does(t.Context(), s, head)
		if name == "Wait" && err == nil { // it ended with its context, and said nothing
			continue
		}
		if err == nil || isAbsence(err) || errors.Is(err, ErrEmptied) || errors.Is(err, authz.ErrConflict) || errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: got error %v, want a fault", name, err)
		}
		if !c.writes && name != "Confirm" && !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: got error %v, want ErrUnreachable", name, err)
		}
	}
	must(t, raw.ReplicaOf(t.Context(), "NO", "ONE").Err())
	other.Resume()
	unchanged(t, raw, before)
	for name, c := range calls {
		if err := c.does(t.Context(), s, head); err != nil {
			t.Errorf("%s, when it is the primary again: %v", name, err)
		}
	}
}

// TestWait: whoever waits hears at once, everywhere.
func TestWait(t *testing.T) {
	t.Parallel()
	standalone := redistest.Start(t)
	t.Run("standalone", func(t *testing.T) { testWait(t, Config{Addrs: []string{standalone.Addr}}) })
	t.Run("cluster", func(t *testing.T) {
		testWait(t, Config{Addrs: redistest.StartCluster(t).Addrs(), Cluster: true})
	})
	t.Run("sentinel", func(t *testing.T) {
		s := redistest.StartSentinel(t)
		testWait(t, Config{Addrs: s.Addrs(), MasterName: s.MasterName})
	})
}

func testWait(t *testing.T, c Config) {
	var told observed
	c.Observe = told.observe
	db := openTest(t, c)
	c.Observe = nil
	s, writer := newStore(t, db), newStore(t, openTest(t, c))
	mustPut(t, writer, "first") // connections and scripts are there
	var took []time.Duration
	for i := range 15 {
		head := mustHead(t, s)
		heard := make(chan error, 1)
		go func() { heard <- s.Wait(t.Context(), head) }()
		waitFor(t, "it to wait", func() bool { return blocked(t, db) == 1 })
		mustPut(t, writer, fmt.Sprint(i))
		began := time.Now() // after the acknowledgement
		if err := <-heard; err != nil {
			t.Fatalf("Wait: %v", err)
		}
		took = append(took, time.Since(began))
		if got, _, err := s.Changes(t.Context(), head, 10); err != nil || len(got) != 1 {
			t.Errorf("after Wait: %v, %v", got, err)
		}
		if err := s.Wait(t.Context(), head); err != nil { // there is one already
			t.Errorf("Wait for what is there: %v", err)
		}
	}
	slices.Sort(took)
	t.Logf("heard after %v, at most %v", took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > waitStep/5 {
		t.Errorf("heard after %v", took)
	}

	for name, cursor := range map[string]store.Cursor{
		"empty": "", "of another store": "x.1-1", "no cursor": db.cursor("x"), "beyond numbers": db.cursor("99999999999999999999-0"),
	} {
		if err := s.Wait(t.Context(), cursor); !errors.Is(err, store.ErrCursor) {
			t.Errorf("a cursor that is %s: got error %v, want ErrCursor", name, err)
		}
	}

	head := mustHead(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan error, 3)
	for range cap(heard) {
		go func() { heard <- s.Wait(ctx, head) }()
	}
	waitFor(t, "them to wait", func() bool { return blocked(t, db) == 3 })
	began := time.Now()
	cancel()
	for range cap(heard) {
		if err := <-heard; !errors.Is(err, context.Canceled) {
			t.Errorf("called off: got error %v", err)
		}
	}
	if late := time.Since(began); late > 2*waitStep {
		t.Errorf("it ended %v after its context", late)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 5*waitStep/2) // it asks again twice
	defer cancel()
	if err := s.Wait(ctx, head); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("when nothing comes: got error %v", err)
	}

	// The connection that waits is killed, again and again.
	go func() { heard <- s.Wait(t.Context(), head) }()
	node, err := db.node(t.Context())
	must(t, err)
	steps := func() (n int) {
		for _, text := range told.since() {
			if text == "xread ok" {
				n++
			}
		}
		return n
	}
	killed := ""
	for range 3 {
		waitFor(t, "it to wait", func() bool {
			id := waiting(t, node)
			if id == "" || id == killed {
				return false
			}
			killed = id
			return true
		})
		must(t, node.ClientKillByFilter(t.Context(), "ID", killed).Err())
		before := steps()
		waitFor(t, "one step in peace", func() bool { return steps() > before || len(heard) > 0 })
	}
	mustPut(t, writer, "last")
	if err := <-heard; err != nil {
		t.Errorf("after CLIENT KILL: %v", err)
	}
}

// waiting is the client that waits in a Redis.
func waiting(t *testing.T, node *redis.Client) (id string) {
	t.Helper()
	list, err := node.ClientList(t.Context()).Result()
	must(t, err)
	for line := range strings.Lines(list) {
		if strings.Contains(line, " flags=b ") {
			id, _, _ = strings.Cut(strings.TrimPrefix(line, "id="), " ")
		}
	}
	return id
}

// blocked is how many clients wait in the Redis that holds the namespace.
func blocked(t *testing.T, db *DB) int {
	t.Helper()
	node, err := db.node(t.Context())
	must(t, err)
	text, err := node.Info(t.Context(), "clients").Result()
	must(t, err)
	n := 0
	_, err = fmt.Sscan(parseInfo(text)["blocked_clients"], &n)
	must(t, err)
	return n
}

// TestWait_Away: when nobody is there, whoever waits hears that, too.
func TestWait_Away(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := redistest.StartProxy(t, server.Addr)
	s := newStore(t, openTest(t, Config{Addrs: []string{p.Addr()}, CallTimeout: 300 * time.Millisecond}))
	head := mustHead(t, s)
	for name, fail := range map[string]func(){"stalled": p.Stall, "cut": p.Cut} {
		heard := make(chan error, 1)
		go func() { heard <- s.Wait(t.Context(), head) }()
		waitFor(t, "it to wait", func() bool {
			info, err := server.Info()
			return err == nil && info["blocked_clients"] == "1"
		})
		fail()
		select {
		case err := <-heard:
			if err == nil || errors.Is(err, ErrEmptied) || errors.Is(err, store.ErrCursor) {
				t.Errorf("%s: got error %v, want a fault", name, err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: it still waits", name)
		}
		p.Restore()
		waitFor(t, "somebody to answer", func() bool { return connected(t, s) })
	}
}

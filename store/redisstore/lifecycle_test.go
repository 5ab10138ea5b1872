package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// TestClose: it leaves no goroutine and no connection, whatever is under way, and a store that is closed is a fault.
func TestClose(t *testing.T) {
	alone, cluster, group := redistest.Start(t), redistest.StartCluster(t), redistest.StartSentinel(t)
	dead := redistest.Start(t)
	for name, c := range map[string]struct {
		config  Config
		servers []*redistest.Server
	}{
		"standalone": {Config{Addrs: []string{alone.Addr}}, []*redistest.Server{alone}},
		"cluster":    {Config{Addrs: cluster.Addrs(), Cluster: true}, cluster.Nodes()},
		"sentinel":   {Config{Addrs: group.Addrs(), MasterName: group.MasterName}, append(group.Sentinels(), group.Master())},
		"killed":     {Config{Addrs: []string{dead.Addr}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			there := goleak.IgnoreCurrent()
			c.config.Namespace, c.config.CallTimeout = "test", time.Second
			db, err := OpenDB(t.Context(), c.config)
			must(t, err)
			s := newStore(t, db)
			mustPut(t, s, "a")
			head := mustHead(t, s)
			var under sync.WaitGroup
			for range 4 {
				under.Go(func() { _ = s.Wait(t.Context(), head) })
				under.Go(func() { _, _ = s.Client(t.Context(), "a") })
			}
			if name == "killed" {
				dead.Kill()
				for range poolSize + 8 { // so often that the library probes in the background
					under.Go(func() { _, _ = s.Client(t.Context(), "a") })
				}
			}
			must(t, db.Close())
			under.Wait()
			// A probe of the library sleeps for a second before it sees that it is over.
			waitFor(t, "all goroutines to end", func() bool { return goleak.Find(there) == nil })
			for _, server := range c.servers {
				waitFor(t, "the connections to end", func() bool { return ours(t, server) == 0 })
			}
			for name, c := range calls {
				if db.config.Cluster && c.writes { // the library tries for long
					continue
				}
				if err := c.does(t.Context(), s, head); err == nil || isAbsence(err) || errors.Is(err, authz.ErrConflict) || errors.Is(err, store.ErrCursor) {
					t.Errorf("%s, closed: got error %v, want a fault", name, err)
				}
			}
		})
	}
}

// ours is how many connections of the driver a server has: all but those of this package's helpers, which have a user
// of their own, and of servers among themselves.
func ours(t *testing.T, s *redistest.Server) (n int) {
	t.Helper()
	list, err := s.Client().Do(t.Context(), "CLIENT", "LIST", "TYPE", "normal").Text()
	must(t, err)
	pubsub, err := s.Client().Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	must(t, err)
	for _, line := range splitLines(list + pubsub) {
		if userOf(line) == "default" {
			n++
		}
	}
	return n
}

// load reads and writes all the time, and counts what succeeds.
type load struct {
	running sync.WaitGroup
	stop    context.CancelFunc

	reads, writes, faults atomic.Int64

	mu           sync.Mutex // guards what follows
	acknowledged []string
}

// startLoad does so until it is stopped. Whatever happens to Redis, an error is a fault.
func startLoad(t *testing.T, s *Store) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel}
	wrong := func(err error) bool {
		return isAbsence(err) || errors.Is(err, authz.ErrConflict) || errors.Is(err, ErrEmptied) || errors.Is(err, store.ErrDamaged)
	}
	for w := range 4 {
		l.running.Go(func() {
			for ctx.Err() == nil {
				_, err := s.Client(ctx, "a")
				switch {
				case err == nil:
					l.reads.Add(1)
				case wrong(err):
					t.Errorf("a read: %v", err)
					return
				default:
					l.faults.Add(1)
				}
			}
		})
		l.running.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("load-%d-%d", w, i)
				_, err := s.PutClient(ctx, authz.Client{ID: authz.ClientID(id)}, testEntry(id))
				switch {
				case err == nil:
					l.writes.Add(1)
					l.mu.Lock()
					l.acknowledged = append(l.acknowledged, id)
					l.mu.Unlock()
				case wrong(err):
					t.Errorf("a write: %v", err)
					return
				default:
					l.faults.Add(1)
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	l.stop()
	l.running.Wait()
}

// goesOn returns when reads and writes succeed that began after the call.
func (l *load) goesOn(t *testing.T, within time.Duration) {
	t.Helper()
	began := time.Now()
	reads, writes := l.reads.Load()+8, l.writes.Load()+8
	waitFor(t, "the load to go on", func() bool { return l.reads.Load() > reads && l.writes.Load() > writes })
	if took := time.Since(began); took > within {
		t.Errorf("it took %v", took)
	}
}

// kept fails unless every write that was acknowledged is there.
func (l *load) kept(t *testing.T, s *Store) {
	t.Helper()
	l.end()
	for _, id := range l.acknowledged {
		if _, err := s.Client(t.Context(), authz.ClientID(id)); err != nil {
			t.Errorf("%s was acknowledged: %v", id, err)
		}
	}
	if _, err := s.Inspect(t.Context(), func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}

// TestRestartUnderLoad: what was open goes on when Redis is there again, with no more connections than before.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Args("--appendfsync", "always"))
	s := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}, CallTimeout: time.Second}))
	mustPut(t, s, "a")
	l := startLoad(t, s)
	for _, how := range []struct{ away, back func() }{
		{server.Kill, server.Restart},
		{server.Stop, server.Restart},
		{server.Pause, server.Resume},
	} {
		l.goesOn(t, patient)
		faults := l.faults.Load()
		how.away()
		waitFor(t, "faults", func() bool { return l.faults.Load() > faults+8 })
		how.back()
		l.goesOn(t, 5*time.Second)
		if n := ours(t, server); n > poolSize+feedSize {
			t.Errorf("%d connections", n)
		}
	}
	l.kept(t, s)
}

// TestFailover: after a failover what was open goes on with the new primary, and what every replica had is there.
func TestFailover(t *testing.T) {
	t.Parallel()
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		g := redistest.StartSentinel(t)
		s := newStore(t, openTest(t, Config{Addrs: g.Addrs(), MasterName: g.MasterName, Replicas: 2, Timeout: 500 * time.Millisecond, CallTimeout: time.Second}))
		testFailover(t, s, func() (again func()) {
			old := g.Master()
			old.Kill()
			g.AwaitFailover(old)
			return func() { old.Restart(); g.AwaitReady() }
		})
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		c := redistest.StartClusterWithReplicas(t, 1)
		db := openTest(t, Config{Addrs: c.Addrs(), Cluster: true, Replicas: 1, Timeout: 500 * time.Millisecond, CallTimeout: time.Second})
		testFailover(t, newStore(t, db), func() (again func()) {
			old := c.Owner(db.names.of(nameEpoch))
			old.Kill()
			waitFor(t, "the failover", func() bool { return c.Owner(db.names.of(nameEpoch)) != old })
			return func() { old.Restart(); c.AwaitServed() }
		})
	})
}

func testFailover(t *testing.T, s *Store, fail func() (again func())) {
	mustPut(t, s, "a")
	head := mustHead(t, s)
	l := startLoad(t, s)
	l.goesOn(t, patient)
	again := fail()
	reads := l.reads.Load()
	began := time.Now()
	waitFor(t, "reads", func() bool { return l.reads.Load() > reads+8 })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("reads went on after %v", took)
	}
	if err := s.Confirm(t.Context()); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("with too few replicas: got error %v, want ErrUnconfirmed", err)
	}
	again()
	l.goesOn(t, 10*time.Second)
	if got, _, err := s.Changes(t.Context(), head, 10); err != nil || len(got) == 0 {
		t.Errorf("the feed: %v, %v", got, err)
	}
	l.kept(t, s)
}

// TestExhausted: when all connections are taken, the next call fails in time.
func TestExhausted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	var told observed
	s := newStore(t, openTest(t, Config{Addrs: []string{w.addr}, CallTimeout: 500 * time.Millisecond, Observe: told.observe}))
	mustPut(t, s, "a")
	w.on("mget", always(withholds))
	told.take()
	began := time.Now()
	var all sync.WaitGroup
	for range 3 * poolSize {
		all.Go(func() {
			began := time.Now()
			_, err := s.Client(t.Context(), "a")
			if took := time.Since(began); err == nil || isAbsence(err) || took > 1500*time.Millisecond {
				t.Errorf("got error %v after %v", err, took)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	for _, text := range told.take() {
		if text != "mget timeout" && text != "dial timeout" && text != "hello timeout" {
			t.Errorf("told %q", text)
		}
	}
	w.on("mget", nil)
	if _, err := s.Client(t.Context(), "a"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestExhausted_Feed: while strangers' reads hold every connection, the feed is read, changes are waited for, and the
// clock is looked at: otherwise strangers could begin store.outage, and hold up what was revoked.
func TestExhausted_Feed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{"standalone": {}, "cluster": {Cluster: true}} {
		t.Run(name, func(t *testing.T) {
			addr := redistest.Start(t).Addr
			if c.Cluster {
				addr = redistest.StartCluster(t).Owner(newNames("test").of(nameEpoch)).Addr
			}
			w := newWire(t, addr)
			w.on("cluster", func([]string) step { return step{does: says, reply: w.allSlots()} })
			c.Addrs, c.CallTimeout = []string{w.addr}, 10*time.Second
			s := newStore(t, openTest(t, c))
			head := mustHead(t, s)
			mustPut(t, s, "a")
			ctx, cancel := context.WithCancel(t.Context())
			w.on("mget", always(swallows))
			before := w.seen("mget")
			var strangers sync.WaitGroup
			defer strangers.Wait()
			defer cancel()
			for i := range 2 * poolSize {
				strangers.Go(func() { _, _ = s.Client(ctx, authz.ClientID(fmt.Sprint("stranger-", i))) })
			}
			waitFor(t, "every connection to be taken", func() bool { return w.seen("mget") >= before+poolSize })
			for range 3 {
				for _, name := range []string{"Head", "Changes", "Clock"} {
					if err := calls[name].does(t.Context(), s, head); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				if err := s.Wait(t.Context(), head); err != nil {
					t.Errorf("Wait: %v", err)
				}
			}
		})
	}
}

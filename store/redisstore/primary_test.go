package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// believed are the calls that say what the store holds, or confirm it.
func believed() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(calls)), func(name string) bool {
		return calls[name].writes || name == "Confirm" || name == "Wait" // that one says only that it is time to look
	})
}

// wantAlone checks that nothing that a server says is believed.
func wantAlone(t *testing.T, what string, s *Store, head store.Cursor) {
	t.Helper()
	for _, name := range believed() {
		err := calls[name].does(t.Context(), s, head)
		if !errors.Is(err, ErrUnreachable) || isAbsence(err) || errors.Is(err, store.ErrCursor) || errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %s: got error %v, want that the primary is alone", what, name, err)
		}
	}
}

func wantBelieved(t *testing.T, what string, s *Store, head store.Cursor) {
	t.Helper()
	for _, name := range believed() {
		if err := calls[name].does(t.Context(), s, head); err != nil {
			t.Errorf("%s: %s: %v", what, name, err)
		}
	}
}

// isAlone reports whether a store says that its primary has lost its replicas.
func isAlone(s *Store) bool {
	_, err := s.Client(context.Background(), "a")
	return errors.Is(err, errAlone)
}

// TestIsolatedPrimary: a primary is cut off from its replica, which becomes the primary on the other side. Whoever still
// talks to the old one is confirmed nothing, and told nothing of what is revoked: also while the connection
// between the two hangs and was not closed.
func TestIsolatedPrimary(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*redistest.Proxy){"closed": (*redistest.Proxy).Cut, "hangs": (*redistest.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := redistest.Start(t)
			between := redistest.StartProxy(t, old.Addr)
			replica := redistest.StartReplicaThrough(t, old, between)
			s := newStore(t, openTest(t, Config{Addrs: []string{old.Addr}, Replicas: 1, Timeout: 5 * time.Second}))
			fill(t, s)
			var confirmed int
			f, err := store.NewFollower(store.FollowerConfig{
				Changes: s, Confirmed: func(time.Time) { confirmed++ },
				Apply:  func(context.Context, []store.Change) error { return nil },
				Reload: func(context.Context) error { return nil },
			})
			must(t, err)
			must(t, f.Start(t.Context()))
			must(t, f.CatchUp(t.Context()))
			head := mustHead(t, s)
			wantBelieved(t, "before", s, head)

			cut(between)
			raw := replica.Client()
			must(t, raw.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err())
			other := newStore(t, openTest(t, Config{Addrs: []string{replica.Addr}}))
			if _, err := other.PutRevocation(t.Context(), revocation("elsewhere", inTwoHours()), testEntry("x")); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the old primary to be found alone", func() bool { return isAlone(s) })
			wantAlone(t, "cut off", s, head)
			was := confirmed
			if err := f.CatchUp(t.Context()); !errors.Is(err, errAlone) || confirmed != was {
				t.Errorf("a pass at a lone primary: %v, and it confirmed %d times", err, confirmed-was)
			}
			if _, err := s.PutRevocation(t.Context(), revocation("here", inTwoHours()), testEntry("x")); err == nil {
				t.Error("it acknowledges a write")
			}

			// It becomes a replica of the new one; a restart is needed by nobody.
			between.Restore()
			host, port := split(replica.Addr)
			must(t, old.Client().Do(t.Context(), "REPLICAOF", host, port).Err())
			if _, err := s.Client(t.Context(), "a"); !errors.Is(err, ErrUnreachable) {
				t.Errorf("as a replica: got error %v, want ErrUnreachable", err)
			}
		})
	}
}

// TestLonePrimary: of the replicas that durability.replicas counts, half may be away; a primary is believed again when
// they come back.
func TestLonePrimary(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	one, two := redistest.StartReplica(t, primary), redistest.StartReplica(t, primary)
	s := newStore(t, openTest(t, Config{Addrs: []string{primary.Addr}, Replicas: 2, Timeout: patient}))
	unsure := newStore(t, openTest(t, Config{Addrs: []string{primary.Addr}}))
	fill(t, s)
	head := mustHead(t, s)
	gone := func(n int) func() bool {
		return func() bool {
			info, err := primary.Info()
			return err == nil && info["connected_slaves"] == fmt.Sprint(2-n)
		}
	}
	one.Kill()
	waitFor(t, "one to be missed", gone(1))
	wantBelieved(t, "one of two is away", s, head)
	two.Kill()
	waitFor(t, "both to be missed", gone(2))
	wantAlone(t, "both are away", s, head)
	wantBelieved(t, "nobody counts on them", unsure, head)
	one.Restart()
	waitFor(t, "one to be back", func() bool { return !isAlone(s) })
	wantBelieved(t, "one is back", s, head)
}

// TestLonePrimary_Start: a server that starts at one waits, as for a Redis that is away, and is told why.
func TestLonePrimary_Start(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	c := Config{Addrs: []string{server.Addr}}
	fill(t, newStore(t, openTest(t, c)))
	c.Replicas = 1
	if err := tryOpen(t, c); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "durability.replicas") {
		t.Errorf("got error %v, want ErrUnreachable, and what it needs", err)
	}
	redistest.StartReplica(t, server)
	openTest(t, c)
}

// TestConfig_JudgePrimary: what INFO says of a primary and its replicas.
func TestConfig_JudgePrimary(t *testing.T) {
	const (
		fresh   = "slave0:ip=10.0.0.1,port=6379,state=online,offset=1,lag=0\r\n"
		late    = "slave1:ip=10.0.0.2,port=6379,state=online,offset=1,lag=5\r\n"
		silent  = "slave2:ip=10.0.0.3,port=6379,state=online,offset=1,lag=6\r\n"
		begins  = "slave3:ip=10.0.0.4,port=6379,state=wait_bgsave,offset=0,lag=0\r\n"
		strange = "slave4:ip=10.0.0.5,port=6379,offset=0\r\nslave5:\r\nslave_read_only:1\r\nslave6:state=online,lag=x\r\n"
	)
	for _, c := range []struct {
		name, replicas string
		n              int // durability.replicas
		ok             bool
	}{
		{"nobody counts on any", "", 0, true},
		{"one of one", fresh, 1, true},
		{"one that was silent for as long as may be", late, 1, true},
		{"none of one", "", 1, false},
		{"one that is silent", silent, 1, false},
		{"one that synchronizes", begins, 1, false},
		{"what is no replica", strange, 1, false},
		{"one of two", fresh + silent, 2, true},
		{"none of two", silent + begins + strange, 2, false},
		{"one of three", fresh + silent, 3, false},
		{"two of three", fresh + late, 3, true},
		{"two of four", fresh + late, 4, true},
		{"one of four", late, 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Config{Replicas: c.n}
			err := config.judgePrimary("# Replication\r\nrole:master\r\nconnected_slaves:9\r\n" + c.replicas)
			if c.ok && err != nil || !c.ok && (!errors.Is(err, errAlone) || !errors.Is(err, ErrUnreachable)) {
				t.Errorf("got error %v", err)
			}
		})
	}
	for _, said := range []string{"role:slave\r\n" + fresh, "", fresh, "role:sentinel\r\n", "xrole:master\r\n" + fresh} {
		for n := range 2 {
			if err := (Config{Replicas: n}).judgePrimary(said); !errors.Is(err, errReplica) {
				t.Errorf("%q: got error %v, want errReplica", said, err)
			}
		}
	}
}

// TestEviction_WhileOpen: the server that is confirmed by may begin to remove records, by CONFIG SET or because another
// one with other settings is the primary now. It is noticed with the next look at the feed, and so is its end.
func TestEviction_WhileOpen(t *testing.T) {
	t.Parallel()
	alone, cluster := redistest.Start(t), redistest.StartCluster(t)
	for name, c := range map[string]struct {
		config Config
		server *redistest.Server
	}{
		"standalone": {Config{Addrs: []string{alone.Addr}}, alone},
		"cluster":    {Config{Addrs: cluster.Addrs(), Cluster: true}, cluster.Owner(newNames("test").of(nameEpoch))},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, openTest(t, c.config))
			fill(t, s)
			head := mustHead(t, s)
			evict := func(policy string) {
				t.Helper()
				must(t, c.server.Client().ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
			}
			for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
				evict(policy)
				names := []string{"Clock", "Head", "Changes"}
				if c.config.Cluster {
					names = names[:1]
				}
				for _, name := range names {
					err := calls[name].does(t.Context(), s, head)
					var wrong *ConfigError
					if !errors.As(err, &wrong) || !strings.Contains(err.Error(), policy) || errors.Is(err, store.ErrCursor) {
						t.Errorf("%s, %s: got error %v, want one that names the policy", policy, name, err)
					}
				}
			}
			evict("noeviction")
			wantBelieved(t, "mended", s, head)
		})
	}
}

// TestEviction_AfterFailover: nobody looked at the new primary's settings when the servers started.
func TestEviction_AfterFailover(t *testing.T) {
	t.Parallel()
	g := redistest.StartSentinel(t)
	s := newStore(t, openTest(t, Config{Addrs: g.Addrs(), MasterName: g.MasterName}))
	fill(t, s)
	head := mustHead(t, s)
	for _, replica := range g.Replicas() {
		must(t, replica.Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-random").Err())
	}
	wantBelieved(t, "before", s, head)
	old := g.Master()
	old.Kill()
	g.AwaitFailover(old)
	waitFor(t, "the new primary to be found to remove records", func() bool {
		var wrong *ConfigError
		_, _, err := s.Changes(t.Context(), head, 10)
		return errors.As(err, &wrong) && strings.Contains(err.Error(), "allkeys-random")
	})
}

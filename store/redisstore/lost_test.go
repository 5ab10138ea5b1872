package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
	"github.com/marque-auth/marque/store/storetest"
)

// TestLostReply: the connection ends after Redis was told, and before it answers. Whether the write was made is not
// known to who asked, and it is not made twice.
func TestLostReply(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	redistest.StartReplica(t, server)
	cluster := redistest.StartCluster(t)
	for name, c := range map[string]struct {
		config Config
		does   act
	}{
		"closed":                   {Config{}, loses},
		"silent":                   {Config{CallTimeout: 300 * time.Millisecond}, withholds},
		"closed, with a replica":   {Config{Replicas: 1, Timeout: 100 * time.Millisecond}, loses},
		"closed before it is told": {Config{}, cuts},
		"closed, in a Cluster":     {Config{Cluster: true}, loses},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Namespace = newNamespace()
			addr := server.Addr
			if c.config.Cluster {
				addr = cluster.Owner(newNames(c.config.Namespace).of(nameEpoch)).Addr
			}
			w := newWire(t, addr)
			w.on("cluster", func([]string) step { return step{does: says, reply: w.allSlots()} })
			c.config.Addrs = []string{w.addr}
			s := newStore(t, openTest(t, c.config))
			calm := newStore(t, openTest(t, Config{Addrs: []string{addr}, Namespace: c.config.Namespace, Cluster: c.config.Cluster}))
			fill(t, calm)
			start := mustHead(t, calm)
			entries := func() int {
				all, _, err := calm.Entries(t.Context(), "", 1000)
				must(t, err)
				return len(all)
			}
			before := entries()
			made := 1
			if c.does == cuts {
				made = 0
			}
			_, _ = s.PutRevocation(t.Context(), revocation("first", time.Time{}), testEntry("x")) // the scripts are known
			before++
			for i, put := range []func() error{
				func() error {
					_, err := s.PutClient(t.Context(), authz.Client{ID: "new"}, testEntry("new"), revocation("with", time.Time{}))
					return err
				},
				func() error {
					_, err := s.PutClient(t.Context(), authz.Client{ID: "a", Version: 1}, testEntry("a"))
					return err
				},
				func() error {
					_, err := s.PutRevocation(t.Context(), revocation("new", inTwoHours()), testEntry("x"))
					return err
				},
				func() error {
					_, err := s.PutRing(t.Context(), keys.RingRecord{Algorithm: "new"}, testEntry("x"))
					return err
				},
			} {
				var n atomic.Int32 // of the goroutines that answer
				w.on("evalsha", func([]string) step {
					if n.Add(1) == 2 { // not what prepares
						return step{does: c.does}
					}
					return step{}
				})
				began := time.Now()
				err := put()
				if took, limit := time.Since(began), s.db.config.CallTimeout; c.config.Replicas == 0 && took > limit+500*time.Millisecond {
					t.Errorf("write %d: took %v, of %v", i, took, limit)
				}
				if err == nil || errors.Is(err, authz.ErrConflict) || errors.Is(err, keys.ErrConflict) || isAbsence(err) || errors.Is(err, store.ErrDamaged) || errors.Is(err, ErrEmptied) {
					t.Errorf("write %d: got error %v, want a fault", i, err)
				}
				if n := n.Load(); n != 2 {
					t.Errorf("write %d: %d scripts were sent, want 2", i, n)
				}
				if got := entries() - before; got != made {
					t.Errorf("write %d: it was made %d times, want %d", i, got, made)
				}
				before += made
			}
			w.on("evalsha", nil)
			changes, _, err := calm.Changes(t.Context(), start, 1000)
			if want := 1 + made*5; err != nil || len(changes) != want {
				t.Errorf("%d changes, %v; want %d", len(changes), err, want)
			}
			if _, err := calm.Inspect(t.Context(), func(err error) { t.Error(err) }); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLostReply_Prepared: what only reads is asked again, and so the write is made, once.
func TestLostReply_Prepared(t *testing.T) {
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	s := newStore(t, openTest(t, Config{Addrs: []string{w.addr}}))
	fill(t, s)
	var n atomic.Int32
	w.on("evalsha", func([]string) step {
		if n.Add(1) == 1 {
			return step{does: loses}
		}
		return step{}
	})
	if _, err := s.PutRevocation(t.Context(), revocation("new", inTwoHours()), testEntry("x")); err != nil || n.Load() != 3 {
		t.Errorf("after %d scripts: %v", n.Load(), err)
	}
	w.on("mget", func([]string) step {
		w.does["mget"] = nil // on would wait for this very call
		return step{does: loses}
	})
	if _, err := s.Client(t.Context(), "a"); err != nil {
		t.Errorf("a read: %v", err)
	}
	w.on("mget", always(loses))
	var network net.Error
	if _, err := s.Client(t.Context(), "a"); err == nil || isAbsence(err) || errors.As(err, &network) && network.Timeout() {
		t.Errorf("a read that is lost again and again: %v", err)
	}
}

// TestLostReply_Installation: who does not hear that the installation was made finds it when asking again.
func TestLostReply_Installation(t *testing.T) {
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	db := openTest(t, Config{Addrs: []string{w.addr}})
	in := keys.Installation{Format: keys.InstallationFormat, ID: "mine"}
	w.on("eval", always(loses)) // the script is not known before
	if got, err := db.PutInstallation(t.Context(), in, testEntry("i")); err == nil || isAbsence(err) {
		t.Errorf("got %v, %v, want a fault", got, err)
	}
	w.on("eval", nil)
	in.ID = "another"
	if got, err := db.PutInstallation(t.Context(), in, testEntry("i")); err != nil || got.ID != "mine" {
		t.Errorf("got %v, %v", got, err)
	}
	if all, _, err := newStore(t, db).Entries(t.Context(), "", 10); err != nil || len(all) != 1 {
		t.Errorf("%d audit entries, %v", len(all), err)
	}
}

// TestLostReply_Replace: who does not hear that the installation record was replaced hears it when asking again.
func TestLostReply_Replace(t *testing.T) {
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	db := openTest(t, Config{Addrs: []string{w.addr}})
	first := filledInstallation()
	_, err := db.PutInstallation(t.Context(), first, testEntry("i"))
	must(t, err)
	replace := func(kek string) error {
		return db.ReplaceInstallation(t.Context(), first, storetest.Rewrapped(first, kek), testEntry(kek))
	}
	w.on("eval", always(loses)) // the script is not known before
	if err := replace("mine"); err == nil || isAbsence(err) || errors.Is(err, keys.ErrConflict) {
		t.Errorf("got error %v, want a fault", err)
	}
	w.on("eval", nil)
	if err := replace("theirs"); !errors.Is(err, keys.ErrConflict) {
		t.Errorf("another record: got error %v, want ErrConflict", err)
	}
	if err := replace("mine"); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if all, _, err := newStore(t, db).Entries(t.Context(), "", 10); err != nil || len(all) != 2 {
		t.Errorf("%d audit entries, %v", len(all), err)
	}
}

// TestScriptFlush: a Redis that has forgotten the scripts is told them again.
func TestScriptFlush(t *testing.T) {
	server := redistest.Start(t)
	s := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}}))
	for i := range 3 {
		mustPut(t, s, fmt.Sprint(i))
		must(t, server.Client().ScriptFlush(context.Background()).Err())
	}
	if got, _, err := s.Entries(t.Context(), "", 10); err != nil || len(got) != 3 {
		t.Errorf("%d audit entries, %v", len(got), err)
	}
}

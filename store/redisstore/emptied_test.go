package redisstore

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
	"github.com/marque-auth/marque/store/storetest"
)

// call is one method of a Store, called so that it would succeed, or find nothing.
type call struct {
	does   func(ctx context.Context, s *Store, head store.Cursor) error
	writes bool
}

// calls are all methods of a Store, and of its DB, that ask Redis.
var calls = map[string]call{
	"Client": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.Client(ctx, "a")
		return err
	}},
	"ClientVersion": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.ClientVersion(ctx, "a")
		return err
	}},
	"ClientOf": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.ClientOf(ctx, "k-1")
		return err
	}},
	"ListClients": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.ListClients(ctx, authz.ClientQuery{Limit: 10})
		return err
	}},
	"PutClient": {writes: true, does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.PutClient(ctx, authz.Client{ID: "new", Credentials: []authz.Credential{{ID: "k-new"}}}, testEntry("new"), revocation("new", inTwoHours()))
		return err
	}},
	"Resource": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.Resource(ctx, "r")
		return err
	}},
	"ListResources": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.ListResources(ctx, "", 10)
		return err
	}},
	"PutResource": {writes: true, does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.PutResource(ctx, authz.Resource{ID: "new", TokenLifetime: time.Minute}, testEntry("new"))
		return err
	}},
	"Revocations": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.Revocations(ctx, []token.Subject{jtiOf("open"), jtiOf("nothing")})
		return err
	}},
	"ListRevocations": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.ListRevocations(ctx, "", 10)
		return err
	}},
	"PutRevocation": {writes: true, does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.PutRevocation(ctx, revocation("new-2", inTwoHours()), testEntry("new"))
		return err
	}},
	"Rings": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.Rings(ctx)
		return err
	}},
	"PutRing": {writes: true, does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.PutRing(ctx, keys.RingRecord{Algorithm: jose.Ed25519}, testEntry("new"))
		return err
	}},
	"Head": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.Head(ctx)
		return err
	}},
	"Changes": {does: func(ctx context.Context, s *Store, head store.Cursor) error {
		_, _, err := s.Changes(ctx, head, 10)
		return err
	}},
	"Entries": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, _, err := s.Entries(ctx, "", 10)
		return err
	}},
	"Latest": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, _, err := s.Latest(ctx, "", 10)
		return err
	}},
	"Inspect": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		var told error
		_, err := s.Inspect(ctx, func(err error) { told = err })
		return errors.Join(err, told)
	}},
	"Wait": {does: func(ctx context.Context, s *Store, head store.Cursor) error {
		ctx, cancel := context.WithTimeout(ctx, 600*time.Millisecond)
		defer cancel()
		if err := s.Wait(ctx, head); !errors.Is(err, context.DeadlineExceeded) { // nothing comes
			return err
		}
		return nil
	}},
	"Clock": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.Clock(ctx)
		return err
	}},
	"Installation": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.db.Installation(ctx)
		return err
	}},
	"PutInstallation": {writes: true, does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		_, err := s.db.PutInstallation(ctx, keys.Installation{Format: keys.InstallationFormat}, testEntry("new"))
		return err
	}},
	"ReplaceInstallation": {writes: true, does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		return s.db.ReplaceInstallation(ctx, filledInstallation(), storetest.Rewrapped(filledInstallation(), "k-2"), testEntry("new"))
	}},
	"Confirm": {does: func(ctx context.Context, s *Store, _ store.Cursor) error {
		sure := *s.db
		sure.config.Replicas, sure.config.Timeout = 1, time.Millisecond
		err := (&Store{&sure, s.env}).Confirm(ctx)
		if errors.Is(err, ErrUnconfirmed) { // there is no replica
			return nil
		}
		return err
	}},
}

// TestCalls_AllThere: no method that asks Redis is forgotten by the tests that go through calls.
func TestCalls_AllThere(t *testing.T) {
	for _, of := range []reflect.Type{reflect.TypeFor[store.Store](), reflect.TypeFor[store.Waiter](), reflect.TypeFor[store.Clock](), reflect.TypeFor[keys.Genesis](), reflect.TypeFor[*Store]()} {
		for m := range of.Methods() {
			if _, there := calls[m.Name]; !there {
				t.Errorf("%s is not among the calls", m.Name)
			}
		}
	}
}

// TestEmptied: an emptied Redis, and another installation in the same place, are noticed by every call, none
// takes silence for an absence, and nothing is written there. What comes back from a backup is used again.
func TestEmptied(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		s := redistest.Start(t)
		testEmptied(t, Config{Addrs: []string{s.Addr}}, []*redistest.Server{s})
	})
	t.Run("cluster", func(t *testing.T) {
		c := redistest.StartCluster(t)
		testEmptied(t, Config{Addrs: c.Addrs(), Cluster: true}, c.Nodes())
	})
}

func testEmptied(t *testing.T, c Config, servers []*redistest.Server) {
	db := openTest(t, c)
	s := newStore(t, db)
	fill(t, s)
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		if !calls[name].writes {
			if err := calls[name].does(t.Context(), s, head); err != nil {
				t.Errorf("%s, before: %v", name, err)
			}
		}
	}
	raw, err := db.node(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	backup := dump(t, raw)

	all := func(what string) {
		t.Helper()
		before := dump(t, raw)
		for _, name := range slices.Sorted(maps.Keys(calls)) {
			err := calls[name].does(t.Context(), s, head)
			if !errors.Is(err, ErrEmptied) || isAbsence(err) || errors.Is(err, authz.ErrConflict) || errors.Is(err, store.ErrCursor) {
				t.Errorf("%s, %s: got error %v, want ErrEmptied", name, what, err)
			}
		}
		unchanged(t, raw, before)
	}
	flush(t, servers)
	all("emptied")

	other := newStore(t, openTest(t, c))
	fill(t, other)
	all("another installation")
	if _, err := other.Client(t.Context(), "a"); err != nil {
		t.Errorf("the other installation: %v", err)
	}

	flush(t, servers)
	restore(t, raw, backup)
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		if err := calls[name].does(t.Context(), s, head); err != nil {
			t.Errorf("%s, restored: %v", name, err)
		}
	}
	if _, err := other.Client(t.Context(), "a"); !errors.Is(err, ErrEmptied) {
		t.Errorf("the other installation: got error %v, want ErrEmptied", err)
	}
}

func flush(t *testing.T, servers []*redistest.Server) {
	t.Helper()
	for _, s := range servers {
		if err := s.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// restore brings back what dump gave.
func restore(t *testing.T, raw *redis.Client, all map[string]string) {
	t.Helper()
	for name, text := range all {
		end, content, _ := strings.Cut(text, " ")
		var ttl time.Duration
		if at, err := time.ParseDuration(end); err == nil && at > 0 {
			ttl = time.Until(time.UnixMilli(at.Milliseconds()))
		}
		if err := raw.RestoreReplace(t.Context(), name, ttl, content).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEmptied_BetweenReadAndWrite: what was prepared is not written into what is no longer the same.
func TestEmptied_BetweenReadAndWrite(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	w := newWire(t, server.Addr)
	s := newStore(t, openTest(t, Config{Addrs: []string{w.addr}}))
	fill(t, s) // the server knows the scripts by now
	prepared := false
	w.on("evalsha", func([]string) step {
		if prepared {
			raw.FlushAll(context.Background())
		}
		prepared = true
		return step{}
	})
	if err := calls["PutClient"].does(t.Context(), s, ""); !errors.Is(err, ErrEmptied) {
		t.Errorf("got error %v, want ErrEmptied", err)
	}
	if n := raw.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys were written", n)
	}
}

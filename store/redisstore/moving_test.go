package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
	"github.com/marque-auth/marque/store/storetest"
)

// dumped is everything that a mover gives out, as another one with the same key and namespace takes it.
func dumped(t testing.TB, s *Store) (all []store.Stored) {
	t.Helper()
	for _, kind := range store.MovedKinds() {
		must(t, s.db.Dump(t.Context(), kind, func(r store.Stored) error {
			if kind == store.KindRevocation {
				revocation, err := s.env.OpenRevocation(r.Key, r.Octets)
				must(t, err)
				r.Ends = revocation.Until
			}
			all = append(all, r)
			return nil
		}))
	}
	return all
}

// entryStored is an audit entry that is imported.
func entryStored(t testing.TB, n int) store.Stored {
	t.Helper()
	e, err := store.EncodeEntry(testEntry(strconv.Itoa(n)))
	must(t, err)
	return store.Stored{Kind: store.KindAudit, Key: strconv.Itoa(n), Octets: e}
}

// TestMoving_SameKeys: what was imported is there, key by key, as if it had been put, with its ends.
func TestMoving_SameKeys(t *testing.T) {
	t.Parallel()
	from, to := redistest.Start(t), redistest.Start(t)
	s := newStore(t, openTest(t, Config{Addrs: []string{from.Addr}}))
	fill(t, s)
	other := newStore(t, openTest(t, Config{Addrs: []string{to.Addr}}))
	all := dumped(t, s)
	floor, err := s.db.Floor(t.Context())
	must(t, err)
	must(t, other.db.Restore(t.Context(), "E1", 0, all[:3]))
	must(t, other.db.Complete(t.Context(), "E1", 3, all[3:], floor, filledInstallation(), testEntry("import")))
	want, got := dump(t, from.Client()), dump(t, to.Client())
	for _, own := range []string{nameEpoch, nameChanges, nameAudit} { // the log has an entry more
		if _, there := got[s.db.names.of(own)]; !there {
			t.Errorf("%s is missing", own)
		}
		delete(want, s.db.names.of(own))
		delete(got, s.db.names.of(own))
	}
	if d := storetest.Diff(got, want); d != "" {
		t.Errorf("keys (-put +imported):\n%s", d)
	}
	if len(ends(t, to.Client())) == 0 {
		t.Error("nothing ends")
	}
}

// TestMoving_Opened: a namespace that is closed, or half imported, is opened by a Mover alone. Earlier versions, which
// compare the format, refuse it by name.
func TestMoving_Opened(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	c := Config{Addrs: []string{server.Addr}}
	moving := c
	moving.Moving = true
	ctx := t.Context()
	epoch := func(namespace string) string { return raw.Get(ctx, "{"+namespace+"}:epoch").Val() }
	opens := func(namespace string, want error, text string) {
		t.Helper()
		for _, mustExist := range []bool{true, false} {
			c := c
			c.Namespace, c.MustExist = namespace, mustExist
			err := tryOpen(t, c)
			if !errors.Is(err, want) || errors.Is(err, ErrUnreachable) || err != nil && !strings.Contains(err.Error(), text) {
				t.Errorf("opening %s: got error %v, want %v, with %q", namespace, err, want, text)
			}
		}
	}
	s := newStore(t, openTest(t, c))
	fill(t, s)
	before := epoch("test")
	if before != "1."+s.db.epoch {
		t.Fatalf("the epoch is %q", before)
	}
	must(t, s.db.CloseFor(ctx, "E1"))
	if got := epoch("test"); got != "2."+s.db.epoch+".closed.E1" {
		t.Errorf("closed: the epoch is %q", got)
	}
	opens("test", store.ErrClosed, "marque export --reopen")
	mover := openTest(t, moving)
	if _, err := newStore(t, mover).Client(ctx, "a"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a read of what is closed: got error %v", err)
	}
	if in, err := mover.Installation(ctx); err != nil || in.ID != "i" {
		t.Errorf("Installation: %+v, %v", in, err)
	}
	if n := len(dumped(t, newStore(t, mover))); n != filled+5 {
		t.Errorf("%d records are given out, want %d and 5 audit entries", n, filled)
	}
	must(t, mover.Reopen(ctx))
	if got := epoch("test"); got != before {
		t.Errorf("opened again: the epoch is %q, want %q", got, before)
	}
	opens("test", nil, "")
	if _, err := s.Client(ctx, "a"); err != nil {
		t.Errorf("opened again: %v", err)
	}
	must(t, s.db.CloseFor(ctx, "E1"))
	if first, err := mover.Claim(ctx, "E1", "the-new-place"); !first || err != nil {
		t.Errorf("Claim: %v, %v", first, err)
	}
	opens("test", store.ErrClosed, "the-new-place")

	half := c
	half.Namespace = "half"
	h := openTest(t, half)
	must(t, h.Restore(ctx, "E2", 0, []store.Stored{entryStored(t, 1)}))
	if got := epoch("half"); got != "2."+h.epoch+".import.E2.1" {
		t.Errorf("half imported: the epoch is %q", got)
	}
	opens("half", store.ErrUnfinished, "marque import")
	half.Moving = true
	h = openTest(t, half)
	must(t, h.Complete(ctx, "E2", 1, nil, 0, filledInstallation(), testEntry("import")))
	opens("half", nil, "")

	for _, mark := range []string{"2.", "2.E", "2.E.closed", "2.E.closed.a.b", "2..closed.E1", "1.", "0.E", "E", "1", "x.E", "-2.E.closed.E1"} {
		must(t, raw.Set(ctx, "{half}:epoch", mark, 0).Err())
		opens("half", store.ErrDamaged, "epoch")
		if _, err := h.Installation(ctx); !errors.Is(err, ErrEmptied) {
			t.Errorf("mark %q: got error %v, want ErrEmptied", mark, err)
		}
		if err := h.Reopen(ctx); !errors.Is(err, ErrEmptied) {
			t.Errorf("mark %q: Reopen: got error %v, want ErrEmptied", mark, err)
		}
	}
	must(t, raw.Set(ctx, "{half}:epoch", "3.E", 0).Err())
	opens("half", store.ErrNewerFormat, "half")
}

// moves are the methods of a Mover, called so that they would succeed in a namespace in use, or in an empty one.
func moves(t *testing.T, db *DB) map[string]error {
	ctx := t.Context()
	_, imported := db.Imported(ctx, "E1")
	_, floor := db.Floor(ctx)
	_, claim := db.Claim(ctx, "E1", "new")
	all := map[string]error{
		"Imported": imported, "Floor": floor, "Claim": claim,
		"CloseFor": db.CloseFor(ctx, "E1"),
		"Reopen":   db.Reopen(ctx),
		"Restore":  db.Restore(ctx, "E1", 0, []store.Stored{entryStored(t, 1)}),
		"Complete": db.Complete(ctx, "E1", 0, nil, 0, filledInstallation(), testEntry("x")),
	}
	for _, kind := range append(store.MovedKinds(), store.KindInstallation) {
		all["Dump of "+string(kind)] = db.Dump(ctx, kind, func(r store.Stored) error { return fmt.Errorf("gave %s %q", r.Kind, r.Key) })
	}
	return all
}

// TestMoving_Emptied: nothing is moved out of, or into, what is no longer the namespace that was opened.
func TestMoving_Emptied(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	c := Config{Addrs: []string{server.Addr}}
	s := newStore(t, openTest(t, c))
	fill(t, s)
	for _, what := range []string{"emptied", "another installation", "another one that is closed"} {
		switch what {
		case "emptied":
			must(t, raw.FlushAll(t.Context()).Err())
		case "another installation":
			fill(t, newStore(t, openTest(t, c)))
		default:
			must(t, openTest(t, c).CloseFor(t.Context(), "E1"))
		}
		before := dump(t, raw)
		for name, err := range moves(t, s.db) {
			if !errors.Is(err, ErrEmptied) || errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrOccupied) {
				t.Errorf("%s, %s: got error %v, want ErrEmptied", name, what, err)
			}
		}
		unchanged(t, raw, before)
	}
}

// TestRestore_Foreign: nothing is imported beside keys that something else wrote, or that are left of something; and
// nothing is written then.
func TestRestore_Foreign(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	env := newStore(t, db).env
	ctx := t.Context()
	sealed, err := env.SealClient(authz.Client{ID: "a", Version: 1})
	must(t, err)
	records := []store.Stored{entryStored(t, 1), {Kind: store.KindClient, Key: "a", Octets: sealed}}
	refused := func(key string, done int, want error) {
		t.Helper()
		before := dump(t, raw)
		err1 := db.Restore(ctx, "E1", done, records[done:])
		err2 := db.Complete(ctx, "E1", done, records[done:], 0, filledInstallation(), testEntry("x"))
		for _, err := range []error{err1, err2} {
			if !errors.Is(err, want) || !strings.Contains(err.Error(), strings.TrimPrefix(key, "{test}:client:")) {
				t.Errorf("%s: got error %v, want %v", key, err, want)
			}
		}
		unchanged(t, raw, before)
		must(t, raw.Del(ctx, key).Err())
	}
	for key := range db.names.standing() {
		if key == db.names.of(nameEpoch) || key == db.names.of(nameChanges) {
			continue
		}
		must(t, raw.HSet(ctx, key, "a", "b").Err())
		refused(key, 0, store.ErrOccupied)
	}
	for _, key := range []string{"{test}:client:a", "{test}:client:left", "{test}:credential:k", "{test}:something"} {
		must(t, raw.Set(ctx, key, "x", 0).Err())
		if _, err := db.Imported(ctx, "E1"); !errors.Is(err, store.ErrOccupied) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: Imported: got error %v, want ErrOccupied", key, err)
		}
		refused(key, 0, store.ErrOccupied)
	}
	must(t, raw.Set(ctx, "{tes}:client:a", "x", 0).Err()) // another's
	must(t, db.Restore(ctx, "E1", 0, records[:1]))
	for _, name := range []string{nameFloor, nameEnds, db.names.index(store.KindClient)} {
		key := "{test}:" + strings.TrimPrefix(name, "{test}:")
		must(t, raw.HSet(ctx, key, "a", "b").Err())
		refused(key, 1, store.ErrDamaged)
	}
	must(t, raw.HSet(ctx, "{test}:client:a", "a", "b").Err())
	refused("{test}:client:a", 1, store.ErrOccupied)
	must(t, raw.Set(ctx, "{test}:installation", "x", 0).Err())
	refused("{test}:installation", 1, store.ErrOccupied)
	must(t, raw.XDel(ctx, "{test}:audit", "1-0").Err())
	before := dump(t, raw)
	wantRecordError(t, "an entry was removed", db.Restore(ctx, "E1", 1, records[1:]), store.KindAudit, "1")
	unchanged(t, raw, before)
}

// TestDump_Missing: what was removed, what its list has lost, and what something else wrote, is named and not passed
// over.
func TestDump_Missing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	raw := server.Client()
	ctx := t.Context()
	for name, c := range map[string]struct {
		harm func() error
		dump store.Kind
		kind store.Kind
		key  string
	}{
		"client removed":          {func() error { return raw.Del(ctx, "{test}:client:a").Err() }, store.KindClient, store.KindClient, "a"},
		"client not listed":       {func() error { return raw.ZRem(ctx, "{test}:client-index", "a").Err() }, store.KindCredential, store.KindClient, "a"},
		"list of clients removed": {func() error { return raw.Del(ctx, "{test}:client-index").Err() }, store.KindCredential, store.KindClient, "a"},
		"resource removed":        {func() error { return raw.Del(ctx, "{test}:resource:r").Err() }, store.KindResource, store.KindResource, "r"},
		"ring removed":            {func() error { return raw.Del(ctx, "{test}:ring:ES256").Err() }, store.KindRing, store.KindRing, "ES256"},
		"revocation removed":      {func() error { return raw.Del(ctx, "{test}:revocation:jti:ends").Err() }, store.KindRevocation, store.KindRevocation, "jti:ends"},
		"revocation not listed":   {func() error { return raw.ZRem(ctx, "{test}:revocation-index", "jti:ends").Err() }, store.KindCredential, store.KindRevocation, "jti:ends"},
		"client of another type": {func() error {
			return errors.Join(raw.Del(ctx, "{test}:client:a").Err(), raw.HSet(ctx, "{test}:client:a", "a", "b").Err())
		}, store.KindClient, store.KindClient, "a"},
		"credential of another type": {func() error {
			return errors.Join(raw.Del(ctx, "{test}:credential:k-1").Err(), raw.HSet(ctx, "{test}:credential:k-1", "a", "b").Err())
		}, store.KindCredential, store.KindCredential, "k-1"},
		"foreign key": {func() error { return raw.Set(ctx, "{test}:x", "", 0).Err() }, store.KindCredential, kindKey, "{test}:x"},
		"first entry": {func() error { return raw.XDel(ctx, "{test}:audit", "1-0").Err() }, store.KindAudit, store.KindAudit, "1"},
		"entry":       {func() error { return raw.XDel(ctx, "{test}:audit", "3-0").Err() }, store.KindAudit, store.KindAudit, "3"},
		"last entry":  {func() error { return raw.XDel(ctx, "{test}:audit", "5-0").Err() }, store.KindAudit, store.KindAudit, "5"},
		"last two":    {func() error { return raw.XDel(ctx, "{test}:audit", "4-0", "5-0").Err() }, store.KindAudit, store.KindAudit, "4"},
		"all entries": {func() error { return raw.XTrimMaxLen(ctx, "{test}:audit", 0).Err() }, store.KindAudit, store.KindAudit, "1"},
		"log":         {func() error { return raw.Del(ctx, "{test}:audit").Err() }, store.KindAudit, store.KindAudit, "1"},
		"foreign entry": {func() error {
			return raw.XAdd(ctx, &redis.XAddArgs{Stream: "{test}:audit", ID: "6-0", Values: []string{"a", "b"}}).Err()
		}, store.KindAudit, store.KindAudit, "6"},
		"foreign number": {func() error {
			return raw.XAdd(ctx, &redis.XAddArgs{Stream: "{test}:audit", ID: "6-1", Values: []string{"entry", "b"}}).Err()
		}, store.KindAudit, store.KindAudit, "6"},
		"floor": {func() error { return raw.Set(ctx, "{test}:revocation-floor", "x", 0).Err() }, "floor", kindKey, "{test}:revocation-floor"},
		"log of other type": {func() error {
			return errors.Join(raw.Del(ctx, "{test}:audit").Err(), raw.Set(ctx, "{test}:audit", "", 0).Err())
		}, store.KindAudit, kindKey, "{test}:audit"},
	} {
		must(t, raw.FlushAll(ctx).Err())
		s := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}}))
		fill(t, s)
		dumped(t, s) // whole
		must(t, c.harm())
		_, err := s.db.Floor(ctx)
		if c.dump != "floor" {
			err = s.db.Dump(ctx, c.dump, func(store.Stored) error { return nil })
		}
		wantRecordError(t, name, err, c.kind, c.key)
	}
}

// TestDump_Twice: SCAN may return a key more than once, and may return a page of none.
func TestDump_Twice(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	s := newStore(t, openTest(t, Config{Addrs: []string{w.addr}}))
	fill(t, s)
	pages := []string{
		"*2\r\n$1\r\n7\r\n*2\r\n$21\r\n{test}:credential:k-1\r\n$12\r\n{test}:epoch\r\n",
		"*2\r\n$1\r\n8\r\n*0\r\n",
		"*2\r\n$1\r\n9\r\n*3\r\n$21\r\n{test}:credential:k-1\r\n$21\r\n{test}:credential:k-2\r\n$15\r\n{test}:client:a\r\n",
		"*2\r\n$1\r\n0\r\n*1\r\n$21\r\n{test}:credential:k-2\r\n",
	}
	w.on("scan", func([]string) step {
		page := pages[0]
		pages = pages[1:]
		return step{says, page}
	})
	var got []string
	must(t, s.db.Dump(t.Context(), store.KindCredential, func(r store.Stored) error {
		got = append(got, r.Key)
		return nil
	}))
	if d := storetest.Diff(got, []string{"k-1", "k-2"}); d != "" {
		t.Errorf("credentials (-want +got):\n%s", d)
	}
}

// TestClose_UnderWay: a write that was begun before the namespace was closed is not made after it; who waits for a
// change hears of it.
func TestClose_UnderWay(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	s := newStore(t, openTest(t, Config{Addrs: []string{w.addr}}))
	fill(t, s) // the server knows the scripts by now
	head := mustHead(t, s)
	closer := openTest(t, Config{Addrs: []string{server.Addr}})
	var waits sync.WaitGroup
	for range 2 {
		waits.Go(func() {
			if err := s.Wait(t.Context(), head); !errors.Is(err, store.ErrClosed) {
				t.Errorf("Wait: got error %v, want ErrClosed", err)
			}
		})
	}
	scripts := 0
	var before map[string]string
	w.on("evalsha", func([]string) step {
		if scripts++; scripts == 2 { // what is there was read
			if err := closer.CloseFor(t.Context(), "E1"); err != nil {
				t.Error(err)
			}
			before = dump(t, server.Client())
		}
		return step{}
	})
	_, err := s.PutClient(t.Context(), authz.Client{ID: "new", Credentials: []authz.Credential{{ID: "k-new"}}}, testEntry("new"), revocation("new", inTwoHours()))
	if !errors.Is(err, store.ErrClosed) || errors.Is(err, authz.ErrConflict) {
		t.Errorf("got error %v, want ErrClosed", err)
	}
	unchanged(t, server.Client(), before)
	waits.Wait()
}

// TestRestore_LostAnswer: who got no answer asks where the import stands, and goes on from there.
func TestRestore_LostAnswer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	db := openTest(t, Config{Addrs: []string{w.addr}})
	ctx := t.Context()
	lost := func(what string, fn func() error) {
		t.Helper()
		w.on("evalsha", func([]string) step { return step{does: loses} })
		if err := fn(); err == nil || errors.Is(err, store.ErrOccupied) {
			t.Errorf("%s: got error %v, want a fault", what, err)
		}
		w.on("evalsha", nil)
	}
	first := func() error { return db.Restore(ctx, "E1", 0, []store.Stored{entryStored(t, 1)}) }
	last := func() error {
		return db.Complete(ctx, "E1", 1, []store.Stored{entryStored(t, 2)}, 0, filledInstallation(), testEntry("import"))
	}
	known(t, db, restoreScript)
	lost("Restore", first)
	if done, err := db.Imported(ctx, "E1"); done != 1 || err != nil {
		t.Errorf("Imported: %d, %v", done, err)
	}
	if err := first(); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("again: got error %v, want ErrOccupied", err)
	}
	lost("Complete", last)
	must(t, last())
	if entries, _, err := newStore(t, db).Entries(ctx, "", 10); err != nil || len(entries) != 3 {
		t.Errorf("%d audit entries, %v, want 3", len(entries), err)
	}
	known(t, db, markScript)
	lost("CloseFor", func() error { return db.CloseFor(ctx, "E2") })
	lost("Claim", func() error { _, err := db.Claim(ctx, "E2", "new"); return err })
	if ours, err := db.Claim(ctx, "E2", "newer"); ours || err != nil {
		t.Errorf("another one claims: got %v, %v", ours, err)
	}
	if ours, err := db.Claim(ctx, "E2", "new"); !ours || err != nil {
		t.Errorf("Claim again: got %v, %v, want that it was the first", ours, err)
	}
}

// known makes Redis know a script, so that it is sent by its hash alone.
func known(t *testing.T, db *DB, s *redis.Script) {
	t.Helper()
	must(t, s.Load(t.Context(), db.client).Err())
}

// TestMoving_Unconfirmed: what was not confirmed as durable is not said to be done, and later it is, once it lasts.
func TestMoving_Unconfirmed(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	c := Config{Addrs: []string{primary.Addr}, Replicas: 1, Timeout: patient, Moving: true}
	db := openTest(t, c)
	c.Timeout = testTimeout
	short := openTest(t, c)
	ctx := t.Context()
	in := filledInstallation()
	complete := func(db *DB) error {
		return db.Complete(ctx, "E1", 1, nil, 0, in, testEntry("import"))
	}
	claim := func(db *DB) error {
		first, err := db.Claim(ctx, "E2", "new")
		if first != (err == nil) {
			t.Errorf("Claim: %v, %v", first, err)
		}
		return err
	}
	replica.Pause()
	unconfirmed := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("%s: got error %v, want ErrUnconfirmed", what, err)
		}
	}
	unconfirmed("Restore", short.Restore(ctx, "E1", 0, []store.Stored{entryStored(t, 1)}))
	unconfirmed("Complete", complete(short))
	unconfirmed("Complete again", complete(short))
	unconfirmed("CloseFor", short.CloseFor(ctx, "E2"))
	unconfirmed("CloseFor again", short.CloseFor(ctx, "E2"))
	unconfirmed("Claim", claim(short))
	unconfirmed("Claim again", claim(short))
	replica.Resume()
	must(t, claim(db))
	if err := complete(db); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Complete where it is closed: got error %v, want ErrClosed", err)
	}
}

// TestLeastRights_Moving: the rule of README.md is enough for a move, in a Redis whose user has nothing else.
func TestLeastRights_Moving(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	args := []any{"ACL", "SETUSER", "marque", "reset", "on", ">right"}
	for _, word := range leastRights(t, "rule") {
		args = append(args, word)
	}
	must(t, server.Client().Do(t.Context(), args...).Err())
	_ = server.Client().Do(t.Context(), "ACL", "SETUSER", "marque", "+waitaof").Err() // which Redis knows from 7.2 on
	c := Config{Addrs: []string{server.Addr}, Username: "marque", Password: "right", Moving: true}
	s := newStore(t, openTest(t, c))
	fill(t, s)
	all := dumped(t, s)
	must(t, s.db.CloseFor(t.Context(), "E1"))
	if first, err := s.db.Claim(t.Context(), "E1", "new"); !first || err != nil {
		t.Errorf("Claim: %v, %v", first, err)
	}
	must(t, server.Client().FlushAll(t.Context()).Err())
	to := openTest(t, c)
	if _, err := to.Imported(t.Context(), "E1"); err != nil {
		t.Error(err)
	}
	must(t, to.Restore(t.Context(), "E1", 0, all[:4]))
	must(t, to.Complete(t.Context(), "E1", 4, all[4:], 9, filledInstallation(), testEntry("import")))
	if _, err := to.PutInstallation(t.Context(), keys.Installation{Format: keys.InstallationFormat}, testEntry("x")); err != nil {
		t.Error(err)
	}
}

// TestRestore_Race: what another one writes after it was looked whether the namespace is empty, is noticed by the
// commit itself.
func TestRestore_Race(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWire(t, server.Addr)
	db := openTest(t, Config{Addrs: []string{w.addr}})
	other := newStore(t, openTest(t, Config{Addrs: []string{server.Addr}}))
	known(t, db, restoreScript)
	w.on("evalsha", func([]string) step {
		_, err := other.PutClient(t.Context(), authz.Client{ID: "meanwhile"}, testEntry("meanwhile"))
		if err != nil {
			t.Error(err)
		}
		return step{}
	})
	e, err := store.EncodeEntry(testEntry("2"))
	must(t, err)
	records := []store.Stored{{Kind: store.KindAudit, Key: "2", Octets: e}} // which would follow
	if err := db.Restore(t.Context(), "E1", 0, records); !errors.Is(err, store.ErrOccupied) {
		t.Errorf("got error %v, want ErrOccupied", err)
	}
	if _, err := other.Client(t.Context(), "meanwhile"); err != nil {
		t.Errorf("the other's: %v", err)
	}
}

// TestRestore_Kill9: an import goes on where it was, whenever Redis was killed.
func TestRestore_Kill9(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Args("--appendonly", "yes", "--appendfsync", "always"))
	db := openTest(t, Config{Addrs: []string{server.Addr}, Moving: true})
	env := newStore(t, db).env
	var all []store.Stored
	for i := range 200 {
		id := strconv.Itoa(i)
		sealed, err := env.SealClient(authz.Client{ID: authz.ClientID(id), Version: 1})
		must(t, err)
		all = append(all, store.Stored{Kind: store.KindClient, Key: id, Octets: sealed}, entryStored(t, i+1))
	}
	done, kills := 0, 0
	for done < len(all) {
		batch := all[done:min(done+7, len(all))]
		var killing sync.WaitGroup
		if done/50 >= kills { // while it is under way, or about that
			kills++
			killing.Go(server.Kill)
		}
		restored := db.Restore(t.Context(), "E1", done, batch)
		killing.Wait()
		down := restored != nil
		if down {
			server.Restart()
		}
		there := -1
		waitFor(t, "Redis", func() bool {
			var err error
			there, err = db.Imported(t.Context(), "E1")
			if errors.Is(err, ErrEmptied) || errors.Is(err, store.ErrOccupied) {
				t.Fatal(err)
			}
			if err != nil && !down { // it was killed after the answer
				down = true
				server.Restart()
			}
			return err == nil
		})
		if there != done && there != done+len(batch) || restored == nil && there == done {
			t.Fatalf("%d are put, of %d and %d more, %v", there, done, len(batch), restored)
		}
		done = there
	}
	must(t, db.Complete(t.Context(), "E1", done, nil, 0, filledInstallation(), testEntry("import")))
	read, err := newStore(t, db).Inspect(t.Context(), func(err error) { t.Error(err) })
	if err != nil || read.Records != 200 || read.Entries != 201 {
		t.Errorf("killed %d times: read %+v, %v", kills, read, err)
	}
}

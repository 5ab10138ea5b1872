package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store/redistest"
	"github.com/marque-auth/marque/store/storetest"
)

// The times of these tests: a write that waits for nobody is long over by then.
const (
	testTimeout     = 200 * time.Millisecond
	testCallTimeout = time.Second
)

// within fails if f takes longer than a write may.
func within(t *testing.T, c Config, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > c.CallTimeout+c.Timeout+200*time.Millisecond {
		t.Errorf("took %v, of %v and %v", took, c.CallTimeout, c.Timeout)
	}
}

// TestReplicas: a write is acknowledged when the replicas have it, and not before; what is not is there
// all the same.
func TestReplicas(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	c := Config{Addrs: []string{primary.Addr}, Timeout: testTimeout, CallTimeout: testCallTimeout}
	in := keys.Installation{Format: keys.InstallationFormat, ID: "i"}
	reader := newStore(t, openTest(t, c)) // believes a primary without replicas
	_, err := reader.db.PutInstallation(t.Context(), in, testEntry("i"))
	must(t, err)
	c.Replicas = 1
	s, peer := newStore(t, openTest(t, c)), newStore(t, openTest(t, c))
	long := c // what is confirmed is so however busy the machine is
	long.Timeout = patient
	sure, sureToo := newStore(t, openTest(t, long)), newStore(t, openTest(t, long))
	version := uint64(0)
	write := func(s *Store) error {
		_, err := s.PutClient(t.Context(), authz.Client{ID: "a", Name: fmt.Sprint(version + 1), Version: version}, testEntry("a"), revocation(fmt.Sprint("j", version), inTwoHours()))
		return err
	}
	short := c
	unconfirmed := func(what string) {
		t.Helper()
		within(t, short, func() {
			if err := write(s); !errors.Is(err, ErrUnconfirmed) || errors.Is(err, authz.ErrConflict) {
				t.Errorf("%s: got error %v, want ErrUnconfirmed", what, err)
			}
		})
		if got, err := reader.Client(t.Context(), "a"); err != nil || got.Version != version+1 || got.Name != fmt.Sprint(version+1) {
			t.Errorf("%s: the write is not there: %+v, %v", what, got, err)
		}
		within(t, short, func() { // for another server, too, and for one that writes nothing
			if err := peer.Confirm(t.Context()); !errors.Is(err, ErrUnconfirmed) {
				t.Errorf("%s: Confirm: got error %v, want ErrUnconfirmed", what, err)
			}
			if _, err := peer.db.PutInstallation(t.Context(), in, testEntry("i")); !errors.Is(err, ErrUnconfirmed) {
				t.Errorf("%s: PutInstallation: got error %v, want ErrUnconfirmed", what, err)
			}
		})
		within(t, short, func() {
			if err := write(s); !errors.Is(err, authz.ErrConflict) || errors.Is(err, ErrUnconfirmed) {
				t.Errorf("%s: a conflict: got error %v, want ErrConflict", what, err)
			}
		})
		version++
	}
	confirmed := func(what string) {
		t.Helper()
		if err := write(sure); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		version++
		if err := sureToo.Confirm(t.Context()); err != nil {
			t.Errorf("%s: Confirm: %v", what, err)
		}
		if got, err := sureToo.db.PutInstallation(t.Context(), in, testEntry("i")); err != nil || got.ID != in.ID {
			t.Errorf("%s: PutInstallation: %v, %v", what, got, err)
		}
		if err := write(sure); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		version++
	}
	confirmed("one replica")
	replica.Pause()
	unconfirmed("one that hangs")
	replica.Resume()
	confirmed("one that goes on")
	replica.Kill()
	unconfirmed("one that died")
	waitFor(t, "it to be missed", func() bool { return isAlone(s) })
	unconfirmed("no replica")
	replica.Restart()
	confirmed("one that came back")

	entries, _, err := reader.Entries(t.Context(), "", 100)
	if err != nil || uint64(len(entries)) != version+1 {
		t.Errorf("%d audit entries, of %d writes, and an installation: %v", len(entries), version, err)
	}
}

// TestReplicas_ReplaceInstallation: a replacement that was not confirmed is there, and the same call says so once it is
// durable; it is recorded once. Another one is a conflict, whether the wait succeeds or not.
func TestReplicas_ReplaceInstallation(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	c := Config{Addrs: []string{primary.Addr}, CallTimeout: testCallTimeout}
	db := openTest(t, c)
	first := filledInstallation()
	_, err := db.PutInstallation(t.Context(), first, testEntry("first"))
	must(t, err)
	replace := func(db *DB, kek string) error {
		return db.ReplaceInstallation(t.Context(), first, storetest.Rewrapped(first, kek), testEntry(kek))
	}
	there := func(what string) {
		t.Helper()
		if got, err := db.Installation(t.Context()); err != nil || got.KEKID != "mine" {
			t.Errorf("%s: got %v, %v", what, got, err)
		}
		if all, _, err := newStore(t, db).Entries(t.Context(), "", 10); err != nil || len(all) != 2 {
			t.Errorf("%s: %d audit entries, %v", what, len(all), err)
		}
	}
	c.Replicas, c.Timeout = 1, testTimeout
	mine, peer := openTest(t, c), openTest(t, c)
	c.Timeout = patient
	sure, sureToo := openTest(t, c), openTest(t, c)
	replica.Kill()
	for what, db := range map[string]*DB{"the first attempt": mine, "another": peer, "and another": mine} {
		within(t, mine.config, func() {
			if err := replace(db, "mine"); !errors.Is(err, ErrUnconfirmed) || isAbsence(err) || errors.Is(err, keys.ErrConflict) {
				t.Errorf("%s: got error %v, want ErrUnconfirmed", what, err)
			}
		})
		there(what)
	}
	if err := replace(peer, "theirs"); !errors.Is(err, keys.ErrConflict) || errors.Is(err, ErrUnconfirmed) {
		t.Errorf("another record: got error %v, want ErrConflict", err)
	}
	replica.Restart()
	if err := replace(sure, "mine"); err != nil {
		t.Errorf("with a replica: %v", err)
	}
	if err := replace(sureToo, "theirs"); !errors.Is(err, keys.ErrConflict) {
		t.Errorf("another record, with a replica: got error %v, want ErrConflict", err)
	}
	there("in the end")
}

// TestReplicas_Conflict: what was changed after it was prepared is a conflict, whether the wait succeeds or not.
func TestReplicas_Conflict(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	w := newWire(t, primary.Addr)
	slow := newStore(t, openTest(t, Config{Addrs: []string{w.addr}, Replicas: 1, Timeout: testTimeout, CallTimeout: testCallTimeout}))
	s := newStore(t, openTest(t, Config{Addrs: []string{primary.Addr}}))
	fill(t, s)
	replica.Kill()
	scripts := 0
	w.on("evalsha", func([]string) step {
		if scripts++; scripts == 2 {
			if _, err := s.PutClient(context.Background(), authz.Client{ID: "x"}, testEntry("x")); err != nil {
				t.Error(err)
			}
		}
		return step{}
	})
	_, err := slow.PutClient(t.Context(), authz.Client{ID: "x", Name: "slow"}, testEntry("x"))
	if !errors.Is(err, authz.ErrConflict) || errors.Is(err, ErrUnconfirmed) || w.seen("wait") != 2 {
		t.Errorf("got error %v after %d waits, want ErrConflict", err, w.seen("wait"))
	}
	if c, err := s.Client(t.Context(), "x"); err != nil || c.Name != "" {
		t.Errorf("got %+v, %v", c, err)
	}
}

// TestReplicas_ManyWait: writes that wait for a replica hold up no reads.
func TestReplicas_ManyWait(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	c := Config{Addrs: []string{primary.Addr}, Timeout: time.Second, CallTimeout: testCallTimeout, Replicas: 1}
	s := newStore(t, openTest(t, c))
	replica.Pause()
	done := make(chan error, 8)
	for i := range cap(done) {
		go func() {
			_, err := s.PutRevocation(t.Context(), revocation(fmt.Sprint(i), inTwoHours()), testEntry("x"))
			done <- err
		}()
	}
	waitFor(t, "all to wait", func() bool {
		info, err := primary.Info()
		return err == nil && info["blocked_clients"] == fmt.Sprint(cap(done))
	})
	if _, err := s.Client(t.Context(), "nobody"); !isAbsence(err) {
		t.Errorf("a read beside them: %v", err)
	}
	for range cap(done) {
		if err := <-done; !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("got error %v, want ErrUnconfirmed", err)
		}
	}
}

// TestFsync: what a Redis that has WAITAOF says of it. The one here has not, so the wire answers.
func TestFsync(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	wantSetting(t, tryOpen(t, Config{Addrs: []string{server.Addr}, Fsync: true}), "durability.fsync")

	w := newWire(t, server.Addr)
	w.on("info", func([]string) step {
		info, err := server.Info()
		if err != nil {
			return step{does: cuts}
		}
		info["redis_version"] = "7.2.0"
		for i := range 2 {
			info[fmt.Sprint("slave", i)] = "ip=127.0.0.1,port=1,state=online,offset=1,lag=0"
		}
		text := ""
		for name, value := range info {
			text += name + ":" + value + "\r\n"
		}
		return step{does: says, reply: fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)}
	})
	var asked []string
	answer := "*2\r\n:1\r\n:2\r\n"
	w.on("waitaof", func(args []string) step {
		asked = args
		return step{does: says, reply: answer}
	})
	c := Config{Addrs: []string{w.addr}, Fsync: true, Replicas: 2, Timeout: testTimeout, CallTimeout: testCallTimeout}
	s := newStore(t, openTest(t, c))
	n := 0
	write := func() error {
		n++
		_, err := s.PutRevocation(t.Context(), revocation(fmt.Sprint(n), inTwoHours()), testEntry("x"))
		return err
	}
	if err := write(); err != nil {
		t.Errorf("on three disks: %v", err)
	}
	if want := []string{"waitaof", "1", "2", "200"}; !slices.Equal(lower(asked), want) {
		t.Errorf("Redis was asked %q, want %q", asked, want)
	}
	for name, said := range map[string]string{
		"not on the own disk":  "*2\r\n:0\r\n:2\r\n",
		"on one other disk":    "*2\r\n:1\r\n:1\r\n",
		"no AOF any more":      "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n",
		"it became a replica":  "-ERR WAITAOF cannot be used with replica instances.\r\n",
		"one number":           ":3\r\n",
		"a word":               "+OK\r\n",
		"nothing":              "*0\r\n",
		"null":                 "_\r\n",
		"numbers that are not": "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
	} {
		answer = said
		if err := write(); !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("%s: got error %v, want ErrUnconfirmed", name, err)
		}
	}
	w.on("waitaof", always(swallows))
	within(t, c, func() {
		if err := write(); !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("no answer: got error %v, want ErrUnconfirmed", err)
		}
	})
	w.on("waitaof", always(cuts))
	if err := write(); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("the connection is lost: got error %v, want ErrUnconfirmed", err)
	}
	all, err := s.ListRevocations(t.Context(), "", 100)
	if err != nil || len(all) != n {
		t.Errorf("%d of %d writes are there: %v", len(all), n, err)
	}
}

func lower(all []string) (out []string) {
	for _, s := range all {
		out = append(out, strings.ToLower(s))
	}
	return out
}

// TestTimeout_TooShort: Redis takes a time-out of 0 for no time-out.
func TestTimeout_TooShort(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	s := newStore(t, openTest(t, Config{Addrs: []string{primary.Addr}, Timeout: time.Microsecond, CallTimeout: testCallTimeout, Replicas: 1}))
	replica.Kill()
	if _, err := s.PutRevocation(t.Context(), revocation("x", inTwoHours()), testEntry("x")); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("got error %v, want ErrUnconfirmed", err)
	}
	if info, err := primary.Info(); err != nil || info["blocked_clients"] != "0" {
		t.Errorf("%s clients wait in Redis for ever: %v", info["blocked_clients"], err)
	}
}

// TestConfirm_Writes: from Redis 7.2 on WAIT speaks of the last write of its own connection, and of none if that has
// written nothing. So who waits for what another connection wrote, writes something, too.
func TestConfirm_Writes(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	redistest.StartReplica(t, primary)
	s := newStore(t, openTest(t, Config{Addrs: []string{primary.Addr}, Replicas: 1, Timeout: 5 * time.Second}))
	fill(t, s)
	before := dump(t, primary.Client())
	written := func() int {
		info, err := primary.Info()
		must(t, err)
		n, err := strconv.Atoi(info["rdb_changes_since_last_save"])
		must(t, err)
		return n
	}
	for name, does := range map[string]func() error{
		"Confirm": func() error { return s.Confirm(t.Context()) },
		"PutInstallation": func() error {
			_, err := s.db.PutInstallation(t.Context(), keys.Installation{Format: keys.InstallationFormat}, testEntry("i"))
			return err
		},
		"ReplaceInstallation": func() error { // done before
			return s.db.ReplaceInstallation(t.Context(), storetest.Rewrapped(filledInstallation(), "k-2"), filledInstallation(), testEntry("i"))
		},
	} {
		was := written()
		must(t, does())
		if written() == was {
			t.Errorf("%s writes nothing", name)
		}
	}
	unchanged(t, primary.Client(), before)
}

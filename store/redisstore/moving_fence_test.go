package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// ISS-7: cursors of SCAN are of one process. A Redis that is restarted while credentials are given out does not leave out any
// without a word.
func TestDump_OverARestart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Args("--appendfsync", "always"))
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	raw := server.Client()
	const n = 20_000
	p := raw.Pipeline()
	for i := range n {
		p.Set(t.Context(), fmt.Sprintf("{test}:credential:x%05d", i), "sealed", 0)
	}
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, restarted := map[string]int{}, false
	must(t, db.Dump(t.Context(), store.KindCredential, func(r store.Stored) error {
		if got[r.Key]++; len(got) == n/2 && !restarted {
			restarted = true
			server.Kill()
			server.Restart()
		}
		return nil
	}))
	if len(got) != n {
		t.Errorf("%d of %d were given out", len(got), n)
	}
	for key, times := range got {
		if times != 1 {
			t.Errorf("%s was given out %d times", key, times)
		}
	}
}

// ISS-7: whether a store is in use is waited for on every replica that is listed, also where other writes wait for none: one of
// them may be the next primary, and would go on with what goes on elsewhere.
func TestMoving_EveryReplicaHasTheMark(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	_, behind := redistest.StartReplica(t, server), redistest.StartReplica(t, server)
	db := openTest(t, Config{Addrs: []string{server.Addr}})
	must(t, db.CloseFor(t.Context(), "E1"))
	mark := func() string { return behind.Client().Get(t.Context(), db.names.of(nameEpoch)).Val() }
	if got := mark(); !strings.HasSuffix(got, ".closed.E1") {
		t.Errorf("closed, and a replica has %q", got)
	}
	behind.Pause()
	if first, err := db.Claim(t.Context(), "E1", "new"); first || !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("claimed while a replica hears nothing: got %v, %v, want ErrUnconfirmed", first, err)
	}
	behind.Resume()
	if first, err := db.Claim(t.Context(), "E1", "new"); !first || err != nil {
		t.Errorf("claimed again: got %v, %v", first, err)
	}
	if got := mark(); !strings.HasSuffix(got, ".moved.E1.new") {
		t.Errorf("claimed, and a replica has %q", got)
	}
}

// Who may not wait is told so before anything is closed.
func TestMoving_MayNotWait(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.ACL("marque", "on >secret ~* +@all -wait"))
	redistest.StartReplica(t, server)
	db := openTest(t, Config{Addrs: []string{server.Addr}, Username: "marque", Password: "secret"})
	var config *ConfigError
	if err := db.CloseFor(t.Context(), "E1"); !errors.As(err, &config) || !strings.Contains(err.Error(), "wait") {
		t.Errorf("got error %v, want a *ConfigError about wait", err)
	}
	if s, err := db.state(t.Context()); err != nil || !s.InUse() {
		t.Errorf("it was closed: %v, %v", s, err)
	}
}

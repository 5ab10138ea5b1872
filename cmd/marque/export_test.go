//go:build linux || darwin

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
	"github.com/marque-auth/marque/store/redistest"
)

// ISS-7: a final export that cannot be written closes nothing: here the user of Redis may not look for
// credentials.
func TestExport_RehearsesBeforeItCloses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	redis := redistest.Start(t)
	m := filled(t, 5)
	dir := filepath.Dir(m.dir)
	config, file := filepath.Join(dir, "redis.yaml"), filepath.Join(dir, "again")
	if err := os.WriteFile(config, []byte("store: {driver: redis}\nredis: {addrs: ['"+redis.Addr+"']}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.run(t, "export", filepath.Join(dir, "export"), "--data", m.dir)
	imported, said := m.command(t.Context(), "import", filepath.Join(dir, "export"), "--config", config)
	if err := imported.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	may := func(rule string) {
		if err := redis.Client().Do(t.Context(), "ACL", "SETUSER", "default", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	may("-scan")
	cmd, out := m.command(t.Context(), "export", file, "--final", "--config", config)
	if err := cmd.Run(); err == nil || !bytes.Contains(out.Bytes(), []byte("nothing was exported, and the store is as it was")) {
		t.Errorf("%v\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*again*")); len(left) > 0 {
		t.Errorf("it has left %q", left)
	}
	may("+scan")
	exported, said := m.command(t.Context(), "export", file, "--config", config)
	if err := exported.Run(); err != nil || bytes.Contains(said.Bytes(), []byte("was closed before")) {
		t.Fatalf("%v\n%s", err, said)
	}
	read, err := os.ReadFile(file)
	if err != nil || bytes.Contains(read, []byte(`"final":true`)) {
		t.Fatalf("%v", err)
	}
}

// A final export is one only while the store is closed for it, to the end of writing.
func TestExport_StillClosed(t *testing.T) {
	t.Parallel()
	m := filled(t, 1)
	db := &boltDatabase{DB: openBolt(t, m.dir)}
	defer db.Close()
	ctx := t.Context()
	for _, step := range []struct {
		does func() error
		want error
	}{
		{func() error { return nil }, errReopened},
		{func() error { return db.CloseFor(ctx, "mine") }, nil},
		{func() error { return db.CloseFor(ctx, "others") }, errReopened},
		{func() error { return db.Reopen(ctx) }, errReopened},
		{func() error { return db.CloseFor(ctx, "mine") }, nil},
		{func() error { _, err := db.Claim(ctx, "mine", "there"); return err }, errReopened},
	} {
		if err := step.does(); err != nil {
			t.Fatal(err)
		}
		if err := stillClosed(ctx, db, "mine"); err != step.want {
			t.Errorf("got error %v, want %v", err, step.want)
		}
	}
}

// An export is not dated before the newest thing in it, whatever the clock says.
func TestExport_MadeAt(t *testing.T) {
	t.Parallel()
	m := filled(t, 1)
	old := openBolt(t, m.dir)
	in, err := old.Installation(t.Context())
	_ = old.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		db := &boltDatabase{DB: openBolt(t, t.TempDir())}
		defer db.Close()
		newest := time.Now().Add(ahead).UTC().Truncate(time.Second)
		e := audit.Origin{Actor: thisUser()}.Done(newest, "test.fill", "everything")
		if err := db.Complete(t.Context(), "filling", 0, []store.Stored(nil), 0, in, e); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		at, err := madeAt(t.Context(), db)
		if err != nil || at.Before(before) || ahead > 0 && !at.Equal(newest) {
			t.Errorf("newest %v: dated %v, %v", newest, at, err)
		}
	}
}

// Everything is revoked only after it was asked: an import that was to be complete, and finds its source changed, ends.
func TestImport_HoldsToWhatWasForeseen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		foreseen moving.Unproven
		first    bool
		err      error
		want     error
	}{
		"as foreseen":              {"", true, nil, nil},
		"reopened":                 {"", false, store.ErrNotClosed, errUnforeseen},
		"taken over":               {"", false, nil, errUnforeseen},
		"revocation was announced": {moving.Claimed, false, nil, nil},
	} {
		i := &importing{foreseen: c.foreseen}
		target := moving.Target{Claim: func(context.Context, string) (bool, error) { return c.first, c.err }}
		i.holdToForeseen(&target)
		first, err := target.Claim(t.Context(), "export")
		if !errors.Is(err, c.want) || first != c.first {
			t.Errorf("%s: %v, %v", name, first, err)
		}
	}
}

// What an export leaves that was killed is a copy of everything: the next one to that name takes it away, and leaves alone
// what another one writes.
func TestDraft_RemovesWhatWasLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "export")
	running, err := newDraft(path)
	if err != nil {
		t.Fatal(err)
	}
	defer running.discard()
	left, link := filepath.Join(dir, ".export.1.marque.part"), filepath.Join(dir, ".export.2.marque.part")
	others := filepath.Join(dir, ".export.x.3.marque.part")
	for _, name := range []string{left, others} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(others, link); err != nil {
		t.Fatal(err)
	}
	next, err := newDraft(path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.discard()
	for name, want := range map[string]bool{left: false, others: true, link: true, running.Name(): true, next.Name(): true} {
		if _, err := os.Lstat(name); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", filepath.Base(name), err == nil, want)
		}
	}
}

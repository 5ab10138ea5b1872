//go:build linux || darwin

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
	"github.com/marque-auth/marque/store/moving"
	"github.com/marque-auth/marque/store/redisstore"
	"github.com/marque-auth/marque/store/redistest"
)

// mover is a place that things are moved from, or to.
type mover struct {
	dir string
	kek string // file
}

// filled is a data folder with an installation that has many clients, and its key file. Nobody registers them one by
// one: that would take longer than everything else.
func filled(t *testing.T, clients int) mover {
	t.Helper()
	dir := t.TempDir()
	m := mover{dir: filepath.Join(dir, "old"), kek: filepath.Join(dir, "kek")}
	kek, err := keys.WriteKEKFile(m.kek)
	if err != nil {
		t.Fatal(err)
	}
	made, err := boltstore.OpenDB(boltstore.Config{Path: filepath.Join(dir, "made"), Namespace: "marque"})
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	now := time.Now()
	by := audit.Origin{Actor: thisUser()}
	in, secrets, err := keys.Found(t.Context(), made, kek, "https://auth.example", false, now, by)
	if err != nil {
		t.Fatal(err)
	}
	env, err := store.NewEnvelope(secrets.RecordKey, "marque")
	if err != nil {
		t.Fatal(err)
	}
	db := openBolt(t, m.dir)
	defer db.Close()
	var batch []store.Stored
	done := 0
	put := func(kind store.Kind, key string, sealed []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, store.Stored{Kind: kind, Key: key, Octets: sealed})
	}
	for i := range clients {
		c := manyClient(i)
		sealed, err := env.SealClient(c)
		put(store.KindClient, string(c.ID), sealed, err)
		sealed, err = env.SealOwner(c.Credentials[0].ID, c.ID)
		put(store.KindCredential, string(c.Credentials[0].ID), sealed, err)
		if len(batch) >= 1000 {
			if err := db.Restore(t.Context(), "filling", done, batch); err != nil {
				t.Fatal(err)
			}
			done, batch = done+len(batch), nil
		}
	}
	if err := db.Complete(t.Context(), "filling", done, batch, 0, in, by.Done(now, "test.fill", "everything")); err != nil {
		t.Fatal(err)
	}
	return m
}

func manyClient(i int) authz.Client {
	id := fmt.Sprintf("client-%07d", i*7919%10_000_000)
	scopes, _ := authz.ParseScope("orders:read orders:write")
	return authz.Client{
		ID: authz.ClientID(id), Name: "Partner " + id, AuthMethod: authz.AuthSecretBasic, GrantTypes: []string{authz.GrantClientCredentials},
		Scopes: scopes, Resources: []authz.ResourceID{"https://a.example"}, TokenLifetime: time.Minute,
		Credentials: []authz.Credential{{ID: authz.CredentialID("c" + id), Scheme: authz.SchemeHMAC, Digest: bytes.Repeat([]byte{7}, 32), CreatedAt: time.Unix(1, 0)}},
		CreatedAt:   time.Unix(1, 0), UpdatedAt: time.Unix(1, 0), Version: 1,
	}
}

// openBolt opens the store in a data folder, to move it.
func openBolt(t *testing.T, dir string) *boltstore.DB {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := boltstore.OpenDB(boltstore.Config{Path: filepath.Join(dir, databaseName), Namespace: "marque", Moving: true})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// digest is everything that a place holds.
func digest(t *testing.T, db store.Mover) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, kind := range store.MovedKinds() {
		if err := db.Dump(t.Context(), kind, func(s store.Stored) error {
			all[string(kind)+":"+s.Key] = string(s.Octets)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// digestBolt is digest of a data folder.
func digestBolt(t *testing.T, dir string) map[string]string {
	t.Helper()
	db := openBolt(t, dir)
	defer db.Close()
	return digest(t, db)
}

// command is marque in a process of its own.
func (m mover) command(ctx context.Context, args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(ctx, "marque", append(args, "--kek-file", m.kek)...)
	cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(m.dir))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

func (m mover) run(t *testing.T, args ...string) importedJSON {
	t.Helper()
	cmd, out := m.command(t.Context(), append(args, "--json")...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("marque %v: %v\n%s", args, err, out)
	}
	var said importedJSON
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatalf("marque %v: %v\n%s", args, err, out)
	}
	return said
}

// An import that is killed, wherever it is, is no installation; run again, it goes on, ends as if nothing had happened, and
// stays complete.
func TestKill9OfImport(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	const clients = 2500
	t.Run("embedded store", func(t *testing.T) {
		t.Parallel()
		m := filled(t, clients)
		to := filepath.Join(filepath.Dir(m.dir), "new")
		written := func() string {
			info, err := os.Stat(filepath.Join(to, databaseName))
			if err != nil {
				return ""
			}
			return info.ModTime().String()
		}
		killImport(t, m, []string{"--data", to}, written, func() map[string]string { return digestBolt(t, to) })
	})
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		redis := redistest.Start(t)
		m := filled(t, clients)
		config := filepath.Join(filepath.Dir(m.dir), "redis.yaml")
		if err := os.WriteFile(config, []byte("store: {driver: redis}\nredis: {addrs: ['"+redis.Addr+"']}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		client := redis.Client()
		written := func() string { return client.DBSize(t.Context()).String() }
		killImport(t, m, []string{"--config", config}, written, func() map[string]string {
			db, err := redisstore.OpenDB(t.Context(), redisstore.Config{Addrs: []string{redis.Addr}, Namespace: "marque", MustExist: true})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			return digest(t, db)
		})
	})
}

// killImport kills an import when its target has been written to a few times, which written tells by another answer than
// before, until one ends.
func killImport(t *testing.T, m mover, place []string, written func() string, found func() map[string]string) {
	file := filepath.Join(filepath.Dir(m.dir), "export")
	want := digestBolt(t, m.dir)
	m.run(t, "export", file, "--final", "--data", m.dir)
	kills, resumed := 0, 0
	for {
		cmd, out := m.command(t.Context(), append([]string{"import", file, "--source", m.dir, "--json"}, place...)...)
		var answer bytes.Buffer
		cmd.Stdout = &answer
		before := written()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended, stop := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() {
			for left := 1 + kills%3; left > 0 && ended.Err() == nil; idle(ended, time.Millisecond) {
				if now := written(); now != before {
					before = now
					left--
				}
			}
			_ = cmd.Process.Kill()
		})
		err := cmd.Wait()
		stop()
		watching.Wait()
		if err == nil {
			var said importedJSON
			if err := json.Unmarshal(answer.Bytes(), &said); err != nil || !said.Complete {
				t.Errorf("%v\n%s%s", err, &answer, out)
			}
			resumed = said.Resumed
			break
		}
		if cmd.ProcessState.ExitCode() == exitFailed && bytes.Contains(out.Bytes(), []byte("holds this installation already")) {
			resumed = len(want)
			break // the one before was killed behind its last commit
		}
		if cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("it ended by itself: %v\n%s", err, out)
		}
		kills++
	}
	got := found()
	for key, octets := range want {
		if got[key] != octets {
			t.Errorf("%s is not what it was", key)
		}
	}
	if len(got) != len(want)+2 { // the audit entries of the export and of the import
		t.Errorf("%d records, want %d", len(got), len(want)+2)
	}
	if kills < 2 || resumed == 0 {
		t.Errorf("killed %d times, and %d records of %d were there when the last run began: too few to prove anything", kills, resumed, len(want))
	}
	t.Logf("killed %d times; the last run found %d records of %d", kills, resumed, len(want))
}

// What was revoked in the new place does not come to life when the export is imported once more: that voids
// everything.
func TestImport_AnOldExportIsVoid(t *testing.T) {
	t.Parallel()
	m := filled(t, 10)
	file := filepath.Join(filepath.Dir(m.dir), "export")
	m.run(t, "export", file, "--final", "--data", m.dir)
	began := time.Now()
	for i, want := range []moving.Unproven{"", moving.Claimed, moving.Claimed} {
		to := filepath.Join(filepath.Dir(m.dir), fmt.Sprint("new", i))
		said := m.run(t, "import", file, "--source", m.dir, "--data", to)
		if said.Complete != (want == "") || said.Unproven != want {
			t.Errorf("import %d: %+v, want %q", i, said, want)
		}
		all := token.Subject{Kind: token.RevokedAll}.String()
		if _, there := digestBolt(t, to)["revocation:"+all]; there == said.Complete {
			t.Errorf("import %d: everything is revoked: %v", i, there)
		}
		if !said.Complete && said.RevokedBefore.Before(began.Add(authz.MaxSkew)) {
			t.Errorf("import %d: only until %v", i, said.RevokedBefore)
		}
	}
}

// An import that was killed when it had completed, and had not told the source, tells it when it is run again: or else a
// snapshot from before could be completed once more.
func TestImport_SettlesLater(t *testing.T) {
	t.Parallel()
	m := filled(t, 10)
	file, to := filepath.Join(filepath.Dir(m.dir), "export"), filepath.Join(filepath.Dir(m.dir), "new")
	m.run(t, "export", file, "--final", "--data", m.dir)
	untold := filepath.Join(filepath.Dir(m.dir), "untold") // the source as it is while the import works
	if err := os.CopyFS(untold, os.DirFS(m.dir)); err != nil {
		t.Fatal(err)
	}
	said := m.run(t, "import", file, "--source", m.dir, "--data", to)
	if !said.Complete || said.Unsettled != "" {
		t.Fatalf("%+v", said)
	}
	db := openBolt(t, to)
	place := moving.Place(db.Epoch(), "marque")
	_ = db.Close()
	claim := func(dir string) error {
		db := openBolt(t, dir)
		defer db.Close()
		_, err := db.Claim(t.Context(), said.ExportID, place)
		return err
	}
	if err := claim(untold); err != nil {
		t.Fatal(err)
	}
	cmd, out := m.command(t.Context(), "import", file, "--source", untold, "--data", to)
	if err := cmd.Run(); err == nil || !bytes.Contains(out.Bytes(), []byte("holds this installation already")) {
		t.Errorf("run again: %v\n%s", err, out)
	}
	for _, dir := range []string{m.dir, untold} {
		if err := claim(dir); !errors.Is(err, store.ErrSettled) {
			t.Errorf("claimed again in %s: got error %v, want ErrSettled", filepath.Base(dir), err)
		}
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	m := &meter{what: "Checking:", total: 200}
	if got, want := m.text(moving.Progress{Records: 300, Octets: 50}, 2*time.Second), "Checking: [#####...............]  25% 300 records, 150/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m = &meter{what: "Exporting:"}
	if got, want := m.text(moving.Progress{Records: 300, Octets: 50}, 2*time.Second), "Exporting: 300 records, 150/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m.show(moving.Progress{}) // nobody looks
	m.end()
}

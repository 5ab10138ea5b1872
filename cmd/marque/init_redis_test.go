package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store/redistest"
)

// inits runs marque init in n processes at once, each with a folder of its own, and returns their exit codes
// and what they said.
func inits(t *testing.T, n int, redis string, kek func(i int) string) (codes []int, said []string) {
	t.Helper()
	dir := t.TempDir()
	codes, said = make([]int, n), make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			c := exec.CommandContext(t.Context(), "marque", "init", "--issuer", "https://as.example", "--kek-file", kek(i), "--data", filepath.Join(dir, fmt.Sprint(i)))
			c.Env = append(os.Environ(), "HOME="+dir, "MARQUE_STORE_DRIVER=redis", "MARQUE_REDIS_ADDRS="+redis)
			out, err := c.CombinedOutput()
			said[i] = string(out)
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				codes[i] = exit.ExitCode()
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return codes, said
}

// TestInit_AtOnceWithOneKey: five machines that share the key's file make one installation, and all of them
// are content.
func TestInit_AtOnceWithOneKey(t *testing.T) {
	redis := redistest.Start(t)
	kek := filepath.Join(t.TempDir(), "kek")
	codes, said := inits(t, 5, redis.Addr, func(int) string { return kek })
	made, found := 0, 0
	for i := range codes {
		switch {
		case codes[i] != exitDone:
			t.Errorf("exit code %d: %s", codes[i], said[i])
		case strings.Contains(said[i], "Made the installation of https://as.example in redis "+redis.Addr+", namespace marque."):
			made++
		case strings.Contains(said[i], "redis "+redis.Addr+", namespace marque already is the installation of https://as.example; nothing has changed."):
			found++
		}
	}
	if made != 1 || found != 4 {
		t.Errorf("%d made it and %d found it: %q", made, found, said)
	}
}

// slower is a store in which another init is always faster.
type slower struct {
	keys.Genesis
	other func()
	asked int
}

func (s *slower) Installation(ctx context.Context) (keys.Installation, error) {
	if s.asked++; s.asked <= 2 {
		return keys.Installation{}, keys.ErrNotFound
	}
	return s.Genesis.Installation(ctx)
}

func (s *slower) PutInstallation(ctx context.Context, in keys.Installation, e audit.Entry) (keys.Installation, error) {
	s.other()
	return s.Genesis.PutInstallation(ctx, in, e)
}

// TestInit_Slower: the key that was made for nothing does not stay, and the message says where to get the
// right one.
func TestInit_Slower(t *testing.T) {
	c := nodeConfig(t, redistest.Start(t).Addr)
	b := newBackend(c)
	db, err := b.open(t.Context(), opening{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	dir := t.TempDir()
	theirs, ours := c, c
	theirs.Keys.KEKFile, ours.Keys.KEKFile = filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	var out strings.Builder
	a := &app{stdout: &out, stderr: &out}
	late := &slower{Genesis: db, other: func() {
		if err := a.found(t.Context(), db, b.place(), theirs, "serve"); err != nil {
			t.Error(err)
		}
	}}
	err = a.found(t.Context(), late, b.place(), ours, "serve")
	if err == nil || !strings.Contains(err.Error(), "another init was faster") || !strings.Contains(err.Error(), "copy that one to "+ours.Keys.KEKFile) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(ours.Keys.KEKFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key that seals nothing: %v", err)
	}
	if _, err := os.Lstat(theirs.Keys.KEKFile); err != nil {
		t.Errorf("the key that seals everything: %v", err)
	}
	if text := out.String(); strings.Count(text, "Made the installation") != 1 {
		t.Errorf("said %q", text)
	}
}

// TestInit_AtOnceWithKeysOfTheirOwn: one of five keys seals the installation. Those who lost are told, and
// keep no key that seals nothing.
func TestInit_AtOnceWithKeysOfTheirOwn(t *testing.T) {
	redis := redistest.Start(t)
	dir := t.TempDir()
	kek := func(i int) string { return filepath.Join(dir, fmt.Sprint("kek", i)) }
	codes, said := inits(t, 5, redis.Addr, kek)
	winner := -1
	for i := range codes {
		_, err := os.Lstat(kek(i))
		switch there := !errors.Is(err, fs.ErrNotExist); {
		case codes[i] == exitDone && winner < 0 && there:
			winner = i
		case codes[i] != exitFailed || there || !strings.Contains(said[i], "key-encryption key"):
			t.Errorf("%d: exit code %d, key there: %v, said: %s", i, codes[i], there, said[i])
		}
	}
	if winner < 0 {
		t.Fatalf("nobody made it: %q", said)
	}
	t.Logf("a loser is told: %s", said[(winner+1)%5])
	codes, said = inits(t, 1, redis.Addr, func(int) string { return kek(winner) })
	if codes[0] != exitDone || !strings.Contains(said[0], "nothing has changed") {
		t.Errorf("the winner's key does not open it: %q", said)
	}
}

package main

import (
	"errors"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/marque-auth/marque/store/disktest"
)

// TestFault_FullDiskOfTheEmbeddedStore: others fill the disk and make room again. Tokens and introspection go on, changes
// are 503, the server says why, and goes on by itself. It starts on a full disk, too.
func TestFault_FullDiskOfTheEmbeddedStore(t *testing.T) {
	if !disktest.AloneWithMounts(t) {
		return
	}
	disk := disktest.NewDisk(t, 8<<10)
	embeddedTrouble(t, filepath.Join(disk.Folder, "d"), disk.Fill, disk.Free)
}

// TestFault_TheEmbeddedStoreCannotBeWritten: its file takes no write, of any kind, and then it does again.
func TestFault_TheEmbeddedStoreCannotBeWritten(t *testing.T) {
	if !disktest.Alone(t) {
		return
	}
	embeddedTrouble(t, filepath.Join(t.TempDir(), "d"), func() { disktest.LimitFiles(t, 0) }, func() { disktest.LimitFiles(t, math.MaxUint64) })
}

func embeddedTrouble(t *testing.T, folder string, begin, end func()) {
	c := devConfig(t)
	c.Data, c.Issuer = folder, "http://127.0.0.1:1"
	s := startTest(t, c, options{withoutSample: true})
	waitReady(t, s)
	w := newWorld(t, nodeOf(t, s))
	w.begin(t)
	for range faultTimes(1, 20) {
		w.settle(t)
		begun := w.history.now()
		begin()
		waitFor(t, func() bool {
			time.Sleep(time.Millisecond)
			_, ok := hasReason(s, reasonNoWrites)
			return ok
		})
		time.Sleep(time.Duration(faultTimes(500, 10_000)) * time.Millisecond)
		if err := s.ready(t.Context()); err != nil {
			t.Error(err)
		}
		ended := w.history.now()
		end()
		took := w.settle(t)
		t.Logf("for %v: %s; changes are acknowledged %v after its end", (ended - begun).Round(time.Millisecond), w.history.between(begun, ended), took.Round(time.Millisecond))
		if why, ok := hasReason(s, reasonNoWrites); ok {
			t.Errorf("afterwards: %s", why)
		}
	}
	w.end()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begin() // and then it is started
	again := startTest(t, c, options{withoutSample: true})
	waitReady(t, again)
	w.nodes = []*faultNode{nodeOf(t, again)}
	if status, body := w.post(w.nodes[0], "/oauth2/token", w.known.form("grant_type", "client_credentials")); accessToken(status, body) == "" {
		t.Errorf("a server that was started then: %d, %s", status, body)
	}
	end()
	w.conclude(t, w.nodes[0])
	for _, kind := range []string{"token", "introspection"} {
		if n, first := w.failures(kind); n > 0 {
			t.Errorf("%d requests (%s) failed, the first at %s", n, kind, first)
		}
	}
}

// TestFault_AStepOfKeysIsDueOnAFullDisk: a server starts with the keys that it has although it can store no change of them, says
// so, and catches up as soon as it can. Without a key to sign with there is nothing to start for.
func TestFault_AStepOfKeysIsDueOnAFullDisk(t *testing.T) {
	if !disktest.Alone(t) {
		return
	}
	c := devConfig(t)
	c.Data, c.Issuer = filepath.Join(t.TempDir(), "d"), "http://127.0.0.1:1"
	s := startTest(t, c, options{})
	before := activeKey(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	later := options{now: func() time.Time { return time.Now().Add(31 * 24 * time.Hour) }} // the next key takes over
	disktest.LimitFiles(t, 0)
	other := c
	other.Keys.Algorithm = string(labRing)
	if _, err := start(t.Context(), other, options{}); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("without a key to sign with: %v", err)
	}
	s = startTest(t, c, later)
	if compact := getSample(t, s); compact == "" || activeKey(t, s) != before {
		t.Errorf("a token %q, signed by %s, want %s", compact, activeKey(t, s), before)
	}
	if _, ok := hasReason(s, reasonNoWrites); !ok {
		t.Errorf("status: %+v", s.status())
	}
	disktest.LimitFiles(t, math.MaxUint64)
	if err := s.ring.Step(t.Context(), s.commonNow()); err != nil {
		t.Error(err)
	}
	if activeKey(t, s) == before {
		t.Error("it has not caught up")
	}
	if _, ok := hasReason(s, reasonNoWrites); ok {
		t.Errorf("status: %+v", s.status())
	}
}

// TestFault_ReadOnlyDisk: a server does not start where it could write nothing, and says so.
func TestFault_ReadOnlyDisk(t *testing.T) {
	if !disktest.AloneWithMounts(t) {
		return
	}
	disk := disktest.NewDisk(t, 8<<10)
	t.Setenv("TMPDIR", disk.Folder)
	l := newLab(t)
	c := devConfig(t)
	c.Data, c.Issuer = filepath.Join(disk.Folder, "d"), "http://127.0.0.1:1"
	if err := startTest(t, c, options{}).Close(); err != nil {
		t.Fatal(err)
	}
	disk.ReadOnly(true)
	_, err := start(t.Context(), c, options{})
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), c.Data) || !strings.Contains(err.Error(), "must be able to write in its data folder") {
		t.Errorf("got error %v, want EROFS with the folder and what to do", err)
	}
	var failed *exec.ExitError
	serve := l.marque(t, "serve", "--data", l.data, "--kek-file", filepath.Join(l.dir, "kek"), "--insecure-http", "--listen", l.listen, "--admin-listen", "")
	out, err := serve.CombinedOutput()
	if !errors.As(err, &failed) || failed.ExitCode() != 1 || !strings.Contains(string(out), l.data) ||
		!strings.Contains(string(out), "read-only file system; the server must be able to write in its data folder") {
		t.Errorf("%v: %s", err, out)
	}
	disk.ReadOnly(false)
	s := startTest(t, c, options{})
	if compact := getSample(t, s); compact == "" {
		t.Error("no token")
	}
	l.end(t, l.start(t))
}

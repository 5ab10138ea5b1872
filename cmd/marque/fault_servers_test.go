//go:build linux || darwin

package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
)

// breaksProcesses begins a test that starts and kills processes. Its short version runs beside others: it mostly waits.
// The long one has the machine for itself, as it measures.
func breaksProcesses(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	if os.Getenv(faultEnv) == "" {
		t.Parallel()
	}
}

// faultServers are servers of this process on one Redis, that configure names, and those that are started afterwards.
type faultServers struct {
	t         *testing.T
	kek       string
	configure func(*configs.Config)
	running   []*server
	log       *logBuffer // of all of them
}

func startFaultServers(t *testing.T, n int, configure func(*configs.Config)) *faultServers {
	t.Helper()
	f := &faultServers{t: t, kek: filepath.Join(t.TempDir(), "kek"), configure: configure, log: &logBuffer{}}
	if _, err := keys.WriteKEKFile(f.kek); err != nil {
		t.Fatal(err)
	}
	for range n {
		f.start()
	}
	return f
}

// start starts one more, which knows nothing but the store, and returns once it is ready.
func (f *faultServers) start() *faultNode {
	f.t.Helper()
	c := nodeConfig(f.t, "")
	c.Keys.KEKFile, c.Admin.Listen = f.kek, ""
	f.configure(&c)
	s := startTest(f.t, c, options{withoutSample: true, log: slog.New(slog.NewTextHandler(f.log, nil))})
	f.running = append(f.running, s)
	eventually(f.t, "the server is ready", func() bool { return s.ready(f.t.Context()) == nil })
	return nodeOf(f.t, s)
}

// eventually waits for what other processes are to bring about, which takes its time on a busy machine.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !condition() {
		if idle(ctx, 5*time.Millisecond); ctx.Err() != nil {
			t.Fatalf("waited for too long: %s", what)
		}
	}
}

// nodes are all that were started.
func (f *faultServers) nodes() (all []*faultNode) {
	for _, s := range f.running {
		all = append(all, nodeOf(f.t, s))
	}
	return all
}

// issuedAlways checks that no token request of the client that every server knows has failed.
func (f *faultServers) issuedAlways(w *world) {
	f.t.Helper()
	if n, first := w.failures("token"); n > 0 {
		f.t.Errorf("%d token requests of a client that is known failed, the first at %s", n, first)
		for line := range strings.Lines(f.log.String()) {
			if strings.Contains(line, "client_id="+w.known.id+" ") {
				f.t.Log(line)
				break
			}
		}
	}
}

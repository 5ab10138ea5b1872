//go:build linux || darwin

package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
)

// faultServers are servers of this process on one Redis, that configure names, and those that are started afterwards.
type faultServers struct {
	t         *testing.T
	kek       string
	configure func(*configs.Config)
	running   []*server
}

func startFaultServers(t *testing.T, n int, configure func(*configs.Config)) *faultServers {
	t.Helper()
	f := &faultServers{t: t, kek: filepath.Join(t.TempDir(), "kek"), configure: configure}
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
	s := startTest(f.t, c, options{withoutSample: true})
	f.running = append(f.running, s)
	waitFor(f.t, func() bool { time.Sleep(time.Millisecond); return s.ready(f.t.Context()) == nil })
	return nodeOf(f.t, s)
}

// nodes are all that were started.
func (f *faultServers) nodes() (all []*faultNode) {
	for _, s := range f.running {
		all = append(all, nodeOf(f.t, s))
	}
	return all
}

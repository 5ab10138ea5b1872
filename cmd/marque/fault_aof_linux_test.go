package main

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store/redistest"
)

// TestFault_FullDiskUnderRedis: Redis can no longer write its append-only file, in the middle of a write. One that syncs
// once a second refuses changes then and goes on by itself; one that syncs always ends, and is started again. Known clients
// get tokens all the time, the servers say why changes are refused, and nothing that was acknowledged is lost.
func TestFault_FullDiskUnderRedis(t *testing.T) {
	t.Parallel()
	for _, fsync := range []string{"everysec", "always"} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t, redistest.Args("--appendfsync", fsync))
			servers := startFaultServers(t, 2, func(c *configs.Config) { c.Redis.Addrs = []string{redis.Addr} })
			w := newWorld(t, servers.nodes()...)
			w.begin(t)
			for range faultTimes(1, 20) {
				w.settle(t)
				begun := w.history.now()
				redis.LimitFiles(fileSize(t, redis.AppendOnlyFile()) + 100)
				if fsync == "always" {
					waitFor(t, func() bool { time.Sleep(time.Millisecond); return !redis.Alive() })
				} else {
					waitFor(t, func() bool {
						time.Sleep(time.Millisecond)
						a, oka := hasReason(servers.running[0], reasonNoWrites)
						b, okb := hasReason(servers.running[1], reasonNoWrites)
						return oka && okb && strings.Contains(a+b, "MISCONF")
					})
				}
				time.Sleep(time.Duration(faultTimes(500, 10_000)) * time.Millisecond)
				ended := w.history.now()
				if fsync == "always" {
					redis.Restart()
				} else {
					redis.LimitFiles(math.MaxUint64)
				}
				took := w.settle(t)
				t.Logf("%v: full for %v: %s; all servers acknowledge changes %v after there was room", begun, (ended - begun).Round(time.Millisecond), w.history.between(begun, ended), took.Round(time.Millisecond))
			}
			w.conclude(t, servers.start())
			if n, first := w.failures("token"); n > 0 {
				t.Errorf("%d token requests of a client that is known failed, the first at %s", n, first)
			}
		})
	}
}

func fileSize(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(info.Size())
}

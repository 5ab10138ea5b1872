//go:build linux || darwin

package main

import (
	"cmp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store/redistest"
)

// networkFaults are what happens between servers and their Redis. Those that are not about all servers are about the first.
var networkFaults = []struct {
	name  string
	all   bool
	begin func(*redistest.Proxy)
	again time.Duration // begin is repeated after that; 0: never
}{
	{"latency of 500 ms", true, func(p *redistest.Proxy) { p.Delay(500 * time.Millisecond) }, 0},
	{"requests are lost", false, (*redistest.Proxy).StallRequests, 0},
	{"answers are lost", false, (*redistest.Proxy).StallAnswers, 0},
	{"answers are lost, to all", true, (*redistest.Proxy).StallAnswers, 0},
	{"both are lost", true, (*redistest.Proxy).Stall, 0},
	{"connections are reset", true, (*redistest.Proxy).Reset, 30 * time.Millisecond},
	{"connections are refused", true, (*redistest.Proxy).Cut, 0},
}

// TestFault_Network: the network between two servers and Redis becomes slow, loses one direction or both, and breaks
// connections off, under load. Clients that the servers know get tokens all the time, nothing is acknowledged that is not
// there, everything comes back by itself, and nothing of it stays in memory.
func TestFault_Network(t *testing.T) {
	redistest.Require(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("faults", func(t *testing.T) { // so that everything has ended before goroutines are counted
		redis := redistest.Start(t)
		var proxies []*redistest.Proxy
		servers := startFaultServers(t, 2, func(c *configs.Config) {
			p := redistest.StartProxy(t, redis.Addr)
			proxies = append(proxies, p)
			c.Redis.Addrs = []string{p.Addr()}
		})
		w := newWorld(t, servers.nodes()...)
		before := heap()
		w.begin(t)
		lasts := time.Duration(faultTimes(1_300, 30_000)) * time.Millisecond
		for _, fault := range networkFaults {
			w.settle(t)
			of := proxies[:1]
			if fault.all {
				of = proxies
			}
			begun := w.history.now()
			for w.history.now() < begun+lasts {
				for _, p := range of {
					fault.begin(p)
				}
				time.Sleep(cmp.Or(fault.again, lasts))
			}
			ended := w.history.now()
			for _, p := range of {
				p.Restore()
			}
			took := w.settle(t)
			t.Logf("%s for %v: %s; all servers acknowledge changes %v after its end", fault.name, (ended - begun).Round(time.Millisecond), w.history.between(begun, ended), took.Round(time.Millisecond))
		}
		w.conclude(t, servers.start())
		if n, first := w.failures("token"); n > 0 {
			t.Errorf("%d token requests of a client that is known failed, the first at %s", n, first)
		}
		w.history, w.tokens, w.revoked = newHistory(), nil, nil // what it has noted is no server's
		if after := heap(); after > before+memoryGrows {
			t.Errorf("%d KiB are held, %d before the faults", after>>10, before>>10)
		}
	})
}

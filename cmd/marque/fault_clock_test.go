//go:build linux || darwin

package main

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store/redistest"
)

// wallClock is a machine's clock that somebody sets: time goes by as it does, and only what the wall clock shows is off.
type wallClock struct{ ahead atomic.Int64 } // whole seconds

// Now shows both, as time.Now does. Nothing in package time sets one of them alone.
func (c *wallClock) Now() time.Time {
	t := time.Now()
	const flag, second = 1 << 63, 1 << 30 // of the first word of a time.Time that has both
	if wall := (*uint64)(unsafe.Pointer(&t)); *wall&flag != 0 {
		*wall += uint64(c.ahead.Load()) * second
	}
	return t
}

func TestFault_TheWallClockOfTheseTests(t *testing.T) {
	var c wallClock
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		before := time.Now()
		c.ahead.Store(int64(ahead / time.Second))
		after := c.Now()
		if wall := after.Round(0).Sub(before.Round(0)) - ahead; wall < -time.Second || wall > 10*time.Second {
			t.Errorf("set by %v, the wall clock is off by %v from that", ahead, wall)
		}
		if went := after.Sub(before); went < 0 || went > 10*time.Second {
			t.Errorf("set by %v, %v went by", ahead, went)
		}
		if jump := clockJump(before, after) - ahead; jump.Abs() > time.Second {
			t.Errorf("set by %v, it is seen to jump by %v more", ahead, jump)
		}
	}
}

// TestFault_ClockJump: the clock of one of two servers is set an hour ahead, and an hour back, under load. That one issues
// nothing and judges nothing then, says why, and does nothing to keys; the other one goes on; and both do when it is right.
// Nothing that was acknowledged is lost, and no token that was revoked is good again.
func TestFault_ClockJump(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	servers := startFaultServers(t, 1, func(c *configs.Config) { c.Redis.Addrs = []string{redis.Addr} })
	var clock wallClock
	c := nodeConfig(t, redis.Addr)
	c.Keys.KEKFile, c.Admin.Listen = servers.kek, ""
	off := startTest(t, c, options{withoutSample: true, now: clock.Now})
	waitReady(t, off)
	right, wrong := servers.running[0], nodeOf(t, off)
	w := newWorld(t, nodeOf(t, right), wrong)
	w.begin(t)
	for range faultTimes(1, 10) {
		for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
			w.settle(t)
			begun := w.history.now()
			clock.ahead.Store(int64(ahead / time.Second))
			form, about := w.known.form("grant_type", "client_credentials"), w.api.form("token", w.held().compact)
			end := time.Now().Add(time.Duration(faultTimes(1_000, 20_000)) * time.Millisecond)
			for asked := 0; asked < 20 || time.Now().Before(end); asked++ {
				for path, form := range map[string]map[string][]string{"/oauth2/token": form, "/oauth2/introspect": about, "/oauth2/revoke": about} {
					if status, body := w.post(wrong, path, form); status != 503 {
						t.Fatalf("%v ahead: %s: %d, %s", ahead, path, status, body)
					}
				}
				if _, ok := hasReason(off, reasonClockSkew); !ok || off.ready(t.Context()) == nil {
					t.Fatalf("%v ahead: %+v", ahead, off.status())
				}
				if err := right.ready(t.Context()); err != nil {
					t.Fatalf("the other server: %v", err)
				}
			}
			ended := w.history.now()
			clock.ahead.Store(0)
			took := w.settle(t)
			t.Logf("%v ahead for %v: %s; ready again, and changes acknowledged, after %v", ahead, (ended - begun).Round(time.Millisecond), w.history.between(begun, ended), took.Round(time.Millisecond))
			waitReady(t, off)
		}
	}
	w.conclude(t, servers.start())
}

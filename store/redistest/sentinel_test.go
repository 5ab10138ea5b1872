package redistest_test

import (
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store/redistest"
)

func TestStartSentinel_ReplacesAKilledPrimary(t *testing.T) {
	s := redistest.StartSentinel(t)
	old, replicas := s.Master(), s.Replicas()
	if len(replicas) != 2 || slices.Contains(replicas, old) || len(s.Addrs()) != 3 {
		t.Fatalf("primary %s, %d replicas, %d sentinels", old.Addr, len(replicas), len(s.Addrs()))
	}
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.Addrs()})
	defer func() { _ = c.Close() }()
	set(t, c, "k", "v")
	if n, err := old.Client().Wait(t.Context(), 2, 0).Result(); err != nil || n != 2 {
		t.Fatalf("WAIT: %d replicas, %v", n, err)
	}
	old.Kill()
	next := s.AwaitFailover(old)
	if !slices.Contains(replicas, next) {
		t.Fatalf("the primary is %s now, which was no replica", next.Addr)
	}
	wantValue(t, next.Client(), "k", "v")

	// The old one comes back as a replica, and the next failover works as well.
	old.Restart()
	s.AwaitReady()
	if !slices.Contains(s.Replicas(), old) {
		t.Errorf("%s is not a replica", old.Addr)
	}
	s.Sentinels()[0].Kill()
	next.Kill()
	wantValue(t, s.AwaitFailover(next).Client(), "k", "v")
}

func TestStartSentinel_WithPasswordsAndTLS(t *testing.T) {
	cert, key, ca := redistest.Certificate(t, "127.0.0.1")
	s := redistest.StartSentinel(t,
		redistest.Password("data"), redistest.SentinelACL("default", "on >watch ~* &* +@all"), redistest.TLS(cert, key, ca))
	for _, one := range s.Sentinels() {
		wantError(t, as(t, one, redis.Options{TLSConfig: trusting(t, ca)}).Ping(t.Context()).Err(), "NOAUTH")
	}
	c := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: s.MasterName, SentinelAddrs: s.Addrs(),
		SentinelPassword: "watch", Password: "data", TLSConfig: trusting(t, ca),
	})
	defer func() { _ = c.Close() }()
	set(t, c, "k", "v")
	wantValue(t, s.Master().Client(), "k", "v")
}

// A Sentinel that comes back has its pace, and its place.
func TestStartSentinel_OneComesBack(t *testing.T) {
	s := redistest.StartSentinel(t)
	one := s.Sentinels()[2]
	one.Kill()
	one.Restart()
	s.AwaitReady()
	old := s.Master()
	s.Sentinels()[0].Kill()
	old.Kill()
	s.AwaitFailover(old)
}

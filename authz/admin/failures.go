package admin

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// maxAddresses is for how many addresses failures are counted at a time. Strangers choose them, so the
// number is bounded; one that was forgotten starts anew.
const maxAddresses = 10_000

// failures counts the bad tokens that come from an address, in memory. It is safe for concurrent use.
// Nil counts nothing.
type failures struct {
	limit   rate.Limit
	burst   int
	now     func() time.Time
	mu      sync.Mutex // serialises creation, so that one address has one bucket
	buckets *otter.Cache[netip.Prefix, *rate.Limiter]
}

func newFailures(perMinute int, now func() time.Time) (*failures, error) {
	if perMinute <= 0 {
		return nil, nil
	}
	buckets, err := otter.New(&otter.Options[netip.Prefix, *rate.Limiter]{MaximumSize: maxAddresses})
	if err != nil {
		return nil, fmt.Errorf("admin: failures: %w", err)
	}
	return &failures{limit: rate.Limit(float64(perMinute) / 60), burst: perMinute, now: now, buckets: buckets}, nil
}

// take counts one failure. When there were too many it returns after how long there will not have been.
func (f *failures) take(from netip.Addr) (retryAfter time.Duration, ok bool) {
	if f == nil {
		return 0, true
	}
	now, b := f.now(), f.bucket(network(from))
	if b.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - b.TokensAt(now)
	return time.Duration(missing / float64(f.limit) * float64(time.Second)), false
}

func (f *failures) bucket(key netip.Prefix) *rate.Limiter {
	if b, ok := f.buckets.GetIfPresent(key); ok {
		return b
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, ok := f.buckets.GetIfPresent(key); ok {
		return b
	}
	b := rate.NewLimiter(f.limit, f.burst)
	f.buckets.Set(key, b)
	return b
}

// network returns what counts as one address: of IPv6 the /64, which one host usually owns whole. An
// invalid address gives the zero prefix, one bucket for all.
func network(a netip.Addr) netip.Prefix {
	bits := 32
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

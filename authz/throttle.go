package authz

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// limiters is a bounded set of token buckets that live in memory, one for each key. The bound
// matters: keys come from strangers. A key that was evicted starts with a full bucket. It is safe
// for concurrent use.
type limiters[K comparable] struct {
	limit   rate.Limit
	burst   int
	now     func() time.Time
	mu      sync.Mutex // serialises creation, so that one key has one bucket
	buckets *otter.Cache[K, *rate.Limiter]
}

// newLimiters returns nil, which allows everything, when perSecond is 0.
func newLimiters[K comparable](perSecond float64, burst, size int, now func() time.Time) (*limiters[K], error) {
	if perSecond == 0 {
		return nil, nil
	}
	buckets, err := otter.New(&otter.Options[K, *rate.Limiter]{MaximumSize: size})
	if err != nil {
		return nil, fmt.Errorf("authz: limits: %w", err)
	}
	return &limiters[K]{limit: rate.Limit(perSecond), burst: burst, now: now, buckets: buckets}, nil
}

// take takes one from the bucket of key. When it is empty it returns after how long it is not.
func (l *limiters[K]) take(key K) (retryAfter time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	now := l.now()
	b := l.bucket(key)
	if b.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - b.TokensAt(now)
	return time.Duration(missing / float64(l.limit) * float64(time.Second)), false
}

func (l *limiters[K]) bucket(key K) *rate.Limiter {
	if b, ok := l.buckets.GetIfPresent(key); ok {
		return b
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets.GetIfPresent(key); ok {
		return b
	}
	b := rate.NewLimiter(l.limit, l.burst)
	l.buckets.Set(key, b)
	return b
}

// failureKey is whom the back-off for failed authentications is counted for (TOK-43): a client as
// claimed, at an address. Addresses of IPv6 count by their /64, which one host usually owns whole.
type failureKey struct {
	client  ClientID
	network netip.Prefix
}

func newFailureKey(client ClientID, address netip.Addr) failureKey {
	bits := 32
	if address = address.Unmap(); address.Is6() {
		bits = 64
	}
	network, _ := address.Prefix(bits) // an invalid address gives the zero prefix, one bucket for all
	return failureKey{client, network}
}

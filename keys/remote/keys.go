package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// ErrUnavailable says that the issuer's keys are not known well enough to answer: there are none
// yet, or the last ones are too old, or the one asked for could not be looked up. It is a fault of
// here or there, and says nothing about the token.
var ErrUnavailable = errors.New("remote: keys unavailable")

// Keys holds one issuer's keys. It is safe for concurrent use.
type Keys struct {
	keepFor time.Duration
	now     func() time.Time
	log     *slog.Logger
	onFetch func(Fetch)

	current atomic.Pointer[snapshot] // never nil; replaced by the goroutine that runs run

	// The goroutine of run, and before it Discover, own source.
	source  *source
	release func()
	wake    chan struct{} // capacity 1: a flight waits for the goroutine
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has returned

	mu sync.Mutex // guards what follows
	state
}

// state is what decides whether to fetch. Keys.mu guards it.
type state struct {
	flight      *flight // asked for or under way; nil if none
	lastErr     error   // of the last fetch; nil if it succeeded
	failures    int     // in a row
	nextRefresh time.Time
	nextUnknown time.Time // when a stranger's unknown kid may cause a fetch again
	nextNamed   time.Time // when one that the issuer named may
	missing     missing
	closed      bool
}

// snapshot is a set and its times, immutable. The zero snapshot has no set and is not usable.
type snapshot struct {
	set       *jose.Set
	fetched   time.Time // when it was asked for
	refreshAt time.Time // from then on use causes a refresh
	expires   time.Time // from then on use waits for one, if it can be had
	limit     time.Time // from then on it is not used
}

func newSnapshot(set *jose.Set, at time.Time, fresh, keepFor time.Duration) *snapshot {
	return &snapshot{
		set:       set,
		fetched:   at,
		refreshAt: at.Add(fresh / 4 * 3),
		expires:   at.Add(fresh),
		limit:     at.Add(max(fresh, keepFor)),
	}
}

func (s *snapshot) usable(now time.Time) bool { return s.set != nil && now.Before(s.limit) }

// Discover finds and fetches the keys of c.Issuer, and returns them together with the goroutine that
// keeps them fresh; Close ends it. ctx bounds the first fetch, and nothing after it.
//
// The metadata is asked for in one place only, that of RFC 8414. It fails if the configuration
// cannot work, if the issuer's document is not the issuer's, and, without StartUnready, if there are
// no keys to be had now.
func Discover(ctx context.Context, c Config) (*Keys, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	src, release, err := newSource(c)
	if err != nil {
		return nil, fmt.Errorf("remote: Issuer: %w", err)
	}
	k := &Keys{
		keepFor: c.KeepFor, now: c.Now, log: c.Log.With("issuer", c.Issuer), onFetch: c.OnFetch,
		source: src, release: release,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	k.current.Store(&snapshot{})
	first := k.fetch(ctx, CauseStart)
	if first.Err != nil && (!c.StartUnready || errors.Is(first.Err, ErrDocument)) {
		release()
		return nil, fmt.Errorf("remote: keys of %q: %w", c.Issuer, first.Err)
	}
	k.report(ctx, first)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k.cancel = cancel
	go k.run(life)
	return k, nil
}

// Close stops fetching and waits until that is so. Keys that are held stay usable until their
// limit. Closing again does nothing.
func (k *Keys) Close() {
	k.cancel()
	<-k.done
	k.release()
}

// Status is where the keys stand.
type Status struct {
	Ready       bool      // there are keys, and they are within their limit
	Keys        int       // how many
	Fetched     time.Time // when they were asked for
	Expires     time.Time // until when the issuer lets them be cached
	UsableUntil time.Time // when they fail closed if no fetch succeeds
	Err         error     // of the last fetch; nil if it succeeded
}

// Status reports for readiness checks and metrics. It never waits for a fetch.
func (k *Keys) Status() Status {
	k.mu.Lock()
	err := k.lastErr
	k.mu.Unlock()
	s := k.current.Load()
	st := Status{Ready: s.usable(k.now()), Fetched: s.fetched, Expires: s.expires, UsableUntil: s.limit, Err: err}
	if s.set != nil {
		st.Keys = s.set.Len()
	}
	return st
}

// Key returns the issuer's key that h names. An error that wraps jose.ErrUnknownKey means that the
// issuer has no such key; one that wraps ErrUnavailable, that this cannot be said. In steady state
// it takes no lock and waits for nothing; ctx ends a wait, never a fetch.
func (k *Keys) Key(ctx context.Context, h jose.Header) (*jose.PublicKey, error) {
	return k.key(ctx, h, CauseUnknownKey)
}

// NamedKey is Key for a header that the issuer itself sent, on a connection on which it is known to be the
// issuer. Its kid is no stranger's: it is looked for although strangers have used up their fetches, and
// although it was looked for in vain before it was published. After an emergency revocation, that is what
// tells a new key half a minute earlier. Such kids have a limit of their own, of one fetch in a second.
func (k *Keys) NamedKey(ctx context.Context, h jose.Header) (*jose.PublicKey, error) {
	return k.key(ctx, h, CauseNamedKey)
}

// key is Key; cause is that of a fetch for a kid that is not known.
func (k *Keys) key(ctx context.Context, h jose.Header, cause Cause) (*jose.PublicKey, error) {
	now := k.now()
	s := k.current.Load()
	if !now.Before(s.refreshAt) {
		var err error
		if s, err = k.refreshed(ctx, now); err != nil {
			return nil, err
		}
	}
	key, err := s.set.Find(h)
	if errors.Is(err, jose.ErrUnknownKey) {
		return k.unknown(ctx, h, now, cause)
	}
	return key, err
}

// refreshed returns keys that may be used at now, and sees to it that fresh ones are on their way.
func (k *Keys) refreshed(ctx context.Context, now time.Time) (*snapshot, error) {
	k.mu.Lock()
	s := k.current.Load()
	if now.Before(s.refreshAt) {
		k.mu.Unlock()
		return s, nil
	}
	// While use goes on, the next attempt begins when nextRefresh comes, and is soon over.
	failing := k.lastErr != nil && now.Before(k.nextRefresh.Add(lastRetry))
	f, lastErr := k.flight, k.lastErr
	if f == nil && !now.Before(k.nextRefresh) {
		f = k.start(CauseRefresh)
	}
	k.mu.Unlock()

	// Expired keys are worth a wait only if nobody just failed to replace them: then a withdrawn key
	// stops verifying within the cache life even for a service that slept (RKY-07). While fetches
	// fail, every request would pay for each attempt and gain nothing.
	if s.usable(now) && (now.Before(s.expires) || failing || f == nil) {
		return s, nil
	}
	if f == nil {
		return nil, unavailable(lastErr)
	}
	err := f.wait(ctx)
	if s = k.current.Load(); s.usable(now) {
		return s, nil
	}
	return nil, unavailable(err)
}

// unknown looks for a key that is not in the set: it may have been published since. Strangers choose
// what they name, so all of them together cause one fetch in unknownInterval (RKY-04).
func (k *Keys) unknown(ctx context.Context, h jose.Header, now time.Time, cause Cause) (*jose.PublicKey, error) {
	// The first round may join a fetch that somebody else began before the key was published.
	for range 2 {
		k.mu.Lock()
		if key, err := k.current.Load().find(h); !errors.Is(err, jose.ErrUnknownKey) {
			k.mu.Unlock()
			return key, err
		}
		if cause != CauseNamedKey && k.missing.has(h.KeyID, now) {
			k.mu.Unlock()
			return nil, jose.ErrUnknownKey
		}
		f := k.flight
		ours := f == nil
		if ours && !k.mayLook(cause, now) {
			err := k.lastErr
			k.mu.Unlock()
			if err != nil {
				return nil, unavailable(err)
			}
			return nil, jose.ErrUnknownKey
		}
		if ours {
			f = k.start(cause)
		}
		k.mu.Unlock()

		err := f.wait(ctx)
		if key, findErr := k.current.Load().find(h); !errors.Is(findErr, jose.ErrUnknownKey) {
			return key, findErr
		}
		if err != nil {
			return nil, unavailable(err)
		}
		if ours {
			if cause != CauseNamedKey {
				k.mu.Lock()
				k.missing.add(h.KeyID, now)
				k.mu.Unlock()
			}
			return nil, jose.ErrUnknownKey
		}
	}
	return nil, jose.ErrUnknownKey
}

// mayLook reports whether a fetch for an unknown kid is due, and takes it. The caller holds mu.
func (k *Keys) mayLook(cause Cause, now time.Time) bool {
	next, interval := &k.nextUnknown, unknownInterval
	if cause == CauseNamedKey {
		next, interval = &k.nextNamed, namedInterval
	}
	if now.Before(*next) {
		return false
	}
	*next = now.Add(interval)
	return true
}

func (s *snapshot) find(h jose.Header) (*jose.PublicKey, error) {
	if s.set == nil {
		return nil, jose.ErrUnknownKey
	}
	return s.set.Find(h)
}

// unavailable keeps the cause as text alone: its chain may hold errors of the JOSE kernel about the
// document, which a caller would take for errors about the token.
func unavailable(cause error) error { return fmt.Errorf("%w: %v", ErrUnavailable, cause) }

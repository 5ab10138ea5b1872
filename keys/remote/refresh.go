package remote

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// Time between attempts while they fail: doubled from the first to the second.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

var errClosed = errors.New("closed")

// flight is one fetch that callers wait for. err is set before done is closed.
type flight struct {
	cause Cause
	done  chan struct{}
	err   error
}

// wait returns the fetch's error, or says that ctx ended first.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// start asks for a fetch, and returns it; after Close it has failed already. The caller holds mu and
// has seen that there is none under way.
func (k *Keys) start(cause Cause) *flight {
	f := &flight{cause: cause, done: make(chan struct{})}
	k.flight = f
	if k.closed {
		k.land(errClosed)
	} else {
		k.wake <- struct{}{} // never blocks: one flight, one place
	}
	return f
}

// land ends the flight, if there is one. The caller holds mu; those who wait keep their reference.
func (k *Keys) land(err error) {
	if k.flight != nil {
		k.flight.err = err
		close(k.flight.done)
		k.flight = nil
	}
}

// run fetches whenever it is woken, until ctx ends. Because it is alone, and because the flight
// stays until it has landed, a second fetch at the same time cannot happen.
func (k *Keys) run(ctx context.Context) {
	defer close(k.done)
	for {
		select {
		case <-ctx.Done():
			k.mu.Lock()
			k.closed = true
			k.land(errClosed)
			k.mu.Unlock()
			return
		case <-k.wake:
			k.mu.Lock()
			cause := k.flight.cause
			k.mu.Unlock()
			k.report(ctx, k.fetch(ctx, cause))
		}
	}
}

// fetch makes one attempt, installs what it brought, and lands the flight.
func (k *Keys) fetch(ctx context.Context, cause Cause) Fetch {
	began := k.now() // the keys are at least as old as the question
	k.source.anew = cause == CauseUnknownKey || cause == CauseNamedKey
	set, fresh, err := k.source.keys(ctx)
	ended := k.now()
	report := Fetch{Cause: cause, Err: err, Duration: ended.Sub(began)}

	k.mu.Lock()
	defer k.mu.Unlock()
	k.lastErr = err
	if err != nil {
		k.nextRefresh = ended.Add(retryAfter(k.failures))
		k.failures++
	} else {
		report.Keys, report.Skipped = set.Len(), set.Skipped()
		report.Exposed = set.Exposed()
		report.Changed = changed(k.current.Load().set, set)
		k.current.Store(newSnapshot(set, began, fresh, k.keepFor))
		k.failures, k.nextRefresh = 0, time.Time{}
	}
	k.land(err)
	return report
}

// retryAfter returns how long to wait after so many failures before this one.
func retryAfter(failures int) time.Duration {
	return min(firstRetry<<min(failures, 5), lastRetry)
}

// report tells the operator, by log and hook.
func (k *Keys) report(ctx context.Context, f Fetch) {
	switch {
	case ctx.Err() != nil && f.Err != nil:
		// Closed: nothing that anybody has to look at.
	case f.Err != nil:
		k.log.WarnContext(ctx, "keys not fetched", "cause", string(f.Cause), "err", f.Err)
	default:
		k.log.DebugContext(ctx, "keys fetched", "cause", string(f.Cause), "keys", f.Keys, "skipped", f.Skipped)
	}
	for _, kid := range f.Exposed {
		k.log.ErrorContext(ctx, "the issuer publishes a secret key", "kid", kid)
	}
	// A kid names one key for ever (JWK-04). The issuer's word is taken, but somebody should ask why.
	for _, kid := range f.Changed {
		k.log.ErrorContext(ctx, "key changed under its kid", "kid", kid)
	}
	k.onFetch(f)
}

// changed returns the kids that both sets have and that name other keys in the newer, sorted.
func changed(older, newer *jose.Set) []string {
	if older == nil {
		return nil
	}
	was, is := thumbprints(older), thumbprints(newer)
	var kids []string
	for kid, prints := range is {
		if old, ok := was[kid]; ok && !slices.Equal(old, prints) {
			kids = append(kids, kid)
		}
	}
	slices.Sort(kids)
	return kids
}

func thumbprints(s *jose.Set) map[string][]string {
	m := make(map[string][]string, s.Len())
	for _, k := range s.Keys() {
		m[k.KeyID()] = append(m[k.KeyID()], k.Thumbprint())
	}
	for _, prints := range m {
		slices.Sort(prints)
	}
	return m
}

package verifier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/keys/remote"
)

// feedEndpoint is the member of the issuer's metadata that names the feed. It is not registered: no
// standard has such a feed.
const feedEndpoint = "revocation_feed_endpoint"

// pace is in how much time, by the machine's own clock, things happen that no other clock can wake us for.
type pace struct {
	dial   time.Duration // until the request is on its way
	first  time.Duration // from then to the first event that counts: the issuer may make a snapshot first
	quiet  time.Duration // from one event to the next: three heartbeats
	soon   time.Duration // before a stream is asked for again; doubled with each failure in a row
	late   time.Duration // at most
	excess time.Duration // after MaxRevocations, which the next try will not mend
}

var usualPace = pace{dial: 5 * time.Second, first: 30 * time.Second, quiet: 6 * time.Second, soon: 200 * time.Millisecond, late: 10 * time.Second, excess: time.Minute}

// follower keeps what the issuer's feed says. One goroutine, run, reads the stream and changes what is
// known; whoever asks takes no lock.
type follower struct {
	issuer    string
	feed      Feed // without its Secret
	client    *http.Client
	release   func()
	authorize func(*http.Request) // a closure, so that nothing that can be printed holds the secret
	discover  func(context.Context) (string, error)
	key       func(context.Context, jose.Header) (*jose.PublicKey, error)
	now       func() time.Time
	log       *slog.Logger
	onFeed    func(FeedReport)

	tables    atomic.Pointer[tables]    // never nil
	changed   atomic.Uint64             // counts changes of tables and in them: see token.Index.Generation
	knowledge atomic.Pointer[knowledge] // nil: nothing is known yet
	connected atomic.Bool
	lag       atomic.Int64
	silent    atomic.Bool // as it was told last

	refused, closed, open, asked atomic.Uint64

	mu      sync.Mutex // guards what follows
	lastErr error
	dropped map[FeedCause]uint64

	// What follows is run's, and before it start's.
	endpoint string // empty before it was found
	lost     bool   // it may have moved
	at       position
	covered  time.Time // what the tables hold is at least as new as what the issuer knew then
	needed   time.Time // a server that vouches for as much has all that older tables have
	swept    time.Time
	sweeps   sync.WaitGroup

	cancel  context.CancelFunc // nil before start
	done    chan struct{}      // closed when run has returned
	outcome chan error         // capacity 1: what became of the first stream
}

// position is what was taken last of which run; the zero position is before any.
type position struct {
	run string
	seq uint64
}

// newFollower returns a follower of c.Follow, which has its defaults.
func newFollower(c Config, feed Feed, keys *remote.Keys, now func() time.Time, log *slog.Logger) *follower {
	f := &follower{
		issuer: c.Issuer, key: keys.NamedKey, now: now, log: log.With("issuer", c.Issuer), onFeed: c.OnFeed,
		dropped: map[FeedCause]uint64{}, done: make(chan struct{}), outcome: make(chan error, 1),
	}
	if f.onFeed == nil {
		f.onFeed = func(FeedReport) {}
	}
	f.authorize = basic(feed.ClientID, feed.Secret)
	feed.Secret = ""
	f.feed = feed
	f.tables.Store(&tables{token.NewIndex()})
	f.changed.Store(1)
	f.client, f.release = directClient(c.HTTPClient)
	f.discover = func(ctx context.Context) (string, error) {
		return remote.Endpoint(ctx, remote.Config{Issuer: c.Issuer, InsecureHTTP: c.InsecureHTTP, Client: c.HTTPClient}, feedEndpoint)
	}
	return f
}

// start finds the feed, and follows it until close. Unless it may be unready, it waits until what is revoked
// is known well enough, or the first stream has ended, or gone on for a while, without that.
func (f *follower) start(ctx context.Context, unready bool) error {
	if err := f.find(ctx); err != nil && (!unready || errors.Is(err, remote.ErrDocument)) {
		f.release()
		return err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.cancel = cancel
	go f.run(life)
	if unready {
		return nil
	}
	var err error
	select {
	case err = <-f.outcome:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		f.close()
		return fmt.Errorf("follow the revocations: %w", err)
	}
	return nil
}

// close ends the stream, and waits until all has ended. What is known grows old from now on.
func (f *follower) close() {
	if f.cancel != nil {
		f.cancel()
		<-f.done
	}
	f.release()
}

// run follows one stream after the other until ctx ends.
func (f *follower) run(ctx context.Context) {
	defer close(f.done)
	defer f.sweeps.Wait()
	for failures := 0; ; failures++ {
		s := &stream{f: f, position: f.at}
		err := s.follow(ctx)
		f.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		cause, retryAfter := f.drop(ctx, err)
		failures = s.after(failures)
		wait := time.NewTimer(f.delay(cause, failures, retryAfter))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

// goodBeats is after how many heartbeats a stream counts as one that worked, so that the next failure is the
// first again. A stream that always ends sooner is not asked for five times a second.
const goodBeats = 5

// fewFailures is as how many failures those count that came after a word of the server: when servers are restarted one
// after the other, that is how streams end, and whoever waits for long is behind for as long.
const fewFailures = 3

// after returns as how many failures those before this stream count, now that it has ended.
func (s *stream) after(failures int) int {
	switch {
	case s.beats >= goodBeats:
		return 0
	case s.beats > 0:
		return min(failures, fewFailures)
	}
	return failures
}

// delay returns how long to wait after so many failures before this one. It is drawn, so that a thousand
// services whose server stopped do not come back as one.
func (f *follower) delay(cause FeedCause, failures int, retryAfter time.Duration) time.Duration {
	p := f.feed.pace
	d := min(p.soon<<min(failures, 10), p.late)
	if cause == FeedLimit {
		d = p.excess
	}
	d = max(d, min(retryAfter, p.late))
	return d/2 + rand.N(d/2+1)
}

// drop records why a stream ended.
func (f *follower) drop(ctx context.Context, err error) (cause FeedCause, retryAfter time.Duration) {
	cause = FeedBroken
	if d := (*dropError)(nil); errors.As(err, &d) {
		cause, retryAfter = d.cause, d.retryAfter
	}
	if cause.distrusts() {
		f.at = position{} // begin anew: what is missing, or what was slipped in, is not known
	}
	if cause == FeedTimeout {
		f.release() // a connection that has died silently would be used for the next request
	}
	f.mu.Lock()
	f.lastErr = err
	f.dropped[cause]++
	f.mu.Unlock()
	level := slog.LevelWarn
	switch {
	case cause == FeedEnded:
		level = slog.LevelDebug
	case cause.distrusts(), cause == FeedRefused:
		level = slog.LevelError
	}
	f.log.Log(ctx, level, "revocation feed ended", "cause", string(cause), "err", err)
	f.settle(err)
	f.report(FeedReport{What: FeedDropped, Cause: cause, Err: err})
	return cause, retryAfter
}

// settle tells start what became of the first stream.
func (f *follower) settle(err error) {
	select {
	case f.outcome <- err:
	default:
	}
}

func (f *follower) report(r FeedReport) {
	r.Revocations = f.Len()
	f.onFeed(r)
}

// find looks for the endpoint, if it is not known, or may have moved. While the metadata cannot be had, the last
// one is still the best we know.
func (f *follower) find(ctx context.Context) error {
	if f.endpoint != "" && !f.lost {
		return nil
	}
	endpoint, err := f.discover(ctx)
	switch {
	case err == nil:
		f.endpoint, f.lost = endpoint, false
	case f.endpoint == "":
		return err
	}
	return nil
}

// basic returns what authenticates a request: RFC 6749, Section 2.3.1, encoded as a form is, before Basic joins
// them by a colon.
func basic(clientID string, secret Secret) func(*http.Request) {
	id, password := url.QueryEscape(clientID), url.QueryEscape(string(secret))
	return func(r *http.Request) { r.SetBasicAuth(id, password) }
}

// dropError is why a stream ended. Its text holds nothing that came, but a status.
type dropError struct {
	cause      FeedCause
	err        error
	retryAfter time.Duration
}

func (e *dropError) Error() string { return string(e.cause) + ": " + e.err.Error() }

func (e *dropError) Unwrap() error { return e.err }

func dropped(cause FeedCause, format string, args ...any) error {
	return &dropError{cause: cause, err: fmt.Errorf(format, args...)}
}

// distrusts reports whether something came that was not believed.
func (c FeedCause) distrusts() bool {
	switch c {
	case FeedDiscovery, FeedConnect, FeedRefused, FeedAnswer, FeedEnded, FeedBroken, FeedTimeout:
		return false
	}
	return true
}

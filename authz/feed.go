package authz

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// FeedHeartbeat is how often a feed says that nothing else has happened.
const FeedHeartbeat = 2 * time.Second

// DefaultFeedStreams is how many streams a feed has at once, of all clients.
const DefaultFeedStreams = 2_000

// FeedStreamsPerClient is how many of them one client may have: a service runs as several processes.
const FeedStreamsPerClient = 64

// feedRemembered is for how long a revocation is signed after the last reader was seen: who was cut off, or polls,
// goes on where it was.
const feedRemembered = time.Hour

// FeedConfig is what a Feed needs.
type FeedConfig struct {
	Server *Server      // authenticates callers; its Issuer and Keys sign
	URL    string       // of the feed: the audience of what is sent
	Index  *token.Index // what this process obeys: nothing is sent before it is loaded

	// Revocations lists what is revoked now, without signing keys that are: everything that this process
	// obeys when it is called, and perhaps what comes or goes meanwhile. What it gives after an error is
	// nothing.
	Revocations func(ctx context.Context) iter.Seq2[token.Revocation, error]
	RevokedKeys func() []string // signing keys that are revoked, whatever Revocations says of them

	// Known is up to when every change that was acknowledged is obeyed here; zero while that cannot be said.
	Known func() time.Time

	Algorithm jose.Algorithm // what signs; empty means DefaultAlgorithm
	Streams   int            // at once; see DefaultFeedStreams
	Now       func() time.Time

	// Failed is told when the feed can no longer be signed or read, once until it can again. Optional.
	Failed func(error)
}

func (c FeedConfig) validate() error {
	var errs []error
	need := func(ok bool, field string) {
		if !ok {
			errs = append(errs, fmt.Errorf("authz: FeedConfig.%s is missing or out of range", field))
		}
	}
	need(c.Server != nil, "Server")
	need(c.URL != "", "URL")
	need(c.Index != nil, "Index")
	need(c.Revocations != nil, "Revocations")
	need(c.RevokedKeys != nil, "RevokedKeys")
	need(c.Known != nil, "Known")
	need(c.Algorithm == "" || canonical(c.Algorithm), "Algorithm")
	need(c.Streams > 0, "Streams")
	need(c.Now != nil, "Now")
	return errors.Join(errs...)
}

// Feed is the revocation feed of one process: it tells all who follow it what this process has come to know
// as revoked, in one order, each signed once (SET-01, SET-14). It is safe for concurrent use.
//
// What it sends belongs to a run: a random name and numbers without a gap. When it cannot go on without one,
// because a signing key was revoked, or everything was read anew, or a message could not be signed, a new
// run begins, and whoever follows is sent everything first.
type Feed struct {
	config FeedConfig
	log    *feedLog

	// publishing is held while a message is numbered, signed and added. Nobody holds it while writing to a
	// socket or reading the store.
	publishing sync.Mutex
	failing    bool // under publishing: Failed was told

	streams  slots
	read     atomic.Int64 // Unix nanoseconds: when somebody was last seen who reads, or 0. See followed
	counts   feedCounts
	snapshot snapshots

	closing sync.Once
	closed  chan struct{}
}

// NewFeed returns a Feed. Somebody must call Beat every FeedHeartbeat, and Close in the end.
func NewFeed(c FeedConfig) (*Feed, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Algorithm == "" {
		c.Algorithm = DefaultAlgorithm
	}
	if c.Failed == nil {
		c.Failed = func(error) {}
	}
	f := &Feed{config: c, log: newFeedLog(), closed: make(chan struct{})}
	f.streams.most = c.Streams
	f.snapshot.ctx, f.snapshot.cancel = context.WithCancel(context.Background())
	return f, nil
}

// Publish sends a revocation that was made at that time to all who follow. It is called after Index obeys it, in the order in which
// revocations of one subject came about. It waits for one signature, and for nobody who follows. While nobody does
// it signs nothing, and ends the run: who comes then is sent everything, and this with it.
func (f *Feed) Publish(r token.Revocation, at time.Time) {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	if !f.followed() {
		f.log.renew()
		return
	}
	_, seq := f.log.now()
	set, err := f.sign(token.Event{Kind: token.EventRevoked, Run: f.run(), Seq: seq + 1, At: at, Revocations: []token.Revocation{r}})
	if !f.could(err) {
		return
	}
	f.log.append(set, seq+1, true)
	f.counts.published.Add(1)
}

// seen notes that somebody reads. Who reads is seen before it looks at the log: a Publish that still saw nobody ends
// the run behind it, which the reader notices as it does when a key is revoked.
func (f *Feed) seen() { f.read.Store(f.config.Now().UnixNano()) }

// followed reports whether somebody reads, or may come back and go on.
func (f *Feed) followed() bool {
	last := f.read.Load()
	return f.streams.inUse() > 0 || last != 0 && f.config.Now().UnixNano()-last < int64(feedRemembered)
}

// Renew begins a new run: whoever follows is sent all that is revoked, by what signs now. It is called after
// Index and signer obey that a signing key was revoked (what the log holds may bear its signature), and
// after Index was loaded anew (what came with that was not published).
func (f *Feed) Renew() {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	f.renew()
}

func (f *Feed) renew() {
	f.log.renew()
	f.counts.renewed.Add(1)
}

// Beat tells whoever follows up to when nothing else has happened. Call it every FeedHeartbeat.
func (f *Feed) Beat() {
	f.snapshot.forget(f.config.Now())
	if f.streams.inUse() == 0 {
		return
	}
	known := f.config.Known() // before the number: what is known by then has its number
	f.publishing.Lock()
	defer f.publishing.Unlock()
	_, seq := f.log.now()
	set, err := f.sign(token.Event{Kind: token.EventHeartbeat, Run: f.run(), Seq: seq, AsOf: known})
	if f.could(err) {
		f.log.append(set, seq, false)
		f.counts.beats.Add(1)
	}
}

// Look makes every stream look whether its caller may still follow. It is called after the records of
// clients have changed.
func (f *Feed) Look() { f.log.look() }

// Close ends all streams, and returns once nothing runs any more that belongs to the feed. Who comes
// afterwards is told to come back later.
func (f *Feed) Close() {
	f.closing.Do(func() {
		close(f.closed)
		f.snapshot.close()
	})
}

func (f *Feed) isClosed() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

// run is the name of the present run. The caller holds publishing.
func (f *Feed) run() string {
	p, _ := f.log.now()
	return p.run
}

// could notes whether a message could be made. If not, there would be a gap: a new run begins, and whoever
// follows is sent a snapshot as soon as one can be signed. The caller holds publishing.
func (f *Feed) could(err error) bool {
	if err == nil {
		f.failing = false
		return true
	}
	f.renew()
	if !f.failing {
		f.failing = true
		f.config.Failed(err)
	}
	return false
}

// errFeedKey says that the key that would sign is revoked itself.
var errFeedKey = errors.New("authz: the feed's signing key is revoked")

// sign makes a message of an event, by a key that is not revoked.
func (f *Feed) sign(e token.Event) (string, error) {
	now := f.config.Now()
	signer, err := f.signer(now)
	if err != nil {
		return "", err
	}
	return f.signWith(signer, now, e)
}

// signer returns what signs at now, or an error if that is revoked for good: whoever has the key could say
// what he likes. A key whose tokens until some time are void is still trusted, and signs tokens, too.
func (f *Feed) signer(now time.Time) (*jose.Signer, error) {
	signer, err := f.config.Server.mint.keys.Signer(f.config.Algorithm, now)
	if err != nil {
		return nil, err
	}
	if r, ok := f.config.Index.Revocation(token.Subject{Kind: token.RevokedKey, Value: signer.KeyID()}); ok && r.Before.IsZero() {
		return nil, errFeedKey
	}
	return signer, nil
}

func (f *Feed) signWith(signer *jose.Signer, now time.Time, e token.Event) (string, error) {
	e.Issuer, e.Audience, e.IssuedAt, e.JTI = f.config.Server.mint.issuer, f.config.URL, now, rand.Text()
	payload, err := e.AppendJSON(make([]byte, 0, 768))
	if err != nil {
		return "", err
	}
	return signer.Sign(token.TypeEvent, payload)
}

// unavailable says that there is no feed now, for a reason that is not the caller's.
func (f *Feed) unavailable(client ClientID, err error) error {
	cause := CauseFeedUnavailable
	switch {
	case errors.Is(err, errFeedNotLoaded):
		cause = CauseNotLoaded
	case errors.Is(err, errFeedKey):
		cause = CauseNoSigningKey
	}
	return &UnavailableError{Cause: cause, Client: client, RetryAfter: retryAfter, Err: err}
}

// FeedStats are what a Feed has done since it was made.
type FeedStats struct {
	Streams    int    // open now
	Published  uint64 // revocations that were signed, because somebody followed; each counted once
	Heartbeats uint64
	Sent       uint64 // messages handed to streams, parts of snapshots included
	Snapshots  uint64 // made; several streams may have shared one
	Polled     uint64 // pages handed to those who do not stream
	Runs       uint64 // begun after the first, but for want of somebody who follows
	Ended      map[FeedEnd]uint64
}

// Stats returns them. It does no I/O.
func (f *Feed) Stats() FeedStats {
	s := FeedStats{
		Streams: f.streams.inUse(), Published: f.counts.published.Load(), Heartbeats: f.counts.beats.Load(),
		Sent: f.counts.sent.Load(), Snapshots: f.counts.snapshots.Load(), Runs: f.counts.renewed.Load(), Polled: f.counts.polled.Load(),
		Ended: make(map[FeedEnd]uint64, len(feedEnds)),
	}
	for i, end := range feedEnds {
		s.Ended[end] = f.counts.ended[i].Load()
	}
	return s
}

type feedCounts struct {
	published, beats, sent, snapshots, polled, renewed atomic.Uint64
	ended                                              [len(feedEnds)]atomic.Uint64
}

// FeedEnd says why a stream ended.
type FeedEnd string

// Why streams end.
const (
	FeedEndGone        FeedEnd = "gone"        // the caller hung up
	FeedEndSlow        FeedEnd = "slow"        // the caller reads too slowly
	FeedEndCaller      FeedEnd = "caller"      // the caller may no longer follow, or that cannot be said
	FeedEndAge         FeedEnd = "age"         // it was open for as long as one may be
	FeedEndRenewed     FeedEnd = "renewed"     // a new run began in the middle of a snapshot
	FeedEndUnavailable FeedEnd = "unavailable" // there is no snapshot for a new run
	FeedEndShutdown    FeedEnd = "shutdown"
)

var feedEnds = [...]FeedEnd{FeedEndGone, FeedEndSlow, FeedEndCaller, FeedEndAge, FeedEndRenewed, FeedEndUnavailable, FeedEndShutdown}

// Error implements error: it is what FeedStream.Next ends with.
func (e FeedEnd) Error() string { return "authz: the stream has ended: " + string(e) }

func (c *feedCounts) end(e FeedEnd) {
	if i := slices.Index(feedEnds[:], e); i >= 0 {
		c.ended[i].Add(1)
	}
}

// slots bounds what clients have at a time, each of them and all together. It is safe for concurrent use.
type slots struct {
	most int

	mu    sync.Mutex
	used  int
	perID map[ClientID]int
}

// take takes a place for a client; the error says why there is none.
func (s *slots) take(id ClientID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.perID[id] >= FeedStreamsPerClient:
		return &ThrottledError{Cause: CauseFeedLimited, Client: id, RetryAfter: FeedHeartbeat}
	case s.used >= s.most:
		return &UnavailableError{Cause: CauseFeedFull, Client: id, RetryAfter: FeedHeartbeat}
	}
	if s.perID == nil {
		s.perID = map[ClientID]int{}
	}
	s.used++
	s.perID[id]++
	return nil
}

func (s *slots) give(id ClientID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.perID[id]--; s.perID[id] == 0 {
		delete(s.perID, id)
	}
}

func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

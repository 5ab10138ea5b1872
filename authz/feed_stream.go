package authz

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

const (
	// feedAge is how long a stream is open at most; each ends up to a tenth earlier, so that those who came
	// together do not come back together.
	feedAge = time.Hour

	feedBatch = 32 // messages that are handed on at a time
	feedTries = 4  // snapshots that a stream waits for, should each be outdated when it is there
)

// FeedRequest is a request to follow the feed, after its syntax was checked.
type FeedRequest struct {
	Client  Presented
	Bearer  string // set instead of Client when a Bearer token was sent
	Address netip.Addr

	// After is the FeedEvent.ID of the last message that the caller has, or FeedPage.Next of its last page.
	// Whatever it is not, the caller is sent everything first.
	After string
}

// FeedStream is what one caller is sent. It is used by one goroutine at a time.
type FeedStream struct {
	Client  ClientID
	Resumed bool // it goes on where the caller left off

	feed   *Feed
	caller feedCaller
	until  time.Time // it ends then, at the latest
	why    FeedEnd   // for this reason

	place place
	parts []FeedEvent // of a snapshot that comes first
	batch [feedBatch]FeedEvent
	over  bool
}

// Follow authenticates the caller as Introspect does, and begins a stream for one that serves a resource, or
// is an administrator. The errors are those of Introspect. The caller of Follow calls Close in the end.
func (f *Feed) Follow(ctx context.Context, r FeedRequest) (*FeedStream, error) {
	caller, until, err := f.authenticate(ctx, r)
	if err != nil {
		return nil, err
	}
	if after, ok := f.config.Server.rate.take(caller.id); !ok {
		return nil, &ThrottledError{Cause: CauseRateLimited, Client: caller.id, RetryAfter: after}
	}
	if f.isClosed() {
		return nil, f.unavailable(caller.id, FeedEndShutdown)
	}
	if err := f.streams.take(caller.id); err != nil {
		return nil, err
	}
	f.seen()
	s := &FeedStream{Client: caller.id, feed: f, caller: caller, until: until, why: FeedEndCaller}
	if age := f.config.Now().Add(feedAge - rand.N(feedAge/10)); until.IsZero() || age.Before(until) {
		s.until, s.why = age, FeedEndAge
	}
	if s.place, s.Resumed = f.log.after(r.After); !s.Resumed {
		if err := s.restart(ctx); err != nil {
			f.streams.give(caller.id)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, f.unavailable(caller.id, err)
		}
	}
	return s, nil
}

// restart begins with all that is revoked.
func (s *FeedStream) restart(ctx context.Context) error {
	for range feedTries {
		all, err := s.feed.everything(ctx)
		if err != nil {
			return err
		}
		if s.feed.log.holds(all.place) {
			s.place, s.parts = all.place, all.parts
			return nil
		}
	}
	return errFeedRenewed
}

// Next waits for what comes next, and returns at least one message, which stay as they are until the next
// call. The error is a FeedEnd: there is nothing more to come.
func (s *FeedStream) Next(ctx context.Context) ([]FeedEvent, error) {
	for {
		if end := s.ended(ctx); end != "" {
			return nil, end
		}
		if len(s.parts) > 0 {
			return s.nextParts()
		}
		events, next, wake, err := s.feed.log.read(s.place, s.batch[:0])
		switch {
		case errors.Is(err, errFeedRenewed):
			if err := s.restart(ctx); err != nil {
				return nil, s.failed(ctx, err)
			}
			continue
		case err != nil:
			return nil, FeedEndSlow
		case len(events) > 0:
			s.place = next
			s.feed.counts.sent.Add(uint64(len(events)))
			return events, nil
		}
		select {
		case <-ctx.Done():
		case <-s.feed.closed:
		case <-wake:
		}
	}
}

// nextParts returns some of a snapshot. One whose end would be too old to go on from is not sent to its end,
// nor is one that may bear the signature of a key that is revoked now.
func (s *FeedStream) nextParts() ([]FeedEvent, error) {
	if now, _ := s.feed.log.now(); now.run != s.place.run {
		return nil, FeedEndRenewed
	}
	if !s.feed.log.holds(s.place) {
		return nil, FeedEndSlow
	}
	n := copy(s.batch[:], s.parts)
	s.parts = s.parts[n:]
	s.feed.counts.sent.Add(uint64(n))
	return s.batch[:n], nil
}

// ended returns why the stream is over, or nothing.
func (s *FeedStream) ended(ctx context.Context) FeedEnd {
	switch {
	case s.feed.isClosed():
		return FeedEndShutdown
	case ctx.Err() != nil:
		return FeedEndGone
	case !s.feed.config.Now().Before(s.until):
		return s.why
	case s.feed.mayFollow(ctx, &s.caller):
		return ""
	case s.feed.isClosed(): // meanwhile
		return FeedEndShutdown
	case ctx.Err() != nil:
		return FeedEndGone
	}
	return FeedEndCaller
}

func (s *FeedStream) failed(ctx context.Context, err error) FeedEnd {
	var end FeedEnd
	switch {
	case errors.As(err, &end):
		return end
	case ctx.Err() != nil:
		return FeedEndGone
	}
	return FeedEndUnavailable
}

// Close gives the place of the stream to others, and counts why it ended. Only the first call counts.
func (s *FeedStream) Close(why FeedEnd) {
	if s.over {
		return
	}
	s.over = true
	s.feed.seen()
	s.feed.streams.give(s.caller.id)
	s.feed.counts.end(why)
}

// feedCaller is who follows, and what was looked at last to tell whether it may.
type feedCaller struct {
	id         ClientID
	credential CredentialID    // by which it authenticated
	bearer     *token.Verified // or this token
	records    uint64          // see freshness.changes
	revoked    uint64          // see token.Index.Generation
}

// authenticate returns who asks, and when what it presented expires; zero if it does not.
func (f *Feed) authenticate(ctx context.Context, r FeedRequest) (feedCaller, time.Time, error) {
	s := f.config.Server
	c := feedCaller{records: s.fresh.changes(), revoked: f.config.Index.Generation()} // before anything is read
	if err := s.mint.clockOff(""); err != nil {
		return c, time.Time{}, err
	}
	if r.Bearer != "" {
		v, err := s.bearer(ctx, r.Bearer)
		c.id, c.bearer = ClientID(v.ClientID), &v
		return c, v.Expiry, err
	}
	who, err := s.authenticator.confidential(ctx, r.Client, r.Address)
	if err != nil {
		return c, time.Time{}, err
	}
	c.id, c.credential = who.client.ID, who.credential
	if len(who.client.Serves) == 0 {
		return c, time.Time{}, refuse(CauseServesNothing, c.id, c.credential)
	}
	var until time.Time
	if used := who.client.credential(c.credential); used != nil {
		until = used.Expires
	}
	return c, until, nil
}

// mayFollow reports whether the caller would be let in again. It looks at the caller's record only if a record was
// dropped since the last look. What cannot be said is no.
func (f *Feed) mayFollow(ctx context.Context, c *feedCaller) bool {
	s := f.config.Server
	records, revoked := s.fresh.changes(), f.config.Index.Generation()
	if c.bearer != nil && revoked != c.revoked {
		if _, void := token.Void(&c.bearer.Claims, c.bearer.KeyID, f.config.Index); void {
			return false
		}
		c.revoked = revoked
	}
	if records == c.records {
		return true
	}
	client, err := f.recordOf(ctx, c.id)
	if err != nil || client.Disabled || !client.DeletedAt.IsZero() {
		return false
	}
	if c.bearer != nil {
		if !client.Admin {
			return false
		}
	} else if used := client.credential(c.credential); used == nil || !used.usable(f.config.Now()) || len(client.Serves) == 0 {
		return false
	}
	c.records = records
	return true
}

// Between two attempts to read a record while too many others are read, and how many there are.
const (
	recordPause = 100 * time.Millisecond
	recordTries = 40
)

// recordOf returns the record of a client. After everything was dropped, as when the change feed cannot be continued,
// all who follow want theirs at once, and strangers may stand in the same queue: that is no reason to end a stream.
func (f *Feed) recordOf(ctx context.Context, id ClientID) (c Client, err error) {
	for range recordTries {
		if c, err = f.config.Server.authenticator.clients.get(ctx, id); !errors.Is(err, errQueueFull) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return Client{}, ctx.Err()
		case <-f.closed:
			return Client{}, FeedEndShutdown
		case <-time.After(recordPause/2 + rand.N(recordPause)):
		}
	}
	return c, err
}

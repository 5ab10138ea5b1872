package verifier

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// eventName is that of the server-sent events which hold a Security Event Token; others are ignored.
const eventName = "set"

var errTimeout = errors.New("follow: nothing came in time")

// stream is one connection, and what it has said so far.
type stream struct {
	f *follower
	position
	staged  *staged   // the snapshot that is arriving; nil if none is
	begun   bool      // an event was taken
	current bool      // the newest table is what this stream said, or goes on with
	beats   int       // heartbeats that were
	last    time.Time // when the last event was, or the header
}

// follow reads the stream to its end and returns why it ended, a *dropError.
func (s *stream) follow(ctx context.Context) error {
	if err := s.f.find(ctx); err != nil {
		return dropped(FeedDiscovery, "%w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(s.f.feed.pace.dial, func() { cancel(errTimeout) })
	defer watch.Stop()
	body, err := s.open(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { watch.Reset(s.f.feed.pace.first) },
	}))
	if err != nil {
		return orTimeout(ctx, err)
	}
	defer body.Close()
	s.last = s.f.now()
	s.f.connected.Store(true)
	s.f.report(FeedReport{What: FeedConnected})
	for events := newFrames(body); ; {
		e, err := events.next()
		switch {
		case errors.Is(err, errFrame):
			return dropped(FeedFrame, "%w", err)
		case errors.Is(err, io.EOF):
			return orTimeout(ctx, dropped(FeedEnded, "the issuer ended the stream"))
		case err != nil:
			return orTimeout(ctx, dropped(FeedBroken, "%w", err))
		case e.kind != eventName:
			continue
		}
		if err := s.take(ctx, e.data); err != nil {
			return orTimeout(ctx, err)
		}
		// What does not count, such as a comment or half a line, does not keep a stream alive.
		watch.Reset(s.f.feed.pace.quiet)
	}
}

// orTimeout returns err, unless that is only how it shows that time was up.
func orTimeout(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return dropped(FeedTimeout, "%w", errTimeout)
	}
	return err
}

// open asks for the stream. The credentials go nowhere but to the endpoint, since the client follows no
// redirect.
func (s *stream) open(ctx context.Context) (io.ReadCloser, error) {
	f := s.f
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.endpoint, nil)
	if err != nil {
		return nil, dropped(FeedConnect, "%w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Accept-Encoding", "identity") // what compresses also holds back
	req.Header.Set("Cache-Control", "no-store")
	if s.run != "" {
		req.Header.Set("Last-Event-ID", s.run+"."+strconv.FormatUint(s.seq, 10))
	}
	f.authorize(req)
	resp, err := f.client.Do(req)
	if err != nil {
		f.lost = true
		return nil, dropped(FeedConnect, "%w", err)
	}
	if err := f.accept(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	f.lost = false
	return resp.Body, nil
}

// accept judges the answer by its header.
func (f *follower) accept(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return dropped(FeedRefused, "status %d: the issuer does not take this service's own client; on the server: marque client refusals ID", resp.StatusCode)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
		return &dropError{cause: FeedAnswer, err: errors.New("status " + strconv.Itoa(resp.StatusCode)), retryAfter: time.Duration(seconds) * time.Second}
	default:
		f.lost = true
		return dropped(FeedAnswer, "status %d", resp.StatusCode)
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || media != "text/event-stream" {
		f.lost = true
		return dropped(FeedAnswer, "the answer is not text/event-stream")
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return dropped(FeedAnswer, "the answer is compressed")
	}
	return nil
}

// take verifies one Security Event Token, and does what it says. Nothing of one that fails any check counts.
func (s *stream) take(ctx context.Context, compact string) error {
	e, kid, err := s.f.verify(ctx, compact)
	if err != nil {
		return err
	}
	return s.obey(&e, kid)
}

// obey does what an event says that was signed by that key of the issuer.
func (s *stream) obey(e *token.Event, kid string) error {
	if err := s.f.addressed(e); err != nil {
		return err
	}
	if err := s.notKilled(e, kid); err != nil {
		return err
	}
	if err := s.inTime(e); err != nil {
		return err
	}
	s.f.lag.Store(int64(s.f.now().Sub(e.IssuedAt)))
	defer func() { s.begun = true }()
	switch e.Kind {
	case token.EventSnapshot:
		return s.snapshot(e)
	case token.EventRevoked:
		return s.revoked(e)
	default: // ParseEvent knows no other
		return s.heartbeat(e)
	}
}

// verify checks a Security Event Token as far as it speaks for itself (SET-15): kind, signature by a key of the
// issuer, form.
func (f *follower) verify(ctx context.Context, compact string) (token.Event, string, error) {
	var fault error
	h, payload, err := jose.Verify(compact, jose.VerifyOptions{
		Types: []string{token.TypeEvent}, Algorithms: jose.Algorithms(),
		Key: func(h jose.Header) (*jose.PublicKey, error) {
			key, err := f.key(ctx, h)
			if err != nil && !errors.Is(err, jose.ErrUnknownKey) {
				fault = err
			}
			return key, err
		},
	})
	switch {
	case fault != nil:
		return token.Event{}, "", dropped(FeedKeysAway, "%w", fault)
	case errors.Is(err, jose.ErrUnknownKey):
		return token.Event{}, "", dropped(FeedKey, "an event is signed by a key that the issuer does not publish")
	case errors.Is(err, jose.ErrType):
		return token.Event{}, "", dropped(FeedType, "not a Security Event Token")
	case errors.Is(err, jose.ErrSignature):
		return token.Event{}, "", dropped(FeedSignature, "the signature of an event does not verify")
	case err != nil:
		return token.Event{}, "", dropped(FeedForm, "%w", err)
	}
	e, err := token.ParseEvent(payload)
	if err != nil {
		return token.Event{}, "", dropped(FeedForm, "%w", err)
	}
	return e, h.KeyID, nil
}

// addressed refuses an event that is not for this follower, or of its future.
func (f *follower) addressed(e *token.Event) error {
	now := f.now()
	age := now.Sub(e.IssuedAt)
	switch {
	case e.Issuer != f.issuer:
		return dropped(FeedIssuer, "an event of another issuer")
	case e.Audience != f.endpoint:
		return dropped(FeedAudience, "an event of another feed")
	case age < -token.MaxAhead, e.AsOf.Sub(now) > token.MaxAhead:
		return dropped(FeedClock, "an event is %v ahead of this service's clock", max(-age, e.AsOf.Sub(now)))
	case !plainRun(e.Run):
		return dropped(FeedForm, "a run that cannot be asked for again")
	}
	return nil
}

// maxSnapshotAge is more than the longest that an issuer shares a large snapshot among those who come.
const maxSnapshotAge = 5 * time.Minute

// inTime refuses what vouches for the present and is old: the clocks differ, or it was kept back. What the issuer
// has in its log comes at once, heartbeats of then among it, and is as old as it is; one that had to be waited for
// is of now.
func (s *stream) inTime(e *token.Event) error {
	now := s.f.now()
	age, waited := now.Sub(e.IssuedAt), now.Sub(s.last)
	s.last = now
	if e.Kind == token.EventHeartbeat && age > token.MaxAhead && waited >= time.Second ||
		e.Kind == token.EventSnapshot && e.Part == 1 && age > maxSnapshotAge {
		return dropped(FeedClock, "an event is %v old by this service's clock", age)
	}
	return nil
}

// plainRun reports whether a run's name can stand in Last-Event-ID.
func plainRun(run string) bool {
	for i := range len(run) {
		if c := run[i]; !alphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return run != "" && len(run) <= 64
}

// notKilled refuses an event whose key is revoked, or which says so itself: who has stolen it must not speak
// for the issuer any more, and the issuer never signs by a key that it kills.
func (s *stream) notKilled(e *token.Event, kid string) error {
	subject := token.Subject{Kind: token.RevokedKey, Value: kid}
	killed := func(known token.Known) bool {
		r, ok := known.Revocation(subject)
		return ok && r.Before.IsZero() // a key whose tokens of some time are void is trusted, and goes on to sign
	}
	dead := killed(token.Found(e.Revocations)) || s.staged != nil && killed(s.staged.index)
	for _, x := range *s.f.tables.Load() {
		dead = dead || killed(x)
	}
	if dead {
		return dropped(FeedKey, "an event is signed by a key that was revoked")
	}
	return nil
}

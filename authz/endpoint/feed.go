package endpoint

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/marque-auth/marque/authz"
)

const (
	feedPath = "/oauth2/revocations"

	mediaEvents = "text/event-stream"

	// feedWrite is how long one write may take. Who reads more slowly than that is cut off; the server's own
	// WriteTimeout would cut off everybody.
	feedWrite = 10 * time.Second
)

// FeedURL returns where the revocation feed of an issuer is: the audience of what it sends.
func FeedURL(issuer string) (string, error) {
	iss, err := parseIssuer(issuer, true)
	return iss.origin + iss.path + feedPath, err
}

// Feed is the revocation feed: authz.Feed. It may be called concurrently.
type Feed interface {
	// Follow and Poll are as authz.Feed documents them; their errors are those of Tokens.Introspect.
	Follow(ctx context.Context, r authz.FeedRequest) (*authz.FeedStream, error)
	Poll(ctx context.Context, r authz.FeedRequest) (authz.FeedPage, error)
}

// feedEndpoint is GET /oauth2/revocations. It takes no form; who asks authenticates as at introspection.
func (h *Handler) feedEndpoint() *posted {
	return &posted{
		wrongMethod: wrongMethodFeed,
		takesToken:  true,
		takesBearer: true,
		codes:       []authz.Code{authz.InvalidRequest, authz.InvalidClient, authz.UnauthorizedClient},
		forbids:     authz.UnauthorizedClient,
	}
}

// feed answers a request for the revocation feed, by a stream or by a page. Syntax here, everything else in the domain.
func (h *Handler) feed(c *call, p *posted) answer {
	if refused := h.readFeed(c, p); refused != nil {
		return h.refuse(c, refused)
	}
	ctx := &requestContext{c.r.Context(), c.id}
	if c.byBearer && !wellFormedBearer(c.bearer) {
		return h.fail(ctx, c, p, &authz.InvalidTokenError{Cause: authz.CauseMalformedCredentials})
	}
	r := authz.FeedRequest{Client: c.client, Bearer: c.bearer, Address: c.from}
	if !prefersStream(c.r.Header["Accept"]) {
		return h.poll(ctx, c, p, r)
	}
	if last := c.r.Header["Last-Event-Id"]; len(last) == 1 {
		r.After = last[0] // of several none counts: from the beginning is never wrong
	}
	s, err := h.config.Feed.Follow(ctx, r)
	if err != nil {
		return h.fail(ctx, c, p, err)
	}
	return answer{status: http.StatusOK, media: mediaEvents, stream: s, negotiated: true}
}

// readFeed reads the head of the request; there must be nothing behind it.
func (h *Handler) readFeed(c *call, p *posted) *refusal {
	if refused := h.checkHead(c, p); refused != nil {
		return refused
	}
	if c.r.ContentLength != 0 { // nobody would read it, nor notice that its sender hangs up
		return feedBody
	}
	authorization := c.r.Header["Authorization"]
	if len(authorization) > 0 {
		if token, ok := bearer(authorization[0]); ok {
			c.byBearer, c.bearer = true, token
			return nil
		}
	}
	var refused *refusal
	c.client, refused = presented(authorization, &c.form)
	return refused
}

// errWriteDeadline says that a write cannot be bounded: then nothing is written.
var errWriteDeadline = errors.New("the connection has no write deadline")

// stream sends what comes, until it ends. The header was written before. Secrets of the request are let go of:
// a stream lasts for an hour.
func (h *Handler) stream(w http.ResponseWriter, c *call, s *authz.FeedStream) {
	c.client, c.bearer = authz.Presented{}, ""
	c.r.Header.Del("Authorization")
	end := authz.FeedEndGone
	defer func() {
		v := recover()
		s.Close(end)
		if v != nil {
			h.panicked(c, v, debug.Stack())
			panic(http.ErrAbortHandler) // the answer has begun, and cannot be another one
		}
	}()
	connection := http.NewResponseController(w)
	begun := h.config.Now()
	end = h.send(c.r.Context(), w, connection, s)
	level := slog.LevelDebug
	switch end {
	case authz.FeedEndSlow, authz.FeedEndCaller, authz.FeedEndUnavailable:
		level = slog.LevelInfo
	}
	h.log.LogAttrs(context.WithoutCancel(c.r.Context()), level, "a stream of the revocation feed has ended",
		slog.String("request_id", c.id), slog.String("cause", string(end)), slog.String("client_id", clientText(s.Client)),
		slog.Duration("after", h.config.Now().Sub(begun)), slog.Bool("resumed", s.Resumed),
	)
}

// send writes messages as Server-Sent Events, each batch within feedWrite, and returns why there are no more.
func (h *Handler) send(ctx context.Context, w http.ResponseWriter, connection *http.ResponseController, s *authz.FeedStream) authz.FeedEnd {
	flush := func(events []authz.FeedEvent) error {
		if err := connection.SetWriteDeadline(time.Now().Add(feedWrite)); err != nil { // a socket knows no other clock
			return errors.Join(errWriteDeadline, err)
		}
		for i := range events {
			if err := writeEvent(w, &events[i]); err != nil {
				return err
			}
		}
		if err := connection.Flush(); err != nil {
			return err
		}
		return connection.SetWriteDeadline(time.Time{}) // HTTP/2 would reset a stream that is silent
	}
	for err := flush(nil); ; { // the header, which whoever resumes gets before there is anything to say
		if err != nil {
			if ctx.Err() != nil {
				return authz.FeedEndGone
			}
			return authz.FeedEndSlow
		}
		events, over := s.Next(ctx)
		if over != nil {
			var end authz.FeedEnd
			errors.As(over, &end)
			return end
		}
		err = flush(events)
	}
}

// writeEvent writes one frame. Neither an id nor a compact JWS holds a line break. Without an id the reader keeps
// the one that it has.
func writeEvent(w io.Writer, e *authz.FeedEvent) error {
	parts := [...]string{"id: ", e.ID, "\nevent: set\ndata: ", e.SET, "\n\n"}
	if e.ID == "" {
		parts[0], parts[2] = "", "event: set\ndata: "
	}
	for _, s := range parts {
		if _, err := io.WriteString(w, s); err != nil {
			return err
		}
	}
	return nil
}

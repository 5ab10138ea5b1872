package verifier_test

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// feed is the revocation feed of an issuer, played by the test: each stream that is asked for comes out of streams.
type feed struct {
	is      *issuer
	streams chan *feedStream
	answer  http.HandlerFunc // in place of a stream, where it is not nil; guarded by issuer.mu
}

// feedStream is one connection, and where its run is.
type feedStream struct {
	t      testing.TB
	is     *issuer
	header http.Header // of the request
	frames chan string
	over   chan struct{}   // closed: the issuer ends it
	gone   <-chan struct{} // closed: the other side did

	signer *jose.Signer
	run    string
	seq    uint64
}

func newFeed(t testing.TB, algs ...jose.Algorithm) *issuer {
	is := newIssuer(t, algs...)
	is.feed = &feed{is: is, streams: make(chan *feedStream, 100)}
	return is
}

func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.is.mu.Lock()
	answer, signer := f.answer, f.is.signers[0]
	f.is.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != apiClient || secret != apiSecret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s := &feedStream{
		is: f.is, header: r.Header, frames: make(chan string), over: make(chan struct{}), gone: r.Context().Done(),
		signer: signer, run: "run" + rand.Text(),
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	f.streams <- s
	for {
		select {
		case text := <-s.frames:
			io.WriteString(w, text)
			w.(http.Flusher).Flush()
		case <-s.over:
			return
		case <-s.gone:
			return
		}
	}
}

// answerWith has the feed answer otherwise from now on; nil: by streams.
func (f *feed) answerWith(h http.HandlerFunc) { f.is.set(func() { f.answer = h }) }

// stream waits until one is asked for.
func (f *feed) stream(t testing.TB) *feedStream {
	t.Helper()
	select {
	case s := <-f.streams:
		s.t = t
		return s
	case <-time.After(20 * time.Second):
		t.Fatal("no stream was asked for")
		return nil
	}
}

// write sends bytes, as far as anybody listens.
func (s *feedStream) write(text string) {
	select {
	case s.frames <- text:
	case <-s.gone:
	}
}

// end has the issuer end the stream.
func (s *feedStream) end() { close(s.over) }

// event returns what is common to all: of now, of this run.
func (s *feedStream) event(kind string) token.Event {
	return token.Event{
		Issuer: s.is.URL, Audience: s.is.URL + "/feed", IssuedAt: s.is.clock(), JTI: rand.Text(),
		Kind: kind, Run: s.run, Seq: s.seq,
	}
}

func (s *feedStream) sign(e token.Event) string { return s.signAs(token.TypeEvent, e) }

func (s *feedStream) signAs(typ string, e token.Event) string {
	b, err := e.AppendJSON(nil)
	if err != nil {
		s.t.Error(err)
	}
	compact, err := s.signer.Sign(typ, b)
	if err != nil {
		s.t.Error(err)
	}
	return compact
}

func (s *feedStream) send(e token.Event) { s.write(frameOf(s.sign(e))) }

func frameOf(compact string) string { return "id: x\nevent: set\ndata: " + compact + "\n\n" }

// part is one of a snapshot.
func (s *feedStream) part(part, parts int, all ...token.Subject) token.Event {
	e := s.event(token.EventSnapshot)
	e.AsOf, e.Part, e.Parts = s.is.clock(), part, parts
	for _, subject := range all {
		e.Revocations = append(e.Revocations, open(subject))
	}
	return e
}

// snapshot sends a whole one.
func (s *feedStream) snapshot(all ...token.Subject) { s.send(s.part(1, 1, all...)) }

// revocation is the next one.
func (s *feedStream) revocation(subject token.Subject) token.Event {
	s.seq++
	e := s.event(token.EventRevoked)
	e.Revocations = []token.Revocation{open(subject)}
	return e
}

func (s *feedStream) revoke(subject token.Subject) { s.send(s.revocation(subject)) }

func (s *feedStream) beat() token.Event {
	e := s.event(token.EventHeartbeat)
	e.AsOf = s.is.clock()
	return e
}

func open(s token.Subject) token.Revocation { return token.Revocation{Subject: s} }

func jti(value string) token.Subject { return token.Subject{Kind: token.RevokedJTI, Value: value} }

func client(value string) token.Subject {
	return token.Subject{Kind: token.RevokedClient, Value: value}
}

func kid(value string) token.Subject { return token.Subject{Kind: token.RevokedKey, Value: value} }

// following is a Verifier that follows, and its stream.
type following struct {
	*verifier.Verifier
	*feedStream
	t       testing.TB
	is      *issuer
	reports chan verifier.FeedReport
}

// follows changes a Config so that it follows, with waits that a test can wait for.
func follows(c *verifier.Config) {
	c.Follow = &verifier.Feed{ClientID: apiClient, Secret: apiSecret, WhenSilent: verifier.SilentClosed}
	c.Follow.SetPace(time.Minute, time.Minute, time.Millisecond)
}

// follow returns a Verifier that has begun with a snapshot of these.
func follow(t testing.TB, is *issuer, all []token.Subject, change ...func(*verifier.Config)) *following {
	t.Helper()
	f := &following{t: t, is: is, reports: make(chan verifier.FeedReport, 10_000)}
	first := make(chan *feedStream, 1)
	go func() {
		s := <-is.feed.streams
		s.t = t
		s.snapshot(all...)
		first <- s
	}()
	f.Verifier = newVerifier(t, is, append([]func(*verifier.Config){follows, func(c *verifier.Config) {
		c.OnFeed = func(r verifier.FeedReport) { f.reports <- r }
	}}, change...)...)
	f.feedStream = <-first
	f.wait(verifier.FeedInstalled)
	return f
}

// wait returns the next report of that kind.
func (f *following) wait(what verifier.FeedWhat) verifier.FeedReport {
	f.t.Helper()
	for late := time.After(20 * time.Second); ; {
		select {
		case r := <-f.reports:
			if r.What == what {
				return r
			}
			if r.What == verifier.FeedDropped {
				f.t.Fatalf("the stream ended: %v", r.Err)
			}
		case <-late:
			f.t.Fatalf("no report of %q", what)
		}
	}
}

// heard sends a heartbeat and waits until it counts.
func (f *following) heard() {
	f.t.Helper()
	f.send(f.beat())
	f.wait(verifier.FeedHeard)
}

// knows revokes and waits until it counts.
func (f *following) knows(subject token.Subject) {
	f.t.Helper()
	f.revoke(subject)
	f.wait(verifier.FeedRevoked)
}

// wantDropped fails unless the stream ends by that cause, and the next one begins anew or goes on.
func (f *following) wantDropped(name string, cause verifier.FeedCause, resumes bool) {
	f.t.Helper()
	if r := f.wait(verifier.FeedDropped); r.Cause != cause {
		f.t.Errorf("%s: dropped by %v, want %q", name, r.Err, cause)
	}
	f.feedStream = f.is.feed.stream(f.t)
	if id := f.header.Get("Last-Event-ID"); (id != "") != resumes {
		f.t.Errorf("%s: the next stream begins after %q", name, id)
	}
}

// wantToken fails unless the token is judged so: "" is good, unavailable is not at all.
func (f *following) wantToken(name, compact string, want token.Reason) {
	f.t.Helper()
	_, err := f.Verify(f.t.Context(), compact)
	if got := reasonOf(f.t, err); got != want {
		f.t.Errorf("%s: %q, want %q", name, got, want)
	}
}

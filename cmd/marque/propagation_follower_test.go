package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// followerName is what this test program is called when it is one service that follows, in a process of its own.
const followerName = "marque-follower"

// followed is a service: a Verifier that follows the feed of one of several servers, and whoever is told what it
// has come to know.
type followed struct {
	*verifier.Verifier

	// news is told each step at the moment at which it counts for calls, by the one goroutine that follows.
	news func(step)
}

// step is what a service has come to know.
type step struct {
	Subjects []string // revoked
	At       time.Time
	Since    time.Time // when the stream began that says so
	AsOf     time.Time // up to when the server vouches for all that it said; zero: it does not say
}

// followerConfig is what a service needs to know.
type followerConfig struct {
	Issuer, Audience, ClientID, Secret string
	Nodes                              []string // host:port of servers
	Remember                           int
}

// startFollower starts a service, whose knowledge is as of now when it returns.
func startFollower(ctx context.Context, c followerConfig, way http.RoundTripper, events *eventReader, news func(step)) (*followed, error) {
	f := &followed{news: news}
	p := &tap{way: way, events: events}
	var err error
	f.Verifier, err = verifier.New(ctx, verifier.Config{
		Issuer: c.Issuer, Audience: c.Audience, InsecureHTTP: true, Remember: c.Remember,
		HTTPClient: &http.Client{Transport: p}, Log: slog.New(slog.DiscardHandler),
		Follow: &verifier.Feed{ClientID: c.ClientID, Secret: verifier.Secret(c.Secret), WhenSilent: verifier.SilentClosed},
		OnFeed: func(r verifier.FeedReport) {
			if s, ok := p.step(r); ok {
				s.At = time.Now()
				news(s)
			}
		},
	})
	return f, err
}

// verdict is what becomes of a call.
type verdict string

const (
	taken   verdict = "taken"
	refused verdict = "refused"     // 401
	unknown verdict = "unavailable" // 503
)

func (f *followed) judge(ctx context.Context, compact string) verdict {
	_, err := f.Verify(ctx, compact)
	switch {
	case err == nil:
		return taken
	case errors.Is(err, verifier.ErrUnavailable):
		return unknown
	}
	return refused
}

// front sends each request to one of several servers, in turn, and to the next if one cannot be reached, as what
// stands in front of several servers does.
type front struct {
	nodes     []string
	turn      *atomic.Uint32
	transport *http.Transport
}

func newFront(nodes []string) front {
	return front{nodes, new(atomic.Uint32), &http.Transport{}}
}

// RoundTrip implements http.RoundTripper.
func (f front) RoundTrip(r *http.Request) (*http.Response, error) {
	first := int(f.turn.Add(1))
	var errs []error
	for i := range f.nodes {
		r := r.Clone(r.Context())
		r.URL.Host = f.nodes[(first+i)%len(f.nodes)]
		resp, err := f.transport.RoundTrip(r)
		if err == nil {
			return resp, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// tap listens in on the feed, as a Verifier reads it, so that what a Verifier reports has a name. But for way, it
// belongs to the goroutine that follows.
type tap struct {
	way    http.RoundTripper
	events *eventReader

	since time.Time
	queue []*heard // came, and was not reported yet
	line  []byte
}

// RoundTrip implements http.RoundTripper.
func (p *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.way.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusOK && strings.HasSuffix(r.URL.Path, "/oauth2/revocations") {
		p.queue, p.line, p.since = nil, nil, time.Now()
		resp.Body = &tapped{resp.Body, p}
	}
	return resp, err
}

type tapped struct {
	io.ReadCloser
	to *tap
}

// Read implements io.Reader.
func (b *tapped) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	p := b.to
	p.line = append(p.line, into[:n]...)
	for {
		line, rest, whole := bytes.Cut(p.line, []byte("\n"))
		if !whole {
			return n, err
		}
		if set, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			p.queue = append(p.queue, p.events.read(string(set)))
		}
		p.line = append(p.line[:0], rest...)
	}
}

// step takes from the queue what a report is about. Signing keys count before the snapshot that says so is whole.
func (p *tap) step(r verifier.FeedReport) (s step, ok bool) {
	s.Since = p.since
	if r.What == verifier.FeedRevoked && r.Kind == token.RevokedKey {
		for _, subject := range p.queue[0].subjects {
			if strings.HasPrefix(subject, string(token.RevokedKey)+":") {
				s.Subjects = append(s.Subjects, subject)
			}
		}
		return s, true
	}
	kind, ok := map[verifier.FeedWhat]string{
		verifier.FeedRevoked: token.EventRevoked, verifier.FeedHeard: token.EventHeartbeat, verifier.FeedInstalled: token.EventSnapshot,
	}[r.What]
	for ok && len(p.queue) > 0 {
		e := p.queue[0]
		p.queue = p.queue[1:]
		if e.kind != kind {
			panic(fmt.Sprintf("a report of %s, and what came is %s", r.What, e.kind))
		}
		s.Subjects = append(s.Subjects, e.subjects...)
		if s.AsOf = e.asOf; e.whole {
			return s, true
		}
	}
	return s, false
}

// heard is a message of the feed, as far as this test cares.
type heard struct {
	kind     string
	subjects []string // revoked
	asOf     time.Time
	whole    bool // it is no part, or the last one
}

// eventReader reads messages, each of which many services get, once. It does not verify: a Verifier does.
type eventReader struct {
	mu   sync.Mutex
	held map[string]*heard
}

// maxHeld bounds what is held.
const maxHeld = 20_000

func (r *eventReader) read(set string) *heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.held[set]; h != nil {
		return h
	}
	if len(r.held) >= maxHeld || r.held == nil {
		r.held = map[string]*heard{}
	}
	h := &heard{}
	r.held[set] = h
	parts := strings.Split(set, ".")
	if len(parts) != 3 {
		return h // the Verifier will say so
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return h
	}
	e, err := token.ParseEvent(payload)
	if err != nil {
		return h
	}
	h.kind, h.asOf, h.whole = e.Kind, e.AsOf, e.Part == e.Parts
	for _, r := range e.Revocations {
		h.subjects = append(h.subjects, r.Subject.String())
	}
	return h
}

// question is a token that a service in a process of its own is asked about, and what it says.
type question struct {
	ID      int
	Compact string  `json:",omitempty"`
	Verdict verdict `json:",omitempty"`
}

// told is a line of what such a process says: that it has begun, a step, or a verdict.
type told struct {
	Ready   bool      `json:",omitempty"`
	Step    *step     `json:",omitempty"`
	Verdict *question `json:",omitempty"`
}

// followerMain is a service in a process of its own: its configuration is the first line of its input, what it is asked
// about are the others; it ends with its input. It tells of each subject once.
func followerMain() {
	if err := follow(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func follow(in io.Reader, out io.Writer) error {
	lines := json.NewDecoder(bufio.NewReader(in))
	var c followerConfig
	if err := lines.Decode(&c); err != nil {
		return err
	}
	var mu sync.Mutex
	say := json.NewEncoder(out)
	tell := func(t told) {
		mu.Lock()
		defer mu.Unlock()
		_ = say.Encode(t) // who does not listen any more ends it
	}
	known := map[string]bool{}
	news := func(s step) {
		var fresh []string
		for _, subject := range s.Subjects {
			if !known[subject] {
				known[subject] = true
				fresh = append(fresh, subject)
			}
		}
		s.Subjects = fresh
		tell(told{Step: &s})
	}
	way := newFront(c.Nodes)
	f, err := startFollower(context.Background(), c, way, &eventReader{}, news)
	if err != nil {
		return err
	}
	defer f.Close()
	tell(told{Ready: true})
	for {
		var a question
		if err := lines.Decode(&a); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		tell(told{Verdict: &question{ID: a.ID, Verdict: f.judge(context.Background(), a.Compact)}})
	}
}

package endpoint_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

const feedPath = "/oauth2/revocations"

// frame is one message of a stream, as it was written.
type frame struct{ id, event, data string }

// subscriber reads Server-Sent Events.
type subscriber struct {
	s      *stack
	res    *http.Response
	r      *bufio.Reader
	cancel context.CancelFunc
}

// subscribe asks for the feed; fields follow each other in pairs.
func (s *stack) subscribe(fields ...string) *subscriber {
	s.t.Helper()
	return s.subscribeBy(s.ts.Client(), fields...)
}

func (s *stack) subscribeBy(client *http.Client, fields ...string) *subscriber {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer+feedPath, nil)
	check(s.t, err)
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	res, err := client.Do(r)
	check(s.t, err)
	sub := &subscriber{s: s, res: res, r: bufio.NewReader(res.Body), cancel: cancel}
	s.t.Cleanup(sub.close)
	return sub
}

func (u *subscriber) close() {
	u.cancel()
	u.res.Body.Close()
}

// next reads one frame; an error is the end of the stream.
func (u *subscriber) next() (f frame, err error) {
	for {
		line, err := u.r.ReadString('\n')
		if err != nil {
			return f, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			f.id = value
		case "event":
			f.event = value
		case "data":
			f.data = value
		case "":
			return f, nil
		default:
			u.s.t.Errorf("a line %q", line)
		}
	}
}

// event reads a frame, verifies it as a receiver does, and returns what it says.
func (u *subscriber) event() (token.Event, frame) {
	u.s.t.Helper()
	f, err := u.next()
	if err != nil {
		u.s.t.Fatal(err)
	}
	_, payload, err := jose.Verify(f.data, jose.VerifyOptions{
		Types: []string{token.TypeEvent}, Algorithms: []jose.Algorithm{jose.ES256}, Key: u.s.publishedKey,
	})
	check(u.s.t, err)
	e, err := token.ParseEvent(payload)
	check(u.s.t, err)
	if f.event != "set" || f.id != fmt.Sprint(e.Run, ".", e.Seq) || e.Issuer != u.s.issuer || e.Audience != u.s.issuer+feedPath {
		u.s.t.Errorf("%+v in %+v", e, f)
	}
	return e, f
}

// wantEnd wants nothing more to come, and the stream to end as it should.
func (u *subscriber) wantEnd() {
	u.s.t.Helper()
	if f, err := u.next(); !errors.Is(err, io.EOF) {
		u.s.t.Errorf("%+v, %v; want the end", f, err)
	}
}

// ended waits until as many streams have ended so.
func (s *stack) ended(end authz.FeedEnd, n uint64) {
	s.t.Helper()
	for range 5_000 {
		if s.feed.Stats().Ended[end] == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	s.t.Errorf("ended: %v, want %s %d times", s.feed.Stats().Ended, end, n)
}

// gatewayOf registers an API and returns its Authorization field.
func (s *stack) gatewayOf(id string) string {
	s.t.Helper()
	return basic(id, s.client(authz.ClientSpec{ID: id, Serves: []string{api}}))
}

func (s *stack) withdraw(r authz.RevocationSpec) {
	s.t.Helper()
	_, err := s.registry.Revoke(s.t.Context(), admin, r)
	check(s.t, err)
}

var overHTTP = map[string]func(*settings){"HTTP/1.1": func(*settings) {}, "HTTP/2.0": overHTTP2}

// The whole way, over both versions: everything first, then what comes, in order, and from where one left off.
func TestSET01_SET10_SET12_EVT14_Stream(t *testing.T) {
	for version, edit := range overHTTP {
		t.Run(version, func(t *testing.T) {
			s := newStack(t, edit, issuerPath("/t1"))
			gateway := s.gatewayOf("gateway")
			s.withdraw(authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: "first"}})
			u := s.subscribe("Authorization", gateway)
			if u.res.StatusCode != 200 || u.res.Proto != version {
				t.Fatal(u.res.Status, u.res.Proto)
			}
			for name, want := range map[string]string{
				"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept", "Content-Length": "", "Content-Encoding": "",
			} {
				if got := u.res.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if u.res.Header.Get("X-Request-Id") == "" {
				t.Error("no X-Request-Id")
			}
			all, f := u.event()
			if all.Kind != token.EventSnapshot || len(all.Revocations) != 1 || all.Revocations[0].Value != "first" {
				t.Errorf("%+v", all)
			}
			subjects := []token.Subject{
				{Kind: token.RevokedClient, Value: "c1"}, {Kind: token.RevokedResource, Value: api}, {Kind: token.RevokedAll}, {Kind: token.RevokedJTI, Value: "second"},
			}
			ids := []string{f.id}
			for i, subject := range subjects {
				s.withdraw(authz.RevocationSpec{Subject: subject})
				e, f := u.event()
				if e.Kind != token.EventRevoked || e.Seq != all.Seq+1+uint64(i) || e.Revocations[0].Subject != subject || e.Run != all.Run {
					t.Errorf("%v: %+v", subject, e)
				}
				ids = append(ids, f.id)
			}
			s.feed.Beat()
			if e, f := u.event(); e.Kind != token.EventHeartbeat || e.Seq != all.Seq+4 || e.AsOf.IsZero() || f.id != ids[4] {
				t.Errorf("SET-14: %+v", e)
			}
			u.close()
			s.ended(authz.FeedEndGone, 1)
			for i, id := range ids {
				u := s.subscribe("Authorization", gateway, "Last-Event-ID", id)
				if i == len(subjects) { // nothing but the heartbeat of then
					s.feed.Beat()
				}
				if e, _ := u.event(); i < len(subjects) && (e.Kind != token.EventRevoked || e.Seq != all.Seq+1+uint64(i)) || i == len(subjects) && e.Kind != token.EventHeartbeat {
					t.Errorf("after %s: %+v", id, e)
				}
				u.close()
			}
			u = s.subscribe("Authorization", gateway, "Last-Event-ID", "somebody-else.1")
			if e, _ := u.event(); e.Kind != token.EventSnapshot {
				t.Errorf("an unknown id: %+v", e)
			}
		})
	}
}

// Who may not follow is told so, as at introspection; and what is no request for a stream is none.
func TestSET10_RVK01_WhoIsRefused(t *testing.T) {
	s := newStack(t)
	gateway := s.gatewayOf("gateway")
	boss := s.client(authz.ClientSpec{ID: "boss", Admin: true})
	admins := "Bearer " + s.token(as("boss", boss), without("scope", "resource"))
	u := s.subscribe("Authorization", admins)
	e, f := u.event()
	if u.res.StatusCode != 200 || e.Kind != token.EventSnapshot {
		t.Errorf("an administrator: %s %+v", u.res.Status, e)
	}
	u.close()
	// SET-15: a message of the feed lets nobody in, here or elsewhere.
	event := "Bearer " + f.data
	foreign := "Bearer " + s.token()
	for name, c := range map[string]struct {
		method, query string
		fields        []string
		body          string
		status        int
		want          string
	}{
		"nobody":              {"GET", "", []string{"Accept", "text/event-stream"}, "", 401, "invalid_client"},
		"a wrong secret":      {"GET", "", []string{"Authorization", basic("gateway", "x")}, "", 401, "invalid_client"},
		"serves nothing":      {"GET", "", []string{"Authorization", basic("c1", s.secret)}, "", 403, "unauthorized_client"},
		"a token for an API":  {"GET", "", []string{"Authorization", foreign}, "", 401, "invalid_token"},
		"SET-15 a SET":        {"GET", "", []string{"Authorization", event}, "", 401, "invalid_token"},
		"no token at all":     {"GET", "", []string{"Authorization", "Bearer ?"}, "", 401, "invalid_token"},
		"another scheme":      {"GET", "", []string{"Authorization", "Digest x"}, "", 401, "invalid_client"},
		"two authorizations":  {"GET", "", []string{"Authorization", gateway, "Authorization", gateway}, "", 400, "invalid_request"},
		"a secret in the URL": {"GET", "client_secret=x", []string{"Authorization", gateway}, "", 400, "invalid_request"},
		"a token in the URL":  {"GET", "access_token=x", []string{"Authorization", gateway}, "", 400, "invalid_request"},
		"a body":              {"GET", "", []string{"Authorization", gateway}, "client_id=gateway", 400, "invalid_request"},
		"POST":                {"POST", "", []string{"Authorization", gateway}, "", 405, "invalid_request"},
		"HEAD":                {"HEAD", "", []string{"Authorization", gateway}, "", 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			r, err := http.NewRequestWithContext(t.Context(), c.method, s.ts.URL+feedPath+"?"+c.query, body)
			check(t, err)
			if !slices.Contains(c.fields, "Accept") {
				r.Header.Set("Accept", "text/event-stream")
			}
			for i := 0; i < len(c.fields); i += 2 {
				r.Header.Add(c.fields[i], c.fields[i+1])
			}
			got := s.do(r)
			var e errorBody
			_ = json.Unmarshal([]byte(got.body), &e)
			if got.status != c.status || string(e.Error) != c.want || got.header.Get("Content-Type") == "text/event-stream" {
				t.Errorf("%d %s, want %d %s", got.status, got.body, c.status, c.want)
			}
			if challenged := got.header.Get("Www-Authenticate") != ""; challenged != (c.status == 401) {
				t.Errorf("challenge: %v", got.header)
			}
			if c.status == 405 && got.header.Get("Allow") != "GET" {
				t.Errorf("Allow: %v", got.header)
			}
		})
	}
	s.introspect(s.token(), field("Authorization", event)) // elsewhere
	if r := s.introspect(s.token(), field("Authorization", event)); r.status != 401 {
		t.Errorf("SET-15: introspection by a SET: %d", r.status)
	}
	for secret := range s.known {
		if strings.Contains(s.log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
	if s.feed.Stats().Streams > 0 {
		s.ended(authz.FeedEndGone, 1)
	}
}

// EVT-01, EVT-02: a stream ends at once when its caller may no longer follow, and it gets no other.
func TestEVT01_EVT02_TheCallersStreamEnds(t *testing.T) {
	for version, edit := range overHTTP {
		t.Run(version, func(t *testing.T) {
			s := newStack(t, edit)
			gateway := s.gatewayOf("gateway")
			u, other := s.subscribe("Authorization", gateway), s.subscribe("Authorization", s.gatewayOf("archive"))
			_, f := u.event()
			other.event()
			_, err := s.registry.SetClientDisabled(t.Context(), admin, "gateway", true)
			check(t, err)
			u.wantEnd()
			s.ended(authz.FeedEndCaller, 1)
			e, of := other.event() // it hears of it
			if e.Revocations[0].Subject != (token.Subject{Kind: token.RevokedClient, Value: "gateway"}) {
				t.Errorf("%+v", e)
			}
			payload := string(segment(t, of.data, 1))
			if !strings.Contains(payload, `"https://schemas.openid.net/secevent/risc/event-type/account-disabled":{}`) {
				t.Errorf("EVT-01: %s", payload)
			}
			back := s.subscribe("Authorization", gateway, "Last-Event-ID", f.id)
			if back.res.StatusCode != 401 {
				t.Errorf("came back: %s", back.res.Status)
			}
			if log := s.log.String(); !strings.Contains(log, "a stream of the revocation feed has ended") || !strings.Contains(log, "cause=caller client_id=gateway") {
				t.Errorf("%s", log)
			}
		})
	}
}

// keyOf returns the kid of a compact JWS.
func keyOf(t *testing.T, compact string) string {
	t.Helper()
	var h struct{ Kid string }
	check(t, json.Unmarshal(segment(t, compact, 0), &h))
	return h.Kid
}

// EVT-05: a signing key that is revoked: in the same stream comes everything anew, by the key that took over.
func TestEVT05_SigningKeyRevoked(t *testing.T) {
	s := newStack(t)
	u := s.subscribe("Authorization", s.gatewayOf("gateway"))
	before, f := u.event()
	kid := keyOf(t, f.data)
	_, err := s.ring.Revoke(t.Context(), kid, admin)
	check(t, err)
	s.index.SetKeys(s.ring.RevokedKeys())
	s.feed.Renew()
	e, f := u.event() // verifies: by the published keys, of which it is none
	after := keyOf(t, f.data)
	if e.Kind != token.EventSnapshot || e.Run == before.Run || e.Revocations[0].Subject != (token.Subject{Kind: token.RevokedKey, Value: kid}) || after == kid {
		t.Errorf("%+v by %s", e, after)
	}
}

// A server that stops ends its streams first: nobody waits for them, and no goroutine is left.
func TestFeed_Shutdown(t *testing.T) {
	for version, edit := range overHTTP {
		t.Run(version, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			s := newStack(t, edit)
			gateway := s.gatewayOf("gateway")
			var all []*subscriber
			for range 5 {
				all = append(all, s.subscribe("Authorization", gateway))
			}
			for _, u := range all {
				u.event()
			}
			s.feed.Close()
			if r := s.get(feedPath, "Authorization", gateway, "Accept", "text/event-stream"); r.status != 503 || r.header.Get("Retry-After") == "" || r.body != "" {
				t.Errorf("who comes then: %d %v", r.status, r.header)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			began := time.Now()
			check(t, s.ts.Config.Shutdown(ctx))
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("shutting down took %v", took)
			}
			for _, u := range all {
				u.wantEnd()
				u.close()
			}
			s.ended(authz.FeedEndShutdown, 5)
			s.ts.Client().CloseIdleConnections()
			s.ts.Close()
		})
	}
}

// The server's times for requests and answers are not those of a stream; a stream that is silent lasts.
func TestFeed_OutlivesTheServersTimes(t *testing.T) {
	for version, edit := range overHTTP {
		t.Run(version, func(t *testing.T) {
			const short = 200 * time.Millisecond
			s := newStack(t, edit, func(c *settings) {
				c.server = func(srv *http.Server) { srv.ReadTimeout, srv.WriteTimeout, srv.IdleTimeout = short, short, short }
			})
			u := s.subscribe("Authorization", s.gatewayOf("gateway"))
			u.event()
			time.Sleep(3 * short) // the server's own timers go by the machine's clock
			s.feed.Beat()
			if e, _ := u.event(); e.Kind != token.EventHeartbeat {
				t.Errorf("%+v", e)
			}
		})
	}
}

// blocked is a connection that takes nothing more: its write deadline is all that ends a write.
type blocked struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
	after     int // so many writes
}

func (b *blocked) SetWriteDeadline(at time.Time) error {
	b.deadlines = append(b.deadlines, at)
	return nil
}

func (b *blocked) FlushError() error {
	if b.after--; b.after < 0 {
		return errors.New("i/o timeout")
	}
	return nil
}

// Every write has a deadline, and between two of them there is none; who does not read is cut off, and keeps
// nobody else waiting.
func TestFeed_WritesAreBounded(t *testing.T) {
	s := newStack(t)
	gateway := s.gatewayOf("gateway")
	r := httptest.NewRequest(http.MethodGet, feedPath, nil)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Authorization", gateway)
	r.RemoteAddr = "127.0.0.1:1"
	w := &blocked{ResponseRecorder: httptest.NewRecorder(), after: 1}
	began := time.Now()
	s.ts.Config.Handler.ServeHTTP(w, r) // returns: the second write fails
	s.ended(authz.FeedEndSlow, 1)
	if len(w.deadlines) != 3 || !w.deadlines[1].IsZero() || w.deadlines[0].Before(began.Add(10*time.Second)) || w.deadlines[0].After(time.Now().Add(10*time.Second)) {
		t.Errorf("deadlines: %v", w.deadlines)
	}
	if r.Header.Get("Authorization") != "" {
		t.Error("a secret stays in memory for as long as the stream")
	}
	// One that cannot be bounded gets nothing.
	plain := httptest.NewRecorder()
	r.Header.Set("Authorization", gateway)
	s.ts.Config.Handler.ServeHTTP(plain, r)
	s.ended(authz.FeedEndSlow, 2)
	if plain.Body.Len() > 0 {
		t.Errorf("%s", plain.Body)
	}
}

// A reader that stands still fills its connection and falls behind; it is cut off when the log has gone on, at the latest when
// its write times out, and others get everything meanwhile.
func TestFeed_ASlowReaderHoldsUpNobody(t *testing.T) {
	s := newStack(t)
	gateway := s.gatewayOf("gateway")
	w := s.wire()
	check(t, w.write("GET "+feedPath+" HTTP/1.1\r\nHost: as.example\r\nAccept: text/event-stream\r\nAuthorization: "+gateway+"\r\n\r\n")) // and reads nothing
	u := s.subscribe("Authorization", gateway)
	first, _ := u.next()
	const n = 6_000 // some 5 MB: more than buffers of a loopback connection hold, and more than the log
	go func() {
		for i := range n {
			s.feed.Publish(token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint("jti-", i)}}, time.Time{})
			if i%100 == 0 {
				time.Sleep(time.Millisecond) // for the one that reads
			}
		}
	}()
	run, _, _ := strings.Cut(first.id, ".")
	for i := range n {
		f, err := u.next()
		if want := fmt.Sprint(run, ".", i+1); err != nil || f.id != want {
			t.Fatalf("%s, want %s: %v", f.id, want, err)
		}
	}
	if s.feed.Stats().Streams > 2 {
		t.Error(s.feed.Stats())
	}
}

// What cannot be known is 503, never "nothing is revoked".
func TestSET14_UnavailableIsNoSnapshot(t *testing.T) {
	s := newStack(t)
	gateway := s.gatewayOf("gateway")
	s.subscribe("Authorization", gateway).close() // its record is held
	s.feed.Renew()
	s.gate.closed.Store(true)
	u := s.subscribe("Authorization", gateway)
	if u.res.StatusCode != 503 || u.res.Header.Get("Retry-After") == "" {
		t.Errorf("the store is away: %s", u.res.Status)
	}
	if log := s.log.String(); !strings.Contains(log, "cause=feed_unavailable") {
		t.Error(log)
	}
}

// Streams are bounded: 429 for one client, 503 for all.
func TestFeed_StreamsAreBounded(t *testing.T) {
	s := newStack(t, func(c *settings) { c.streams = authz.FeedStreamsPerClient + 1 })
	gateway, archive := s.gatewayOf("gateway"), s.gatewayOf("archive")
	for range authz.FeedStreamsPerClient {
		s.subscribe("Authorization", gateway).event()
	}
	if u := s.subscribe("Authorization", gateway); u.res.StatusCode != 429 || u.res.Header.Get("Retry-After") != "2" {
		t.Errorf("one more: %s", u.res.Status)
	}
	last := s.subscribe("Authorization", archive)
	last.event()
	if u := s.subscribe("Authorization", archive); u.res.StatusCode != 503 || u.res.Header.Get("Retry-After") != "2" {
		t.Errorf("one more than all: %s", u.res.Status)
	}
	last.close()
	s.ended(authz.FeedEndGone, 1)
	s.subscribe("Authorization", archive).event()
}

// Without a feed there is no path, and nothing in the metadata.
func TestMET06_NoFeed(t *testing.T) {
	s := newStack(t)
	h, err := endpoint.New(endpoint.Config{Issuer: s.issuer, Tokens: s.server, Keys: s.ring, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	for path, want := range map[string]int{feedPath: 404, metadataPath: 200} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want || strings.Contains(w.Body.String(), "revocation_feed") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if got := object(t, s.get(metadataPath))["revocation_feed_endpoint"]; got != s.issuer+feedPath {
		t.Errorf("%v", got)
	}
}

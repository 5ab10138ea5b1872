package verifier_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// RST-05, STR-05: what is not a stream of the issuer is none, and is asked for again until there is one. The secret
// goes nowhere else, and cookies nowhere at all.
func TestRST05_STR05_AnswersThatAreNoStream(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	stream := func(header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(http.StatusOK)
		}
	}
	redirect := func(code int, to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, code) }
	}
	is := newFeed(t, jose.ES256)
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   verifier.FeedCause
	}{
		"401":                {statusOnly(401), verifier.FeedRefused},
		"403":                {statusOnly(403), verifier.FeedRefused},
		"404":                {statusOnly(404), verifier.FeedAnswer},
		"204":                {statusOnly(204), verifier.FeedAnswer},
		"206":                {statusOnly(206), verifier.FeedAnswer},
		"429":                {statusOnly(429), verifier.FeedAnswer},
		"503":                {statusOnly(503), verifier.FeedAnswer},
		"302 elsewhere":      {redirect(302, other.URL), verifier.FeedAnswer},
		"307 elsewhere":      {redirect(307, other.URL), verifier.FeedAnswer},
		"307 to itself":      {redirect(307, "/feed2"), verifier.FeedAnswer},
		"JSON":               {stream("Content-Type", "application/json"), verifier.FeedAnswer},
		"no type":            {stream("Content-Type", ""), verifier.FeedAnswer},
		"compressed":         {stream("Content-Type", "text/event-stream", "Content-Encoding", "gzip"), verifier.FeedAnswer},
		"nothing, and ended": {stream("Content-Type", "text/event-stream;charset=utf-8"), verifier.FeedEnded},
		"broken off":         {func(w http.ResponseWriter, _ *http.Request) { hangUp(w, "text/event-stream") }, verifier.FeedBroken},
		"no answer":          {func(w http.ResponseWriter, _ *http.Request) { hangUp(w, "") }, verifier.FeedConnect},
	} {
		f := follow(t, is, []token.Subject{jti("j1")})
		var cookies atomic.Int32
		is.feed.answerWith(func(w http.ResponseWriter, r *http.Request) {
			cookies.Add(int32(len(r.Cookies())))
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			tt.answer(w, r)
		})
		f.end()
		f.wait(verifier.FeedDropped)
		for range 2 {
			r := <-f.reports
			for r.What == verifier.FeedConnected {
				r = <-f.reports
			}
			if r.What != verifier.FeedDropped || r.Cause != tt.want {
				t.Errorf("%s: %+v, want %q", name, r, tt.want)
			}
		}
		if cookies.Load() != 0 {
			t.Errorf("%s: a cookie was sent", name)
		}
		f.wantToken(name, is.token(t, nil), token.ReasonRevoked)
		is.feed.answerWith(nil)
		f.feedStream = is.feed.stream(t)
		is.now.Add(11)
		f.snapshot()
		for r := range f.reports {
			if r.What == verifier.FeedInstalled {
				break
			}
		}
		f.wantToken(name, is.token(t, nil), "")
		f.Close()
	}
	if elsewhere.Load() != 0 {
		t.Errorf("%d requests went elsewhere", elsewhere.Load())
	}
}

// hangUp breaks the connection off, after a header if there is a type.
func hangUp(w http.ResponseWriter, media string) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	if media != "" {
		fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n:ab", media)
		buf.Flush()
	}
	conn.Close()
}

// SET-14: a stream on which nothing that counts comes is left; comments, other events and half a line keep nothing
// alive, and neither does a header that does not come.
func TestSET14_RST10_NothingComesInTime(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"no header": func(http.ResponseWriter) {},
		"nothing":   func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/event-stream"); w.WriteHeader(200) },
		"comments": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 1000 {
				io.WriteString(w, ": alive\n\nevent: other\ndata: alive\n\n")
			}
			io.WriteString(w, "data: half a")
		},
	} {
		is := newFeed(t, jose.ES256)
		is.feed.answerWith(func(w http.ResponseWriter, r *http.Request) {
			answer(w)
			if name != "no header" {
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		})
		reports := make(chan verifier.FeedReport, 100)
		v := newVerifier(t, is, follows, func(c *verifier.Config) {
			c.StartUnready = true
			c.Follow.SetPace(50*time.Millisecond, time.Minute, time.Millisecond)
			c.OnFeed = func(r verifier.FeedReport) {
				select {
				case reports <- r:
				default:
				}
			}
		})
		for r := range reports {
			if r.What == verifier.FeedDropped {
				if r.Cause != verifier.FeedTimeout {
					t.Errorf("%s: %+v", name, r)
				}
				break
			}
		}
		v.Close()
	}
}

// SET-14: a stream that was good, and on which the heartbeats stop, is left for another one.
func TestSET14_TheHeartbeatsStop(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil, func(c *verifier.Config) { c.Follow.SetPace(time.Minute, 100*time.Millisecond, time.Millisecond) })
	for r := range f.reports {
		if r.What == verifier.FeedDropped {
			if r.Cause != verifier.FeedTimeout {
				t.Errorf("%+v", r)
			}
			break
		}
	}
	f.feedStream = is.feed.stream(t)
	if f.header.Get("Last-Event-ID") == "" {
		t.Error("what was heard before was right, and is not gone on with")
	}
}

// The endpoint is looked up again when it does not answer, and the one that was known serves while that cannot be.
func TestRST05_TheFeedMoves(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	is.set(func() { is.metadata = "{}" })
	is.feed.answerWith(statusOnly(http.StatusNotFound))
	f.end()
	for range 3 {
		f.wait(verifier.FeedDropped)
	}
	is.feed.answerWith(nil)
	f.feedStream = is.feed.stream(t)
	is.now.Add(2)
	f.snapshot(jti("j1"))
	for r := range f.reports {
		if r.What == verifier.FeedInstalled {
			break
		}
	}
	f.wantToken("where it was", is.token(t, nil), token.ReasonRevoked)
	before := is.requests.Load()
	f.end()
	f.wantDropped("the end", verifier.FeedEnded, true)
	if n := is.requests.Load() - before; n != 1 {
		t.Errorf("%d requests for a stream that ended in good order", n)
	}
}

// RST-13: plain http is for who asked for it.
func TestRST13_FeedOverHTTP(t *testing.T) {
	plain := newFeed(t, jose.ES256)
	server := httptest.NewServer(plain)
	defer server.Close()
	plain.URL = server.URL
	c := config(plain)
	follows(&c)
	if v, err := verifier.New(t.Context(), c); err == nil || !strings.Contains(err.Error(), "InsecureHTTP") {
		if v != nil {
			v.Close()
		}
		t.Errorf("error %v", err)
	}
	f := follow(t, plain, []token.Subject{jti("j1")}, func(c *verifier.Config) { c.InsecureHTTP = true })
	f.wantToken("over http", plain.token(t, nil), token.ReasonRevoked)
	f.Close()
}

// RST-10: a snapshot of many parts, of as many revocations as one may have.
func TestRST10_ALargeSnapshot(t *testing.T) {
	is := newFeed(t, jose.Ed25519)
	f := follow(t, is, nil)
	f.end()
	f.wantDropped("the end", verifier.FeedEnded, true)
	is.now.Add(2)
	const parts, each = 40, 200 // as many as fit into 16 KiB
	for p := range parts {
		var all []token.Subject
		for i := range each {
			all = append(all, jti(fmt.Sprintf("REVOKED%08d%08d", p, i)))
		}
		f.send(f.part(p+1, parts, all...))
	}
	if r := f.wait(verifier.FeedInstalled); r.Revocations != parts*each {
		t.Errorf("%+v", r)
	}
	f.wantToken("the last", is.token(t, map[string]any{"jti": fmt.Sprintf("REVOKED%08d%08d", parts-1, each-1)}), token.ReasonRevoked)
	f.wantToken("another", is.token(t, nil), "")
}

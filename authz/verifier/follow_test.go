package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// everything is what can withdraw the token that issuer.token signs.
func everything(is *issuer) []token.Subject {
	return []token.Subject{
		jti("j1"), client("c1"),
		{Kind: token.RevokedCredential, Value: "k1"},
		kid(is.signers[0].KeyID()),
		{Kind: token.RevokedResource, Value: audience},
		{Kind: token.RevokedAll},
	}
}

// STR-03, RST-05, EVT-14: from the event on the token is refused, by everything that it carries, whether it is
// remembered or not, and no request leaves for it.
func TestSTR03_RST05_EVT14_RevokedByAnEvent(t *testing.T) {
	for name, remember := range map[string]int{"remembered": 0, "checked each time": verifier.NoMemory} {
		for i := range everything(newFeed(t, jose.ES256)) {
			is := newFeed(t, jose.ES256, jose.Ed25519)
			f := follow(t, is, nil, func(c *verifier.Config) { c.Remember = remember })
			f.signer = is.signers[1] // which is not revoked here
			subject := everything(is)[i]
			compact := is.token(t, nil)
			f.wantToken("before", compact, "")
			f.knows(jti("another"))
			f.wantToken("another's", compact, "")
			asked := is.requests.Load()
			f.knows(subject)
			f.wantToken(name+", "+subject.String(), compact, token.ReasonRevoked)
			if n := is.requests.Load() - asked; n != 0 {
				t.Errorf("%s: %d requests", subject, n)
			}
			if st := f.FeedStatus(); st.Mode != verifier.ModeFollowing || st.Revocations != 2 || st.Refused != 1 || !st.Connected || !st.Known {
				t.Errorf("%s: %+v", subject, st)
			}
		}
	}
}

// RST-05, EVT-03: what an event says in place of an earlier one counts, also where it says less: a client is
// enabled again.
func TestRST05_TheLastWordCounts(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, []token.Subject{client("c1")})
	old, fresh := is.token(t, nil), is.token(t, map[string]any{"iat": epoch.Unix() + 10, "jti": "j2"})
	is.now.Add(10)
	f.heard()
	f.wantToken("disabled", fresh, token.ReasonRevoked)
	e := f.revocation(client("c1"))
	e.Revocations[0].Before = epoch.Add(9 * time.Second)
	f.send(e)
	f.wait(verifier.FeedRevoked)
	f.wantToken("enabled again", fresh, "")
	f.wantToken("from before", old, token.ReasonRevoked)
}

// RST-05: a snapshot counts whole or not at all, and puts out what it does not have.
func TestRST05_ASnapshotIsWhole(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, []token.Subject{jti("old")})
	token1 := is.token(t, map[string]any{"jti": "one"})
	token2 := is.token(t, map[string]any{"jti": "two"})
	tokenOld := is.token(t, map[string]any{"jti": "old"})
	f.end()
	f.wantDropped("the end", verifier.FeedEnded, true)
	is.now.Add(2)
	f.seq = 7
	f.send(f.part(1, 3, jti("one")))
	f.send(f.part(2, 3))
	// The third part is missing: the stream breaks off, and nothing has changed.
	f.end()
	f.wantDropped("amid a snapshot", verifier.FeedEnded, true)
	f.wantToken("half a snapshot", token1, "")
	f.wantToken("half a snapshot", tokenOld, token.ReasonRevoked)
	is.now.Add(9)
	f.seq = 9
	for i, all := range [][]token.Subject{{jti("one")}, nil, {jti("two")}} {
		f.send(f.part(i+1, 3, all...))
	}
	if r := f.wait(verifier.FeedInstalled); r.Revocations != 2 {
		t.Errorf("%+v", r)
	}
	f.wantToken("whole", token1, token.ReasonRevoked)
	f.wantToken("whole", token2, token.ReasonRevoked)
	f.wantToken("forgotten by the issuer", tokenOld, "")
	f.knows(jti("old"))
	f.wantToken("after it", tokenOld, token.ReasonRevoked)
}

// A stream that ended in good order is gone on with, and one whose issuer has forgotten the place begins anew.
func TestRST05_GoesOnWhereItWas(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	f.knows(jti("a"))
	f.heard()
	run, seq := f.run, f.seq
	f.end()
	f.wantDropped("the end", verifier.FeedEnded, true)
	if id := f.header.Get("Last-Event-ID"); id != fmt.Sprintf("%s.%d", run, seq) {
		t.Errorf("goes on after %q", id)
	}
	f.run, f.seq = run, seq
	f.knows(jti("j1"))
	f.heard()
	f.wantToken("resumed", is.token(t, nil), token.ReasonRevoked)
	f.end()
	f.wantDropped("the end", verifier.FeedEnded, true)
	is.now.Add(12)
	f.snapshot(jti("b")) // of the run of another server
	f.wait(verifier.FeedInstalled)
	f.wantToken("begun anew", is.token(t, nil), "")
}

// What is asked, and as whom; no cookie is kept.
func TestRST05_Request(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	for name, want := range map[string]string{"Accept": "text/event-stream", "Accept-Encoding": "identity", "Last-Event-ID": "", "Cookie": ""} {
		if got := f.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Revoked and Follow are both asked, and both before what is known is called too old.
func TestRST02_RevokedBesideFollow(t *testing.T) {
	is := newFeed(t, jose.ES256)
	x := token.NewIndex()
	f := follow(t, is, nil, func(c *verifier.Config) { c.Revoked = x })
	one, two := is.token(t, map[string]any{"jti": "one"}), is.token(t, map[string]any{"jti": "two"})
	f.wantToken("not loaded", one, "unavailable")
	x.Replace(nil)
	for range 2 {
		f.wantToken("neither", one, "")
		f.wantToken("neither", two, "")
	}
	x.Set(token.Indexed{Revocation: open(jti("one"))})
	f.knows(jti("two"))
	for range 2 {
		f.wantToken("by Revoked", one, token.ReasonRevoked)
		f.wantToken("by the feed", two, token.ReasonRevoked)
	}
	is.now.Add(60)
	f.wantToken("by Revoked, silent", one, token.ReasonRevoked)
	f.wantToken("by the feed, silent", two, token.ReasonRevoked)
	f.wantToken("another, silent", is.token(t, nil), "unavailable")
}

// SET-15, RST-10: a revocation that counted before a call began is seen by it, however many run beside it,
// while snapshots come and go.
func TestRST05_RST10_AtOnce(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil, func(c *verifier.Config) { c.Remember = 64 })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	revoked := is.token(t, map[string]any{"jti": "0"})
	good := is.token(t, map[string]any{"jti": "good"})
	f.knows(jti("0"))
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := f.Verify(t.Context(), revoked); !errors.Is(err, verifier.ErrToken) {
					t.Errorf("revoked: %v", err)
					return
				}
				if _, err := f.Verify(t.Context(), good); err != nil {
					t.Errorf("good: %v", err)
					return
				}
			}
		})
	}
	all := []token.Subject{jti("0")}
	for i := range 40 {
		subject := jti(fmt.Sprint(i + 1))
		compact := is.token(t, map[string]any{"jti": subject.Value})
		f.wantToken("before", compact, "")
		f.knows(subject)
		f.wantToken("after", compact, token.ReasonRevoked)
		if all = append(all, subject); i%10 == 9 {
			is.now.Add(2)
			f.run, f.seq = f.run+"x", 0
			f.snapshot(all...)
			f.wait(verifier.FeedInstalled)
			f.wantToken("after a snapshot", compact, token.ReasonRevoked)
		}
	}
	close(stop)
	wg.Wait()
}

// STR-03: what is revoked is forgotten after its time, by the issuer's clock and with a minute to spare, and the
// service's memory shrinks.
func TestSTR03_TheListShrinks(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	f.heard()
	e := f.revocation(jti("j1"))
	e.Revocations[0].Until = epoch.Add(100 * time.Second)
	f.send(e)
	f.wait(verifier.FeedRevoked)
	is.now.Add(159)
	f.heard()
	if n := f.FeedStatus().Revocations; n != 1 {
		t.Errorf("%d revocations before its time", n)
	}
	is.now.Add(60)
	f.heard()
	is.now.Add(60) // the sweep before this one has ended by then
	f.heard()
	if n := f.FeedStatus().Revocations; n != 0 {
		t.Errorf("%d revocations after its time", n)
	}
}

// New is told what is wrong before it is started, and hides the secret.
func TestSTR05_Config(t *testing.T) {
	is := newFeed(t, jose.ES256)
	is.set(func() { is.introspect = answering(is, goodAnswer) })
	for name, change := range map[string]func(*verifier.Config){
		"no choice":            func(c *verifier.Config) { c.Follow.WhenSilent = "" },
		"another choice":       func(c *verifier.Config) { c.Follow.WhenSilent = "opened" },
		"open for ever":        func(c *verifier.Config) { c.Follow.WhenSilent = verifier.SilentOpen },
		"open for long":        func(c *verifier.Config) { c.Follow.WhenSilent, c.Follow.OpenFor = verifier.SilentOpen, time.Hour+1 },
		"open for less":        func(c *verifier.Config) { c.Follow.WhenSilent, c.Follow.OpenFor = verifier.SilentOpen, -1 },
		"closed, and open":     func(c *verifier.Config) { c.Follow.OpenFor = 1 },
		"nobody to ask":        func(c *verifier.Config) { c.Follow.WhenSilent = verifier.SilentIntrospect },
		"asked for nothing":    introspecting,
		"no client":            func(c *verifier.Config) { c.Follow.ClientID = "" },
		"no secret":            func(c *verifier.Config) { c.Follow.Secret = "" },
		"too young":            func(c *verifier.Config) { c.Follow.MaxAge = verifier.MinMaxAge - 1 },
		"too old":              func(c *verifier.Config) { c.Follow.MaxAge = verifier.MaxMaxAge + 1 },
		"less than nothing":    func(c *verifier.Config) { c.Follow.MaxRevocations = -1 },
		"keys that were given": func(c *verifier.Config) { c.Keys = &jose.Set{} },
	} {
		c := config(is)
		follows(&c)
		change(&c)
		before := is.requests.Load()
		v, err := verifier.New(t.Context(), c)
		if err == nil {
			v.Close()
			t.Errorf("%s: taken", name)
		} else if !strings.Contains(err.Error(), "Follow") && name != "keys that were given" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		if is.requests.Load() != before {
			t.Errorf("%s: the issuer was asked", name)
		}
	}
}

// RSV-*, JWT-48: whatever prints a Config or a Verifier shows no secret.
func TestFollow_SecretIsHidden(t *testing.T) {
	is := newFeed(t, jose.ES256)
	var c verifier.Config
	f := follow(t, is, nil, func(conf *verifier.Config) { c = *conf })
	f.Close() // printing is no way to look at what goes on
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{c.Follow, *c.Follow, c, &c, f.Verifier, []any{c.Follow}, map[string]any{"a": *c.Follow}, f.FeedStatus()} {
			wantHidden(t, "", fmt.Sprintf(verb, value))
		}
	}
}

// StartUnready: nothing is known, so nothing is let in, and the service is not ready; then it is.
func TestRST07_StartUnready(t *testing.T) {
	is := newFeed(t, jose.ES256)
	is.set(func() { is.introspect = answering(is, goodAnswer) })
	for name, tt := range map[string]struct {
		change func(*verifier.Config)
		before token.Reason
		ready  bool
	}{
		"closed":     {func(*verifier.Config) {}, "unavailable", false},
		"open":       {func(c *verifier.Config) { c.Follow.WhenSilent, c.Follow.OpenFor = verifier.SilentOpen, time.Hour }, "unavailable", false},
		"introspect": {func(c *verifier.Config) { introspecting(c); c.Follow.WhenSilent = verifier.SilentIntrospect }, "", true},
	} {
		f := &following{t: t, is: is, reports: make(chan verifier.FeedReport, 1000)}
		f.Verifier = newVerifier(t, is, follows, tt.change, func(c *verifier.Config) {
			c.StartUnready = true
			c.OnFeed = func(r verifier.FeedReport) { f.reports <- r }
		})
		f.feedStream = is.feed.stream(t)
		f.wait(verifier.FeedConnected)
		f.wantToken(name, is.token(t, nil), tt.before)
		if st := f.FeedStatus(); f.Status().Ready != tt.ready || st.Known || !st.Connected {
			t.Errorf("%s: ready %t, %+v", name, f.Status().Ready, st)
		}
		f.snapshot(client("c2"))
		f.wait(verifier.FeedInstalled)
		f.wantToken(name, is.token(t, nil), "")
		if st := f.FeedStatus(); !f.Status().Ready || st.Mode != verifier.ModeFollowing {
			t.Errorf("%s: not ready, %+v", name, st)
		}
	}
}

// An issuer that cannot be reached, or does not know the client, is found out at the start.
func TestRST07_TheStartFails(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*issuer, *verifier.Config)
		want   string
	}{
		"another secret": {func(_ *issuer, c *verifier.Config) { c.Follow.Secret = "x" }, "does not take this service's own client"},
		"serves nothing": {func(is *issuer, _ *verifier.Config) { is.feed.answer = statusOnly(http.StatusForbidden) }, "does not take this service's own client"},
		"no feed":        {func(is *issuer, _ *verifier.Config) { is.feed = nil }, "revocation_feed_endpoint"},
		"busy":           {func(is *issuer, _ *verifier.Config) { is.feed.answer = statusOnly(http.StatusServiceUnavailable) }, "status 503"},
		"not a stream":   {func(is *issuer, _ *verifier.Config) { is.feed.answer = statusOnly(http.StatusOK) }, "not text/event-stream"},
		"plain http in https": {func(is *issuer, _ *verifier.Config) {
			is.metadata = `{"issuer":"` + is.URL + `","jwks_uri":"` + is.URL + `/jwks","revocation_feed_endpoint":"http://evil.example/feed"}`
		}, "not https"},
	} {
		is := newFeed(t, jose.ES256)
		c := config(is)
		follows(&c)
		is.set(func() { tt.change(is, &c) })
		v, err := verifier.New(t.Context(), c)
		if err == nil {
			v.Close()
			t.Errorf("%s: started", name)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func statusOnly(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// The context of New bounds the wait for the snapshot, and nothing later; Close ends everything at any time.
func TestFollow_CloseAndContext(t *testing.T) {
	is := newFeed(t, jose.ES256)
	c := config(is)
	follows(&c)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		is.feed.stream(t) // which says nothing
		cancel()
	}()
	if _, err := verifier.New(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	is.set(func() { is.feed.answer = statusOnly(http.StatusServiceUnavailable) })
	c.StartUnready = true
	c.Follow.SetPace(time.Minute, time.Minute, time.Hour)
	gone := make(chan verifier.FeedReport, 10)
	c.OnFeed = func(r verifier.FeedReport) { gone <- r }
	v, err := verifier.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	<-gone // and it waits for an hour
	v.Close()
	v.Close()

	is.set(func() { is.feed.answer = nil })
	f := follow(t, is, []token.Subject{client("c2")})
	f.Close()
	f.wantToken("closed, and still fresh", is.token(t, nil), "")
	f.wantToken("closed, and revoked", is.token(t, map[string]any{"client_id": "c2"}), token.ReasonRevoked)
	is.now.Add(11)
	f.wantToken("closed, and old", is.token(t, nil), "unavailable")
}

// SET-14: what the issuer has in its log comes with the heartbeats of then, which are as old as they are, and no
// sign that clocks differ. A large snapshot is shared for a while, and what it lacks comes after it.
func TestSET14_RST05_TheLogIsOld(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	old := []token.Event{f.revocation(jti("a")), f.beat(), f.revocation(jti("j1")), f.beat(), f.beat()}
	f.seq = 0
	f.end()
	run := f.run
	is.now.Add(200) // and nobody could connect
	f.wantDropped("the end", verifier.FeedEnded, true)
	f.run, f.seq = run, 2
	for _, e := range old {
		f.send(e)
	}
	for range 3 {
		f.wait(verifier.FeedHeard)
	}
	f.wantToken("from the log", is.token(t, nil), token.ReasonRevoked)
	f.wantToken("not of now", is.token(t, map[string]any{"jti": "b"}), "unavailable")
	f.heard()
	f.wantToken("of now", is.token(t, map[string]any{"jti": "b"}), "")
	f.end()
	f.wantDropped("the end", verifier.FeedEnded, true)
	e := f.part(1, 1, jti("b")) // from before j1 was revoked, say
	e.AsOf, e.IssuedAt = e.AsOf.Add(-299*time.Second), e.IssuedAt.Add(-299*time.Second)
	f.send(e)
	f.wait(verifier.FeedInstalled)
	f.wantToken("the snapshot lacks it", is.token(t, nil), token.ReasonRevoked)
	f.knows(jti("j1"))
	f.heard()
	f.wantToken("and what comes after has it", is.token(t, nil), token.ReasonRevoked)
}

// SET-14: New waits until it is known what is revoked now, and fails if the issuer goes on without saying that.
func TestSET14_RST07_TheStartWaitsForNow(t *testing.T) {
	for name, cutOff := range map[string]bool{"a shared snapshot": false, "a server that is cut off": true} {
		is := newFeed(t, jose.ES256)
		c := config(is)
		follows(&c)
		go func() {
			s := is.feed.stream(t)
			e := s.part(1, 1)
			e.AsOf, e.IssuedAt = e.AsOf.Add(-40*time.Second), e.IssuedAt.Add(-40*time.Second)
			s.send(e)
			for range 5 {
				b := s.beat()
				if cutOff {
					b.AsOf = e.AsOf
				}
				s.send(b)
			}
		}()
		v, err := verifier.New(t.Context(), c)
		if (err != nil) != cutOff || cutOff && !strings.Contains(err.Error(), "does not vouch") {
			t.Fatalf("%s: error %v", name, err)
		}
		if v == nil {
			continue
		}
		if _, err := v.Verify(t.Context(), is.token(t, nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		v.Close()
	}
}

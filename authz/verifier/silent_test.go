package verifier_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// exposure is for how long a token that was revoked just now is taken, second by second by the virtual clock,
// and how it is refused then.
func exposure(t *testing.T, is *issuer, v *verifier.Verifier, compact string) (took time.Duration, how token.Reason) {
	t.Helper()
	for ; took < 3*time.Hour; took += time.Second {
		_, err := v.Verify(t.Context(), compact)
		if how = reasonOf(t, err); how != "" {
			return took, how
		}
		is.now.Add(1)
	}
	t.Fatal("never refused")
	return 0, ""
}

// EVT-14, STR-01, STR-03, STR-04, STR-05, RST-02: how long a revoked token works in each mode, with the channel
// whole and with the channel cut just before the revocation. (STR-02: there are no status lists here.)
func TestEVT14_STR01_STR03_STR04_STR05_ExposureByMode(t *testing.T) {
	closes := func(c *verifier.Config) { follows(c) }
	opens := func(c *verifier.Config) {
		follows(c)
		c.Follow.WhenSilent, c.Follow.OpenFor = verifier.SilentOpen, 30*time.Second
	}
	asks := func(c *verifier.Config) {
		follows(c)
		introspecting(c)
		c.Follow.WhenSilent = verifier.SilentIntrospect
	}
	for name, tt := range map[string]struct {
		mode func(*verifier.Config)
		cut  bool
		want time.Duration
		how  token.Reason
	}{
		"expiry":                    {func(*verifier.Config) {}, false, 10*time.Minute + token.DefaultLeeway, token.ReasonExpired},
		"introspection":             {introspecting, false, 0, token.ReasonInactive},
		"introspection, cached":     {cachingFor(20 * time.Second), false, 20 * time.Second, token.ReasonInactive},
		"introspection, cut":        {introspecting, true, 0, "unavailable"},
		"feed":                      {closes, false, 0, token.ReasonRevoked},
		"feed, cut, closed":         {closes, true, verifier.DefaultMaxAge + time.Second, "unavailable"},
		"feed, cut, open":           {opens, true, verifier.DefaultMaxAge + 31*time.Second, "unavailable"},
		"feed, cut, introspect":     {asks, true, verifier.DefaultMaxAge + time.Second, token.ReasonInactive},
		"feed, introspect, not cut": {asks, false, 0, token.ReasonRevoked},
		"feed, cut, a longer limit": {func(c *verifier.Config) { follows(c); c.Follow.MaxAge = time.Minute }, true, 61 * time.Second, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			is := newFeed(t, jose.ES256)
			is.set(func() { is.introspect = answering(is, goodAnswer) })
			var c verifier.Config
			tt.mode(&c)
			var v *verifier.Verifier
			var f *following
			if c.Follow != nil {
				f = follow(t, is, nil, tt.mode)
				v = f.Verifier
			} else {
				v = newVerifier(t, is, tt.mode)
			}
			compact := is.token(t, nil)
			if _, err := v.Verify(t.Context(), compact); err != nil {
				t.Fatal(err)
			}
			// The revocation, and with it the cut.
			is.set(func() { is.introspect = answering(is, `{"active":false}`) })
			switch {
			case tt.cut && f != nil:
				is.feed.answerWith(statusOnly(http.StatusBadGateway))
				f.end()
			case tt.cut:
				is.set(func() { is.introspect = statusOnly(http.StatusBadGateway) })
			case f != nil:
				f.knows(jti("j1"))
			}
			if took, how := exposure(t, is, v, compact); took != tt.want || how != tt.how {
				t.Errorf("refused as %q after %v, want %q after %v", how, took, tt.how, tt.want)
			}
		})
	}
}

// SET-14, STR-05, RST-07: a stream that is there and says nothing is silent, in each mode as it was chosen; it is
// visible, and ends when the issuer is heard again. What is known to be revoked is refused throughout.
func TestSET14_STR05_RST07_Silence(t *testing.T) {
	type step struct {
		after time.Duration // since the last word
		mode  verifier.FeedMode
		want  token.Reason
		ready bool
	}
	following, closed := step{10 * time.Second, verifier.ModeFollowing, "", true}, step{41 * time.Second, verifier.ModeClosed, "unavailable", false}
	for name, tt := range map[string]struct {
		change func(*verifier.Config)
		steps  []step
	}{
		"closed": {func(*verifier.Config) {}, []step{following, {11 * time.Second, verifier.ModeClosed, "unavailable", false}, closed}},
		"open": {
			func(c *verifier.Config) { c.Follow.WhenSilent, c.Follow.OpenFor = verifier.SilentOpen, 30*time.Second },
			[]step{following, {11 * time.Second, verifier.ModeOpen, "", true}, {40 * time.Second, verifier.ModeOpen, "", true}, closed},
		},
		"introspect": {
			func(c *verifier.Config) { introspecting(c); c.Follow.WhenSilent = verifier.SilentIntrospect },
			[]step{following, {11 * time.Second, verifier.ModeIntrospects, "", true}, {1000 * time.Second, verifier.ModeIntrospects, "", true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := newFeed(t, jose.ES256)
			is.set(func() { is.introspect = answering(is, goodAnswer) })
			var log logBuffer
			f := follow(t, is, []token.Subject{client("c2")}, tt.change, func(c *verifier.Config) {
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
			})
			good := is.token(t, map[string]any{"exp": epoch.Unix() + 3600})
			revoked := is.token(t, map[string]any{"exp": epoch.Unix() + 3600, "client_id": "c2"})
			h := f.Require()(api(t))
			for round := range 2 {
				last := is.clock()
				for _, s := range tt.steps {
					is.now.Store(last.Add(s.after).Unix())
					f.wantToken(s.after.String(), good, s.want)
					f.wantToken(s.after.String(), revoked, token.ReasonRevoked)
					st := f.FeedStatus()
					if st.Mode != s.mode || st.Age != s.after || !st.AsOf.Equal(last) || f.Status().Ready != s.ready {
						t.Errorf("round %d, after %v: ready %t, %+v", round, s.after, f.Status().Ready, st)
					}
					if s.want == "unavailable" {
						want(t, name, call(h, "/", "Bearer "+good), http.StatusServiceUnavailable, "")
						want(t, name, call(h, "/", "Bearer "+revoked), http.StatusUnauthorized, "invalid_token")
					}
				}
				f.heard()
				f.wantToken("heard again", good, "")
				if st := f.FeedStatus(); st.Mode != verifier.ModeFollowing || st.Age != 0 {
					t.Errorf("heard again: %+v", st)
				}
			}
			st := f.FeedStatus()
			if st.Refused == 0 || (st.Closed > 0) != (name != "introspect") || (st.Open > 0) != (name == "open") || (st.Asked > 0) != (name == "introspect") {
				t.Errorf("counted %+v", st)
			}
			if n := strings.Count(log.String(), "revocations not followed"); n != 2 {
				t.Errorf("silence is told %d times:\n%s", n, log.String())
			}
			if n := strings.Count(log.String(), "revocations followed again"); n != 2 {
				t.Errorf("its end is told %d times", n)
			}
		})
	}
}

// RST-06, STR-04: the issuer is asked only while its feed is silent, of good tokens only, and no answer is 503.
func TestSTR05_RST06_AskedOnlyWhenSilent(t *testing.T) {
	is := newFeed(t, jose.ES256)
	is.set(func() { is.introspect = answering(is, goodAnswer) })
	f := follow(t, is, nil, func(c *verifier.Config) { introspecting(c); c.Follow.WhenSilent = verifier.SilentIntrospect })
	compact := is.token(t, nil)
	f.wantToken("followed", compact, "")
	if n := is.asked.Load(); n != 0 {
		t.Errorf("%d questions while it is followed", n)
	}
	is.now.Add(11)
	f.wantToken("silent", compact, "")
	f.wantToken("silent", compact, "")
	f.wantToken("bad", compact+"x", token.ReasonMalformed)
	if n := is.asked.Load(); n != 2 {
		t.Errorf("%d questions about two calls with good tokens", n)
	}
	is.set(func() { is.introspect = answering(is, `{"active":false}`) })
	f.wantToken("inactive", compact, token.ReasonInactive)
	is.set(func() { is.introspect = statusOnly(http.StatusServiceUnavailable) })
	f.wantToken("no answer", compact, "unavailable")
	f.heard()
	f.wantToken("followed again", compact, "")
}

// SET-14: a server that is cut off from its store goes on talking, and vouches for nothing.
func TestSET14_AsOfStandsStill(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	compact := is.token(t, nil)
	for i := range 8 {
		is.now.Add(2)
		e := f.beat()
		e.AsOf = epoch
		f.send(e)
		f.wait(verifier.FeedHeard)
		want := token.Reason("")
		if 2*(i+1) > 10 {
			want = "unavailable"
		}
		f.wantToken(time.Duration(2*(i+1)).String(), compact, want)
	}
	if st := f.FeedStatus(); st.Mode != verifier.ModeClosed || st.Age != 16*time.Second || !st.Connected {
		t.Errorf("%+v", st)
	}
	// One that goes back takes nothing away, and gives nothing.
	e := f.beat()
	e.AsOf = epoch.Add(-30 * time.Second)
	f.send(e)
	f.wait(verifier.FeedHeard)
	if st := f.FeedStatus(); st.Age != 16*time.Second {
		t.Errorf("%+v", st)
	}
	f.heard()
	f.wantToken("caught up", compact, "")
}

// SET-14: a word that lay on its way is as old as it is; one of a clock that is ahead of ours does not last longer.
func TestSET14_AgeIsByTheClockThatMakesItOlder(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	compact := is.token(t, nil)
	late := f.beat()
	is.now.Add(9)
	f.send(late)
	f.wait(verifier.FeedHeard)
	is.now.Add(2)
	f.wantToken("an old word, new here", compact, "unavailable")
	ahead := f.beat()
	ahead.IssuedAt = ahead.IssuedAt.Add(50 * time.Second)
	ahead.AsOf = ahead.IssuedAt
	f.send(ahead)
	f.wait(verifier.FeedHeard)
	f.wantToken("50 s ahead", compact, "")
	is.now.Add(11)
	f.wantToken("50 s ahead, and 11 s ago", compact, "unavailable")
	// Ours is put back: nothing is known of how old that is, until the issuer is heard again.
	f.heard()
	f.wantToken("a word of before that one", compact, "unavailable")
	is.now.Add(60)
	f.heard()
	f.wantToken("heard", compact, "")
	is.now.Add(-1)
	f.wantToken("put back a second", compact, "")
	is.now.Add(-4)
	f.wantToken("put back more", compact, "unavailable")
	is.now.Add(-600)
	f.wantToken("put back far", compact, token.ReasonNotYetValid)
	is.now.Add(605)
	f.wantToken("put right", compact, "")
}

// RST-11: neither log nor errors hold tokens, events or the secret.
func TestRST11_FeedInLogs(t *testing.T) {
	is := newFeed(t, jose.ES256)
	var log logBuffer
	f := follow(t, is, nil, func(c *verifier.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	foreign := newFeed(t, jose.ES256)
	e := f.revocation(jti("SECRET-JTI"))
	f.signer = foreign.signers[0]
	compact := f.sign(e)
	f.write(frameOf(compact))
	r := f.wait(verifier.FeedDropped)
	if r.Cause != verifier.FeedKey || !strings.Contains(log.String(), "cause=key") {
		t.Errorf("%+v\n%s", r, log.String())
	}
	wantHidden(t, compact, log.String(), r.Err.Error())
	if strings.Contains(log.String(), "SECRET-JTI") {
		t.Error(log.String())
	}
}

package verifier_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// SET-14, SET-15, RST-05: what came and is not believed. Nothing of it counts, the stream ends with a cause, the
// next one begins from nothing, and meanwhile the service goes by what it knew, for as long as that is fresh.
func TestSET14_SET15_RST05_WhatIsNotBelieved(t *testing.T) {
	stranger := newSigner(t, jose.ES256)
	for name, tt := range map[string]struct {
		send func(f *following)
		want verifier.FeedCause
	}{
		"a gap":                  {func(f *following) { f.seq++; f.revoke(jti("j1")) }, verifier.FeedGap},
		"a replay":               {func(f *following) { f.seq = 0; f.revoke(jti("j1")) }, verifier.FeedReplay},
		"a replay of long ago":   {func(f *following) { f.seq -= 2; f.revoke(jti("j1")) }, verifier.FeedReplay},
		"another run":            {func(f *following) { f.run += "x"; f.revoke(jti("j1")) }, verifier.FeedGap},
		"withheld":               {func(f *following) { f.revocation(jti("j1")); f.send(f.beat()) }, verifier.FeedGap},
		"an old heartbeat":       {func(f *following) { f.seq--; f.send(f.beat()) }, verifier.FeedReplay},
		"a heartbeat of another": {func(f *following) { f.run += "x"; f.send(f.beat()) }, verifier.FeedGap},
		"a snapshot again":       {func(f *following) { f.snapshot() }, verifier.FeedReplay},
		"the first part last":    {func(f *following) { f.run += "x"; f.send(f.part(2, 2)) }, verifier.FeedSnapshot},
		"a part twice": {func(f *following) {
			f.run += "x"
			f.send(f.part(1, 3))
			f.send(f.part(1, 3))
		}, verifier.FeedSnapshot},
		"a part left out": {func(f *following) {
			f.run += "x"
			f.send(f.part(1, 3))
			f.send(f.part(3, 3))
		}, verifier.FeedSnapshot},
		"parts of two": {func(f *following) {
			f.run += "x"
			f.send(f.part(1, 2))
			f.run += "x"
			f.send(f.part(2, 2))
		}, verifier.FeedSnapshot},
		"parts of two positions": {func(f *following) {
			f.run += "x"
			f.send(f.part(1, 2))
			f.seq++
			f.send(f.part(2, 2))
		}, verifier.FeedSnapshot},
		"parts of two times": {func(f *following) {
			f.run += "x"
			f.send(f.part(1, 2))
			e := f.part(2, 2)
			e.AsOf = e.AsOf.Add(time.Second)
			f.send(e)
		}, verifier.FeedSnapshot},
		"as many parts as it likes": {func(f *following) {
			f.run += "x"
			f.send(f.part(1, 2))
			f.send(f.part(2, 3))
		}, verifier.FeedSnapshot},
		"a revocation amid a snapshot": {func(f *following) {
			f.send(f.partOf("next", 1, 2))
			f.revoke(jti("j1"))
		}, verifier.FeedSnapshot},
		"a heartbeat amid a snapshot": {func(f *following) {
			f.send(f.partOf("next", 1, 2))
			f.send(f.beat())
		}, verifier.FeedSnapshot},
		"another issuer": {func(f *following) {
			e := f.revocation(jti("j1"))
			e.Issuer += "/"
			f.send(e)
		}, verifier.FeedIssuer},
		"another feed": {func(f *following) {
			e := f.revocation(jti("j1"))
			e.Audience += "/"
			f.send(e)
		}, verifier.FeedAudience},
		"for the API": {func(f *following) {
			e := f.revocation(jti("j1"))
			e.Audience = audience
			f.send(e)
		}, verifier.FeedAudience},
		"a clock ahead":    {func(f *following) { f.send(f.at(10*time.Minute, f.revocation(jti("j1")))) }, verifier.FeedClock},
		"61 s ahead":       {func(f *following) { f.send(f.at(61*time.Second, f.beat())) }, verifier.FeedClock},
		"as of 61 s ahead": {func(f *following) { e := f.beat(); e.AsOf = epoch.Add(61 * time.Second); f.send(e) }, verifier.FeedClock},
		"a heartbeat of long ago": {func(f *following) {
			e := f.at(-60*time.Second, f.beat())
			f.is.now.Add(1)
			f.send(e)
		}, verifier.FeedClock},
		"a snapshot of long ago": {func(f *following) { f.run += "x"; f.send(f.at(-301*time.Second, f.part(1, 1))) }, verifier.FeedClock},
		"a run that is no name":  {func(f *following) { f.run = "a\r\nX: y"; f.snapshot() }, verifier.FeedForm},
		"an endless run":         {func(f *following) { f.run = strings.Repeat("a", 65); f.snapshot() }, verifier.FeedForm},
		"a stranger's key":       {func(f *following) { f.signer = stranger; f.revoke(jti("j1")) }, verifier.FeedKey},
		"a stranger's signature": {func(f *following) { f.signer = impostor(f.t, f.is.signers[0]); f.revoke(jti("j1")) }, verifier.FeedSignature},
		"changed on its way": {func(f *following) {
			c := f.sign(f.revocation(jti("j1")))
			i := len(c) - 20
			changed := "A"
			if c[i] == 'A' {
				changed = "B"
			}
			f.write(frameOf(c[:i] + changed + c[i+1:]))
		}, verifier.FeedSignature},
		"unsigned":              {func(f *following) { f.write(frameOf("eyJhbGciOiJub25lIiwidHlwIjoic2VjZXZlbnQrand0In0.e30.")) }, verifier.FeedForm},
		"no token":              {func(f *following) { f.write(frameOf("hello")) }, verifier.FeedForm},
		"nothing":               {func(f *following) { f.write("event: set\ndata:\n\n") }, verifier.FeedForm},
		"two in one":            {func(f *following) { c := f.sign(f.beat()); f.write(frameOf(c + "\ndata: " + c)) }, verifier.FeedForm},
		"too long a line":       {func(f *following) { f.write("data: " + strings.Repeat("a", 1<<15)) }, verifier.FeedFrame},
		"too many lines":        {func(f *following) { f.write(strings.Repeat("data: aaaaaaaaaaaaaaaa\n", 1<<11)) }, verifier.FeedFrame},
		"another kind of event": {func(f *following) { f.raw(`{"https://example.org/x":{}}`) }, verifier.FeedForm},
		"two kinds of event": {func(f *following) {
			f.raw(`{"` + token.EventHeartbeat + `":{"run":"r","seq":1,"as_of":1800000000},"` + token.EventRevoked + `":{}}`)
		}, verifier.FeedForm},
		"an unknown subject": {func(f *following) {
			f.raw(`{"` + token.EventRevoked + `":{"run":"` + f.run + `","seq":4,"revocations":[["everything","x",0,0,0]]}}`)
		}, verifier.FeedForm},
		"the issuer just ends it": {func(f *following) { f.end() }, verifier.FeedEnded},
	} {
		t.Run(name, func(t *testing.T) {
			is := newFeed(t, jose.ES256)
			f := follow(t, is, []token.Subject{jti("old")})
			for _, s := range []string{"a", "b", "c"} {
				f.knows(jti(s))
			}
			good, revoked := is.token(t, nil), is.token(t, map[string]any{"jti": "old"})
			f.wantToken("before", good, "")
			tt.send(f)
			f.wantDropped(name, tt.want, tt.want == verifier.FeedEnded)
			f.wantToken("what it said", good, "")
			f.wantToken("what was known", revoked, token.ReasonRevoked)
			if st := f.FeedStatus(); st.Dropped[tt.want] != 1 || st.Err == nil {
				t.Errorf("%+v", st)
			}
			is.now.Add(12)
			f.wantToken("and never heard again", good, "unavailable")
			f.wantToken("and never heard again", revoked, token.ReasonRevoked)
			f.snapshot(jti("j1"))
			f.wait(verifier.FeedInstalled)
			f.wantToken("begun anew", good, token.ReasonRevoked)
			f.wantToken("begun anew", revoked, "")
		})
	}
}

// at puts an event somewhere else in time.
func (f *following) at(d time.Duration, e token.Event) token.Event {
	e.IssuedAt = e.IssuedAt.Add(d)
	return e
}

// partOf is a part of a snapshot of another run.
func (f *following) partOf(run string, part, parts int) token.Event {
	e := f.part(part, parts)
	e.Run = run
	return e
}

// raw sends a signed event with these events in it.
func (f *following) raw(events string) {
	payload := fmt.Sprintf(`{"iss":%q,"aud":%q,"iat":1800000000,"jti":"x","events":%s}`, f.is.URL, f.is.URL+"/feed", events)
	if !json.Valid([]byte(payload)) {
		f.t.Fatal(payload)
	}
	compact, err := f.signer.Sign(token.TypeEvent, []byte(payload))
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(frameOf(compact))
}

// impostor signs under the name of another's key.
func impostor(t testing.TB, of *jose.Signer) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(of.Algorithm())
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(key, of.KeyID(), of.Algorithm(), of.WireAlgorithm())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// JWT-45, SET-15: no other kind of JWT is an event, and an event is no access token, whatever else it says.
func TestJWT45_SET15_KindsAreKeptApart(t *testing.T) {
	for _, typ := range []string{
		token.TypeAccessToken, "JWT", "token-introspection+jwt", "dpop+jwt", "logout+jwt", "statuslist+jwt", "secevent+jwt2", "x/secevent+jwt", "",
	} {
		is := newFeed(t, jose.ES256)
		f := follow(t, is, nil)
		if typ == "" { // the signer would not
			h := "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ"
			f.write(frameOf(h + ".e30." + strings.Repeat("A", 86)))
		} else {
			f.write(frameOf(f.signAs(typ, f.revocation(jti("j1")))))
		}
		f.wantDropped(typ, verifier.FeedType, false)
		f.wantToken(typ, is.token(t, nil), "")
	}
	for _, typ := range []string{"SECEVENT+JWT", "application/secevent+jwt"} { // RFC 7515, Section 4.1.9: one type
		is := newFeed(t, jose.ES256)
		f := follow(t, is, nil)
		f.write(frameOf(f.signAs(typ, f.revocation(jti("j1")))))
		f.wait(verifier.FeedRevoked)
	}
	is := newFeed(t, jose.ES256)
	for name, insecure := range map[string]bool{"strict": false, "InsecureTypJWT": true} {
		f := follow(t, is, nil, func(c *verifier.Config) { c.InsecureTypJWT = insecure })
		event := f.sign(f.revocation(jti("x")))
		f.wantToken(name, event, token.ReasonType)
		want(t, name, call(f.Require()(api(t)), "/", "Bearer "+event), http.StatusUnauthorized, "invalid_token")
		// Every claim of an access token, and every one of an event, under the event's type.
		compact, err := f.signer.Sign(token.TypeEvent, []byte(`{"iss":"`+is.URL+`","sub":"c1","client_id":"c1","aud":"`+audience+`","jti":"j","iat":1800000000,"exp":1800000600}`))
		if err != nil {
			t.Fatal(err)
		}
		f.wantToken(name, compact, token.ReasonType)
	}
}

// Clocks that are ten minutes apart: refused with a reason, in log, status and metric; nobody is let in.
func TestRSV29_SET14_ClocksTenMinutesApart(t *testing.T) {
	for name, apart := range map[string]time.Duration{"the service's is behind": 10 * time.Minute, "the service's is ahead": -10 * time.Minute} {
		is := newFeed(t, jose.ES256)
		f := &following{t: t, is: is, reports: make(chan verifier.FeedReport, 1000)}
		f.Verifier = newVerifier(t, is, follows, func(c *verifier.Config) {
			c.StartUnready = true
			c.OnFeed = func(r verifier.FeedReport) { f.reports <- r }
		})
		f.feedStream = is.feed.stream(t)
		e := f.at(apart, f.part(1, 1))
		e.AsOf = e.IssuedAt
		f.send(e)
		if r := f.wait(verifier.FeedDropped); r.Cause != verifier.FeedClock || !strings.Contains(r.Err.Error(), "10m0s") {
			t.Errorf("%s: %v", name, r.Err)
		}
		f.wantToken(name, is.token(t, nil), "unavailable")
		if st := f.FeedStatus(); st.Dropped[verifier.FeedClock] == 0 || st.Known {
			t.Errorf("%s: %+v", name, st)
		}
	}
}

// Comments, other events, ids and retry say nothing, in whatever form they come.
func TestRST05_WhatIsIgnored(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	f.write(": comment\r\n\r\nretry: 1\r\n\r\nevent: other\r\ndata: x\r\n\r\ndata: no kind\n\nid: a\x00b\nid: evil.9\n\nevent: set\n\n")
	c := f.sign(f.revocation(jti("j1")))
	f.write("id: \x00\r\nevent:set\rdata:" + c + "\r\n\r\n")
	f.wait(verifier.FeedRevoked)
	f.wantToken("after all that", is.token(t, nil), token.ReasonRevoked)
	run := f.run
	f.end()
	f.wantDropped("the end", verifier.FeedEnded, true)
	if id := f.header.Get("Last-Event-ID"); id != run+".1" {
		t.Errorf("goes on after %q: the id that was signed counts, not that of the stream", id)
	}
}

// An event that comes before any snapshot, or goes on where nobody was, is a gap.
func TestSET14_NothingBeforeTheSnapshot(t *testing.T) {
	for name, send := range map[string]func(f *following){
		"a heartbeat":  func(f *following) { f.send(f.beat()) },
		"a revocation": func(f *following) { f.revoke(jti("j1")) },
	} {
		is := newFeed(t, jose.ES256)
		f := &following{t: t, is: is, reports: make(chan verifier.FeedReport, 1000)}
		f.Verifier = newVerifier(t, is, follows, func(c *verifier.Config) {
			c.StartUnready = true
			c.OnFeed = func(r verifier.FeedReport) { f.reports <- r }
		})
		f.feedStream = is.feed.stream(t)
		send(f)
		f.wantDropped(name, verifier.FeedGap, false)
		f.wantToken(name, is.token(t, nil), "unavailable")
	}
}

// RST-10, RST-05: more revocations than were agreed on are not held, and the service says so; those that came by
// themselves count all the same.
func TestRST10_TooManyRevocations(t *testing.T) {
	is := newFeed(t, jose.ES256)
	limited := func(c *verifier.Config) { c.Follow.MaxRevocations = 3 }
	f := follow(t, is, []token.Subject{jti("a"), jti("b"), jti("c")}, limited)
	f.heard()
	f.knows(jti("j1"))
	f.wantDropped("one more", verifier.FeedLimit, false)
	f.wantToken("one more", is.token(t, nil), token.ReasonRevoked)
	is.now.Add(2)
	f.snapshot(jti("a"), jti("b"), jti("c"), jti("d"))
	f.wantDropped("a larger snapshot", verifier.FeedLimit, false)
	f.send(f.part(1, 2, jti("a"), jti("b"), jti("c")))
	f.send(f.part(2, 2, jti("d")))
	f.wantDropped("a larger snapshot in parts", verifier.FeedLimit, false)
	f.wantToken("what counted", is.token(t, nil), token.ReasonRevoked)
	f.wantToken("the others, still fresh", is.token(t, map[string]any{"jti": "d"}), "")
	is.now.Add(11)
	f.wantToken("the others", is.token(t, map[string]any{"jti": "e"}), "unavailable")
	if st := f.FeedStatus(); st.Dropped[verifier.FeedLimit] != 3 || !strings.Contains(st.Err.Error(), "MaxRevocations") {
		t.Errorf("%+v", st)
	}
	f.snapshot(jti("a"), jti("b"), jti("c"))
	f.wait(verifier.FeedInstalled)
	f.wantToken("fewer", is.token(t, nil), "")
}

// A server that lags behind the last one gives no token its life back: what was known before counts beside what
// it says, until the issuer has vouched for as much.
func TestRST05_ASnapshotThatLagsTakesNothingBack(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil)
	is.now.Add(4)
	f.heard()
	f.knows(jti("j1"))
	compact, other := is.token(t, nil), is.token(t, map[string]any{"jti": "two"})
	f.end()
	f.wantDropped("the server ends", verifier.FeedEnded, true)
	behind := f.part(1, 1, jti("two")) // by another server, which has not heard of j1
	behind.AsOf = epoch.Add(3 * time.Second)
	f.send(behind)
	f.wait(verifier.FeedInstalled)
	f.wantToken("known before", compact, token.ReasonRevoked)
	f.wantToken("known there", other, token.ReasonRevoked)
	f.knows(jti("three"))
	f.wantToken("by an event there", is.token(t, map[string]any{"jti": "three"}), token.ReasonRevoked)
	is.now.Add(11)
	f.heard() // by a clock that may be 11 s ahead: that is the second in which j1 was revoked
	f.wantToken("not vouched for yet", compact, token.ReasonRevoked)
	// Others that lag count beside it, however many: servers that are restarted one after the other.
	for i := range 8 {
		f.end()
		f.wantDropped("again", verifier.FeedEnded, true)
		e := f.part(1, 1, jti(fmt.Sprint("there", i)))
		e.AsOf = epoch.Add(3 * time.Second)
		f.send(e)
		f.wait(verifier.FeedInstalled)
		for _, revoked := range []string{"j1", "two", "three", "there0", fmt.Sprint("there", i)} {
			f.wantToken("known before", is.token(t, map[string]any{"jti": revoked}), token.ReasonRevoked)
		}
	}
	f.wantToken("what nobody revoked", is.token(t, map[string]any{"jti": "four"}), "")
	f.end()
	f.wantDropped("the last of them", verifier.FeedEnded, true)
	is.now.Add(11)
	f.snapshot(jti("two"))
	f.wait(verifier.FeedInstalled)
	f.wantToken("one that has all", compact, "")
	f.wantToken("one that has all", other, token.ReasonRevoked)
	// So has one that has gone on for so long.
	f.end()
	f.wantDropped("the end", verifier.FeedEnded, true)
	f.snapshot(jti("three"))
	f.wait(verifier.FeedInstalled)
	f.wantToken("known before", other, token.ReasonRevoked)
	is.now.Add(10)
	f.heard()
	f.wantToken("not vouched for yet", other, token.ReasonRevoked)
	is.now.Add(1)
	f.heard()
	f.wantToken("vouched for", other, "")
	f.wantToken("vouched for", is.token(t, map[string]any{"jti": "three"}), token.ReasonRevoked)
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store/redistest"
)

// arrival is a message of the revocation feed, and when it was read.
type arrival struct {
	token.Event
	id string
	at time.Time
}

// subscribe follows the feed of a server as the API at the sample resource until the test ends. What comes is
// verified, and the channel closed when the stream ends.
func subscribe(t *testing.T, s *server, p partner, after string) (status int, all <-chan arrival) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address()+"/oauth2/revocations", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(p.id, p.secret)
	r.Header.Set("Accept", "text/event-stream")
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	events, done := make(chan arrival, 10_000), make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 64<<10)
		id := ""
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				id = v
			}
			set, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			at := time.Now()
			_, payload, err := jose.Verify(set, jose.VerifyOptions{
				Types: []string{token.TypeEvent}, Algorithms: []jose.Algorithm{jose.ES256},
				Key: func(h jose.Header) (*jose.PublicKey, error) { return s.ring.Lookup(h.KeyID) },
			})
			if err != nil {
				t.Error(err)
				return
			}
			e, err := token.ParseEvent(payload)
			if err != nil || e.Issuer != s.Issuer() || e.Audience != s.Issuer()+"/oauth2/revocations" {
				t.Errorf("%+v %v", e, err)
				return
			}
			events <- arrival{e, id, at}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return res.StatusCode, events
}

// newAPI registers a client that serves the sample resource.
func newAPI(t *testing.T, s *server, id string) partner {
	t.Helper()
	_, secret, _, err := s.registry.CreateClient(t.Context(), byTest, authz.ClientSpec{ID: id, Name: "An API", Serves: []string{sampleResource}})
	if err != nil {
		t.Fatal(err)
	}
	return partner{id, secret.Reveal()}
}

// next returns the next message that is no heartbeat.
func next(t *testing.T, all <-chan arrival) arrival {
	t.Helper()
	for {
		select {
		case a, ok := <-all:
			if !ok {
				t.Fatal("the stream has ended")
			}
			if a.Kind != token.EventHeartbeat {
				return a
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing comes")
		}
	}
}

// TestEVT14_SET01_WhatOneServerRevokesTheOthersFeedSays: from the 200 at one server until a subscriber of the other
// has the signed event, for a token, a client, everything of a resource, and a signing key.
func TestEVT14_SET01_WhatOneServerRevokesTheOthersFeedSays(t *testing.T) {
	nodes := startNodes(t, 2, redistest.Start(t).Addr)
	defer http.DefaultClient.CloseIdleConnections()
	a, b := nodes[0], nodes[1]
	service := newAPI(t, a, "service")
	status, all := subscribe(t, b, service, "")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	first := next(t, all)
	if first.Kind != token.EventSnapshot || first.Part != 1 || first.Parts != 1 {
		t.Fatalf("%+v", first)
	}
	run, seq := first.Run, first.Seq
	var delay delays
	want := func(subject token.Subject, since time.Time) {
		t.Helper()
		got := next(t, all)
		if seq++; got.Kind != token.EventRevoked || got.Run != run || got.Seq != seq || got.Revocations[0].Subject != subject {
			t.Fatalf("want %v, number %d: %+v", subject, seq, got)
		}
		if _, ok := b.index.Revocation(subject); !ok {
			t.Errorf("%v was told before it was obeyed", subject)
		}
		delay = append(delay, max(0, got.at.Sub(since)))
	}
	for i := range 20 {
		p := newPartner(t, a, fmt.Sprint("partner-", i))
		_, compact := p.asksFor(t, a)
		if status, body := post(t, "http://"+a.Address()+"/oauth2/revoke", p.form("token", compact)); status != http.StatusOK {
			t.Fatal(status, body)
		}
		want(token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, compact)}, time.Now())
		if _, err := a.registry.SetClientDisabled(t.Context(), byTest, authz.ClientID(p.id), true); err != nil {
			t.Fatal(err)
		}
		want(token.Subject{Kind: token.RevokedClient, Value: p.id}, time.Now())
	}
	for _, subject := range []token.Subject{{Kind: token.RevokedResource, Value: sampleResource}, {Kind: token.RevokedAll}} {
		if _, err := a.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: subject}); err != nil {
			t.Fatal(err)
		}
		want(subject, time.Now())
	}
	t.Logf("from the answer at one server until the signed event is at a subscriber of the other: %v", delay)
	if worst := slices.Max(delay); worst > propagation {
		t.Errorf("an event took %v", worst)
	}

	// EVT-05: the same stream goes on with everything, in a new run, signed by another key.
	kid := activeKey(t, a)
	if _, err := a.adminConfig().Keys.Revoke(t.Context(), kid, byTest); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	got := next(t, all)
	t.Logf("of a revoked signing key, with everything else that is revoked: %v", got.at.Sub(since).Round(10*time.Microsecond))
	if got.Kind != token.EventSnapshot || got.Run == run || got.Seq != 0 {
		t.Fatalf("%+v", got)
	}
	revoked := map[token.Subject]bool{}
	for _, r := range got.Revocations {
		revoked[r.Subject] = true
	}
	if !revoked[token.Subject{Kind: token.RevokedKey, Value: kid}] || len(revoked) != 43 {
		t.Errorf("%d are revoked: %v", len(revoked), revoked)
	}

	// EVT-01: the other server ends the stream of a client that is disabled here.
	if _, err := a.registry.SetClientDisabled(t.Context(), byTest, "service", true); err != nil {
		t.Fatal(err)
	}
	for range all {
	}
	if status, _ := subscribe(t, b, service, got.id); status != http.StatusUnauthorized {
		t.Errorf("it came back: %d", status)
	}
}

// TestFeed_GoesOnWhereASubscriberWas: over the embedded store, whose revocations are read for the snapshot.
func TestFeed_GoesOnWhereASubscriberWas(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	defer http.DefaultClient.CloseIdleConnections()
	service := newAPI(t, s, "service")
	revoke := func(jti string) {
		t.Helper()
		if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: jti}}); err != nil {
			t.Fatal(err)
		}
	}
	revoke("one")
	_, all := subscribe(t, s, service, "")
	first := next(t, all)
	if first.Kind != token.EventSnapshot || len(first.Revocations) != 1 || time.Since(first.AsOf) > 2*time.Second {
		t.Fatalf("%+v", first)
	}
	revoke("two")
	two := next(t, all)
	revoke("three")
	next(t, all)
	_, all = subscribe(t, s, service, two.id)
	if three := next(t, all); three.Kind != token.EventRevoked || three.Seq != two.Seq+1 || three.Revocations[0].Value != "three" {
		t.Errorf("%+v", three)
	}
	// The changes of the last minute are applied again: that is no news.
	if err := s.apply(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	published := s.feed.Stats().Published
	s.indexing.Lock()
	lost, err := s.readRevocations(t.Context(), []token.Subject{{Kind: token.RevokedJTI, Value: "two"}})
	s.indexing.Unlock()
	if err != nil || len(lost) > 0 || s.feed.Stats().Published != published {
		t.Errorf("%v %v, %d", lost, err, s.feed.Stats().Published-published)
	}
	// SET-14: without anything else there are heartbeats.
	select {
	case beat := <-all:
		if beat.Kind != token.EventHeartbeat || beat.Seq != two.Seq+1 || time.Since(beat.AsOf) > 2*time.Second {
			t.Errorf("%+v", beat)
		}
	case <-time.After(20 * time.Second):
		t.Error("no heartbeat")
	}
	// Everything is read anew: so do those who follow.
	if err := s.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := next(t, all); again.Kind != token.EventSnapshot || again.Run == first.Run || len(again.Revocations) != 3 {
		t.Errorf("%+v", again)
	}
}

// TestFeed_OpenStreamsDoNotUseUpTheGrace: a server with streams stops at once, and leaves nothing behind.
func TestFeed_OpenStreamsDoNotUseUpTheGrace(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	defer http.DefaultClient.CloseIdleConnections()
	c := devConfig(t)
	c.Shutdown.Grace = configs.Duration(5 * time.Minute)
	s, err := start(t.Context(), c, options{})
	if err != nil {
		t.Fatal(err)
	}
	service := newAPI(t, s, "service")
	var open []<-chan arrival
	for range 5 {
		_, all := subscribe(t, s, service, "")
		next(t, all)
		open = append(open, all)
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("stopping took %v", took)
	}
	for _, all := range open {
		for range all { // until it is closed
		}
	}
	if ended := s.feed.Stats().Ended[authz.FeedEndShutdown]; ended != 5 {
		t.Errorf("%d streams ended so", ended)
	}
}

// TestSET14_CutOffFromTheStoreTheTimeStandsStill: what heartbeats they say of the time stands still, and the follower decides.
func TestSET14_CutOffFromTheStoreTheTimeStandsStill(t *testing.T) {
	redis := redistest.Start(t)
	s := startNodes(t, 1, redis.Addr)[0]
	defer http.DefaultClient.CloseIdleConnections()
	_, all := subscribe(t, s, newAPI(t, s, "service"), "")
	next(t, all)
	redis.Pause()
	defer redis.Resume()
	var last arrival
	for n := 0; n < 3; n++ {
		beat, ok := <-all
		if !ok {
			t.Fatal("the stream has ended")
		}
		if n > 0 && beat.AsOf.After(last.AsOf.Add(time.Second)) { // what was on its way
			t.Errorf("without the store: known until %v, then %v", last.AsOf, beat.AsOf)
		}
		last = beat
	}
}

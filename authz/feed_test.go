package authz

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

const feedURL = testIssuer + "/oauth2/revocations"

// feeding is a scene with a feed.
type feeding struct {
	*scene
	feed    *Feed
	list    func() ([]token.Revocation, error) // what is revoked
	kids    []string
	failed  []error
	listing atomic.Int64 // how often everything was listed
}

func newFeeding(t testing.TB, edit func(*FeedConfig)) *feeding {
	t.Helper()
	return newFeedingOn(t, newScene(t, nil), edit)
}

func newFeedingOn(t testing.TB, s *scene, edit func(*FeedConfig)) *feeding {
	t.Helper()
	f := &feeding{scene: s}
	f.list = func() (all []token.Revocation, err error) {
		page, err := f.ListRevocations(context.Background(), "", 10_000)
		for _, r := range page {
			all = append(all, r.Revocation)
		}
		return all, err
	}
	c := FeedConfig{
		Server: f.server, URL: feedURL, Index: f.index, Streams: 100, Now: f.now, Known: f.now,
		Revocations: func(context.Context) iter.Seq2[token.Revocation, error] {
			return func(yield func(token.Revocation, error) bool) {
				f.listing.Add(1)
				all, err := f.list()
				for _, r := range all {
					if !yield(r, nil) {
						return
					}
				}
				if err != nil {
					yield(token.Revocation{}, err)
				}
			}
		},
		RevokedKeys: func() []string { return f.kids },
		Failed:      func(err error) { f.failed = append(f.failed, err) },
	}
	if edit != nil {
		edit(&c)
	}
	var err error
	if f.feed, err = NewFeed(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.feed.Close)
	return f
}

// revoke does what the follower of the change feed does.
func (f *feeding) revoke(r token.Revocation) {
	f.index.Set(token.Indexed{Revocation: r})
	f.feed.Publish(r, f.now())
}

func jtiRevoked(n int) token.Revocation {
	return token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: fmt.Sprint("jti-", n)}, Until: time.Unix(2_000_000_000, 0).UTC()}
}

func (f *feeding) followAs(p party, after string) (*FeedStream, error) {
	return f.feed.Follow(context.Background(), FeedRequest{Client: presented(p.id, p.secret), After: after})
}

func (f *feeding) follow(t testing.TB, after string) *FeedStream {
	t.Helper()
	s, err := f.followAs(f.first, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(FeedEndGone) })
	return s
}

// read verifies a message as a receiver does, and returns what it says.
func (f *feeding) read(t testing.TB, e FeedEvent) token.Event {
	t.Helper()
	h, payload, err := jose.Verify(e.SET, jose.VerifyOptions{
		Types: []string{token.TypeEvent}, Algorithms: []jose.Algorithm{jose.ES256, jose.RS256},
		Key: func(h jose.Header) (*jose.PublicKey, error) { return f.keys.public(h.KeyID) },
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := token.ParseEvent(payload)
	if err != nil || got.Issuer != testIssuer || got.Audience != feedURL || h.Type != token.TypeEvent {
		t.Fatalf("%+v %+v: %v", h, got, err)
	}
	return got
}

// next reads messages until there is one.
func (f *feeding) next(t testing.TB, s *FeedStream) []token.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	events, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var all []token.Event
	for _, e := range events {
		got := f.read(t, e)
		whole := got.Kind != token.EventSnapshot || got.Part == got.Parts
		if want := fmt.Sprint(got.Run, ".", got.Seq); whole && e.ID != want || !whole && e.ID != "" {
			t.Errorf("id %q of %s %d, part %d of %d", e.ID, got.Run, got.Seq, got.Part, got.Parts)
		}
		all = append(all, got)
	}
	return all
}

// quiet wants that there is nothing to read.
func (f *feeding) quiet(t testing.TB, s *FeedStream) {
	t.Helper()
	if events, next, _, err := f.feed.log.read(s.place, s.batch[:0]); len(events) != 0 || err != nil || len(s.parts) != 0 || next != s.place {
		t.Errorf("%d messages, %d parts, %v", len(events), len(s.parts), err)
	}
}

// wantEnd wants the stream to be over.
func (f *feeding) wantEnd(t testing.TB, s *FeedStream, want FeedEnd) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if events, err := s.Next(ctx); !errors.Is(err, want) {
		t.Errorf("%d messages, %v; want the end: %s", len(events), err, want)
	}
}

// A stream begins with everything, says what comes then in order and without a gap, and nothing twice.
func TestSET01_SET13_SnapshotThenEvents(t *testing.T) {
	f := newFeeding(t, nil)
	for i := range 3 {
		if _, _, err := f.revoker.Revoke(t.Context(), admin, jtiRevoked(i), "acme"); err != nil {
			t.Fatal(err)
		}
	}
	f.kids = []string{"old-key"}
	f.feed.seen()
	f.revoke(jtiRevoked(0))
	s := f.follow(t, "")
	all := f.next(t, s)
	if len(all) != 1 || all[0].Kind != token.EventSnapshot || all[0].Seq != 1 || len(all[0].Revocations) != 4 || !all[0].AsOf.Equal(f.now().Truncate(time.Second)) {
		t.Fatalf("%+v", all)
	}
	if k := all[0].Revocations[0]; k.Kind != token.RevokedKey || k.Value != "old-key" || !k.Before.IsZero() || !k.Until.IsZero() {
		t.Errorf("EVT-05: a revoked key: %+v", k)
	}
	f.quiet(t, s)
	for n, r := range []token.Revocation{
		jtiRevoked(7),
		{Subject: clientSubject("acme")},
		{Subject: token.Subject{Kind: token.RevokedCredential, Value: "k"}, Since: f.now(), Before: f.now(), Until: f.now()},
		{Subject: token.Subject{Kind: token.RevokedKey, Value: "kid"}, Before: f.now()},
		{Subject: token.Subject{Kind: token.RevokedResource, Value: api}},
		{Subject: token.Subject{Kind: token.RevokedAll}, Before: f.now(), Until: f.now()},
	} {
		f.revoke(r)
		got := f.next(t, s)
		if len(got) != 1 || got[0].Kind != token.EventRevoked || got[0].Seq != uint64(2+n) || got[0].Run != all[0].Run || got[0].Revocations[0].Subject != r.Subject {
			t.Errorf("%v: %+v", r.Subject, got)
		}
	}
	f.quiet(t, s)
}

// SET-14: silence has a number and a time.
func TestSET14_Heartbeats(t *testing.T) {
	known := time.Unix(1_700_000_000, 0).UTC()
	f := newFeeding(t, func(c *FeedConfig) { c.Known = func() time.Time { return known } })
	f.feed.Beat()
	if got := f.feed.Stats(); got.Heartbeats != 0 {
		t.Error("a heartbeat for nobody")
	}
	s := f.follow(t, "")
	f.next(t, s)
	f.feed.Beat()
	f.revoke(jtiRevoked(1))
	known = known.Add(time.Minute)
	f.feed.Beat()
	got := f.next(t, s)
	if len(got) != 3 || got[0].Kind != token.EventHeartbeat || got[0].Seq != 0 || got[2].Kind != token.EventHeartbeat || got[2].Seq != 1 || !got[2].AsOf.Equal(known) {
		t.Errorf("%+v", got)
	}
	// One who has no contact with the store any more says so.
	f.feed.Beat()
	if got := f.next(t, s); !got[0].AsOf.Equal(known) {
		t.Errorf("%+v", got)
	}
}

// Whoever comes back goes on where it was; whoever names a place that nobody can go on from gets everything.
func TestSET01_Resume(t *testing.T) {
	f := newFeeding(t, nil)
	s := f.follow(t, "")
	run := f.next(t, s)[0].Run
	for i := range 5 {
		f.revoke(jtiRevoked(i))
		f.feed.Beat()
	}
	for seq := range 6 {
		back := f.follow(t, fmt.Sprint(run, ".", seq))
		if !back.Resumed {
			t.Fatalf("%d: from the beginning", seq)
		}
		if seq == 5 {
			f.quiet(t, back)
			continue
		}
		got := f.next(t, back)
		if got[0].Kind != token.EventRevoked || got[0].Seq != uint64(seq+1) || len(got) != 2*(5-seq) {
			t.Errorf("after %d: %+v", seq, got)
		}
		back.Close(FeedEndGone)
	}
	for _, id := range []string{run + ".6", run + ".05", run + ".+5", run + ". 5", run + ".", run, "." + run, "x.5", "5", run + ".5.5", run + ".18446744073709551616", strings.Repeat("x", 1<<12), run + ".-1"} {
		back := f.follow(t, id)
		if got := f.next(t, back); back.Resumed || got[0].Kind != token.EventSnapshot || got[0].Seq != 0 {
			t.Errorf("%q: %+v", id, got)
		}
		if got := f.next(t, back); got[0].Kind != token.EventRevoked || got[0].Seq != 1 { // the snapshot is a shared one
			t.Errorf("%q: %+v", id, got)
		}
		back.Close(FeedEndGone)
	}
}

// The log is bounded: what has left it is not gone on from, and who is too slow is cut off.
func TestFeedLog_FallingOut(t *testing.T) {
	l := newFeedLog()
	run, _ := l.now()
	slow := run
	id := func(n int) string { return feedID(run.run, uint64(n)) }
	for i := range feedLogSize {
		l.append("x", uint64(i+1), true)
	}
	if _, ok := l.after(id(0)); !ok {
		t.Error("all of them are there")
	}
	l.append("x", feedLogSize+1, true)
	if _, ok := l.after(id(0)); ok {
		t.Error("the first one is gone")
	}
	if _, _, _, err := l.read(slow, make([]FeedEvent, 0, 1)); !errors.Is(err, errFeedFell) {
		t.Error(err)
	}
	if p, ok := l.after(id(1)); !ok {
		t.Error("the second one is there")
	} else if e, _, _, err := l.read(p, make([]FeedEvent, 0, 1)); err != nil || e[0].seq != 2 {
		t.Error(e, err)
	}
	// Heartbeats of the last revocation are no substitute for it.
	for range feedLogSize {
		l.append("beat", feedLogSize+1, false)
	}
	if _, ok := l.after(id(feedLogSize)); ok {
		t.Error("a revocation that has left the log was passed over")
	}
	if _, ok := l.after(id(feedLogSize + 1)); !ok {
		t.Error("who has it goes on")
	}
	l.renew()
	if _, ok := l.after(id(feedLogSize + 1)); ok {
		t.Error("another run")
	}
	if _, _, _, err := l.read(run, make([]FeedEvent, 0, 1)); !errors.Is(err, errFeedRenewed) {
		t.Error(err)
	}
}

// However many publish at once, and whoever looks on meanwhile: numbers without a gap.
func TestSET14_NoGapUnderConcurrency(t *testing.T) {
	f := newFeeding(t, nil)
	const publishers, each, followers = 8, 50, 16
	var publishing, following sync.WaitGroup
	for i := range followers {
		s, err := f.followAs([]party{f.first, f.second}[i%2], "")
		if err != nil {
			t.Fatal(err)
		}
		following.Go(func() {
			run, last, seen := "", uint64(0), map[string]bool{}
			for len(seen) < publishers*each {
				for _, e := range f.next(t, s) {
					switch {
					case e.Kind == token.EventSnapshot:
						run = e.Run
					case e.Run != run || e.Kind == token.EventHeartbeat && e.Seq != last || e.Kind == token.EventRevoked && e.Seq != last+1:
						t.Errorf("%s %d after %d", e.Kind, e.Seq, last)
						return
					}
					last = e.Seq
					for _, r := range e.Revocations {
						seen[r.Value] = true
					}
				}
			}
		})
	}
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				f.revoke(jtiRevoked(p*each + i))
				if i%10 == 0 {
					f.feed.Beat()
				}
			}
		})
	}
	publishing.Wait()
	following.Wait()
	if got := f.feed.Stats(); got.Published != publishers*each || got.Streams != followers {
		t.Errorf("%+v", got)
	}
}

// A message for a thousand is signed once.
func TestFeed_OneSignatureForAll(t *testing.T) {
	f := newFeeding(t, nil)
	a, b := f.follow(t, ""), f.follow(t, "")
	first, _ := a.Next(t.Context())
	second, _ := b.Next(t.Context())
	if first[0] != second[0] || f.feed.Stats().Snapshots != 1 || f.listing.Load() != 1 {
		t.Errorf("snapshots: %d", f.feed.Stats().Snapshots)
	}
	f.revoke(jtiRevoked(1))
	first, _ = a.Next(t.Context())
	second, _ = b.Next(t.Context())
	if first[0] != second[0] {
		t.Error("two signatures")
	}
}

// A snapshot is shared for a while, and never once the log has lost what comes after it.
func TestFeed_SnapshotsAreShared(t *testing.T) {
	f := newFeeding(t, nil)
	for range 20 {
		f.follow(t, "").Close(FeedEndGone)
	}
	if n := f.listing.Load(); n != 1 {
		t.Errorf("everything was listed %d times", n)
	}
	for range feedLogSize + 1 {
		f.feed.log.append("x", f.feed.log.seq+1, true)
	}
	f.follow(t, "").Close(FeedEndGone)
	if n := f.listing.Load(); n != 2 {
		t.Errorf("listed %d times: what is too old to go on from was given away", n)
	}
	f.advance(time.Hour)
	f.feed.Beat()
	if f.feed.snapshot.kept != nil {
		t.Error("a snapshot stays in memory")
	}
	f.server.ConfirmedAt(f.now())
	f.follow(t, "").Close(FeedEndGone)
	if n := f.listing.Load(); n != 3 {
		t.Errorf("listed %d times", n)
	}
}

// What fits into one message is in one; what does not is in several, and an id comes with the last alone: who
// is cut off before gets all of it again.
func TestSET01_SnapshotInParts(t *testing.T) {
	f := newFeeding(t, nil)
	var all []token.Revocation
	for i := range 2_500 {
		all = append(all, jtiRevoked(i))
	}
	long := strings.Repeat(`"<é\`, 120) // what JSON makes longer
	for i := range 40 {
		all = append(all, token.Revocation{Subject: token.Subject{Kind: token.RevokedResource, Value: fmt.Sprint("https://", i, long)}})
	}
	f.list = func() ([]token.Revocation, error) { return all, nil }
	s := f.follow(t, "")
	seen := map[string]bool{}
	parts, want := 0, 1
	for parts < want {
		for _, e := range f.next(t, s) {
			parts++
			if want = e.Parts; e.Part != parts || e.Seq != 0 {
				t.Errorf("part %d is %d of %d", parts, e.Part, e.Parts)
			}
			for _, r := range e.Revocations {
				seen[r.Value] = true
			}
		}
	}
	if len(seen) != len(all) || parts < 3 {
		t.Errorf("%d of %d in %d parts", len(seen), len(all), parts)
	}
	f.quiet(t, s)
}

// EVT-05: what a new run begins with is signed by what signs then, and the streams go on.
func TestEVT05_ARevokedKeyBeginsANewRun(t *testing.T) {
	f := newFeeding(t, nil)
	s := f.follow(t, "")
	old := f.next(t, s)[0].Run
	f.revoke(jtiRevoked(1))
	f.next(t, s)
	killed := f.keys[jose.ES256].KeyID()
	f.addKey(t, jose.ES256) // takes over; the old one verifies nothing any more
	f.kids = []string{killed}
	f.index.SetKeys(f.kids)
	f.feed.Renew()
	got := f.next(t, s)
	if got[0].Kind != token.EventSnapshot || got[0].Run == old || got[0].Seq != 0 || got[0].Revocations[0].Value != killed {
		t.Errorf("%+v", got)
	}
	back := f.follow(t, old+".1")
	if back.Resumed {
		t.Error("went on in a run whose key is revoked")
	}
	f.revoke(jtiRevoked(2))
	if got := f.next(t, s); got[0].Seq != 1 {
		t.Errorf("%+v", got)
	}
}

// Nothing is signed by a key that is revoked, whatever the ring says: neither what kills it, nor anything
// else.
func TestEVT05_AKeySignsNothingOnceItIsRevoked(t *testing.T) {
	f := newFeeding(t, nil)
	s := f.follow(t, "")
	f.next(t, s)
	f.revoke(token.Revocation{Subject: token.Subject{Kind: token.RevokedKey, Value: f.keys[jose.ES256].KeyID()}})
	f.wantEnd(t, s, FeedEndUnavailable)
	_, err := f.followAs(f.first, "")
	wantUnavailable(t, err, CauseNoSigningKey)
	f.revoke(jtiRevoked(1))
	if len(f.failed) != 1 || !errors.Is(f.failed[0], errFeedKey) {
		t.Errorf("told: %v", f.failed)
	}
	f.addKey(t, jose.ES256)
	back := f.follow(t, "")
	if got := f.next(t, back); got[0].Kind != token.EventSnapshot {
		t.Errorf("%+v", got)
	}
}

// A message that cannot be made leaves no gap: everything is sent anew, or nothing is.
func TestSET14_WhatCannotBeSignedBeginsANewRun(t *testing.T) {
	f := newFeeding(t, nil)
	s := f.follow(t, "")
	run := f.next(t, s)[0].Run
	signer := f.keys[jose.ES256]
	delete(f.keys, jose.ES256)
	f.revoke(jtiRevoked(1))
	f.keys[jose.ES256] = signer
	f.list = func() ([]token.Revocation, error) { return []token.Revocation{jtiRevoked(1)}, nil }
	got := f.next(t, s)
	if got[0].Kind != token.EventSnapshot || got[0].Run == run || len(got[0].Revocations) != 1 {
		t.Errorf("%+v", got)
	}
	delete(f.keys, jose.ES256)
	f.feed.Beat()
	f.wantEnd(t, s, FeedEndUnavailable)
	_, err := f.followAs(f.first, run+".0")
	wantUnavailable(t, err, CauseFeedUnavailable)
}

// A node that does not know what is revoked says nothing, and never that nothing is.
func TestSET14_NothingIsSaidBeforeEverythingWasRead(t *testing.T) {
	known := time.Unix(1_700_000_000, 0)
	f := newFeeding(t, func(c *FeedConfig) {
		c.Index, c.Known = token.NewIndex(), func() time.Time { return known }
	})
	_, err := f.followAs(f.first, "")
	wantUnavailable(t, err, CauseNotLoaded)
	f.feed.config.Index.Replace(nil)
	known = time.Time{}
	_, err = f.followAs(f.first, "")
	wantUnavailable(t, err, CauseNotLoaded)
	known = f.now()
	f.list = func() ([]token.Revocation, error) { return []token.Revocation{jtiRevoked(1)}, errDown }
	_, err = f.followAs(f.first, "")
	wantUnavailable(t, err, CauseFeedUnavailable)
	f.list = func() ([]token.Revocation, error) { panic("x") }
	_, err = f.followAs(f.first, "")
	wantUnavailable(t, err, CauseFeedUnavailable)
	if n := f.feed.Stats().Streams; n != 0 {
		t.Errorf("%d places are taken", n)
	}
}

// Only who serves a resource follows, and only for as long as it does.
func TestSET10_WhoMayFollow(t *testing.T) {
	f := newFeeding(t, nil)
	boss := f.boss(t)
	for name, r := range map[string]struct {
		request FeedRequest
		want    Cause
	}{
		"nobody":          {FeedRequest{}, CauseNoCredentials},
		"a wrong secret":  {FeedRequest{Client: presented(f.first.id, "wrong")}, CauseWrongSecret},
		"an id alone":     {FeedRequest{Client: Presented{Method: PresentedID, ID: f.first.id}}, CauseNoCredentials},
		"serves nothing":  {FeedRequest{Client: presented(f.partner.id, f.partner.secret)}, CauseServesNothing},
		"an admin, Basic": {FeedRequest{Client: presented(boss.id, boss.secret)}, CauseServesNothing},
	} {
		_, err := f.feed.Follow(t.Context(), r.request)
		var refused *Error
		if !errors.As(err, &refused) || refused.Cause != r.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A token for another API is one that this API could replay.
	_, err := f.feed.Follow(t.Context(), FeedRequest{Bearer: f.issue(t, f.partner, "orders:read").AccessToken})
	var bad *InvalidTokenError
	if !errors.As(err, &bad) || bad.Cause != CauseTokenAudience {
		t.Error(err)
	}
	s, err := f.feed.Follow(t.Context(), FeedRequest{Bearer: f.issue(t, boss, "").AccessToken})
	if err != nil {
		t.Fatal(err)
	}
	s.Close(FeedEndGone)
	// SET-15: what the feed sends lets nobody in.
	set := f.feed.log
	f.follow(t, "")
	f.feed.Beat()
	_, err = f.feed.Follow(t.Context(), FeedRequest{Bearer: set.ring[0].SET})
	if !errors.As(err, &bad) || bad.Cause != CauseTokenType {
		t.Error(err)
	}
}

// What takes the right away ends the streams, before anything else is said to them.
func TestEVT01_StreamsEndWithTheRightToFollow(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, f *feeding) error{
		"disabled": func(t *testing.T, f *feeding) error {
			_, err := f.registry.SetClientDisabled(t.Context(), admin, f.first.id, true)
			return err
		},
		"deleted": func(t *testing.T, f *feeding) error {
			return f.registry.DeleteClient(t.Context(), admin, f.first.id, Match{Any: true})
		},
		"serves nothing any more": func(t *testing.T, f *feeding) error {
			_, err := f.registry.UpdateClient(t.Context(), admin, f.first.id, Match{Any: true}, ClientSpec{Name: "x"}, false)
			return err
		},
		"its secret is revoked": func(t *testing.T, f *feeding) error {
			c, err := f.Client(t.Context(), f.first.id)
			if err != nil {
				return err
			}
			_, err = f.registry.RevokeSecret(t.Context(), admin, f.first.id, c.Credentials[0].ID, SecretRevocation{})
			return err
		},
		"its record cannot be read": func(_ *testing.T, f *feeding) error {
			f.server.AllChanged()
			f.fail(errDown)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeeding(t, nil)
			s, admins := f.follow(t, ""), f.boss(t)
			other, err := f.followAs(f.second, "")
			if err != nil {
				t.Fatal(err)
			}
			byToken, err := f.feed.Follow(t.Context(), FeedRequest{Bearer: f.issue(t, admins, "").AccessToken})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*FeedStream{s, other, byToken} {
				f.next(t, s)
			}
			if err := act(t, f); err != nil {
				t.Fatal(err)
			}
			f.feed.Publish(jtiRevoked(1), f.now())
			f.wantEnd(t, s, FeedEndCaller)
			if name == "its record cannot be read" {
				return
			}
			f.next(t, other)
			f.next(t, byToken)
			if _, err := f.registry.SetClientDisabled(t.Context(), admin, admins.id, true); err != nil {
				t.Fatal(err)
			}
			f.feed.Look()
			f.wantEnd(t, byToken, FeedEndCaller)
			byToken.Close(FeedEndCaller)
		})
	}
}

// A token that was withdrawn ends the stream that it began, and so does its time.
func TestFeed_StreamsOfATokenEndWithIt(t *testing.T) {
	f := newFeeding(t, nil)
	boss := f.boss(t)
	issued := f.issue(t, boss, "")
	open := func() *FeedStream {
		s, err := f.feed.Follow(t.Context(), FeedRequest{Bearer: issued.AccessToken})
		if err != nil {
			t.Fatal(err)
		}
		f.next(t, s)
		t.Cleanup(func() { s.Close(FeedEndGone) })
		return s
	}
	s := open()
	f.revoke(token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: issued.JTI}})
	f.wantEnd(t, s, FeedEndCaller)
	f.index.Remove(token.Subject{Kind: token.RevokedJTI, Value: issued.JTI})
	s = open()
	f.advance(issued.ExpiresIn)
	f.wantEnd(t, s, FeedEndCaller)
}

// No stream is open for ever.
func TestFeed_StreamsEndByAge(t *testing.T) {
	f := newFeeding(t, nil)
	s := f.follow(t, "")
	f.next(t, s)
	f.advance(feedAge - feedAge/10 - time.Second)
	f.feed.Beat()
	f.next(t, s)
	f.advance(feedAge/10 + time.Second)
	f.wantEnd(t, s, FeedEndAge)
}

// Streams are bounded, for each client and for all.
func TestFeed_StreamsAreBounded(t *testing.T) {
	f := newFeeding(t, func(c *FeedConfig) { c.Streams = FeedStreamsPerClient + 1 })
	var open []*FeedStream
	for range FeedStreamsPerClient {
		open = append(open, f.follow(t, ""))
	}
	_, err := f.followAs(f.first, "")
	var throttled *ThrottledError
	if !errors.As(err, &throttled) || throttled.Cause != CauseFeedLimited || throttled.RetryAfter <= 0 {
		t.Error(err)
	}
	s, err := f.followAs(f.second, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.followAs(f.second, "")
	wantUnavailable(t, err, CauseFeedFull)
	open[0].Close(FeedEndSlow)
	open[0].Close(FeedEndSlow) // gives one place
	again, err := f.followAs(f.second, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.followAs(f.second, ""); err == nil {
		t.Error("one place was given twice")
	}
	for _, s := range append(open[1:], s, again) {
		s.Close(FeedEndGone)
	}
	if got := f.feed.Stats(); got.Streams != 0 || got.Ended[FeedEndSlow] != 1 || got.Ended[FeedEndGone] != uint64(FeedStreamsPerClient+1) || len(f.feed.streams.perID) != 0 {
		t.Errorf("%+v", got)
	}
}

// Shutting down ends everything at once: streams that wait, snapshots that are being made, and who comes.
func TestFeed_Close(t *testing.T) {
	f := newFeeding(t, nil)
	s := f.follow(t, "")
	f.next(t, s)
	ended := make(chan error)
	go func() {
		_, err := s.Next(context.Background())
		ended <- err
	}()
	f.feed.Close()
	if err := <-ended; !errors.Is(err, FeedEndShutdown) {
		t.Error(err)
	}
	_, err := f.followAs(f.first, "")
	wantUnavailable(t, err, CauseFeedUnavailable)
	f.feed.Publish(jtiRevoked(1), f.now()) // of a follower that ends later
	f.feed.Beat()
	f.feed.Close()
}

func TestNewFeed_RefusesWhatCannotWork(t *testing.T) {
	if _, err := NewFeed(FeedConfig{}); err == nil || strings.Count(err.Error(), "FeedConfig.") != 8 {
		t.Error(err)
	}
}

// SET-02: what is sent has neither sub nor exp, and its type is its own.
func TestSET02_OnTheWire(t *testing.T) {
	f := newFeeding(t, nil)
	s := f.follow(t, "")
	f.next(t, s)
	f.revoke(token.Revocation{Subject: clientSubject("acme")})
	events, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(events[0].SET, ".")[1])
	if err := errors.Join(err, json.Unmarshal(payload, &m)); err != nil || m["sub"] != nil || m["exp"] != nil || m["sub_id"] == nil {
		t.Errorf("%s %v", m, err)
	}
}

// BenchmarkFeed publishes to a thousand who read at once, all in one process: the cost of one revocation,
// its signature included, until everybody has it.
func BenchmarkFeed(b *testing.B) {
	const followers = 1_000
	f := newFeeding(b, func(c *FeedConfig) { c.Streams = followers })
	var arrived atomic.Int64
	var all sync.WaitGroup
	for range followers {
		f.feed.streams.perID = nil
		s := f.follow(b, "")
		all.Go(func() {
			for {
				events, err := s.Next(context.Background())
				if err != nil {
					return
				}
				for _, e := range events {
					if e.revokes {
						arrived.Add(1)
					}
				}
			}
		})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.feed.Publish(jtiRevoked(i), f.now())
		for arrived.Load() < int64(i+1)*followers {
			time.Sleep(10 * time.Microsecond) // until all have it: nobody is to fall behind
		}
	}
	b.StopTimer()
	f.feed.Close()
	all.Wait()
}

package authz

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

func (f *feeding) pollAs(p party, after string) (FeedPage, error) {
	return f.feed.Poll(context.Background(), FeedRequest{Client: presented(p.id, p.secret), After: after})
}

// poll reads one page as a receiver does.
func (f *feeding) poll(t testing.TB, after string) ([]token.Event, FeedPage) {
	t.Helper()
	p, err := f.pollAs(f.first, after)
	if err != nil {
		t.Fatal(err)
	}
	var all []token.Event
	size := 0
	for _, set := range p.Sets {
		all = append(all, f.read(t, FeedEvent{SET: set}))
		size += len(set)
	}
	if last := all[len(all)-1]; last.Kind == token.EventHeartbeat == p.More {
		t.Errorf("more: %t, and the last one is %s", p.More, last.Kind)
	}
	if len(all) > 1 && size > feedPageSize+jose.MaxTokenSize || !IsFeedCursor(p.Next) || p.Client != f.first.id {
		t.Errorf("%d octets, next %q, for %s", size, p.Next, p.Client)
	}
	return all, p
}

// pollAll reads pages until there is no more, and wants them to be one whole: a snapshot or none, numbers without
// a gap, and a heartbeat that has the last one.
func (f *feeding) pollAll(t testing.TB, after string) (revoked []token.Revocation, next string, pages int) {
	t.Helper()
	var run string
	var seq, part uint64
	if c, ok := parseFeedCursor(after); ok {
		run, seq = c.name, c.n
	}
	for {
		all, p := f.poll(t, after)
		pages++
		for _, e := range all {
			switch e.Kind {
			case token.EventSnapshot:
				if e.Part == 1 {
					revoked, run, part = nil, e.Run, 0
				}
				part++
				if uint64(e.Part) != part || e.Run != run {
					t.Fatalf("part %d of %s; want part %d of %s", e.Part, e.Run, part, run)
				}
				seq = e.Seq
			case token.EventRevoked:
				if seq++; e.Run != run || e.Seq != seq {
					t.Fatalf("%s %d; want %s %d", e.Run, e.Seq, run, seq)
				}
			case token.EventHeartbeat:
				if e.Run != run || e.Seq != seq || p.Next != feedID(run, seq) {
					t.Fatalf("a heartbeat of %s %d, next %s, at %s %d", e.Run, e.Seq, p.Next, run, seq)
				}
			}
			revoked = append(revoked, e.Revocations...)
		}
		if after = p.Next; !p.More {
			return revoked, after, pages
		}
		if pages > 1_000 {
			t.Fatal("no end")
		}
	}
}

// Everything first, then what came, and each answer says as of when, by a message that is signed.
func TestSET14_SET13_Polling(t *testing.T) {
	known := time.Unix(1_700_000_000, 0).UTC()
	f := newFeeding(t, func(c *FeedConfig) { c.Known = func() time.Time { return known } })
	f.kids = []string{"old-key"}
	all, p := f.poll(t, "")
	if len(all) != 2 || all[0].Kind != token.EventSnapshot || len(all[0].Revocations) != 1 || !all[1].AsOf.Equal(known) {
		t.Fatalf("%+v", all)
	}
	for i := range 3 {
		f.revoke(jtiRevoked(i))
		known = known.Add(time.Second)
		again, q := f.poll(t, p.Next)
		if len(again) != 2 || again[0].Seq != uint64(i+1) || again[0].Revocations[0] != jtiRevoked(i) || !again[1].AsOf.Equal(known) || q.Next == p.Next {
			t.Errorf("%+v", again)
		}
		p = q
	}
	// Nothing is lost by asking again, and nothing has happened.
	for range 2 {
		if all, q := f.poll(t, p.Next); len(all) != 1 || q.Next != p.Next {
			t.Errorf("%+v", all)
		}
	}
	// Heartbeats of streams are not sent again.
	s := f.follow(t, "")
	f.next(t, s)
	for i := range 5 {
		f.feed.Beat()
		f.revoke(jtiRevoked(10 + i))
	}
	if all, _ := f.poll(t, p.Next); len(all) != 6 {
		t.Errorf("%d messages", len(all))
	}
	// A stream goes on where a page ended, and the other way round.
	if s := f.follow(t, p.Next); !s.Resumed || f.next(t, s)[1].Seq != 4 { // after the heartbeat of then
		t.Error("not resumed")
	}
	if st := f.feed.Stats(); st.Polled != 7 || st.Streams != 2 {
		t.Errorf("%+v", st)
	}
}

// A cursor that nobody can go on from begins with everything: another run's, the future's, what has left the log, a
// snapshot that is gone, and everything that has another form.
func TestSET14_PollingFromNowhere(t *testing.T) {
	f := newFeeding(t, nil)
	f.revoke(jtiRevoked(0))
	_, next, _ := f.pollAll(t, "")
	run, _, _ := strings.Cut(next, ".")
	for _, after := range []string{
		"", "x.0", run + ".2", run + ".18446744073709551615", strings.ToLower(next), run + "~1", run + "~0", "x~18446744073709551615",
		run + ".18446744073709551616", run + ".01", run + ".-1", run + ".+1", run + "1", ".1", "~1", next + "\x00", next + " ", strings.Repeat("x", 1<<16) + ".1", run + ".1~1", run + "~1.1",
	} {
		if all, p := f.poll(t, after); all[0].Kind != token.EventSnapshot || p.Next != next {
			t.Errorf("%.60q: %+v", after, all)
		}
	}
	for i := range feedLogSize + 1 {
		f.feed.log.append("x", uint64(i+2), true)
	}
	if p, err := f.pollAs(f.first, next); err != nil || f.read(t, FeedEvent{SET: p.Sets[0]}).Kind != token.EventSnapshot {
		t.Errorf("what has left the log was passed over: %v", err)
	}
}

// Many events come in pages, too, while more of them come in.
func TestSET14_PollingALongLog(t *testing.T) {
	f := newFeeding(t, nil)
	_, next, _ := f.pollAll(t, "")
	const n = 900
	for i := range n {
		f.revoke(jtiRevoked(i))
	}
	got, end, pages := f.pollAll(t, next)
	if len(got) != n || pages < 3 {
		t.Errorf("%d events in %d pages", len(got), pages)
	}
	if end != feedID(strings.SplitN(next, ".", 2)[0], n) {
		t.Error(end)
	}
}

// manyRevoked is as many revocations as take several pages.
func manyRevoked(n int) (all []token.Revocation) {
	for i := range n {
		r := jtiRevoked(i)
		r.Value = fmt.Sprintf("%s-%0250d", r.Value, i)
		all = append(all, r)
	}
	return all
}

// A large snapshot comes in pages: revocations that come in between pages are behind it, all who poll share one,
// and one who is slow finds it again for a while. Who asks for a page of one that is gone begins anew.
func TestSET14_PollingALargeSnapshot(t *testing.T) {
	const n = 5_000
	f := newFeeding(t, nil)
	f.list = func() ([]token.Revocation, error) { return manyRevoked(n), nil }
	all, first := f.poll(t, "")
	if !first.More || all[0].Part != 1 || !strings.HasSuffix(first.Next, fmt.Sprint("~", len(all))) {
		t.Fatalf("%d parts, next %s", len(all), first.Next)
	}
	f.revoke(jtiRevoked(-1))
	got, next, pages := f.pollAll(t, "")
	if len(got) != n+1 || got[n] != jtiRevoked(-1) || pages < 5 {
		t.Errorf("%d revocations in %d pages", len(got), pages)
	}
	f.advance(feedPageKept - time.Second)
	f.feed.Beat()
	if second, _ := f.poll(t, first.Next); second[0].Kind != token.EventSnapshot || second[0].Part != len(all)+1 {
		t.Errorf("page 2 begins with part %d", second[0].Part)
	}
	if made := f.listing.Load(); made != 1 {
		t.Errorf("%d snapshots were made", made)
	}
	// Of another snapshot, or of parts that it does not have.
	name, _, _ := strings.Cut(first.Next, "~")
	for _, after := range []string{name + "~18446744073709551615", name + "~1000000", "x" + first.Next, name + ".1"} {
		if all, _ := f.poll(t, after); all[0].Part != 1 {
			t.Errorf("%q: part %d", after, all[0].Part)
		}
	}
	f.advance(feedPageKept)
	f.feed.Beat()
	if f.feed.snapshot.paged != nil || f.feed.snapshot.kept != nil {
		t.Error("a large snapshot stays in memory")
	}
	if all, _ := f.poll(t, first.Next); all[0].Part != 1 || f.listing.Load() != 2 {
		t.Errorf("part %d of a snapshot that is gone", all[0].Part)
	}
	// Whoever has all of it goes on, whatever became of it.
	if all, _ := f.poll(t, next); len(all) != 1 {
		t.Errorf("%+v", all)
	}
}

// Whoever is far away comes to the end of a large snapshot, however long that takes, up to a bound.
func TestSET14_PollingALargeSnapshotSlowly(t *testing.T) {
	f := newFeeding(t, nil)
	f.list = func() ([]token.Revocation, error) { return manyRevoked(1_000), nil }
	_, p := f.poll(t, "")
	begun, pages := f.now(), 1
	for ; p.More && pages < 100; pages++ {
		f.advance(feedPageKept - time.Second)
		f.feed.Beat()
		_, p = f.poll(t, p.Next)
	}
	if p.More || pages < 5 || f.listing.Load() != 1 || !f.now().After(begun.Add(2*feedPageKept)) {
		t.Fatalf("%d pages of %d snapshots in %v", pages, f.listing.Load(), f.now().Sub(begun))
	}
	_, p = f.poll(t, "")
	for f.now().Before(begun.Add(feedPagesKept)) {
		f.advance(time.Minute)
		f.feed.Beat()
		_, p = f.poll(t, p.Next)
	}
	if f.listing.Load() != 2 {
		t.Errorf("%d snapshots were made", f.listing.Load())
	}
}

// EVT-05: a key that is revoked between two pages, or while one is made: a new run, signed by the one that took over,
// and nothing by the old one.
func TestEVT05_PollingAcrossARevokedKey(t *testing.T) {
	const n = 5_000
	f := newFeeding(t, nil)
	f.list = func() ([]token.Revocation, error) { return manyRevoked(n), nil }
	_, first := f.poll(t, "")
	f.kids = []string{"stolen"}
	f.feed.Renew()
	got, next, _ := f.pollAll(t, first.Next)
	if len(got) != n+1 || got[0].Kind != token.RevokedKey || got[0].Value != "stolen" {
		t.Errorf("%d, %+v", len(got), got[0])
	}
	f.feed.Renew()
	if all, _ := f.poll(t, next); all[0].Kind != token.EventSnapshot || all[0].Part != 1 {
		t.Errorf("%+v", all[0])
	}
	// While it is made: the page is made anew.
	f.list = func() ([]token.Revocation, error) {
		if f.listing.Load() == 4 {
			f.feed.Renew()
		}
		return nil, nil
	}
	f.feed.Renew()
	if all, p := f.poll(t, ""); len(all) != 2 || !strings.HasPrefix(p.Next, all[0].Run) {
		t.Errorf("%+v", all)
	}
	// And not for ever.
	f.list = func() ([]token.Revocation, error) { f.feed.Renew(); return nil, nil }
	f.feed.Renew()
	_, err := f.pollAs(f.first, "")
	wantUnavailable(t, err, CauseFeedUnavailable)
}

// SET-10, SET-14: who may not follow is refused, and what cannot be known is no page.
func TestSET10_SET14_WhoMayPollAndWhen(t *testing.T) {
	known := time.Unix(1_700_000_000, 0)
	f := newFeeding(t, func(c *FeedConfig) { c.Known = func() time.Time { return known } })
	_, next, _ := f.pollAll(t, "")
	for name, r := range map[string]struct {
		who  party
		want Cause
	}{
		"a wrong secret": {party{id: f.first.id, secret: "x"}, CauseWrongSecret},
		"serves nothing": {f.partner, CauseServesNothing},
	} {
		_, err := f.pollAs(r.who, next)
		var refused *Error
		if !errors.As(err, &refused) || refused.Cause != r.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Disabled while the snapshot is made: nothing is handed out.
	f.list = func() ([]token.Revocation, error) {
		_, err := f.registry.SetClientDisabled(t.Context(), admin, f.second.id, true)
		return nil, err
	}
	f.feed.Renew()
	_, err := f.pollAs(f.second, "")
	var refused *Error
	if !errors.As(err, &refused) || refused.Cause != CauseDisabled {
		t.Error(err)
	}
	f.list = func() ([]token.Revocation, error) { return nil, errDown }
	f.feed.Renew()
	_, err = f.pollAs(f.first, next)
	wantUnavailable(t, err, CauseFeedUnavailable)
	f.list = func() ([]token.Revocation, error) { return nil, nil }
	_, next, _ = f.pollAll(t, "")
	known = time.Time{}
	_, err = f.pollAs(f.first, next)
	wantUnavailable(t, err, CauseNotLoaded)
	known = f.now()
	signer := f.keys[jose.ES256]
	delete(f.keys, jose.ES256)
	_, err = f.pollAs(f.first, next)
	wantUnavailable(t, err, CauseFeedUnavailable)
	f.keys[jose.ES256] = signer
	f.feed.Close()
	_, err = f.pollAs(f.first, next)
	wantUnavailable(t, err, CauseFeedUnavailable)
}

// However many revoke and begin anew meanwhile, pages of one run have no gap, and all is there in the end.
func TestSET14_PollingWhileItHappens(t *testing.T) {
	const n, pollers = 60, 4
	f := newFeeding(t, nil)
	var mu sync.Mutex
	var revoked []token.Revocation
	f.list = func() ([]token.Revocation, error) {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(revoked), nil
	}
	var wg sync.WaitGroup
	for i := range pollers {
		wg.Go(func() {
			seen, after := map[string]bool{}, ""
			for len(seen) < n && !t.Failed() {
				p, err := f.pollAs([]party{f.first, f.second}[i%2], after)
				if err != nil {
					t.Error(err)
					return
				}
				for _, set := range p.Sets {
					for _, r := range f.read(t, FeedEvent{SET: set}).Revocations {
						seen[r.Value] = true
					}
				}
				after = p.Next
			}
		})
	}
	for i := range n {
		mu.Lock()
		revoked = append(revoked, jtiRevoked(i))
		mu.Unlock()
		f.revoke(jtiRevoked(i))
		if i%20 == 10 {
			f.feed.Renew()
		}
	}
	wg.Wait()
}

// FuzzFeedCursor: what is read has one spelling, and no character that means something in a URL, in JSON or in a
// header field.
func FuzzFeedCursor(f *testing.F) {
	for _, seed := range []string{"", "RUN.0", "RUN~12", "a-_9.18446744073709551615", "a.18446744073709551616", "a.01", "a.b.1", "~1", "a~", "a%2e1", "a.1\n", "é.1"} {
		f.Add(seed)
	}
	log := newFeedLog()
	log.append("x", 1, true)
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parseFeedCursor(text)
		if ok != IsFeedCursor(text) {
			t.Fatal("two opinions")
		}
		if _, found := log.after(text); found && (!ok || c.part || c.name != log.run || c.n > 1) {
			t.Fatalf("%q is a place, and %+v", text, c)
		}
		if ok && (c.String() != text || c.name == "" || len(c.name) > maxFeedName || strings.ContainsAny(text, "\"\\%&+#;=<>\r\n \x00") || len(text) > maxFeedName+1+len(fmt.Sprint(uint64(math.MaxUint64)))) {
			t.Fatalf("%q is %+v", text, c)
		}
	})
}

// EVT-05: what was collected when a key is revoked is not handed out, though its last message were signed by the next.
func TestEVT05_ARevokedKeyWhileAPageIsSigned(t *testing.T) {
	var f *feeding
	armed := false
	f = newFeeding(t, func(c *FeedConfig) {
		now := c.Now
		c.Known = func() time.Time { armed = f != nil && f.kids == nil; return now() }
		c.Now = func() time.Time { // asked by who signs
			if armed {
				armed, f.kids = false, []string{"stolen"}
				f.feed.Renew()
			}
			return now()
		}
	})
	f.kids = []string{}
	_, next, _ := f.pollAll(t, "")
	f.revoke(jtiRevoked(1))
	f.kids = nil
	all, p := f.poll(t, next)
	if all[0].Kind != token.EventSnapshot || all[0].Revocations[0].Value != "stolen" || strings.HasPrefix(p.Next, strings.SplitN(next, ".", 2)[0]) {
		t.Errorf("%+v", all)
	}
}

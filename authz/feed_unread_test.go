package authz

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// all makes what was revoked by revoke alone appear in snapshots, too.
func (f *feeding) all() *sync.Map {
	var revoked sync.Map
	f.list = func() (all []token.Revocation, err error) {
		revoked.Range(func(_, r any) bool { all = append(all, r.(token.Revocation)); return true })
		return all, nil
	}
	return &revoked
}

// wantWhole wants a snapshot that says these, among others.
func wantWhole(t testing.TB, events []token.Event, want ...token.Revocation) {
	t.Helper()
	if len(events) == 0 || events[0].Kind != token.EventSnapshot {
		t.Fatalf("no snapshot: %+v", events)
	}
	for _, r := range want {
		if !slices.ContainsFunc(events[0].Revocations, func(got token.Revocation) bool { return got.Subject == r.Subject }) {
			t.Errorf("the snapshot lacks %s: %+v", r.Subject, events[0].Revocations)
		}
	}
}

// While nobody follows nothing is signed, and nobody is told less for it: who comes is sent everything, whatever
// place it names.
func TestSET01_SET14_NothingIsSignedForNobody(t *testing.T) {
	f := newFeeding(t, nil)
	revoked := f.all()
	revoke := func(n int) {
		revoked.Store(n, jtiRevoked(n))
		f.revoke(jtiRevoked(n))
	}
	signed := func(want uint64) {
		t.Helper()
		if got := f.feed.Stats(); got.Published != want || got.Runs != 0 {
			t.Errorf("%d were signed, and %d runs begun, want %d and none", got.Published, got.Runs, want)
		}
	}
	revoke(1)
	signed(0)

	s := f.follow(t, "")
	all := f.next(t, s)
	wantWhole(t, all, jtiRevoked(1))
	last := fmt.Sprint(all[0].Run, ".", all[0].Seq)
	f.advance(feedRemembered) // it is still there: age comes first, and is looked at when there is something to send
	revoke(2)
	signed(1)
	s.Close(FeedEndGone)

	f.advance(feedRemembered - time.Second)
	revoke(3)
	signed(2)
	s = f.follow(t, last)
	if got := f.next(t, s); !s.Resumed || len(got) != 2 || got[0].Revocations[0].Value != "jti-2" || got[1].Revocations[0].Value != "jti-3" {
		t.Errorf("back in time, and not told what came meanwhile: %+v", got)
	}
	s.Close(FeedEndGone)

	f.advance(feedRemembered)
	revoke(4)
	signed(2)
	s = f.follow(t, last)
	if s.Resumed {
		t.Error("it went on from a place behind which something was not signed")
	}
	wantWhole(t, f.next(t, s), jtiRevoked(1), jtiRevoked(4))
	s.Close(FeedEndGone)

	f.advance(feedRemembered)
	_, page := f.poll(t, "")
	f.advance(feedRemembered - time.Second)
	revoke(5)
	signed(3)
	if events, _ := f.poll(t, page.Next); len(events) != 2 || events[0].Revocations[0].Value != "jti-5" {
		t.Errorf("%+v", events)
	}
	f.advance(feedRemembered)
	revoke(6)
	signed(3)
	events, _ := f.poll(t, page.Next)
	wantWhole(t, events, jtiRevoked(5), jtiRevoked(6))
}

// A clock that was set back makes nobody forgotten.
func TestSET14_FollowersAndASetBackClock(t *testing.T) {
	f := newFeeding(t, nil)
	s := f.follow(t, "")
	f.next(t, s)
	s.Close(FeedEndGone)
	f.advance(-24 * time.Hour)
	f.revoke(jtiRevoked(1))
	if got := f.feed.Stats(); got.Published != 1 {
		t.Errorf("%+v", got)
	}
}

// Who comes at the moment of a revocation that may have been signed for nobody knows of it in any case: from what it
// is sent first, or from what comes then.
func TestSET14_WhoComesWhileNobodyFollowsMissesNothing(t *testing.T) {
	f := newFeeding(t, nil)
	revoked := f.all()
	after, skipped := "", uint64(0)
	for i := range 300 {
		f.advance(feedRemembered)
		before := f.feed.Stats().Published
		r := jtiRevoked(i)
		var known atomic.Bool
		var done sync.WaitGroup
		done.Go(func() {
			revoked.Store(i, r)
			f.revoke(r)
			known.Store(true)
		})
		if i%2 == 0 {
			s := f.follow(t, after)
			for told := false; !told; {
				for _, e := range f.next(t, s) {
					after = fmt.Sprint(e.Run, ".", e.Seq)
					told = told || slices.ContainsFunc(e.Revocations, func(got token.Revocation) bool { return got.Subject == r.Subject })
				}
			}
			s.Close(FeedEndGone)
			done.Wait()
		} else {
			told := false
			for until := false; !until; { // a page that was asked for after the revocation is known has it
				until = known.Load()
				var events []token.Revocation
				events, after, _ = f.pollAll(t, after)
				told = told || slices.ContainsFunc(events, func(got token.Revocation) bool { return got.Subject == r.Subject })
			}
			if !told {
				t.Fatalf("%d: nobody was told", i)
			}
			done.Wait()
		}
		if f.feed.Stats().Published == before {
			skipped++
		}
	}
	t.Logf("signed for nobody: %d", skipped)
}

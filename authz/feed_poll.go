package authz

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

const (
	// feedPageSize bounds the messages of one page, in octets, but for the last of them and the heartbeat: whoever
	// reads slowly holds as much, on each of his connections.
	feedPageSize = 64 << 10

	// feedPageKept is for how long a snapshot of several pages is kept after somebody has read one, and feedPagesKept for
	// how long at most: whoever is far away, or reads slowly, comes to its end. It is right for as long
	// as the log holds what comes after it, and all who poll share the one: they keep no more than one in memory.
	feedPageKept  = 2 * time.Minute
	feedPagesKept = 15 * time.Minute
)

// FeedPage is what somebody who does not stream is sent at once.
type FeedPage struct {
	Client ClientID
	Sets   []string // Security Event Tokens, in their order
	Next   string   // FeedRequest.After of the next request
	More   bool     // there was more; what comes last otherwise is a heartbeat
}

// Poll is Follow for those who cannot stream: what has come after r.After until now, as much as fits into a
// page, and everything that is revoked first, in pages of its own, where one cannot go on from there. The last
// page ends with a heartbeat of this moment, by which the caller knows that it has all of it, and as of when. One
// before that has none: nothing vouches for a part. Poll waits for nothing to happen. The errors are those of Introspect.
func (f *Feed) Poll(ctx context.Context, r FeedRequest) (FeedPage, error) {
	caller, _, err := f.authenticate(ctx, r)
	if err != nil {
		return FeedPage{}, err
	}
	if after, ok := f.config.Server.rate.take(caller.id); !ok {
		return FeedPage{}, &ThrottledError{Cause: CauseRateLimited, Client: caller.id, RetryAfter: after}
	}
	f.seen()
	p, err := f.wholePage(ctx, r.After)
	switch {
	case err != nil && ctx.Err() != nil:
		return FeedPage{}, ctx.Err()
	case err != nil:
		return FeedPage{}, f.unavailable(caller.id, err)
	case !f.mayFollow(ctx, &caller): // a snapshot may have taken a while
		_, _, err := f.authenticate(ctx, r)
		if err == nil {
			err = f.unavailable(caller.id, FeedEndCaller)
		}
		return FeedPage{}, err
	}
	p.Client = caller.id
	f.counts.polled.Add(1)
	return p, nil
}

// wholePage returns a page of one run.
func (f *Feed) wholePage(ctx context.Context, after string) (p FeedPage, err error) {
	for range feedTries {
		if f.isClosed() {
			return p, FeedEndShutdown
		}
		if p, err = f.page(ctx, after); !errors.Is(err, errFeedRenewed) {
			return p, err
		}
	}
	return p, err
}

// page returns a page, or errFeedRenewed if a run ended meanwhile: what was collected may bear the signature of a key
// that is revoked now.
func (f *Feed) page(ctx context.Context, after string) (p FeedPage, err error) {
	if !f.config.Index.Loaded() {
		return p, errFeedNotLoaded
	}
	room := feedPageSize
	at, ok := f.log.after(after)
	if !ok {
		all, from, err := f.toRead(ctx, after)
		if err != nil {
			return p, err
		}
		n := all.fit(from, room)
		for _, part := range all.parts[from:n] {
			p.Sets = append(p.Sets, part.SET)
			room -= len(part.SET)
		}
		at = all.place
		if n < len(all.parts) {
			p.Next, p.More = feedCursor{all.name, uint64(n), true}.String(), true
			return p, f.stillHolds(at)
		}
	}
	known := f.config.Known() // before the number: what is known by then has its number
	if known.IsZero() {
		return p, errFeedNotLoaded
	}
	var seq uint64
	if p.Sets, seq, p.More, err = f.log.revocations(at, p.Sets, room); err != nil {
		return p, errFeedRenewed
	}
	p.Next = feedID(at.run, seq)
	if !p.More {
		beat, err := f.sign(token.Event{Kind: token.EventHeartbeat, Run: at.run, Seq: seq, AsOf: known})
		if err != nil {
			return p, err
		}
		p.Sets = append(p.Sets, beat)
	}
	return p, f.stillHolds(at)
}

func (f *Feed) stillHolds(p place) error {
	if !f.log.holds(p) {
		return errFeedRenewed
	}
	return nil
}

// toRead returns the snapshot that a cursor is in the middle of, and which part comes next; one from its
// beginning for every other cursor.
func (f *Feed) toRead(ctx context.Context, after string) (all *feedSnapshot, from int, err error) {
	if all = f.paged(nil); all != nil {
		if c, ok := parseFeedCursor(after); ok && c.part && c.name == all.name && c.n < uint64(len(all.parts)) {
			return all, int(c.n), nil
		}
		return all, 0, nil
	}
	if all, err = f.everything(ctx); err != nil {
		return nil, 0, err
	}
	if all.fit(0, feedPageSize) < len(all.parts) {
		all = f.paged(all)
	}
	return all, 0, nil
}

// paged returns the snapshot that is read page by page: the one that is, or instead, which is one from now on. Of
// several who begin at once all are given the same.
func (f *Feed) paged(instead *feedSnapshot) *feedSnapshot {
	s := &f.snapshot
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paged != nil && !(s.readable(f.config.Now()) && f.log.holds(s.paged.place)) {
		s.paged = nil
	}
	if s.paged == nil && !s.closed {
		s.paged = instead
	}
	if s.paged == nil {
		return instead
	}
	s.read = f.config.Now()
	return s.paged
}

// readable reports whether the snapshot that is read page by page may be at now. The caller holds the lock.
func (s *snapshots) readable(now time.Time) bool {
	return !now.Before(s.paged.made) && now.Before(s.paged.made.Add(feedPagesKept)) && now.Before(s.read.Add(feedPageKept))
}

// fit returns where the parts from a number on end that have room; there is always one.
func (s *feedSnapshot) fit(from, room int) int {
	n := from
	for size := 0; n < len(s.parts); n++ {
		if size += len(s.parts[n].SET); size > room && n > from {
			break
		}
	}
	return n
}

// feedCursor is what FeedPage.Next says: how many revocations of a run somebody has, or how many parts of a
// snapshot.
type feedCursor struct {
	name string // of the run, or of the snapshot
	n    uint64
	part bool
}

// maxFeedName is more than the length of any name: see rand.Text.
const maxFeedName = 64

// String is in characters that need no escape in a URL.
func (c feedCursor) String() string {
	if c.part {
		return c.name + "~" + strconv.FormatUint(c.n, 10)
	}
	return feedID(c.name, c.n)
}

// parseFeedCursor reads what String wrote, in that one spelling.
func parseFeedCursor(s string) (c feedCursor, ok bool) {
	end := strings.IndexAny(s, ".~")
	if end < 1 || end > maxFeedName {
		return feedCursor{}, false
	}
	for _, b := range []byte(s[:end]) {
		if (b < 'A' || b > 'Z') && (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' && b != '_' {
			return feedCursor{}, false
		}
	}
	n, err := strconv.ParseUint(s[end+1:], 10, 64)
	c = feedCursor{s[:end], n, s[end] == '~'}
	return c, err == nil && c.String() == s
}

// IsFeedCursor reports whether a text has the form of FeedPage.Next. It says nothing of whether one can go on
// from there.
func IsFeedCursor(s string) bool {
	_, ok := parseFeedCursor(s)
	return ok
}

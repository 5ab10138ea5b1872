package authz

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/token"
)

const (
	// maxSnapshotPart bounds the payload of a part, in octets: with header and signature, of an RSA key of
	// 4,096 bits, too, it stays below jose.MaxTokenSize.
	maxSnapshotPart = 11 << 10

	snapshotTimeout = time.Minute
	snapshotTries   = 3

	// snapshotShared is for how long a snapshot is shared, at least. One that took long is shared for
	// snapshotCost times as long as it took: whoever connects again and again costs a tenth of a processor.
	snapshotShared = time.Second
	snapshotCost   = 10
)

var errFeedNotLoaded = errors.New("authz: what is revoked has not been read from the store yet")

// feedSnapshot is all that is revoked as of a place in the log: who has it goes on there.
type feedSnapshot struct {
	place
	name  string      // random
	parts []FeedEvent // immutable
	made  time.Time
	until time.Time // shared until then
}

// snapshots makes one at a time, for all who want one.
type snapshots struct {
	ctx    context.Context // of the feed: no caller's end ends what others wait for
	cancel context.CancelFunc
	making sync.WaitGroup

	mu     sync.Mutex
	closed bool
	kept   *feedSnapshot // shared by those who begin a stream
	paged  *feedSnapshot // read page by page: see Poll
	read   time.Time     // when that was last
	flight *snapshotFlight
}

type snapshotFlight struct {
	done chan struct{} // closed when the rest is set
	got  *feedSnapshot
	err  error
}

// forget lets go of a snapshot that is no longer shared: it may be large.
func (s *snapshots) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil && !s.kept.fresh(now) {
		s.kept = nil
	}
	if s.paged != nil && !s.readable(now) {
		s.paged = nil
	}
}

func (s *feedSnapshot) fresh(now time.Time) bool { return !now.Before(s.made) && now.Before(s.until) }

func (s *snapshots) close() {
	s.mu.Lock()
	s.closed = true
	s.kept, s.paged = nil, nil
	s.mu.Unlock()
	s.cancel()
	s.making.Wait()
}

// everything returns a snapshot from which one can go on, and waits for it.
func (f *Feed) everything(ctx context.Context) (*feedSnapshot, error) {
	s := &f.snapshot
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, FeedEndShutdown
	}
	if s.kept != nil && s.kept.fresh(f.config.Now()) && f.log.holds(s.kept.place) {
		defer s.mu.Unlock()
		return s.kept, nil
	}
	flight := s.flight
	if flight == nil {
		flight = &snapshotFlight{done: make(chan struct{})}
		s.flight = flight
		s.making.Go(func() { f.fly(flight) })
	}
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-flight.done:
		return flight.got, flight.err
	}
}

// fly makes a snapshot for all who wait for it.
func (f *Feed) fly(flight *snapshotFlight) {
	ctx, cancel := context.WithTimeout(f.snapshot.ctx, snapshotTimeout)
	defer cancel()
	got, err := f.safely(ctx)
	f.snapshot.mu.Lock()
	defer f.snapshot.mu.Unlock()
	flight.got, flight.err = got, err
	if err == nil && !f.snapshot.closed {
		f.snapshot.kept = got
	}
	f.snapshot.flight = nil
	close(flight.done)
}

// safely turns a panic into a fault: nobody could recover it here.
func (f *Feed) safely(ctx context.Context) (s *feedSnapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("authz: snapshot: panic with a %T\n%s", p, debug.Stack())
		}
	}()
	for range snapshotTries {
		if s, err = f.takeSnapshot(ctx); !errors.Is(err, errFeedRenewed) {
			return s, err
		}
	}
	return nil, err
}

// takeSnapshot lists what is revoked after it noted the place in the log: what is published from then on is
// not lost, and at worst said twice.
func (f *Feed) takeSnapshot(ctx context.Context) (*feedSnapshot, error) {
	began := time.Now()
	known := f.config.Known()
	if !f.config.Index.Loaded() || known.IsZero() {
		return nil, errFeedNotLoaded
	}
	at, seq := f.log.now()
	groups, err := f.listRevoked(ctx)
	if err != nil {
		return nil, err
	}
	s := &feedSnapshot{place: at, name: rand.Text(), parts: make([]FeedEvent, 0, len(groups)), made: f.config.Now()}
	for i, group := range groups {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !f.log.holds(at) { // a key was revoked, or it took too long
			return nil, errFeedRenewed
		}
		set, err := f.sign(token.Event{
			Kind: token.EventSnapshot, Run: at.run, Seq: seq, AsOf: known, Part: i + 1, Parts: len(groups), Revocations: group,
		})
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, FeedEvent{SET: set, seq: seq})
	}
	s.parts[len(groups)-1].ID = feedID(at.run, seq)
	s.until = s.made.Add(max(snapshotShared, snapshotCost*time.Since(began)))
	if !f.log.holds(at) {
		return nil, errFeedRenewed
	}
	f.counts.snapshots.Add(1)
	return s, nil
}

// listRevoked returns what is revoked in groups that fit into one part each; one, and empty, if nothing is.
func (f *Feed) listRevoked(ctx context.Context) ([][]token.Revocation, error) {
	groups := snapshotGroups{room: maxSnapshotPart - len(f.config.Server.mint.issuer) - len(f.config.URL) - 512}
	for _, kid := range f.config.RevokedKeys() {
		groups.add(token.Revocation{Subject: token.Subject{Kind: token.RevokedKey, Value: kid}})
	}
	for r, err := range f.config.Revocations(ctx) {
		if err != nil {
			return nil, err
		}
		groups.add(r)
	}
	return append(groups.full, groups.open), nil
}

// snapshotGroups puts revocations into groups.
type snapshotGroups struct {
	room int // octets for the revocations of one part
	full [][]token.Revocation
	open []token.Revocation
	used int
	text []byte
}

func (g *snapshotGroups) add(r token.Revocation) {
	const around = len(`["credential",,253402300799,253402300799,253402300799],`)
	g.text, _ = jsontext.AppendQuote(g.text[:0], r.Value) // signing refuses what cannot be quoted
	size := len(g.text) + around
	if g.used+size > g.room && len(g.open) > 0 || len(g.open) == token.MaxEventRevocations {
		g.full = append(g.full, g.open)
		g.open, g.used = make([]token.Revocation, 0, len(g.open)), 0
	}
	g.open = append(g.open, r)
	g.used += size
}

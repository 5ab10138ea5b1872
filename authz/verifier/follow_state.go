package verifier

import (
	"errors"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// tables are what is revoked, the newest first. As a rule there is one. After the snapshot of another server, which
// may not have all yet that was known before, the older ones are asked as well, until that one has vouched for as
// much: one that lags behind the last gives no token its life back.
type tables []*token.Index

// maxTables bounds that: beyond it the two oldest are made one. Servers that are restarted one after the other send
// their followers from one to the next.
const maxTables = 4

// behind returns them behind one more, which is the newest.
func (t tables) behind(newest *token.Index) tables {
	if last := len(t) - 1; len(t) == maxTables {
		merged := t[last].Beside()
		merged.Absorb(t[last])
		merged.Absorb(t[last-1])
		t = append(slices.Clone(t[:last-1]), merged)
	}
	return append(tables{newest}, t...)
}

// serversApart is how far the clocks of two servers may differ: each is at most 5 s off from their store's
// (authz.MaxSkew), and they speak of whole seconds.
const serversApart = 11 * time.Second

// void is token.Void over all of them.
func (t tables) void(c *token.Claims, kid string) (token.Revocation, bool) {
	for _, x := range t {
		if r, void := token.Void(c, kid, x); void {
			return r, true
		}
	}
	return token.Revocation{}, false
}

// void returns the revocation that withdraws a token, if the feed has one.
func (f *follower) void(c *token.Claims, kid string) (token.Revocation, bool) {
	r, void := f.tables.Load().void(c, kid)
	if void {
		f.refused.Add(1)
	}
	return r, void
}

// generation is token.Index.Generation.
func (f *follower) generation() uint64 { return f.changed.Load() }

// Len returns how many revocations are held.
func (f *follower) Len() (n int) {
	for _, x := range *f.tables.Load() {
		n += x.Len()
	}
	return n
}

// staged is a snapshot that is not whole yet.
type staged struct {
	index *token.Index
	last  token.Event // without its revocations
}

// snapshot takes a part of one. A stream begins with part 1, and only another run of the feed, after a key was
// revoked, brings another one.
func (s *stream) snapshot(e *token.Event) error {
	switch before := s.staged; {
	case before == nil && e.Part == 1 && (!s.begun || e.Run != s.run):
		s.staged = &staged{index: (*s.f.tables.Load())[0].Beside()}
	case before == nil && e.Part == 1:
		return dropped(FeedReplay, "a snapshot of a run that goes on")
	case before == nil,
		e.Part != before.last.Part+1, e.Parts != before.last.Parts,
		e.Run != before.last.Run, e.Seq != before.last.Seq, !e.AsOf.Equal(before.last.AsOf):
		return dropped(FeedSnapshot, "part %d of %d of a snapshot does not follow what was there", e.Part, e.Parts)
	}
	index := s.staged.index
	for _, r := range e.Revocations {
		index.Set(token.Indexed{Revocation: r})
	}
	if index.Len() > s.f.feed.MaxRevocations {
		return s.f.excess(index.Len())
	}
	s.staged.last = *e
	s.staged.last.Revocations = nil
	if e.Part < e.Parts {
		s.keysFirst(e)
		return nil
	}
	s.staged = nil
	s.position = position{e.Run, e.Seq}
	if err := s.install(index, e.AsOf); err != nil {
		return err
	}
	s.current = true
	return nil
}

// keysFirst obeys what a part of a snapshot says of signing keys, before the snapshot is whole. No other event tells that a
// key was revoked, and with a million revocations, or a thousand services that all read at that moment, the last part comes
// seconds after the first, which has the keys. An issuer never takes that back. Who begins again and again, each time with
// others, fills no memory: beyond MaxRevocations they wait for the whole.
func (s *stream) keysFirst(e *token.Event) {
	f, known := s.f, (*s.f.tables.Load())[0]
	for _, r := range e.Revocations {
		if r.Kind != token.RevokedKey || known.Len() >= f.feed.MaxRevocations {
			continue
		}
		if held, ok := known.Revocation(r.Subject); ok {
			if held.Before.IsZero() {
				continue
			}
			r = r.Merge(held)
		}
		known.Set(token.Indexed{Revocation: r})
		f.changed.Add(1)
		f.report(FeedReport{What: FeedRevoked, Kind: r.Kind, Lag: time.Duration(f.lag.Load())})
	}
}

// install puts a whole snapshot in place of what was known, at once, or beside it if that may be newer. What
// this stream said itself is in its next snapshot: the server knows it.
func (s *stream) install(index *token.Index, asOf time.Time) error {
	f := s.f
	now, before := tables{index}, *f.tables.Load()
	switch needed := f.covered.Add(serversApart); {
	case s.current:
		now = append(now, before[1:]...)
	case f.knowledge.Load() == nil, !asOf.Before(needed):
	default:
		now, f.needed = before.behind(index), needed
	}
	f.tables.Store(&now)
	f.changed.Add(1)
	f.at = s.position
	f.vouched(asOf)
	f.report(FeedReport{What: FeedInstalled, Lag: time.Duration(f.lag.Load())})
	return nil
}

// revoked takes one revocation.
func (s *stream) revoked(e *token.Event) error {
	if err := s.inRun(e, s.seq+1); err != nil {
		return err
	}
	f := s.f
	s.seq, s.current = e.Seq, true
	index := (*f.tables.Load())[0]
	index.Set(token.Indexed{Revocation: e.Revocations[0]})
	f.changed.Add(1)
	f.at = s.position
	f.covered = latest(f.covered, e.IssuedAt.Add(time.Second)) // it was issued in that second
	f.report(FeedReport{What: FeedRevoked, Kind: e.Revocations[0].Kind, Lag: time.Duration(f.lag.Load())})
	// It counts all the same: what is known is never left out.
	if index.Len() > f.feed.MaxRevocations {
		return f.excess(index.Len())
	}
	return nil
}

// heartbeat takes the word that there was nothing else: what was withheld shows here (SET-14).
func (s *stream) heartbeat(e *token.Event) error {
	if err := s.inRun(e, s.seq); err != nil {
		return err
	}
	s.current = true
	s.beats++
	s.f.vouched(e.AsOf)
	s.f.sweep(e.AsOf)
	if s.beats == goodBeats {
		s.f.settle(errStale)
	}
	s.f.report(FeedReport{What: FeedHeard, Lag: time.Duration(s.f.lag.Load())})
	return nil
}

// inRun refuses an event that is not the one with this number in the run that is followed.
func (s *stream) inRun(e *token.Event, want uint64) error {
	switch {
	case s.staged != nil:
		return dropped(FeedSnapshot, "an event amid the parts of a snapshot")
	case s.run == "":
		return dropped(FeedGap, "an event before the snapshot")
	case e.Run != s.run:
		return dropped(FeedGap, "an event of another run")
	case e.Seq < want:
		return dropped(FeedReplay, "an event with number %d, at %d", e.Seq, want)
	case e.Seq > want:
		return dropped(FeedGap, "an event with number %d, at %d", e.Seq, want)
	}
	return nil
}

// vouched records that what the issuer has said is all up to asOf. A word that is no newer than the last one
// makes nothing fresher: a server that is cut off from its store goes on talking.
func (f *follower) vouched(asOf time.Time) {
	f.covered = latest(f.covered, asOf)
	if t := *f.tables.Load(); len(t) > 1 && !asOf.Before(f.needed) {
		f.tables.Store(&tables{t[0]})
		f.changed.Add(1)
	}
	if k := f.knowledge.Load(); k == nil || asOf.After(k.asOf) {
		f.knowledge.Store(&knowledge{asOf: asOf, heard: f.now()})
	}
	f.mu.Lock()
	f.lastErr = nil
	f.mu.Unlock()
	if mode, _ := f.mode(f.now()); mode == ModeFollowing {
		f.settle(nil)
	}
}

// errStale is what start fails with when a stream goes on, and does not say enough.
var errStale = errors.New("the issuer does not vouch for what is revoked now: it is cut off from its store, or clocks differ")

// sweep forgets what the issuer has forgotten, once a minute, beside the stream. The issuer's clock says
// when: ours may be wrong, and what is forgotten is not there when it is put right.
func (f *follower) sweep(asOf time.Time) {
	if asOf.Sub(f.swept) < time.Minute {
		return
	}
	f.swept = asOf
	index := (*f.tables.Load())[0]
	f.sweeps.Wait() // of a minute ago
	f.sweeps.Go(func() { index.Sweep(asOf.Add(-token.MaxAhead)) })
}

func (f *follower) excess(n int) error {
	return dropped(FeedLimit, "%d revocations are more than MaxRevocations, %d", n, f.feed.MaxRevocations)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

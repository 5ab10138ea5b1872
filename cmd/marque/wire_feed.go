package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/authz/token"
)

// The parts of the feed, as closers are named.
const (
	feedBeat    = "the heartbeat of the revocation feed"
	feedStreams = "the revocation feed"
)

// openFeed makes the revocation feed.
func (s *server) openFeed() error {
	url, err := endpoint.FeedURL(s.issuer)
	if err != nil {
		return err
	}
	s.feed, err = authz.NewFeed(authz.FeedConfig{
		Server:      s.tokens,
		URL:         url,
		Index:       s.index,
		Revocations: s.revoked,
		RevokedKeys: s.ring.RevokedKeys,
		Known:       s.knownUntil,
		Algorithm:   s.algorithm(),
		Streams:     s.config.Limits.FeedStreams,
		Now:         s.commonNow,
		Failed: func(err error) {
			s.log.Error("the revocation feed has nothing to send until this is over; whoever follows it is told to come back", "err", err)
		},
	})
	return err
}

// serveFeed begins what the feed says by itself. Its streams end before the public listener waits for its
// requests to end: they would use up shutdown.grace.
func (s *server) serveFeed(context.Context) error {
	s.background(feedBeat, func(ctx context.Context) {
		ticks := time.NewTicker(authz.FeedHeartbeat)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				s.feed.Beat()
			}
		}
	})
	s.onClose(feedStreams, func(context.Context) error {
		s.feed.Close()
		return nil
	})
	return nil
}

// revoked lists what this process obeys, but for signing keys. That of a shared store is in the index, which is not
// read for it: a thousand services that come back at once must not all read the store.
func (s *server) revoked(ctx context.Context) iter.Seq2[token.Revocation, error] {
	now := s.forgetsAt()
	return func(yield func(token.Revocation, error) bool) {
		if s.shared {
			for r := range s.index.All() {
				if live(r.Revocation, now) && !yield(r.Revocation, nil) {
					return
				}
			}
			return
		}
		for after := ""; ; {
			page, err := s.store.ListRevocations(ctx, after, indexPage)
			if err != nil {
				yield(token.Revocation{}, fmt.Errorf("read the revocations: %w", err))
				return
			}
			for _, r := range page {
				after = r.Subject.String()
				if live(r.Revocation, now) && !yield(r.Revocation, nil) {
					return
				}
			}
			if len(page) < indexPage {
				return
			}
		}
	}
}

// knownUntil is up to when this process obeys whatever was acknowledged. Of a store that nobody else uses that is
// now: nothing is acknowledged before it is applied.
func (s *server) knownUntil() time.Time {
	if s.shared || s.unfollowed.Load() != nil {
		return s.confirmedAt()
	}
	return s.now()
}

// obey takes a revocation over into the index, and tells the feed of it if it is news: after an outage the changes
// of the last minute are applied once more. The caller holds indexing.
func (s *server) obey(stored authz.Revocation) {
	r := indexed(stored)
	held, ok := s.index.Held(r.Subject)
	s.index.Set(r)
	if !ok || !covers(held.Revocation, r.Revocation) || !covers(r.Revocation, held.Revocation) {
		s.feed.Publish(r.Revocation, stored.CreatedAt)
	}
}

// obeyKeys tells the index which signing keys are revoked, and begins a new run of the feed if there are more of
// them. The caller holds indexing.
func (s *server) obeyKeys(kids []string) {
	s.index.SetKeys(kids)
	news := slices.ContainsFunc(kids, func(kid string) bool { return !slices.Contains(s.deadKeys, kid) })
	s.deadKeys = kids
	if news {
		s.feed.Renew()
	}
}

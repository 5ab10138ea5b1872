package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// errRevocationLost says that the store no longer has a revocation that is held in memory and still in
// force: it was emptied, restored, or has failed over without the last writes. What is in memory
// stays, and nothing is confirmed, so that after store.outage the answer is 503 and never a revived
// token.
var errRevocationLost = errors.New("the store went back in time: a revocation that is still in force is gone from it, or says less there")

const (
	indexPage     = 1_000       // revocations read at a time when all of them are loaded
	sweepInterval = time.Minute // between two looks for revocations that may be forgotten
)

// loadIndex reads every revocation, drops every copy of a client or resource, and puts what it read in
// place of what the index holds. Everything stays as it is if anything fails, or if the index knows of a
// live one that the store does not.
func (s *server) loadIndex(ctx context.Context) error {
	s.indexing.Lock()
	defer s.indexing.Unlock()
	s.index.Sweep(s.now()) // what may be forgotten may be missing
	var all []token.Indexed
	known, after := 0, ""
	for {
		page, err := s.store.ListRevocations(ctx, after, indexPage)
		if err != nil {
			return fmt.Errorf("read the revocations: %w", err)
		}
		for _, r := range page {
			if held, ok := s.index.Stored(r.Subject); ok {
				known++
				if saysLess(r.Revocation, held) {
					return fmt.Errorf("%w: %s", errRevocationLost, r.Subject)
				}
			}
			if !s.index.Loaded() {
				s.revoker.Restored(r.Revocation)
			}
			all = append(all, indexed(r))
			after = r.Subject.String()
		}
		if len(page) < indexPage {
			break
		}
	}
	if held := s.index.Len(); known < held {
		return fmt.Errorf("%w: %d of %d", errRevocationLost, held-known, held)
	}
	s.tokens.AllChanged() // first: see apply
	s.index.Replace(all)
	return nil
}

// followRevocations reads the revocations that changes name, and nothing else: one question to the
// store, however many they are.
func (s *server) followRevocations(ctx context.Context, changes []store.Change) error {
	subjects, err := revocationsIn(changes)
	if err != nil || len(subjects) == 0 {
		return err
	}
	s.indexing.Lock()
	defer s.indexing.Unlock()
	found, err := s.store.Revocations(ctx, subjects)
	if err != nil {
		return fmt.Errorf("read the revocations that changed: %w", err)
	}
	now := s.now() // not before the store was asked: what it has dropped by then may be dropped
	there := make(map[token.Subject]bool, len(found))
	for _, r := range found {
		there[r.Subject] = true
		if held, ok := s.index.Stored(r.Subject); ok && live(held, now) && saysLess(r.Revocation, held) {
			return fmt.Errorf("%w: %s", errRevocationLost, r.Subject)
		}
		s.index.Set(indexed(r))
	}
	for _, subject := range subjects {
		held, ok := s.index.Stored(subject)
		if !ok || there[subject] {
			continue
		}
		if live(held, now) {
			return fmt.Errorf("%w: %s", errRevocationLost, subject)
		}
		s.index.Remove(subject)
	}
	return nil
}

// revocationsIn returns the subjects that changes name, each once. One that cannot be read is of a
// newer version that shares the store: this process cannot obey it, and must not seem to.
func revocationsIn(changes []store.Change) ([]token.Subject, error) {
	var subjects []token.Subject
	seen := map[token.Subject]bool{}
	for _, c := range changes {
		if c.Kind != store.KindRevocation {
			continue
		}
		subject, err := token.ParseSubject(c.ID)
		if err != nil {
			return nil, fmt.Errorf("a revocation of a kind that this version does not know: %w", err)
		}
		if !seen[subject] {
			seen[subject] = true
			subjects = append(subjects, subject)
		}
	}
	return subjects, nil
}

// live reports whether a revocation may not yet be forgotten. One that may says nothing of what the store
// should hold: it may be gone, or another one may be in its place that says less.
func live(held token.Revocation, now time.Time) bool {
	return held.Until.IsZero() || now.Before(held.Until)
}

// saysLess reports whether what the store says of a subject cannot have followed what was known.
// Revocations are never made weaker, but that an open-ended one ends when its client is enabled, or
// its resource registered, again.
func saysLess(stored, held token.Revocation) bool {
	return stored.Since.After(held.Since) ||
		!held.Before.IsZero() && !stored.Before.IsZero() && stored.Before.Before(held.Before)
}

func indexed(r authz.Revocation) token.Indexed {
	return token.Indexed{Revocation: r.Revocation, Client: string(r.Client)}
}

// remembering is what introspection reads: the store, but not one that has forgotten what this process
// knows. That is no answer, whatever it says of a token.
type remembering struct {
	store authz.Revocations
	index *token.Index
	now   func() time.Time
}

// Revocations implements authz.Revocations.
func (m remembering) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	var held []token.Revocation // as of before the question: the answer cannot be older
	for _, subject := range subjects {
		if r, ok := m.index.Stored(subject); ok {
			held = append(held, r)
		}
	}
	found, err := m.store.Revocations(ctx, subjects)
	if err != nil || len(held) == 0 {
		return found, err
	}
	now := m.now()
	for _, h := range held {
		i := slices.IndexFunc(found, func(r authz.Revocation) bool { return r.Subject == h.Subject })
		if live(h, now) && (i < 0 || saysLess(found[i].Revocation, h)) {
			return nil, fmt.Errorf("%w: %s", errRevocationLost, h.Subject)
		}
	}
	return found, nil
}

// reloadRing reads the signing keys, and tells the index which of them are revoked.
func (s *server) reloadRing(ctx context.Context) error {
	if err := s.ring.Reload(ctx); err != nil {
		return err
	}
	s.indexKeys()
	return nil
}

// indexedRing tells the index of a revoked key before the admin is told that it is: the change feed would
// do so within cache.max_age.
type indexedRing struct {
	*keys.Ring
	index func()
}

// Revoke implements admin.Keys.
func (r indexedRing) Revoke(ctx context.Context, kid string, by audit.Origin) (keys.Revoked, error) {
	done, err := r.Ring.Revoke(ctx, kid, by)
	r.index() // after an error too: it may have been stored
	return done, err
}

// indexKeys tells the index which signing keys are revoked. Under the lock, so that of two that run at
// once the later one has the later list.
func (s *server) indexKeys() {
	s.indexing.Lock()
	defer s.indexing.Unlock()
	s.index.SetKeys(s.ring.RevokedKeys())
}

// sweepIndex forgets revocations that may be forgotten, until ctx ends. A clock that is wrong for a
// moment must not revive a token, so it forgets nothing right after a jump.
func (s *server) sweepIndex(ctx context.Context) {
	clock := steady{last: time.Now(), most: max(time.Duration(s.config.Leeway), minClockJump)}
	ticks := time.NewTicker(sweepInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if _, jumped := clock.look(time.Now()); !jumped {
			s.indexing.Lock()
			s.index.Sweep(s.now())
			s.indexing.Unlock()
		}
	}
}

// steady tells whether the wall clock moved as time went by.
type steady struct {
	last time.Time
	most time.Duration // the least difference that counts
}

// look returns by how much the clock jumped since the last look, and whether that counts.
func (c *steady) look(now time.Time) (time.Duration, bool) {
	jump := clockJump(c.last, now)
	c.last = now
	return jump, jump.Abs() > c.most
}

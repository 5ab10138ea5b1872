package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz"
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

// newIndex makes the index. That of a shared store can say what it holds, so that it can be put back.
func (s *server) newIndex() *token.Index {
	if s.shared {
		return token.NewListedIndex()
	}
	return token.NewIndex()
}

// remember is what introspection reads.
func (s *server) remember() authz.Revocations {
	missed := s.doubts.add
	if !s.shared {
		missed = func(token.Subject) {} // nothing is put back
	}
	return remembering{s.store, s.index, s.forgetsAt, missed}
}

// loadIndex reads every revocation and every client and resource that is held, and puts what it read in
// place of what the index and the caches hold. Everything stays as it is if anything fails, or if the index knows of a
// live one that the store does not. Into a shared store that is put back first.
func (s *server) loadIndex(ctx context.Context) error {
	s.indexing.Lock()
	defer s.indexing.Unlock()
	all, err := s.everyRevocation(ctx)
	if err != nil {
		return err
	}
	renewal, err := s.everyCopy(ctx)
	if err != nil {
		return err
	}
	if !s.index.Loaded() {
		for _, r := range all {
			s.revoker.Restored(r.Revocation)
		}
	}
	renewal() // first: see apply
	s.index.Replace(all)
	s.feed.Renew() // what is new of it was not told
	return nil
}

// everyCopy reads anew what is held of clients and resources, and returns what puts it in the place of that. Those of a
// shared store are served also when it goes away right after everything had to be read anew, as after a failover.
func (s *server) everyCopy(ctx context.Context) (renewal func(), err error) {
	if !s.shared {
		return s.tokens.AllChanged, nil
	}
	bounded, cancel := s.inTime(ctx)
	defer cancel()
	r, err := s.tokens.RereadAll(bounded, s.backend.passes)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return nil, fmt.Errorf("read anew what is held: %w", err)
	}
	return func() { r.TakeEffect() }, nil
}

// repair puts back what a shared store lacks of what the index holds, and takes nothing over from it.
func (s *server) repair(ctx context.Context) error {
	s.indexing.Lock()
	defer s.indexing.Unlock()
	_, err := s.everyRevocation(ctx)
	return err
}

// everyRevocation reads all of them from a store that says no less than the index. The caller holds
// indexing.
func (s *server) everyRevocation(ctx context.Context) ([]token.Indexed, error) {
	for attempt := 1; ; attempt++ {
		all, lost, err := s.compare(ctx)
		if err == nil {
			return all, nil
		}
		if !errors.Is(err, errRevocationLost) {
			return nil, err
		}
		s.alarm(ctx, err)
		if !s.shared || attempt == mostRepairs {
			return nil, err
		}
		if failed := s.putBack(ctx, lost); failed != nil {
			return nil, fmt.Errorf("%w; it could not be put back: %w", err, failed)
		}
	}
}

// compare reads all revocations. If the index knows of live ones that the store does not know, or of which it
// says less, the error is errRevocationLost, and they are in lost if the index is listed.
func (s *server) compare(ctx context.Context) (all, lost []token.Indexed, err error) {
	s.index.Sweep(s.forgetsAt()) // what may be forgotten may be missing
	known, after := 0, ""
	for {
		page, err := s.store.ListRevocations(ctx, after, indexPage)
		if err != nil {
			return nil, nil, fmt.Errorf("read the revocations: %w", err)
		}
		for _, r := range page {
			if held, ok := s.index.Held(r.Subject); ok {
				known++
				if saysLess(r, held) {
					lost = append(lost, held)
				}
			}
			all = append(all, indexed(r))
			after = r.Subject.String()
		}
		if len(page) < indexPage {
			break
		}
	}
	held := s.index.Len()
	gone := held - known
	if gone == 0 && lost == nil {
		return all, nil, nil
	}
	err = fmt.Errorf("%w: %d of %d are gone, and %d say less", errRevocationLost, gone, held, len(lost))
	return all, append(lost, s.missingFrom(all)...), err
}

// missingFrom returns what the index holds and all does not name, if the index is listed.
func (s *server) missingFrom(all []token.Indexed) (missing []token.Indexed) {
	there := make(map[token.Subject]struct{}, len(all))
	for _, r := range all {
		there[r.Subject] = struct{}{}
	}
	for r := range s.index.All() {
		if _, ok := there[r.Subject]; !ok {
			missing = append(missing, r)
		}
	}
	return missing
}

// followRevocations reads the revocations that changes name, and nothing else: one question to the
// store, however many they are. What a shared store has lost of them is put back.
func (s *server) followRevocations(ctx context.Context, changes []store.Change) error {
	subjects, err := revocationsIn(changes)
	if err != nil || len(subjects) == 0 {
		return err
	}
	s.indexing.Lock()
	defer s.indexing.Unlock()
	for attempt := 1; ; attempt++ {
		lost, err := s.readRevocations(ctx, subjects)
		if err != nil {
			return err
		}
		if len(lost) == 0 {
			s.doubts.settle(changes)
			return nil
		}
		err = fmt.Errorf("%w: %s", errRevocationLost, lost[0].Subject)
		s.alarm(ctx, err)
		if !s.shared || attempt == mostRepairs {
			return err
		}
		if failed := s.putBack(ctx, lost); failed != nil {
			return fmt.Errorf("%w; it could not be put back: %w", err, failed)
		}
		subjects = subjects[:0]
		for _, r := range lost {
			subjects = append(subjects, r.Subject)
		}
	}
}

// readRevocations takes what the store says of some subjects over into the index. What it has lost stays
// there, and is returned. The caller holds indexing.
func (s *server) readRevocations(ctx context.Context, subjects []token.Subject) (lost []token.Indexed, err error) {
	found, err := s.store.Revocations(ctx, subjects)
	if err != nil {
		return nil, fmt.Errorf("read the revocations that changed: %w", err)
	}
	now := s.forgetsAt() // not before the store was asked: what it has dropped by then may be dropped
	there := make(map[token.Subject]bool, len(found))
	for _, r := range found {
		there[r.Subject] = true
		if held, ok := s.index.Held(r.Subject); ok && live(held.Revocation, now) && saysLess(r, held) {
			lost = append(lost, held)
			continue
		}
		s.obey(r)
	}
	for _, subject := range subjects {
		held, ok := s.index.Held(subject)
		switch {
		case !ok || there[subject]:
		case live(held.Revocation, now):
			lost = append(lost, held)
		default:
			s.index.Remove(subject)
		}
	}
	return lost, nil
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
// its resource registered, again. Versions only grow: below the one that was known, not even that.
func saysLess(stored authz.Revocation, held token.Indexed) bool {
	if stored.Version < held.Version {
		return !covers(stored.Revocation, held.Revocation)
	}
	return stored.Since.After(held.Since) ||
		!held.Before.IsZero() && !stored.Before.IsZero() && stored.Before.Before(held.Before)
}

// covers reports whether a withdraws whatever b does, for as long.
func covers(a, b token.Revocation) bool {
	both := a.Merge(b)
	return both.Since.Equal(a.Since) && both.Before.Equal(a.Before) && both.Until.Equal(a.Until)
}

func indexed(r authz.Revocation) token.Indexed {
	return token.Indexed{Revocation: r.Revocation, Client: string(r.Client), Version: r.Version}
}

// remembering is what introspection reads: the store, but not one that has forgotten what this process
// knows. That is no answer, whatever it says of a token.
type remembering struct {
	store  authz.Revocations
	index  *token.Index
	now    func() time.Time
	missed func(token.Subject) // is told what the store has forgotten
}

// Revocations implements authz.Revocations.
func (m remembering) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	var held []token.Indexed // as of before the question: the answer cannot be older
	for _, subject := range subjects {
		if _, ok := m.index.Stored(subject); !ok { // most of the time, and without a lock
			continue
		}
		if r, ok := m.index.Held(subject); ok {
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
		if live(h.Revocation, now) && (i < 0 || saysLess(found[i], h)) {
			m.missed(h.Subject)
			return nil, fmt.Errorf("%w: %s", errRevocationLost, h.Subject)
		}
	}
	return found, nil
}

// reloadRing reads the signing keys, and tells the index which of them are revoked.
func (s *server) reloadRing(ctx context.Context) error {
	if err := s.ring.Reload(ctx); err != nil {
		if errors.Is(err, keys.ErrRegressed) {
			s.alarm(ctx, err)
		}
		return err
	}
	s.indexKeys()
	return nil
}

// indexKeys tells the index which signing keys are revoked. Under the lock, so that of two that run at
// once the later one has the later list.
func (s *server) indexKeys() {
	s.indexing.Lock()
	defer s.indexing.Unlock()
	s.obeyKeys(s.ring.RevokedKeys())
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
		if _, jumped := clock.look(time.Now()); !jumped && !s.clockOff() {
			s.indexing.Lock()
			s.index.Sweep(s.forgetsAt())
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

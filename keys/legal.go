package keys

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// ErrIllegalStep says that a change of a key is not a step of its timeline (ROT-01). Nothing was
// stored.
var ErrIllegalStep = errors.New("keys: not a step of the timeline")

func illegal(k Key, why string) error {
	return fmt.Errorf("%w: key %q: %s", ErrIllegalStep, k.KeyID, why)
}

// legal is the last look at a ring before it is stored. It knows the rules of the timeline and
// nothing of the plans, so that no plan, and no fault in one, can publish too late, sign too early,
// withdraw too soon, let a revoked key come back, or leave a ring without a signer.
func legal(from, to RingRecord, now time.Time) error {
	if err := to.check(); err != nil {
		return err
	}
	if e := to.Emergency; (e.ID != from.Emergency.ID || !e.At.Equal(from.Emergency.At)) && (e.ID == "" || !e.At.Equal(floor(now))) {
		return fmt.Errorf("%w: ring %s: an emergency that is not now, or none any more", ErrIllegalStep, to.Algorithm)
	}
	for _, k := range from.Keys {
		switch {
		case to.index(k.KeyID) >= 0:
		case k.revoked():
			return illegal(k, "was revoked, and would be forgotten")
		case k.Imported:
			return illegal(k, "was imported, and its name would be free for another key")
		case k.Sealed != "":
			return illegal(k, "dropped before it was withdrawn")
		}
	}
	urgent := vacated(from, to, now)
	for i, k := range to.Keys {
		j := from.index(k.KeyID)
		if j < 0 {
			if err := legalBirth(from, to, k, urgent, now); err != nil {
				return err
			}
			continue
		}
		if a := from.Keys[j]; a.revoked() || k.revoked() {
			if err := errors.Join(legalStamps(a, k), legalRevocation(a, k, from.state(j, now), now)); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(legalStamps(from.Keys[j], k), legalStart(from, j, to, i, urgent, now), legalEnd(from, j, to, i, now)); err != nil {
			return err
		}
	}
	return legalSuccession(from, to, now)
}

// vacated reports whether a key is revoked that signs, or that has a turn to come: only then may another
// one start before verifiers have met it (ROT-07).
func vacated(from, to RingRecord, now time.Time) bool {
	return slices.ContainsFunc(from.turnsFrom(now), func(at time.Time) bool {
		k, ok := from.Signing(at)
		j := to.index(k.KeyID)
		return ok && j >= 0 && to.Keys[j].revoked()
	})
}

// legalSuccession judges whether somebody signs, now and at each turn to come: ROT-04.
func legalSuccession(from, to RingRecord, now time.Time) error {
	for _, at := range to.turnsFrom(now) {
		k, ok := from.Signing(at)
		if !ok || to.signing(at) >= 0 || from.skewed(to, at) {
			continue
		}
		return illegal(k, "signs, and no key would take over")
	}
	if i := from.pending(now); i >= 0 && to.signing(now) < 0 && to.pending(now) < 0 {
		return illegal(from.Keys[i], "is awaited, and no key would come")
	}
	return nil
}

// skewed reports whether nobody signs at a time in to because a key whose turn came first was revoked by
// a node whose clock is ahead. A key that started before it would have to stop then; nodes whose clocks
// are behind wait for it.
func (r RingRecord) skewed(to RingRecord, at time.Time) bool {
	i := to.pending(at)
	return i >= 0 && slices.ContainsFunc(r.Keys, func(k Key) bool {
		return k.revoked() && k.SignFrom.After(at) && !k.SignFrom.Before(to.Keys[i].SignFrom)
	})
}

// legalRevocation judges a key that is revoked before or after: from any state, at once, and for ever.
func legalRevocation(a, b Key, state State, now time.Time) error {
	switch {
	case !b.revoked():
		return illegal(a, "is revoked and cannot come back")
	case a.revoked():
		if !a.RevokedAt.Equal(b.RevokedAt) || !a.SignFrom.Equal(b.SignFrom) || !a.WithdrawAt.Equal(b.WithdrawAt) {
			return illegal(a, "is revoked, and its stamps would change")
		}
	case b.Sealed != "":
		return illegal(a, "would be revoked and keep its private part")
	case !b.RevokedAt.Equal(floor(now)):
		return illegal(a, "would be revoked at another time than now")
	case !b.SignFrom.Equal(a.SignFrom) && (!b.SignFrom.IsZero() || state != StateNext):
		return illegal(a, "would be revoked and forget when it signed")
	case !b.WithdrawAt.Equal(a.WithdrawAt) && !b.WithdrawAt.IsZero():
		return illegal(a, "would be revoked and withdrawn")
	}
	return nil
}

// legalBirth judges a key that is new to the ring.
func legalBirth(from, to RingRecord, k Key, urgent bool, now time.Time) error {
	first := len(from.Keys) == 0
	switch {
	case k.revoked():
		return illegal(k, "revoked as it is made")
	case !k.WithdrawAt.IsZero():
		return illegal(k, "withdrawn as it is made")
	case k.SignFrom.IsZero() && first:
		return illegal(k, "is the ring's first and would never sign")
	case k.SignFrom.IsZero() || first:
		return nil
	case !urgent:
		return illegal(k, "signs without having been published beside the key before it")
	case k.SignFrom.Before(floor(now)):
		return illegal(k, "would have signed in the past")
	}
	for j, other := range from.Keys {
		if i := to.index(other.KeyID); from.state(j, now) == StateNext && i >= 0 && !to.Keys[i].revoked() {
			return illegal(k, "signs although verifiers know "+other.KeyID)
		}
	}
	return nil
}

// legalStamps judges what never changes, and what only grows.
func legalStamps(a, b Key) error {
	switch {
	case a.Algorithm != b.Algorithm, a.Wire != b.Wire, !slices.Equal(a.Public, b.Public),
		!a.CreatedAt.Equal(b.CreatedAt), !a.PublishedAt.Equal(b.PublishedAt):
		return illegal(a, "is another key, or was published at another time")
	case a.Windows.longest(b.Windows) != b.Windows:
		return illegal(a, "a stamped window would get shorter")
	case a.Sealed == "" && b.Sealed != "":
		return illegal(a, "the private part came back")
	}
	return nil
}

// legalStart judges SignFrom: ROT-02.
func legalStart(from RingRecord, i int, to RingRecord, j int, urgent bool, now time.Time) error {
	a, b := from.Keys[i], to.Keys[j]
	if a.SignFrom.Equal(b.SignFrom) {
		return nil
	}
	switch {
	case from.state(i, now) != StateNext:
		return illegal(a, "has signed, or is withdrawn, and cannot start again")
	case b.SignFrom.IsZero() && !b.withdrawn(now):
		return illegal(a, "its turn would be cancelled, but it stays")
	case !urgent && !b.SignFrom.IsZero() && b.SignFrom.Before(b.PublishedAt.Add(b.Windows.PublishLead)):
		return illegal(a, "would sign before verifiers have met it")
	case !b.SignFrom.IsZero() && b.SignFrom.Before(floor(now)):
		return illegal(a, "would have signed in the past")
	}
	return nil
}

// legalEnd judges WithdrawAt: ROT-03, ROT-12.
func legalEnd(from RingRecord, i int, to RingRecord, j int, now time.Time) error {
	a, b := from.Keys[i], to.Keys[j]
	if b.Sealed == "" && a.Sealed != "" && !b.expired(now) {
		return illegal(a, "would lose its private part while published")
	}
	if a.WithdrawAt.Equal(b.WithdrawAt) && (b.WithdrawAt.IsZero() || a.Windows.RetireAfter == b.Windows.RetireAfter) {
		return nil
	}
	switch state := from.state(i, now); {
	case state == StateWithdrawn:
		return illegal(a, "is withdrawn and cannot come back")
	case state == StateNext && a.WithdrawAt.IsZero(): // a node whose clock is ahead may have stamped it
		if !b.expired(now) { // nothing that it signed is out there: no reason to wait
			return illegal(a, "would be withdrawn later although it never signed")
		}
	case b.WithdrawAt.IsZero():
		if state != StateActive && state != StateNext || to.successor(j).Before(never) {
			return illegal(a, "would stay for ever beside its successor")
		}
	case b.WithdrawAt.Before(a.WithdrawAt):
		return illegal(a, "a stamped withdrawal would come sooner")
	case b.WithdrawAt.Before(to.successor(j).Add(b.Windows.RetireAfter)):
		return illegal(a, "would be withdrawn before the last token that it signed expires")
	}
	return nil
}

// never is later than any stamp.
var never = time.Unix(1<<40, 0)

// successor returns the SignFrom of the key that took over, or will, from the one at place i; never if
// there is none. A key that was revoked after its turn began has taken over all the same.
func (r RingRecord) successor(i int) time.Time {
	next := never
	for _, k := range r.Keys {
		if k.SignFrom.After(r.Keys[i].SignFrom) && k.SignFrom.Before(next) {
			next = k.SignFrom
		}
	}
	return next
}

// check refuses a record that cannot be one of ours. Who authenticates records vouches for their
// origin; this is about what a fault, of this version or another one, may have left in them.
func (r RingRecord) check() error {
	if alg, err := jose.ParseAlgorithm(string(r.Algorithm)); err != nil || alg != r.Algorithm {
		return fmt.Errorf("keys: ring %q: not the canonical name of an algorithm", r.Algorithm)
	}
	kids, starts := map[string]bool{}, map[int64]bool{} // starts: of keys that may sign
	for _, k := range r.Keys {
		switch {
		case k.KeyID == "" || kids[k.KeyID]:
			return fmt.Errorf("keys: ring %s: key %q: identifier missing or used twice", r.Algorithm, k.KeyID)
		case k.Algorithm != r.Algorithm:
			return fmt.Errorf("keys: ring %s: key %q is for %q", r.Algorithm, k.KeyID, k.Algorithm)
		case k.CreatedAt.IsZero() || k.PublishedAt.IsZero():
			return fmt.Errorf("keys: ring %s: key %q: a stamp is missing", r.Algorithm, k.KeyID)
		case !k.revoked() && !k.SignFrom.IsZero() && starts[k.SignFrom.Unix()]:
			return fmt.Errorf("keys: ring %s: key %q starts together with another one", r.Algorithm, k.KeyID)
		case k.revoked() && k.Sealed != "":
			return fmt.Errorf("keys: ring %s: key %q is revoked but has its private part", r.Algorithm, k.KeyID)
		case !k.revoked() && k.Sealed == "" && k.WithdrawAt.IsZero():
			return fmt.Errorf("keys: ring %s: key %q is published but has no private part", r.Algorithm, k.KeyID)
		}
		kids[k.KeyID] = true
		if !k.revoked() {
			starts[k.SignFrom.Unix()] = true
		}
	}
	return nil
}

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
// withdraw too soon, or leave a ring without a signer.
func legal(from, to RingRecord, now time.Time) error {
	if err := to.check(); err != nil {
		return err
	}
	for _, k := range from.Keys {
		if to.index(k.KeyID) < 0 && k.Sealed != "" {
			return illegal(k, "dropped before it was withdrawn")
		}
	}
	for i, k := range to.Keys {
		j := from.index(k.KeyID)
		if j < 0 {
			if err := legalBirth(from, k); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(legalStamps(from.Keys[j], k), legalStart(from, j, to, i, now), legalEnd(from, j, to, i, now)); err != nil {
			return err
		}
	}
	if k, ok := from.Signing(now); ok && to.signing(now) < 0 {
		return illegal(k, "signs, and no key would take over")
	}
	return nil
}

// legalBirth judges a key that is new to the ring.
func legalBirth(from RingRecord, k Key) error {
	switch {
	case !k.WithdrawAt.IsZero():
		return illegal(k, "withdrawn as it is made")
	case !k.SignFrom.IsZero() && len(from.Keys) > 0:
		return illegal(k, "signs without having been published beside the key before it")
	case k.SignFrom.IsZero() && len(from.Keys) == 0:
		return illegal(k, "is the ring's first and would never sign")
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
func legalStart(from RingRecord, i int, to RingRecord, j int, now time.Time) error {
	a, b := from.Keys[i], to.Keys[j]
	if a.SignFrom.Equal(b.SignFrom) {
		return nil
	}
	switch {
	case from.state(i, now) != StateNext:
		return illegal(a, "has signed, or is withdrawn, and cannot start again")
	case b.SignFrom.IsZero() && !b.withdrawn(now):
		return illegal(a, "its turn would be cancelled, but it stays")
	case !b.SignFrom.IsZero() && b.SignFrom.Before(b.PublishedAt.Add(b.Windows.PublishLead)):
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
	if a.WithdrawAt.Equal(b.WithdrawAt) {
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
		if state != StateActive || to.pending(now) >= 0 {
			return illegal(a, "would stay for ever beside its successor")
		}
	case b.WithdrawAt.Before(a.WithdrawAt):
		return illegal(a, "a stamped withdrawal would come sooner")
	case b.WithdrawAt.Before(to.successor(j).Add(b.Windows.RetireAfter)):
		return illegal(a, "would be withdrawn before the last token that it signed expires")
	}
	return nil
}

// successor returns the SignFrom of the key that takes over from the one at place i; a time in the
// far future if there is none.
func (r RingRecord) successor(i int) time.Time {
	next := time.Unix(1<<40, 0)
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
	kids, starts := map[string]bool{}, map[int64]bool{}
	for _, k := range r.Keys {
		switch {
		case k.KeyID == "" || kids[k.KeyID]:
			return fmt.Errorf("keys: ring %s: key %q: identifier missing or used twice", r.Algorithm, k.KeyID)
		case k.Algorithm != r.Algorithm:
			return fmt.Errorf("keys: ring %s: key %q is for %q", r.Algorithm, k.KeyID, k.Algorithm)
		case k.CreatedAt.IsZero() || k.PublishedAt.IsZero():
			return fmt.Errorf("keys: ring %s: key %q: a stamp is missing", r.Algorithm, k.KeyID)
		case !k.SignFrom.IsZero() && starts[k.SignFrom.Unix()]:
			return fmt.Errorf("keys: ring %s: key %q starts together with another one", r.Algorithm, k.KeyID)
		case k.Sealed == "" && k.WithdrawAt.IsZero():
			return fmt.Errorf("keys: ring %s: key %q is published but has no private part", r.Algorithm, k.KeyID)
		}
		kids[k.KeyID], starts[k.SignFrom.Unix()] = true, true
	}
	return nil
}

package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// maxPublished bounds the JWKS: verifiers may refuse a set of more than jose.MaxSetKeys keys. The
// difference is room for what several nodes do at once, each before it sees the others' keys. Imports leave
// as much again to rotations.
const (
	maxPublished = jose.MaxSetKeys - 16
	maxImporting = maxPublished - 16
)

// ErrTooManyKeys says that the JWKS is full: of retiring keys, because rotations followed each other fast,
// which leave by themselves, or of next keys that were imported, which can be withdrawn.
var ErrTooManyKeys = errors.New("keys: too many published keys")

// Rotated says which key signs for an algorithm from when on.
type Rotated struct {
	Algorithm jose.Algorithm
	KeyID     string
	SignFrom  time.Time
}

// Rotate makes the next key of alg, or of every ring when alg is empty, take over: at once if it has
// been published for the publish lead, and otherwise as soon as it will have been; SignFrom tells.
// Rotating again while that is pending changes nothing and reports the same key, and so does asking
// for a rotation that another node has just done and this one did not know of. A ring that does not
// exist is ErrNotFound. The rotations done before an error are returned with it.
func (r *Ring) Rotate(ctx context.Context, alg jose.Algorithm, by audit.Origin) ([]Rotated, error) {
	// What this node believed when it was asked: two admins who look at the same list and both
	// rotate mean the same rotation.
	intended := r.nextKeys(r.config.Now())
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.leave()
	now := r.config.Now()
	if err := r.load(ctx, now); err != nil {
		return nil, err
	}
	rings := r.current.Load().rings
	algorithms := slices.Sorted(maps.Keys(rings))
	if alg != "" {
		algorithms = []jose.Algorithm{alg.Canonical()}
		if _, ok := rings[alg.Canonical()]; !ok {
			return nil, fmt.Errorf("keys: rotate %s: no such ring: %w", alg, ErrNotFound)
		}
	}
	var done []Rotated
	for _, alg := range algorithms {
		rotated, err := r.rotate(ctx, alg, intended[alg], now, by)
		if err != nil {
			return done, fmt.Errorf("keys: rotate %s: %w", alg, err)
		}
		done = append(done, rotated)
	}
	return done, nil
}

// nextKeys returns the identifier of each ring's next key, as far as this node knows.
func (r *Ring) nextKeys(now time.Time) map[jose.Algorithm]string {
	kids := map[jose.Algorithm]string{}
	if s := r.current.Load(); s != nil {
		for alg, rec := range s.rings {
			if i := rec.next(now); i >= 0 {
				kids[alg] = rec.Keys[i].KeyID
			}
		}
	}
	return kids
}

// rotate stamps one ring, and then publishes the key after the one that was stamped if it signs.
func (r *Ring) rotate(ctx context.Context, alg jose.Algorithm, intended string, now time.Time, by audit.Origin) (Rotated, error) {
	var chosen Key
	err := r.act(ctx, alg, now, by, func(rec RingRecord) (*step, error) {
		if i := rec.index(intended); i >= 0 && !rec.Keys[i].SignFrom.IsZero() {
			chosen = rec.Keys[i]
			if k, ok := rec.Signing(now); ok && chosen.revoked() {
				chosen = k // it took over, and was revoked since: what was asked for has been done twice
			}
			return nil, nil
		}
		i := rec.next(now)
		if i < 0 {
			return r.nextKey(ctx, rec, now)
		}
		if intended = rec.Keys[i].KeyID; !rec.Keys[i].SignFrom.IsZero() {
			chosen = rec.Keys[i]
			return nil, nil
		}
		if err := r.room(maxPublished, now); err != nil {
			return nil, err
		}
		return r.promotion(rec, i, floor(now), now), nil
	})
	if err != nil {
		return Rotated{}, err
	}
	rotated := Rotated{Algorithm: alg, KeyID: chosen.KeyID, SignFrom: chosen.SignFrom}
	// The rotation is stored. If this fails, the next Step does it; the caller must not think that
	// nothing happened.
	if err := r.settle(ctx, alg, now, followUp(by)); err != nil {
		r.config.Log.WarnContext(ctx, "no next key published yet", "alg", string(alg), "err", err)
	}
	return rotated, nil
}

// promotion is promote where documents that were fetched just before the key was published may be kept for as
// long as the active keys of other rings say: this one may be younger than the settings of then.
func (r *Ring) promotion(rec RingRecord, i int, at, now time.Time) *step {
	published := rec.Keys[i].PublishedAt
	for _, ring := range r.current.Load().rings {
		if active, ok := ring.Signing(now); ok {
			at = latest(at, published.Add(active.Windows.PublishLead))
		}
	}
	return rec.promote(i, at, now, r.windows)
}

// room is ErrTooManyKeys if as many keys are published as may be, or more.
func (r *Ring) room(most int, now time.Time) error {
	n := r.current.Load().publishedKeys(now)
	if n < most {
		return nil
	}
	first := r.nextWithdrawal(now)
	if first.IsZero() {
		return fmt.Errorf("%w: %d, and none leaves by itself", ErrTooManyKeys, n)
	}
	return fmt.Errorf("%w: %d; the next one leaves at %s", ErrTooManyKeys, n, first.Format(time.RFC3339))
}

// nextWithdrawal returns when the JWKS gets smaller.
func (r *Ring) nextWithdrawal(now time.Time) time.Time {
	var first time.Time
	for _, m := range r.current.Load().keys {
		if at := m.key.WithdrawAt; at.After(now) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// Ensure makes sure that there is a ring for alg, and returns from when on it signs. When it returns,
// the ring's first key is published. It is called before a resource that uses alg is acknowledged.
func (r *Ring) Ensure(ctx context.Context, alg jose.Algorithm, by audit.Origin) (signFrom time.Time, err error) {
	if alg, err = jose.ParseAlgorithm(string(alg)); err != nil {
		return time.Time{}, fmt.Errorf("keys: %w", err)
	}
	if rec := r.held(alg); len(rec.Keys) == 0 {
		if err := r.ensure(ctx, alg, by); err != nil {
			return time.Time{}, err
		}
	}
	rec, now := r.held(alg), r.config.Now()
	if k, ok := rec.Signing(now); ok {
		return k.SignFrom, nil
	}
	if i := rec.pending(now); i >= 0 {
		return rec.Keys[i].SignFrom, nil
	}
	return time.Time{}, fmt.Errorf("keys: ring %s: %w", alg, ErrNoSigner)
}

func (r *Ring) ensure(ctx context.Context, alg jose.Algorithm, by audit.Origin) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	now := r.config.Now()
	if err := r.load(ctx, now); err != nil {
		return err
	}
	return r.settle(ctx, alg, now, by)
}

// Withdraw takes a next key out of the JWKS before it has signed anything, and publishes another one
// in its place; the active key stays as it is (ROT-12), even if the withdrawn key's SignFrom was
// stamped. A key that signs or has signed is ErrIllegalStep, and so is one so close to its SignFrom
// that a node cut off from the store could sign with it, unaware. An unknown key is ErrNotFound; a
// key that is withdrawn or revoked already is no error.
func (r *Ring) Withdraw(ctx context.Context, kid string, by audit.Origin) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	now := r.config.Now()
	if err := r.load(ctx, now); err != nil {
		return err
	}
	for alg, rec := range r.current.Load().rings {
		if rec.index(kid) < 0 {
			continue
		}
		err := r.act(ctx, alg, now, by, func(rec RingRecord) (*step, error) { return r.withdrawal(rec, kid, now) })
		if err != nil {
			return fmt.Errorf("keys: withdraw: %w", err)
		}
		if err := r.settle(ctx, alg, now, followUp(by)); err != nil { // as in rotate: what was asked for is stored
			r.config.Log.WarnContext(ctx, "no next key published yet", "alg", string(alg), "err", err)
		}
		return nil
	}
	return fmt.Errorf("keys: withdraw %q: %w", kid, ErrNotFound)
}

func (r *Ring) withdrawal(rec RingRecord, kid string, now time.Time) (*step, error) {
	i := rec.index(kid)
	if i < 0 || rec.Keys[i].withdrawn(now) {
		return nil, nil
	}
	k := rec.Keys[i]
	// Every node that knows the key has stamped its own windows on it if they were longer: this is
	// the longest StoreOutage + RefreshInterval among them, and what clocks may differ.
	unaware := k.Windows.longest(r.windows).RetireAfter - MaxTokenLifetime - MaxVerifierLeeway
	switch {
	case rec.state(i, now) != StateNext:
		return nil, illegal(k, "only a key that has not signed can be withdrawn by hand; rotate instead")
	case rec.signing(now) < 0:
		return nil, illegal(k, "no other key would sign")
	case !k.SignFrom.IsZero() && k.SignFrom.Sub(now) <= unaware:
		return nil, illegal(k, "is about to sign: let it take over, then rotate")
	}
	return rec.discard(i, now), nil
}

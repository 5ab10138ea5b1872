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

// ActionRevokeAll is the action of the audit entry of one ring's part of [Ring.RevokeAll]; the target is
// the ring's algorithm.
const ActionRevokeAll = "key.revoke_all"

// RevokedRing says what revoking every key did to one ring.
type RevokedRing struct {
	Algorithm jose.Algorithm
	KeyIDs    []string      // of the keys that it revoked, in the order of their making
	Successor string        // the fresh key that signs instead
	SignFrom  time.Time     // of the successor: at once
	MaxAge    time.Duration // how long a JWKS that somebody fetched before may still have the old keys
}

// RevokeAll makes every key useless at once, in every ring: for a store, or a key-encryption key, that
// somebody else has (ROT-07). It revokes the active, next and retiring keys, and those that left so recently
// that a JWKS fetched before may hold them; a fresh key, that nobody can have stolen with the others, signs
// at once, and another next one is published. Each ring is one commit, and one ring's trouble does not keep
// the others waiting: what was done is returned beside the error.
//
// id names this request: asking again with the same one, after an error, does what is left to do and
// reports all. An empty id is an error. Who has the key-encryption key can open the fresh keys too: move to
// another one first ([Ring.Rewrap]).
func (r *Ring) RevokeAll(ctx context.Context, id string, by audit.Origin) ([]RevokedRing, error) {
	if id == "" {
		return nil, errors.New("keys: revoke all: the request has no identifier")
	}
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	defer r.leave()
	now := r.config.Now()
	if err := r.load(ctx, now); err != nil {
		return nil, fmt.Errorf("keys: revoke all: %w", err)
	}
	var done []RevokedRing
	var errs []error
	algorithms := slices.Sorted(maps.Keys(r.current.Load().rings))
	for _, alg := range algorithms {
		err := r.act(ctx, alg, now, by, func(rec RingRecord) (*step, error) { return r.clearance(ctx, rec, id, now) })
		if err != nil {
			errs = append(errs, fmt.Errorf("keys: revoke all keys for %s: %w", alg, err))
			continue
		}
		done = append(done, r.held(alg).cleared(now, r.config.JWKSMaxAge))
	}
	for _, alg := range algorithms { // as in rotate: what was asked for is stored
		if err := r.settle(ctx, alg, now, followUp(by)); err != nil {
			r.config.Log.WarnContext(ctx, "no next key published yet", "alg", string(alg), "err", err)
		}
	}
	return done, errors.Join(errs...)
}

// clearance is the whole emergency of one ring in one commit.
func (r *Ring) clearance(ctx context.Context, rec RingRecord, id string, now time.Time) (*step, error) {
	if rec.Emergency.ID == id {
		return nil, nil
	}
	fresh, err := r.generate(ctx, rec, now)
	if err != nil {
		return nil, err
	}
	n := rec.clone()
	n.Emergency = Emergency{ID: id, At: floor(now)}
	fresh.Windows = r.windows
	for i, k := range rec.Keys {
		if !k.mayBeCached(now) {
			continue
		}
		n = n.revoke(i, now)
		fresh.lengthen(k.Windows) // as in revocation: documents of these windows are in caches
	}
	fresh.PublishedAt, fresh.SignFrom = floor(now), latest(floor(now), n.lastRevoked())
	n.Keys = append(n.Keys, fresh)
	return &step{ring: n, action: ActionRevokeAll, target: string(rec.Algorithm)}, nil
}

// mayBeCached reports whether somebody may take k for a good key: it is published, or left so recently that
// a JWKS from before is not yet too old. The publish lead is longer than any max-age that was handed out.
func (k Key) mayBeCached(now time.Time) bool {
	return !k.revoked() && (!k.withdrawn(now) || k.WithdrawAt.Add(k.Windows.PublishLead).After(now))
}

// cleared reports the last emergency of a ring, from stamps alone.
func (r RingRecord) cleared(now time.Time, maxAge time.Duration) RevokedRing {
	done := RevokedRing{Algorithm: r.Algorithm, MaxAge: maxAge}
	for _, k := range r.Keys {
		if k.revoked() && k.RevokedAt.Equal(r.Emergency.At) {
			done.KeyIDs = append(done.KeyIDs, k.KeyID)
		}
	}
	i := r.signing(now)
	if i < 0 {
		i = r.pending(now)
	}
	if i >= 0 {
		done.Successor, done.SignFrom = r.Keys[i].KeyID, r.Keys[i].SignFrom
	}
	return done
}

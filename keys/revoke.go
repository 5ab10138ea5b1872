package keys

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// Revoked says what revoking a key did.
type Revoked struct {
	KeyID     string
	Algorithm jose.Algorithm
	Was       State
	Successor string        // the key that signs instead; empty if the revoked one did not sign
	SignFrom  time.Time     // of the successor: at once, whether or not its publish lead has passed
	MaxAge    time.Duration // how long a JWKS that somebody fetched before may still have the key
}

// Revoke makes a key useless at once (ROT-07): it never signs again, is not published, and every token
// that it signed is void; see [Ring.RevokedKeys]. If it signs, the published next key takes over
// immediately, or a fresh one where there is none, and another next one is published. Revoking a
// revoked key changes nothing and reports the same, but for a successor that was revoked in its turn.
// An unknown key is ErrNotFound. After any other error the key may or may not be revoked: ask again.
//
// A node that did not hear of it signs and publishes on, until its next Step or Reload, and at most
// for Config.StoreOutage.
func (r *Ring) Revoke(ctx context.Context, kid string, by audit.Origin) (Revoked, error) {
	if err := r.enter(ctx); err != nil {
		return Revoked{}, err
	}
	defer r.leave()
	now := r.config.Now()
	if err := r.load(ctx, now); err != nil {
		return Revoked{}, fmt.Errorf("keys: revoke %q: %w", kid, err)
	}
	for alg, rec := range r.current.Load().rings {
		if rec.index(kid) < 0 {
			continue
		}
		err := r.act(ctx, alg, now, by, func(rec RingRecord) (*step, error) { return r.revocation(ctx, rec, kid, now) })
		if err != nil {
			return Revoked{}, fmt.Errorf("keys: revoke %q: %w", kid, err)
		}
		done := r.held(alg).report(kid)
		done.MaxAge = r.config.JWKSMaxAge
		// As in rotate: what was asked for is stored.
		if err := r.settle(ctx, alg, now, followUp(by)); err != nil {
			r.config.Log.WarnContext(ctx, "no next key published yet", "alg", string(alg), "err", err)
		}
		return done, nil
	}
	return Revoked{}, fmt.Errorf("keys: revoke %q: %w", kid, ErrNotFound)
}

// revocation is the whole emergency in one commit: at no time does nobody sign, nor do two keys.
func (r *Ring) revocation(ctx context.Context, rec RingRecord, kid string, now time.Time) (*step, error) {
	i := rec.index(kid)
	if i < 0 { // it was withdrawn, and forgotten meanwhile
		return nil, ErrNotFound
	}
	if rec.Keys[i].revoked() {
		return nil, nil
	}
	n := rec.revoke(i, now)
	if rec.misses(i, n, now) {
		next := n.next(now)
		if next < 0 {
			fresh, err := r.generate(ctx, rec, now)
			if err != nil {
				return nil, err
			}
			fresh.PublishedAt = floor(now)
			n.Keys = append(n.Keys, fresh)
			next = len(n.Keys) - 1
		}
		k := &n.Keys[next]
		k.SignFrom = latest(floor(now), rec.Keys[i].SignFrom, n.lastRevoked())
		// Documents that were handed out under the windows of the revoked key are still in caches: whoever
		// rotates next has to wait for them.
		k.lengthen(r.windows.longest(rec.Keys[i].Windows))
	}
	return &step{ring: n, action: ActionRevoke, target: kid}, nil
}

// revoke stamps the key at place i. Which state it had can be read from its other stamps: WithdrawAt
// stays on one that was retiring or withdrawn, SignFrom on one that had begun to sign.
func (r RingRecord) revoke(i int, now time.Time) RingRecord {
	n := r.clone()
	switch r.state(i, now) {
	case StateNext:
		n.cancel(i, now)
		n.Keys[i].WithdrawAt = time.Time{}
	case StateActive:
		n.Keys[i].WithdrawAt = time.Time{}
	}
	n.Keys[i].RevokedAt, n.Keys[i].Sealed = floor(now), ""
	return n
}

// lastRevoked returns the latest SignFrom of a revoked key. It lies ahead where a node did it whose clock
// is ahead, or where the key was its ring's first and nobody signs yet. Who starts before it would have
// to stop then.
func (r RingRecord) lastRevoked() time.Time {
	var last time.Time
	for _, k := range r.Keys {
		if k.revoked() {
			last = latest(last, k.SignFrom)
		}
	}
	return last
}

// misses reports whether nobody signs in n, now or at a turn to come, when the key at place i does in r.
func (r RingRecord) misses(i int, n RingRecord, now time.Time) bool {
	return slices.ContainsFunc(r.turnsFrom(now), func(at time.Time) bool {
		return r.signing(at) == i && n.signing(at) < 0
	})
}

// report says of a key that is revoked what it was and who signs in its place, from stamps alone.
func (r RingRecord) report(kid string) Revoked {
	k := r.Keys[r.index(kid)]
	done := Revoked{KeyID: kid, Algorithm: r.Algorithm, Was: StateRetiring}
	switch {
	case !k.WithdrawAt.IsZero() && !k.WithdrawAt.After(k.RevokedAt):
		done.Was = StateWithdrawn
	case k.SignFrom.IsZero():
		done.Was = StateNext
	case k.WithdrawAt.IsZero():
		done.Was = StateActive
	}
	if done.Was != StateActive {
		return done
	}
	for _, s := range r.Keys {
		follows := !s.revoked() && !s.SignFrom.IsZero() && !s.SignFrom.Before(k.RevokedAt)
		if follows && (done.Successor == "" || s.SignFrom.Before(done.SignFrom)) {
			done.Successor, done.SignFrom = s.KeyID, s.SignFrom
		}
	}
	return done
}

// forgets returns a key that was revoked in before and is not in r.
func (r RingRecord) forgets(before RingRecord) (kid string, ok bool) {
	for _, k := range before.Keys {
		if i := r.index(k.KeyID); k.revoked() && (i < 0 || !r.Keys[i].revoked()) {
			return k.KeyID, true
		}
	}
	return "", false
}

// RevokedKeys returns the identifier of every revoked key, for ever: whoever has the key can sign
// tokens with any date. It is in order of algorithm and making, and empty before the rings were read.
// It does no I/O.
func (r *Ring) RevokedKeys() []string {
	s := r.current.Load()
	if s == nil {
		return nil
	}
	var kids []string
	for _, alg := range slices.Sorted(maps.Keys(s.rings)) {
		for _, k := range s.rings[alg].Keys {
			if k.revoked() {
				kids = append(kids, k.KeyID)
			}
		}
	}
	return kids
}

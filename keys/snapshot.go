package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// Why there is no answer. Each is a fault of the server, for which the caller of the server is not to
// blame: 503 (JWT-25, JWK-14).
var (
	// ErrNotReady says that the rings have not been read yet.
	ErrNotReady = errors.New("keys: not read from the store yet")

	// ErrStale says that the store has not answered for longer than Config.StoreOutage: keys may
	// have been rotated, or withdrawn, without this node knowing.
	ErrStale = errors.New("keys: the store has not answered for too long")

	// ErrNoSigner says that no key of the algorithm signs now. Another algorithm never steps in.
	ErrNoSigner = errors.New("keys: no key of the algorithm signs now")
)

// snapshot is what a node knows of its rings: immutable, replaced as a whole.
type snapshot struct {
	confirmed time.Time // when the store was asked
	rings     map[jose.Algorithm]RingRecord
	keys      map[string]*material // by kid; published when the snapshot was made
	turns     map[jose.Algorithm][]turn
	editions  []edition
}

// turn says that a key signs from a time on, until the turn before it in the list begins.
type turn struct {
	from     int64     // Unix seconds: stamps are whole seconds
	material *material // nil when the key was withdrawn: then nobody signs
}

// newSnapshot opens and checks rings. One bad key spoils the snapshot: serving the rest would be
// taking a fault for a decision. Keys that before had opened are not opened again.
func newSnapshot(ctx context.Context, s sealer, rings map[jose.Algorithm]RingRecord, before *snapshot, now, confirmed time.Time, maxAge time.Duration) (*snapshot, error) {
	n := &snapshot{
		confirmed: confirmed,
		rings:     rings,
		keys:      map[string]*material{},
		turns:     map[jose.Algorithm][]turn{},
	}
	var published []*material
	for _, alg := range slices.Sorted(maps.Keys(rings)) {
		r := rings[alg]
		if err := r.check(); err != nil {
			return nil, err
		}
		for _, k := range r.Keys {
			if k.withdrawn(now) {
				continue
			}
			if n.keys[k.KeyID] != nil {
				return nil, fmt.Errorf("keys: key %q is in two rings", k.KeyID)
			}
			m, err := before.reopen(ctx, s, alg, k)
			if err != nil {
				return nil, err
			}
			n.keys[k.KeyID] = m
			published = append(published, m)
		}
		n.turns[alg] = n.turnsOf(r)
	}
	n.editions = editions(published, now, maxAge)
	return n, nil
}

// reopen returns the material of k, from the snapshot before if it is there.
func (n *snapshot) reopen(ctx context.Context, s sealer, ring jose.Algorithm, k Key) (*material, error) {
	if n != nil {
		if m := n.keys[k.KeyID]; m != nil && m.same(k) {
			again := *m
			again.key = k // the stamps may have changed
			return &again, nil
		}
	}
	return s.open(ctx, ring, k)
}

// turnsOf lists who signs when, the latest first. Withdrawn and revoked keys are in it too, without
// material: the key before one must not sign in its stead.
func (n *snapshot) turnsOf(r RingRecord) []turn {
	var list []turn
	started := slices.DeleteFunc(slices.Clone(r.Keys), func(k Key) bool { return k.SignFrom.IsZero() })
	slices.SortFunc(started, func(a, b Key) int { return byStart(b, a) })
	for _, k := range started {
		list = append(list, turn{from: k.SignFrom.Unix(), material: n.keys[k.KeyID]})
	}
	return list
}

// signer follows the stamps: the latest turn that has begun.
func (n *snapshot) signer(alg jose.Algorithm, now time.Time) (*jose.Signer, error) {
	at := now.Unix()
	for _, t := range n.turns[alg] {
		if t.from > at {
			continue
		}
		if t.material == nil || t.material.key.expired(now) {
			return nil, ErrNoSigner
		}
		return t.material.signer, nil
	}
	return nil, ErrNoSigner
}

// publishedKeys counts the keys in the JWKS at now, of every ring.
func (n *snapshot) publishedKeys(now time.Time) int {
	count := 0
	for _, m := range n.keys {
		if !m.key.withdrawn(now) {
			count++
		}
	}
	return count
}

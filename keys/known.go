package keys

import (
	"fmt"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// KnownFrom returns the time from which every verifier that keeps the JWKS for its max-age knows the key
// that signs for alg now or, if none does yet, the first one that will: not before it signs, and not
// before it has been published for its lead. A resource that changes its algorithm signs with the old
// one until then (ROT-13). The time may lie in the past. A ring that nobody will sign for is ErrNoSigner. It does
// no I/O: [Ring.Ensure] comes first.
func (r *Ring) KnownFrom(alg jose.Algorithm) (time.Time, error) {
	now := r.config.Now()
	s, err := r.fresh(now)
	if err != nil {
		return time.Time{}, err
	}
	alg = alg.Canonical()
	known, ok := s.rings[alg].knownFrom(now, s.longestLead(now))
	if !ok {
		return time.Time{}, fmt.Errorf("keys: ring %s: %w", alg, ErrNoSigner)
	}
	return known, nil
}

// knownFrom is KnownFrom where documents that were fetched before the key was published may be kept for
// as long as lead allows.
func (r RingRecord) knownFrom(now time.Time, lead time.Duration) (known time.Time, ok bool) {
	i := r.signing(now)
	if i < 0 {
		i = r.pending(now)
	}
	if i < 0 {
		return time.Time{}, false
	}
	k := r.Keys[i]
	return latest(k.SignFrom, k.PublishedAt.Add(max(lead, k.Windows.PublishLead))), true
}

// longestLead returns the longest lead that is stamped on a published key of any ring. The first key of a
// new ring is stamped with the settings of today, but the document that lacks it, and is still in caches,
// was fetched under those of then, which only the keys of the other rings remember.
func (s *snapshot) longestLead(now time.Time) (lead time.Duration) {
	for _, ring := range s.rings {
		for _, k := range ring.Keys {
			if !k.withdrawn(now) {
				lead = max(lead, k.Windows.PublishLead)
			}
		}
	}
	return lead
}

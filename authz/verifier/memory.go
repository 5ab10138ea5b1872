package verifier

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// Tokens that were verified are remembered, because a machine uses one for hundreds of calls and the
// signature is nearly all that a check costs. What can change after it was checked is asked each time: the
// clock, the key, and what was withdrawn (RSV-38).

// DefaultRemember is how many verified tokens are remembered: up to about 20 MiB, at some 2 KiB for one of
// ordinary size.
const DefaultRemember = 10_000

// NoMemory is the Remember of a service that wants every signature checked each time.
const NoMemory = -1

// shards is how many locks the memory has, so that cores do not wait for each other.
const shards = 16

// memory holds verified tokens by their fingerprints.
type memory [shards]recent[*remembered]

func newMemory(tokens int) *memory {
	m := &memory{}
	for i := range m {
		m[i].most = max(1, tokens/shards)
	}
	return m
}

// remembered is a token that passed every check. It is immutable but for generations.
type remembered struct {
	token    Token
	verified token.Verified
	at       time.Time // by the verifier's clock

	// generations are those of the revocations which were last asked, and did not withdraw it.
	generations [maxSources]atomic.Uint64
}

// recall returns what is remembered of a token if everything still holds that may have changed, but for what
// was withdrawn. Whatever is in doubt is checked from the beginning, which also words the refusal.
func (v *Verifier) recall(ctx context.Context, f fingerprint) (*remembered, bool) {
	r, ok := v.memory[f[0]%shards].get(f)
	if !ok {
		return nil, false
	}
	// A clock that went back could make a token's beginning lie ahead again.
	if now := v.now(); now.Before(r.at) || !v.checker.Live(&r.verified, now) {
		return nil, false
	}
	// A key that was withdrawn no longer vouches for what it signed, and neither does one that took its name.
	key, err := v.key(ctx, jose.Header{Algorithm: r.verified.Key.Algorithm(), KeyID: r.verified.KeyID})
	if err != nil || key != r.verified.Key && key.Thumbprint() != r.verified.Key.Thumbprint() {
		return nil, false
	}
	return r, true
}

// remember keeps a token that was not withdrawn, as of these generations of the revocations.
func (v *Verifier) remember(f fingerprint, t Token, verified *token.Verified, at time.Time, asOf generations) {
	r := &remembered{token: t, verified: *verified, at: at}
	for i, g := range asOf {
		r.generations[i].Store(g)
	}
	v.memory[f[0]%shards].put(f, r)
}

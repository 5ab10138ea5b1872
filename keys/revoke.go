package keys

import (
	"context"
	"errors"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// StateRevoked is a key that was revoked: it never signs again, is not published, and every token that
// it signed is void. A key may be revoked in any other state.
const StateRevoked State = "revoked"

// Revoked says what revoking a key did.
type Revoked struct {
	KeyID     string
	Algorithm jose.Algorithm
	Was       State
	Successor string        // the key that signs instead; empty if the revoked one did not sign
	SignFrom  time.Time     // of the successor: at once, whether or not its publish lead has passed
	MaxAge    time.Duration // how long a JWKS that somebody fetched before may still have the key
}

// Revoke makes a key useless at once (ROT-07): see StateRevoked. If it signs, the published next key
// takes over immediately, and another one is published. Revoking a revoked key changes nothing and
// reports the same. An unknown key is ErrNotFound.
func (r *Ring) Revoke(ctx context.Context, kid string, by audit.Origin) (Revoked, error) {
	return Revoked{}, errors.ErrUnsupported
}

// RevokedKeys returns the identifier of every revoked key, for ever: whoever has the key can sign
// tokens with any date.
func (r *Ring) RevokedKeys() []string { return nil }

// PlannedStep is something that the timeline will do by itself.
type PlannedStep struct {
	At        time.Time
	Algorithm jose.Algorithm
	KeyID     string
	State     State // that the key will have from At on
}

// Plan returns what will happen to the keys that exist, as their stamps say, soonest first.
func (r *Ring) Plan() []PlannedStep { return nil }

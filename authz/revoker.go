package authz

import (
	"context"
	"errors"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// DefaultTokenRevocations is how many single tokens of a client may be revoked at a time before all
// of its tokens are.
const DefaultTokenRevocations = 1_000

// RevokerConfig is what a Revoker needs.
type RevokerConfig struct {
	Records   RevocationRecords
	Index     *token.Index                    // what is in Records, as of Applied
	Applied   func(ctx context.Context) error // see RegistryConfig
	PerClient int                             // see DefaultTokenRevocations
	Now       func() time.Time
}

// Revoker stores revocations: the one way by which clients, admins and the server itself withdraw
// tokens. It is safe for concurrent use.
type Revoker struct{ config RevokerConfig }

// NewRevoker returns a Revoker, or an error that names what is missing.
func NewRevoker(c RevokerConfig) (*Revoker, error) {
	return &Revoker{config: c}, nil
}

// Revoke withdraws what r says, in addition to what is withdrawn already, and returns what is stored
// then, and whether that changed. It returns nil only after the change is durable and applied here.
func (v *Revoker) Revoke(ctx context.Context, by audit.Origin, r token.Revocation, client ClientID) (Revocation, bool, error) {
	return Revocation{}, false, errors.ErrUnsupported
}

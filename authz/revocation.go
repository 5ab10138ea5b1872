package authz

import (
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// Revocation is a token.Revocation as it is kept: with who made it, and why.
type Revocation struct {
	token.Revocation
	Client    ClientID // of a jti: whose token it is, where that is known; counts towards that client's cap
	Actor     audit.Actor
	Reason    string
	CreatedAt time.Time
	Version   uint64 // set by the store; 0 for a revocation that is not stored
}

package authz

import (
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// ResourceID is the identifier of a protected API: an absolute URI without fragment (RFC 8707,
// Section 2), compared as a string, and exactly what the audience of a token says.
type ResourceID string

// Resource is a protected API.
type Resource struct {
	ID            ResourceID
	Scopes        ScopeSet       // the scopes that have a meaning here
	TokenLifetime time.Duration  // whole seconds, 1 s to MaxTokenLifetime
	Algorithm     jose.Algorithm // what its tokens are signed with; canonical name
	TokenType     string         // the header's typ: token.TypeAccessToken or token.TypeJWT

	// Tokens are signed with PreviousAlgorithm until AlgorithmFrom, in whole seconds, and with Algorithm
	// from then on. Both are zero when there is nothing to wait for.
	PreviousAlgorithm jose.Algorithm
	AlgorithmFrom     time.Time

	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt time.Time // set while it is deleted; its tokens are void
	Version   uint64    // set by the store; 0 for a resource that was never stored
}

// Lifetimes of tokens (RFC 6750, Section 5.3; TOK-34).
const (
	DefaultTokenLifetime = 10 * time.Minute
	MinTokenLifetime     = time.Second
	MaxTokenLifetime     = time.Hour
)

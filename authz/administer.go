package authz

import (
	"context"
	"errors"

	"github.com/marque-auth/marque/authz/audit"
)

// ScopeAdmin is the scope of tokens for the management API.
const ScopeAdmin = "marque:admin"

// AdminResource returns the identifier of the management API of an issuer: the audience of its tokens.
func AdminResource(issuer string) ResourceID { return ResourceID(issuer + "/admin/v1") }

// Admin returns who bears an access token for the management API. The error is an *InvalidTokenError,
// an *UnavailableError, or a fault.
func (s *Server) Admin(ctx context.Context, compact string) (audit.Actor, error) {
	return audit.Actor{}, errors.ErrUnsupported
}

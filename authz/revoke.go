package authz

import (
	"context"
	"errors"
	"net/netip"

	"github.com/marque-auth/marque/authz/audit"
)

// RevokeRequest is a revocation request after its syntax was checked (RFC 7009, Section 2.1).
type RevokeRequest struct {
	Token     string // never empty; whatever was sent
	Client    Presented
	Address   netip.Addr
	RequestID string
}

// Revoked is what became of a revocation request that succeeded. The caller is told none of it.
type Revoked struct {
	Client    ClientID
	JTI       string // empty unless it is a token of this server
	Changed   bool   // a revocation was stored now
	Collapsed bool   // the client had too many: all of its tokens issued until now are void
}

// Revoke answers RFC 7009 for the client that is authenticated in this call. It returns nil only
// after what it changed is durable and applied here (RVK-13). The error is as that of Token.
func (s *Server) Revoke(ctx context.Context, r RevokeRequest) (Revoked, error) {
	return Revoked{}, errors.ErrUnsupported
}

// RevokeToken withdraws a token of this server for an administrator, whoever it was issued to. A
// string that is no such token, or one that has expired, is ErrNotFound.
func (s *Server) RevokeToken(ctx context.Context, by audit.Origin, compact string) (Revocation, error) {
	return Revocation{}, errors.ErrUnsupported
}

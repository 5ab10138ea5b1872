package authz

import (
	"context"
	"errors"
	"net/netip"

	"github.com/marque-auth/marque/authz/token"
)

// IntrospectRequest is an introspection request after its syntax was checked (RFC 7662, Section 2.1).
// The caller authenticates as a client, or with an access token for the management API.
type IntrospectRequest struct {
	Token   string // never empty; whatever was sent
	Client  Presented
	Bearer  string // set instead of Client when a Bearer token was sent
	Signed  bool   // the answer is wanted as a JWT (RFC 9701, Section 4)
	Address netip.Addr
}

// Introspection is the answer. An inactive token says nothing else (INT-04).
type Introspection struct {
	Body   []byte // one JSON object (RFC 7662, Section 2.2)
	JWT    string // the same, signed (RFC 9701, Section 5); set instead of Body when Signed was asked for
	Active bool

	// For the log alone.
	Caller ClientID
	Cause  Cause // why it is inactive
	Client ClientID
	JTI    string
}

// InvalidTokenError says that the Bearer token of a caller does not authenticate it: 401 with a Bearer
// challenge (RFC 6750, Section 3). With Scope set the token is good and lacks that scope: 403.
type InvalidTokenError struct {
	Cause  Cause
	Scope  string
	Client ClientID // once the token is verified
	Err    error
}

func (e *InvalidTokenError) Error() string {
	s := "bearer token: " + string(e.Cause)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns more about the cause.
func (e *InvalidTokenError) Unwrap() error { return e.Err }

// Introspect answers RFC 7662 for the client that is authenticated in this call, or for an
// administrator. The error is an *Error, an *InvalidTokenError, a *ThrottledError, an
// *UnavailableError or what ctx ended with; anything else is a fault. It never answers from memory
// alone: what the store does not say is unknown (INT-13).
func (s *Server) Introspect(ctx context.Context, r IntrospectRequest) (Introspection, error) {
	return Introspection{}, errors.ErrUnsupported
}

var _ token.Known = token.Found(nil)

package authz

import (
	"context"
	"errors"
	"strings"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// ScopeAdmin is the scope of tokens for the management API.
const ScopeAdmin = "marque:admin"

// AdminResource returns the identifier of the management API of an issuer: the audience of its tokens.
func AdminResource(issuer string) ResourceID { return ResourceID(issuer + "/admin/v1") }

// BuiltInResource returns the management API as a resource. It is never stored: it cannot be changed
// or removed, and only Client.Admin grants it. What signs its tokens is a setting: only this server
// verifies them, so another one signs at once.
func BuiltInResource(issuer string, alg jose.Algorithm) Resource {
	return Resource{
		ID:            AdminResource(issuer),
		Scopes:        ScopeSet{[]string{ScopeAdmin}},
		TokenLifetime: DefaultTokenLifetime,
		Algorithm:     alg,
		TokenType:     token.TypeAccessToken,
	}
}

// Admin returns who bears an access token for the management API. The error is an *InvalidTokenError,
// an *UnavailableError, or a fault.
func (s *Server) Admin(ctx context.Context, compact string) (audit.Actor, error) {
	v, err := s.bearer(ctx, compact)
	if err != nil {
		return audit.Actor{}, err
	}
	return audit.Actor{Kind: audit.ActorClient, ID: v.ClientID}, nil
}

// bearer verifies an access token for the management API: of this server, for that API alone, within
// its time, not withdrawn as the store says now, with the scope, and of a client that still may manage.
func (s *Server) bearer(ctx context.Context, compact string) (token.Verified, error) {
	if compact == "" {
		return token.Verified{}, &InvalidTokenError{Cause: CauseNoCredentials}
	}
	v, err := s.own.verifyAdmin(ctx, compact)
	if err == nil {
		err = s.own.live(ctx, &v)
	}
	var bad *token.Error
	var judged *judgedError
	switch {
	case errors.As(err, &bad):
		return token.Verified{}, &InvalidTokenError{Cause: tokenCause(bad.Reason), Client: ClientID(bad.ClientID), Err: bad}
	case errors.As(err, &judged):
		return token.Verified{}, &InvalidTokenError{Cause: judged.cause, Client: ClientID(judged.token.ClientID)}
	case err != nil:
		return token.Verified{}, err
	case !hasScope(v.Scope, ScopeAdmin):
		return token.Verified{}, &InvalidTokenError{Cause: CauseInsufficientScope, Scope: ScopeAdmin, Client: ClientID(v.ClientID)}
	}
	if err := s.stillAdmin(ctx, ClientID(v.ClientID)); err != nil {
		return token.Verified{}, err
	}
	return v, nil
}

// stillAdmin returns nil if the client may manage, as the store says now. What ends that withdraws its
// tokens, too: this holds whatever was issued in between, and whatever becomes of a revocation.
func (s *Server) stillAdmin(ctx context.Context, id ClientID) error {
	c, err := s.authenticator.store.Client(ctx, id)
	no := func(cause Cause) error { return &InvalidTokenError{Cause: cause, Client: id} }
	switch {
	case errors.Is(err, ErrNotFound):
		return no(CauseUnknownClient)
	case err != nil:
		return storeFault(ctx, id, err)
	case !c.DeletedAt.IsZero():
		return no(CauseDeletedClient)
	case c.Disabled:
		return no(CauseDisabled)
	case !c.Admin:
		return no(CauseTokenRevoked)
	}
	return nil
}

// hasScope reports whether a scope string, which was verified, holds a scope token.
func hasScope(scope, wanted string) bool {
	for s := range strings.SplitSeq(scope, " ") {
		if s == wanted {
			return true
		}
	}
	return false
}

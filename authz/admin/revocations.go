package admin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// Revocations are the management operations on revocations, as authz.Registry documents them.
type Revocations interface {
	Revoke(ctx context.Context, by audit.Origin, spec authz.RevocationSpec) (authz.Revocation, error)
	ListRevocations(ctx context.Context, after string, limit int) ([]authz.Revocation, error)
}

// Tokens withdraws single tokens: an *authz.Server.
type Tokens interface {
	RevokeToken(ctx context.Context, by audit.Origin, compact string) (authz.Revocation, error)
}

// CreateRevocation withdraws the tokens of a subject.
func (h *handler) CreateRevocation(ctx context.Context, req api.CreateRevocationRequestObject) (api.CreateRevocationResponseObject, error) {
	spec := authz.RevocationSpec{Subject: token.Subject{Kind: token.RevocationKind(req.Body.Kind), Value: text(req.Body.Value)}}
	if req.Body.Before != nil {
		spec.Before = *req.Body.Before
	}
	r, err := h.registry.Revoke(ctx, origin(ctx), spec)
	var invalid *authz.InvalidError
	if !errors.As(err, &invalid) { // else the value may be anything, a token that works for one
		about(ctx, spec.String())
	}
	if err != nil {
		return nil, err
	}
	return api.CreateRevocation200JSONResponse(revocationOf(r)), nil
}

// ListRevocations reads one page of what is revoked.
func (h *handler) ListRevocations(ctx context.Context, req api.ListRevocationsRequestObject) (api.ListRevocationsResponseObject, error) {
	after, n, err := page[string](req.Params.Cursor, req.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := h.registry.ListRevocations(ctx, after, n+1)
	if err != nil {
		return nil, err
	}
	found, next := cut(found, n, func(r authz.Revocation) string { return r.Subject.String() })
	out := api.ListRevocations200JSONResponse{Revocations: make([]api.Revocation, len(found)), Next: next}
	for i, r := range found {
		out.Revocations[i] = revocationOf(r)
	}
	return out, nil
}

// RevokeToken withdraws one token. The token itself goes no further than the domain.
func (h *handler) RevokeToken(ctx context.Context, req api.RevokeTokenRequestObject) (api.RevokeTokenResponseObject, error) {
	r, err := h.tokens.RevokeToken(ctx, origin(ctx), req.Body.Token)
	if err != nil {
		return nil, tokenless{err, req.Body.Token}
	}
	about(ctx, r.Subject.String())
	return api.RevokeToken200JSONResponse(revocationOf(r)), nil
}

// tokenless is an error whose text does not repeat the token that it is about: the log is no place for
// one that works.
type tokenless struct {
	error
	token string
}

func (e tokenless) Error() string { return strings.ReplaceAll(e.error.Error(), e.token, "[redacted]") }

func (e tokenless) Unwrap() error { return e.error }

func revocationOf(r authz.Revocation) api.Revocation {
	return api.Revocation{
		Kind:      api.RevocationKind(r.Kind),
		Value:     optional(r.Value),
		Since:     optionalTime(r.Since),
		Before:    optionalTime(r.Before),
		Until:     optionalTime(r.Until),
		ClientID:  optional(string(r.Client)),
		Actor:     r.Actor.String(),
		Reason:    optional(r.Reason),
		CreatedAt: r.CreatedAt.UTC().Truncate(time.Second),
	}
}

package admin

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/authz/audit"
)

// Clients are the management operations on clients, as authz.Registry documents them.
type Clients interface {
	CreateClient(ctx context.Context, by audit.Origin, spec authz.ClientSpec) (authz.Client, authz.Secret, bool, error)
	Client(ctx context.Context, id authz.ClientID) (authz.Client, error)
	ListClients(ctx context.Context, q authz.ClientQuery) ([]authz.Client, error)
	SetClientDisabled(ctx context.Context, by audit.Origin, id authz.ClientID, disabled bool) (authz.Client, error)
}

// CreateClient registers a client. Its answer 201 is one of the two that ever show a secret.
func (h *handler) CreateClient(ctx context.Context, req api.CreateClientRequestObject) (api.CreateClientResponseObject, error) {
	about(ctx, text(req.Body.ClientID))
	c, secret, created, err := h.registry.CreateClient(ctx, origin(ctx), clientSpec(req))
	if err != nil {
		return nil, err
	}
	about(ctx, string(c.ID))
	body := clientOf(c)
	if !created {
		return api.CreateClient200JSONResponse(body), nil
	}
	revealed, expires := secret.Reveal(), int64(0)
	if made := live(c); made != nil {
		expires = unixSeconds(made.Expires)
	}
	body.ClientSecret, body.ClientSecretExpiresAt = &revealed, &expires
	return api.CreateClient201JSONResponse{
		Body:    body,
		Headers: api.CreateClient201ResponseHeaders{Location: "/admin/v1/clients/" + url.PathEscape(string(c.ID))},
	}, nil
}

func clientSpec(req api.CreateClientRequestObject) authz.ClientSpec {
	spec := authz.ClientSpec{
		ID:              text(req.Body.ClientID),
		IdempotencyKey:  text(req.Params.IdempotencyKey),
		Name:            req.Body.ClientName,
		Scopes:          []string{text(req.Body.Scope)},
		DefaultScopes:   []string{text(req.Body.DefaultScope)},
		Resources:       list(req.Body.Resources),
		DefaultResource: text(req.Body.DefaultResource),
		Serves:          list(req.Body.Serves),
		TokenLifetime:   lifetime(req.Body.TokenLifetime),
	}
	if req.Body.Claims != nil {
		spec.Claims = make(map[string]jsontext.Value, len(*req.Body.Claims))
		for name, value := range *req.Body.Claims {
			spec.Claims[name] = jsontext.Value(value)
		}
	}
	return spec
}

// GetClient reads a client.
func (h *handler) GetClient(ctx context.Context, req api.GetClientRequestObject) (api.GetClientResponseObject, error) {
	c, err := h.registry.Client(ctx, authz.ClientID(req.ClientID))
	if err != nil {
		return nil, err
	}
	return api.GetClient200JSONResponse(clientOf(c)), nil
}

// ListClients reads one page of clients.
func (h *handler) ListClients(ctx context.Context, req api.ListClientsRequestObject) (api.ListClientsResponseObject, error) {
	after, n, err := page[authz.ClientID](req.Params.Cursor, req.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := h.registry.ListClients(ctx, authz.ClientQuery{After: after, Limit: n + 1})
	if err != nil {
		return nil, err
	}
	found, next := cut(found, n, func(c authz.Client) authz.ClientID { return c.ID })
	out := api.ListClients200JSONResponse{Clients: make([]api.RegisteredClient, len(found)), Next: next}
	for i, c := range found {
		out.Clients[i] = clientOf(c)
	}
	return out, nil
}

// DisableClient stops issuing tokens to a client.
func (h *handler) DisableClient(ctx context.Context, req api.DisableClientRequestObject) (api.DisableClientResponseObject, error) {
	c, err := h.registry.SetClientDisabled(ctx, origin(ctx), authz.ClientID(req.ClientID), true)
	if err != nil {
		return nil, err
	}
	return api.DisableClient200JSONResponse(clientOf(c)), nil
}

// EnableClient issues tokens to a disabled client again.
func (h *handler) EnableClient(ctx context.Context, req api.EnableClientRequestObject) (api.EnableClientResponseObject, error) {
	c, err := h.registry.SetClientDisabled(ctx, origin(ctx), authz.ClientID(req.ClientID), false)
	if err != nil {
		return nil, err
	}
	return api.EnableClient200JSONResponse(clientOf(c)), nil
}

// clientOf writes a client down member by member, so that a field which is added to the domain, such as
// a digest, never reaches an answer by itself.
func clientOf(c authz.Client) api.RegisteredClient {
	out := api.RegisteredClient{
		ClientID:                string(c.ID),
		ClientIDIssuedAt:        unixSeconds(c.CreatedAt),
		ClientName:              c.Name,
		Scope:                   c.Scopes.String(),
		DefaultScope:            c.DefaultScopes.String(),
		Resources:               words(c.Resources),
		DefaultResource:         optional(string(c.DefaultResource)),
		Serves:                  words(c.Serves),
		TokenLifetime:           optional(seconds(c.TokenLifetime)),
		GrantTypes:              words(c.GrantTypes),
		TokenEndpointAuthMethod: string(c.AuthMethod),
		Disabled:                c.Disabled,
	}
	if made := live(c); made != nil {
		out.CredentialID = optional(string(made.ID))
	}
	if len(c.Claims) > 0 {
		claims := make(map[string]json.RawMessage, len(c.Claims))
		for _, claim := range c.Claims {
			claims[claim.Name] = json.RawMessage(claim.Value)
		}
		out.Claims = &claims
	}
	return out
}

// live returns the credential of c that is not revoked, when there is exactly one: nobody can then be
// mistaken about which secret is meant.
func live(c authz.Client) *authz.Credential {
	var found *authz.Credential
	for i := range c.Credentials {
		if !c.Credentials[i].RevokedAt.IsZero() {
			continue
		}
		if found != nil {
			return nil
		}
		found = &c.Credentials[i]
	}
	return found
}

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
	UpdateClient(ctx context.Context, by audit.Origin, id authz.ClientID, match authz.Match, spec authz.ClientSpec, revoke bool) (authz.Client, error)
	DeleteClient(ctx context.Context, by audit.Origin, id authz.ClientID, match authz.Match) error
	SetClientDisabled(ctx context.Context, by audit.Origin, id authz.ClientID, disabled bool) (authz.Client, error)
}

// CreateClient registers a client. Its answer 201 is one of the two that ever show a secret, unless the
// caller brought it: who sends a secret has it.
func (h *handler) CreateClient(ctx context.Context, req api.CreateClientRequestObject) (api.CreateClientResponseObject, error) {
	about(ctx, text(req.Body.ClientID))
	c, secret, created, err := h.registry.CreateClient(ctx, origin(ctx), clientSpec(req))
	if err != nil {
		return nil, err
	}
	about(ctx, string(c.ID))
	body := clientOf(c)
	if !created {
		return api.CreateClient200JSONResponse{
			Body: body, Headers: api.CreateClient200ResponseHeaders{ETag: etag(c.Version)},
		}, nil
	}
	if req.Body.ClientSecret == nil {
		revealed, expires := secret.Reveal(), int64(0)
		if made := live(c); made != nil {
			expires = unixSeconds(made.Expires)
		}
		body.ClientSecret, body.ClientSecretExpiresAt = &revealed, &expires
	}
	return api.CreateClient201JSONResponse{
		Body: body,
		Headers: api.CreateClient201ResponseHeaders{
			ETag: etag(c.Version), Location: "/admin/v1/clients/" + url.PathEscape(string(c.ID)),
		},
	}, nil
}

// clientSpec is what a creation says of a client.
func clientSpec(req api.CreateClientRequestObject) authz.ClientSpec {
	b := req.Body
	spec := metadata(api.ClientUpdate{
		ClientID: b.ClientID, ClientName: b.ClientName, Scope: b.Scope, DefaultScope: b.DefaultScope,
		Resources: b.Resources, DefaultResource: b.DefaultResource, Serves: b.Serves,
		TokenLifetime: b.TokenLifetime, Claims: b.Claims, Admin: b.Admin,
		IntrospectionSignedResponseAlg: b.IntrospectionSignedResponseAlg,
	})
	spec.IdempotencyKey = text(req.Params.IdempotencyKey)
	spec.Secret = authz.Secret(text(b.ClientSecret))
	return spec
}

// metadata is what creation and update both say of a client.
func metadata(b api.ClientUpdate) authz.ClientSpec {
	spec := authz.ClientSpec{
		ID:                     text(b.ClientID),
		Name:                   b.ClientName,
		Scopes:                 []string{text(b.Scope)},
		DefaultScopes:          []string{text(b.DefaultScope)},
		Resources:              list(b.Resources),
		DefaultResource:        text(b.DefaultResource),
		Serves:                 list(b.Serves),
		TokenLifetime:          lifetime(b.TokenLifetime),
		Admin:                  isTrue(b.Admin),
		IntrospectionAlgorithm: text(b.IntrospectionSignedResponseAlg),
	}
	if b.Claims != nil {
		spec.Claims = make(map[string]jsontext.Value, len(*b.Claims))
		for name, value := range *b.Claims {
			spec.Claims[name] = jsontext.Value(value)
		}
	}
	return spec
}

// UpdateClient puts other metadata in place of a client's.
func (h *handler) UpdateClient(ctx context.Context, req api.UpdateClientRequestObject) (api.UpdateClientResponseObject, error) {
	id := authz.ClientID(req.ClientID)
	match, err := seen(ctx).match(h.clientVersion(ctx, id))
	if err != nil {
		return nil, err
	}
	c, err := h.registry.UpdateClient(ctx, origin(ctx), id, match, metadata(*req.Body), isTrue(req.Params.RevokeTokens))
	if err != nil {
		return nil, err
	}
	return api.UpdateClient200JSONResponse{
		Body: clientOf(c), Headers: api.UpdateClient200ResponseHeaders{ETag: etag(c.Version)},
	}, nil
}

// DeleteClient deletes a client for ever.
func (h *handler) DeleteClient(ctx context.Context, req api.DeleteClientRequestObject) (api.DeleteClientResponseObject, error) {
	id := authz.ClientID(req.ClientID)
	match, err := seen(ctx).match(h.clientVersion(ctx, id))
	if err != nil {
		return nil, err
	}
	if err := h.registry.DeleteClient(ctx, origin(ctx), id, match); err != nil {
		return nil, err
	}
	return api.DeleteClient204Response{}, nil
}

func (h *handler) clientVersion(ctx context.Context, id authz.ClientID) func() (uint64, error) {
	return func() (uint64, error) {
		c, err := h.registry.Client(ctx, id)
		return c.Version, err
	}
}

// GetClient reads a client.
func (h *handler) GetClient(ctx context.Context, req api.GetClientRequestObject) (api.GetClientResponseObject, error) {
	c, err := h.registry.Client(ctx, authz.ClientID(req.ClientID))
	if err != nil {
		return nil, err
	}
	return api.GetClient200JSONResponse{
		Body: clientOf(c), Headers: api.GetClient200ResponseHeaders{ETag: etag(c.Version)},
	}, nil
}

// ListClients reads one page of clients.
func (h *handler) ListClients(ctx context.Context, req api.ListClientsRequestObject) (api.ListClientsResponseObject, error) {
	after, n, err := page[authz.ClientID](req.Params.Cursor, req.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, err := h.registry.ListClients(ctx, authz.ClientQuery{After: after, Text: text(req.Params.Query), Limit: n + 1})
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
	return api.DisableClient200JSONResponse{
		Body: clientOf(c), Headers: api.DisableClient200ResponseHeaders{ETag: etag(c.Version)},
	}, nil
}

// EnableClient issues tokens to a disabled client again.
func (h *handler) EnableClient(ctx context.Context, req api.EnableClientRequestObject) (api.EnableClientResponseObject, error) {
	c, err := h.registry.SetClientDisabled(ctx, origin(ctx), authz.ClientID(req.ClientID), false)
	if err != nil {
		return nil, err
	}
	return api.EnableClient200JSONResponse{
		Body: clientOf(c), Headers: api.EnableClient200ResponseHeaders{ETag: etag(c.Version)},
	}, nil
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
		Admin:                   c.Admin,
		Disabled:                c.Disabled,
	}
	if c.IntrospectionAlgorithm != "" {
		out.IntrospectionSignedResponseAlg = optional(api.Algorithm(c.IntrospectionAlgorithm))
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

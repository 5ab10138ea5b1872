package admin

import (
	"context"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/authz/audit"
)

// Secrets are the management operations on the secrets of a client, as authz.Registry documents them.
type Secrets interface {
	AddSecret(ctx context.Context, by audit.Origin, id authz.ClientID, spec authz.SecretSpec) (authz.Credential, authz.Secret, bool, error)
	RevokeSecret(ctx context.Context, by audit.Origin, id authz.ClientID, credential authz.CredentialID, why authz.SecretRevocation) (authz.Credential, error)
}

// AddSecret makes a further secret. Its answer 201 is one of the two that ever show a secret, unless the
// caller brought it.
func (h *handler) AddSecret(ctx context.Context, req api.AddSecretRequestObject) (api.AddSecretResponseObject, error) {
	id := authz.ClientID(req.ClientID)
	c, secret, created, err := h.registry.AddSecret(ctx, origin(ctx), id, secretSpec(req))
	if err != nil {
		return nil, err
	}
	body := secretOf(id, c)
	if !created {
		return api.AddSecret200JSONResponse(body), nil
	}
	if req.Body == nil || req.Body.ClientSecret == nil {
		revealed := secret.Reveal()
		body.ClientSecret = &revealed
	}
	return api.AddSecret201JSONResponse(body), nil
}

func secretSpec(req api.AddSecretRequestObject) authz.SecretSpec {
	spec := authz.SecretSpec{IdempotencyKey: text(req.Params.IdempotencyKey)}
	if req.Body == nil {
		return spec
	}
	spec.Secret = authz.Secret(text(req.Body.ClientSecret))
	if at := req.Body.NotBefore; at != nil {
		spec.NotBefore = *at
	}
	if at := req.Body.ClientSecretExpiresAt; at != nil && *at != 0 {
		// What lies far outside, milliseconds most often, stays outside and is the domain's to refuse.
		// Unbounded, one negative number is the zero time, which is never.
		spec.Expires = time.Unix(min(max(*at, 1), 1<<40), 0).UTC()
	}
	return spec
}

// ListSecrets reads what is known of a client's secrets.
func (h *handler) ListSecrets(ctx context.Context, req api.ListSecretsRequestObject) (api.ListSecretsResponseObject, error) {
	c, err := h.registry.Client(ctx, authz.ClientID(req.ClientID))
	if err != nil {
		return nil, err
	}
	out := api.ListSecrets200JSONResponse{Secrets: make([]api.Secret, len(c.Credentials))}
	for i, credential := range c.Credentials {
		out.Secrets[i] = secretOf(c.ID, credential)
	}
	return out, nil
}

// RevokeSecret ends a secret.
func (h *handler) RevokeSecret(ctx context.Context, req api.RevokeSecretRequestObject) (api.RevokeSecretResponseObject, error) {
	id := authz.ClientID(req.ClientID)
	var why authz.SecretRevocation
	if req.Body != nil {
		why.Compromised = isTrue(req.Body.Compromised)
		if req.Body.Since != nil {
			why.Since = *req.Body.Since
		}
	}
	c, err := h.registry.RevokeSecret(ctx, origin(ctx), id, authz.CredentialID(req.CredentialID), why)
	if err != nil {
		return nil, err
	}
	return api.RevokeSecret200JSONResponse(secretOf(id, c)), nil
}

func secretOf(id authz.ClientID, c authz.Credential) api.Secret {
	return api.Secret{
		ClientID:              string(id),
		CredentialID:          string(c.ID),
		ClientSecretExpiresAt: unixSeconds(c.Expires),
		NotBefore:             optionalTime(c.NotBefore),
		CreatedAt:             c.CreatedAt.UTC(),
		Revoked:               !c.RevokedAt.IsZero(),
		RevokedAt:             optionalTime(c.RevokedAt),
	}
}

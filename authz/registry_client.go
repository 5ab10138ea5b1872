package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// ClientSpec is what an admin says of a client. Empty fields take their defaults.
type ClientSpec struct {
	ID              string // empty: the server makes one
	IdempotencyKey  string // with a server-made id: repeating it repeats the creation
	Name            string
	Scopes          []string // each may itself be a scope string
	DefaultScopes   []string
	Resources       []string
	DefaultResource string
	Serves          []string
	TokenLifetime   time.Duration // 0: the resource's
	Claims          map[string]jsontext.Value
	Admin           bool

	// IntrospectionAlgorithm is of RFC 9701, Section 6; empty: that of the first resource it serves.
	IntrospectionAlgorithm string

	// Secret is one brought from another server; empty: the server makes one. Only for creation.
	Secret Secret
}

// CreateClient registers a client with its first secret. The secret is returned when the client was
// created now, and never again: repeating the call returns the client without one.
func (r *Registry) CreateClient(ctx context.Context, by audit.Origin, spec ClientSpec) (Client, Secret, bool, error) {
	wanted, err := r.client(ctx, by, spec)
	if err != nil {
		return Client{}, "", false, err
	}
	secret := r.giveSecret(&wanted, newCredentialID(), SecretSpec{})
	c, err := r.config.Clients.PutClient(ctx, wanted, by.Done(r.config.Now(), "client.create", string(wanted.ID)))
	created := err == nil
	if errors.Is(err, ErrConflict) {
		secret = ""
		c, err = r.existingClient(ctx, wanted)
	}
	if err == nil { // also when it exists: the attempt that stored it may not have been applied here
		err = r.config.Applied(ctx)
	}
	if err != nil {
		return Client{}, "", false, err
	}
	return c, secret, created, nil
}

func (r *Registry) existingClient(ctx context.Context, wanted Client) (Client, error) {
	c, err := r.config.Clients.Client(ctx, wanted.ID)
	if err != nil {
		return Client{}, err
	}
	if !sameRegistration(c, wanted) {
		return Client{}, fmt.Errorf("authz: a different client %q exists: %w", wanted.ID, ErrConflict)
	}
	return c, nil
}

// sameRegistration compares what an admin chose; secrets, state and times are not part of it.
func sameRegistration(a, b Client) bool {
	return a.Name == b.Name && a.AuthMethod == b.AuthMethod && slices.Equal(a.GrantTypes, b.GrantTypes) &&
		a.Scopes.Equal(b.Scopes) && a.DefaultScopes.Equal(b.DefaultScopes) &&
		slices.Equal(a.Resources, b.Resources) && a.DefaultResource == b.DefaultResource &&
		slices.Equal(a.Serves, b.Serves) && a.TokenLifetime == b.TokenLifetime &&
		slices.EqualFunc(a.Claims, b.Claims, func(x, y token.Static) bool {
			return x.Name == y.Name && string(x.Value) == string(y.Value)
		})
}

// client checks a spec and names every wrong field.
func (r *Registry) client(ctx context.Context, by audit.Origin, spec ClientSpec) (Client, error) {
	var p problems
	now := r.now()
	c := Client{
		ID:            r.clientID(&p, by, spec),
		Name:          spec.Name,
		AuthMethod:    AuthSecretBasic,
		GrantTypes:    []string{GrantClientCredentials},
		Scopes:        parseScopes(&p, "scope", spec.Scopes),
		DefaultScopes: parseScopes(&p, "default_scope", spec.DefaultScopes),
		TokenLifetime: spec.TokenLifetime,
		Claims:        r.staticClaims(&p, spec.Claims),
		CreatedAt:     now,
		UpdatedAt:     now,
	}
	p.check(validName(spec.Name), "client_name", nameRule)
	p.check(c.TokenLifetime == 0 || validLifetime(c.TokenLifetime), "token_lifetime", lifetimeRule)
	p.check(c.Scopes.Contains(c.DefaultScopes), "default_scope", "every default scope must be in scope")

	resources, err := r.existing(ctx, &p, "resources", spec.Resources)
	if err != nil {
		return Client{}, err
	}
	serves, err := r.existing(ctx, &p, "serves", spec.Serves)
	if err != nil {
		return Client{}, err
	}
	c.Resources, c.Serves = identifiers(resources), identifiers(serves)
	c.DefaultResource = ResourceID(spec.DefaultResource)
	p.check(c.DefaultResource == "" || slices.Contains(c.Resources, c.DefaultResource),
		"default_resource", "must be one of resources")
	p.check(target(resources).defines(c.Scopes), "scope", "every scope must be defined by one of the client's resources")
	return c, p.err()
}

// defines reports whether each scope means something at some resource of t.
func (t target) defines(scope ScopeSet) bool { return t.meaningful(scope).Equal(scope) }

// clientID returns the identifier that the admin chose, one that follows from the idempotency key
// and who sent it, or a random one. Nobody without the pepper can compute the second kind.
func (r *Registry) clientID(p *problems, by audit.Origin, spec ClientSpec) ClientID {
	switch {
	case spec.ID != "":
		p.check(ValidClientID(spec.ID), "client_id", clientIDRule)
		return ClientID(spec.ID)
	case spec.IdempotencyKey != "":
		p.check(validIdempotencyKey(spec.IdempotencyKey), "Idempotency-Key", idempotencyRule)
		return ClientID(r.hash.derive("client_id", by.Actor.String(), spec.IdempotencyKey)[:clientIDLen])
	}
	return newClientID()
}

// existing returns the named resources, each once.
func (r *Registry) existing(ctx context.Context, p *problems, field string, ids []string) ([]Resource, error) {
	var out []Resource
	for _, s := range ids {
		if slices.ContainsFunc(out, func(x Resource) bool { return string(x.ID) == s }) {
			continue
		}
		res, err := r.config.Resources.Resource(ctx, ResourceID(s))
		switch {
		case errors.Is(err, ErrNotFound):
			p.add(field, "every resource must be registered; identifiers compare as strings")
			return out, nil
		case err != nil:
			return nil, err
		}
		out = append(out, res)
	}
	p.check(len(out) <= maxResources, field, resourcesRule)
	return out, nil
}

// identifiers returns the identifiers in bytewise order: the order given has no meaning.
func identifiers(resources []Resource) []ResourceID {
	var ids []ResourceID
	for _, res := range resources {
		ids = append(ids, res.ID)
	}
	slices.Sort(ids)
	return ids
}

// Client returns a client, or ErrNotFound.
func (r *Registry) Client(ctx context.Context, id ClientID) (Client, error) {
	return r.config.Clients.Client(ctx, id)
}

// ListClients is as ClientRecords.ListClients.
func (r *Registry) ListClients(ctx context.Context, q ClientQuery) ([]Client, error) {
	return r.config.Clients.ListClients(ctx, q)
}

// SetClientDisabled disables or enables a client. A disabled client gets no tokens.
func (r *Registry) SetClientDisabled(ctx context.Context, by audit.Origin, id ClientID, disabled bool) (Client, error) {
	action := "client.enable"
	if disabled {
		action = "client.disable"
	}
	return r.updateClient(ctx, id, by, action, func(c *Client) (bool, error) {
		changed := c.Disabled != disabled
		c.Disabled = disabled
		return changed, nil
	})
}

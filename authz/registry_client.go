package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
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

// ErrDeletedClient says that a client of this identifier was deleted: its identifier is not given to
// another (EVT-02). It is an ErrConflict.
var ErrDeletedClient = fmt.Errorf("authz: a client of this identifier was deleted: %w", ErrConflict)

// CreateClient registers a client with its first secret. A secret that the server made is returned when
// the client was created now, and never again: repeating the call returns the client without one. A
// secret that was brought along is never returned.
func (r *Registry) CreateClient(ctx context.Context, by audit.Origin, spec ClientSpec) (Client, Secret, bool, error) {
	wanted, err := r.newClient(ctx, by, spec)
	if err != nil {
		return Client{}, "", false, err
	}
	secret := r.giveSecret(&wanted, newCredentialID(), SecretSpec{Secret: spec.Secret})
	c, err := r.putClient(ctx, by, "client.create", Client{}, wanted, nil)
	created := err == nil
	if errors.Is(err, ErrConflict) {
		secret = ""
		c, err = r.existingClient(ctx, wanted, spec)
	}
	if err == nil { // also when it exists: the attempt that stored it may have ended before its keys were made
		err = r.ensureKeys(ctx, by, r.clientAlgorithms(c)...)
	}
	if err == nil { // and it may not have been applied here
		err = r.config.Applied(ctx)
	}
	if err != nil {
		return Client{}, "", false, err
	}
	return c, secret, created, nil
}

// existingClient returns the client that is in the way of wanted, if it is what the same call made.
func (r *Registry) existingClient(ctx context.Context, wanted Client, spec ClientSpec) (Client, error) {
	c, err := r.config.Clients.Client(ctx, wanted.ID)
	switch {
	case errors.Is(err, ErrNotFound): // its credential was in the way
		return Client{}, fmt.Errorf("authz: client %q: %w", wanted.ID, ErrConflict)
	case err != nil:
		return Client{}, err
	case !c.DeletedAt.IsZero():
		return Client{}, ErrDeletedClient
	}
	if spec.IntrospectionAlgorithm == "" { // the resource that it came from may have another one by now
		wanted.IntrospectionAlgorithm = c.IntrospectionAlgorithm
	}
	if !sameRegistration(c, wanted) || spec.Secret != "" && !r.brought(c, spec.Secret) {
		return Client{}, fmt.Errorf("authz: a different client %q exists: %w", wanted.ID, ErrConflict)
	}
	return c, nil
}

// sameRegistration compares what an admin chose; secrets, state and times are not part of it.
func sameRegistration(a, b Client) bool {
	return a.Name == b.Name && a.AuthMethod == b.AuthMethod && slices.Equal(a.GrantTypes, b.GrantTypes) && a.Admin == b.Admin &&
		a.Scopes.Equal(b.Scopes) && a.DefaultScopes.Equal(b.DefaultScopes) &&
		slices.Equal(a.Resources, b.Resources) && a.DefaultResource == b.DefaultResource &&
		slices.Equal(a.Serves, b.Serves) && a.TokenLifetime == b.TokenLifetime && a.IntrospectionAlgorithm == b.IntrospectionAlgorithm &&
		slices.EqualFunc(a.Claims, b.Claims, func(x, y token.Static) bool {
			return x.Name == y.Name && string(x.Value) == string(y.Value)
		})
}

// clientAlgorithms returns the algorithms that a client needs keys of, beside those of its resources.
func (r *Registry) clientAlgorithms(c Client) []jose.Algorithm {
	var out []jose.Algorithm
	if c.Admin { // what tokens for the management API are signed with
		out = append(out, r.config.Algorithm)
	}
	if c.IntrospectionAlgorithm != "" && !slices.Contains(out, c.IntrospectionAlgorithm) {
		out = append(out, c.IntrospectionAlgorithm)
	}
	return out
}

// newClient checks a spec and names every wrong field.
func (r *Registry) newClient(ctx context.Context, by audit.Origin, spec ClientSpec) (Client, error) {
	var p problems
	id := r.clientID(&p, by, spec)
	checkBroughtSecret(&p, spec.Secret, id, spec.Name)
	c, err := r.client(ctx, &p, spec, Client{})
	if err != nil {
		return Client{}, err
	}
	c.ID, c.CreatedAt = id, r.now()
	c.UpdatedAt = c.CreatedAt
	return c, p.err()
}

// client checks what an admin may also change later, in place of old. What is returned has no identifier
// yet.
func (r *Registry) client(ctx context.Context, p *problems, spec ClientSpec, old Client) (Client, error) {
	c := Client{
		Name:          spec.Name,
		AuthMethod:    AuthSecretBasic,
		GrantTypes:    []string{GrantClientCredentials},
		Admin:         spec.Admin,
		Scopes:        parseScopes(p, "scope", spec.Scopes),
		DefaultScopes: parseScopes(p, "default_scope", spec.DefaultScopes),
		TokenLifetime: spec.TokenLifetime,
		Claims:        r.staticClaims(p, spec.Claims),
	}
	p.check(validName(spec.Name) && (spec.Secret == "" || !strings.Contains(spec.Name, spec.Secret.Reveal())) && !r.remembers(old, Secret(spec.Name)),
		"client_name", nameRule)
	p.check(c.TokenLifetime == 0 || validLifetime(c.TokenLifetime), "token_lifetime", lifetimeRule)
	p.check(c.Scopes.Contains(c.DefaultScopes), "default_scope", defaultScopeRule)

	resources, err := r.existing(ctx, p, "resources", spec.Resources)
	if err != nil {
		return Client{}, err
	}
	serves, err := r.existing(ctx, p, "serves", spec.Serves)
	if err != nil {
		return Client{}, err
	}
	c.Resources, c.Serves = identifiers(resources), identifiers(serves)
	c.DefaultResource = ResourceID(spec.DefaultResource)
	p.check(c.DefaultResource == "" || slices.Contains(c.Resources, c.DefaultResource), "default_resource", defaultResourceRule)
	p.check(target(resources).defines(c.Scopes.without(undefined(old, c.Resources))), "scope", definedScopeRule)
	c.IntrospectionAlgorithm = introspectionAlgorithm(p, spec.IntrospectionAlgorithm, serves, r.now())
	return c, nil
}

// undefined returns the scopes of a client that need no resource which defines them: those that it has
// already, of the same resources. A resource may have lost them since, and who changes the client's name
// is not to be refused for that.
func undefined(old Client, resources []ResourceID) ScopeSet {
	if !slices.Equal(old.Resources, resources) {
		return ScopeSet{}
	}
	return old.Scopes
}

// introspectionAlgorithm returns what signs introspection answers for the API of some resources: as the
// admin says, or else the algorithm of the first one's tokens at now, which it can verify already. The first
// is so in bytewise order: the order given has no meaning.
func introspectionAlgorithm(p *problems, name string, serves []Resource, now time.Time) jose.Algorithm {
	if len(serves) == 0 {
		p.check(name == "", introspectionField, servesNothingRule)
		return ""
	}
	first := slices.MinFunc(serves, func(a, b Resource) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return parseAlgorithm(p, introspectionField, name, first.AlgorithmAt(now))
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
	p.check(len(ids) <= maxResources, field, resourcesRule)
	var out []Resource
	for _, s := range ids[:min(len(ids), maxResources)] {
		if slices.ContainsFunc(out, func(x Resource) bool { return string(x.ID) == s }) {
			continue
		}
		res, err := r.config.Resources.Resource(ctx, ResourceID(s))
		switch {
		case errors.Is(err, ErrNotFound), err == nil && !res.DeletedAt.IsZero():
			p.add(field, registeredRule)
			return out, nil
		case err != nil:
			return nil, err
		}
		out = append(out, res)
	}
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

// Client returns a client, or ErrNotFound; so for one that is deleted.
func (r *Registry) Client(ctx context.Context, id ClientID) (Client, error) {
	c, err := r.config.Clients.Client(ctx, id)
	if err == nil && !c.DeletedAt.IsZero() {
		return Client{}, ErrNotFound
	}
	return c, err
}

// SetClientDisabled disables or enables a client. A disabled client gets no tokens, and those that it
// has are void for ever (EVT-01, EVT-10): once it is enabled, whatever was issued until then stays void.
func (r *Registry) SetClientDisabled(ctx context.Context, by audit.Origin, id ClientID, disabled bool) (Client, error) {
	change := clientChange{action: "client.enable", edit: func(c *Client) (bool, []withdrawal, error) {
		if !c.Disabled {
			return false, nil, nil
		}
		c.Disabled = false
		return true, []withdrawal{closing(clientSubject(id))}, nil
	}}
	if disabled {
		change = clientChange{action: "client.disable", edit: func(c *Client) (bool, []withdrawal, error) {
			write := !c.Disabled
			c.Disabled = true
			// Also of one that is disabled: an earlier server did not withdraw its tokens.
			return write, []withdrawal{{Revocation: openEnded(clientSubject(id))}}, nil
		}}
	}
	return r.updateClient(ctx, id, by, change)
}

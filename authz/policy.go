package authz

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// Decision holds everything that a token will say. It is made once, by policy, and only signed
// afterwards.
type Decision struct {
	Client     ClientID
	Credential CredentialID
	Subject    string   // equal to Client: there is no resource owner (JWT-10)
	Audience   []string // exactly the identifiers of registered resources (TOK-22)
	Scope      ScopeSet
	IssuedAt   time.Time     // whole seconds
	Lifetime   time.Duration // whole seconds
	Algorithm  jose.Algorithm
	TokenType  string // the header's typ
	Static     []token.Static
}

// policy decides what an authenticated client may have.
type policy struct {
	resources *cache[ResourceID, Resource]
	admin     Resource // the management API
	now       func() time.Time
}

// decide returns the Decision for a request, or a refusal: grant first, then scope and target, then
// the sender binding (TOK-14).
func (p *policy) decide(ctx context.Context, a authenticated, r Request) (Decision, error) {
	c := p.granted(a.client)
	no := func(cause Cause) (Decision, error) {
		e := refuse(cause, c.ID, a.credential)
		e.Detail = askedFor(cause, c, r)
		return Decision{}, e
	}
	if cause := grantAllowed(c, r.GrantType); cause != "" {
		return no(cause)
	}
	if r.AuthorizationDetails {
		return no(CauseDetailsUnsupported)
	}
	scope, cause := requestedScope(c, r.Scope)
	if cause != "" {
		return no(cause)
	}
	target, cause, err := p.target(ctx, c, r.Resources, scope)
	if err != nil {
		return Decision{}, storeFault(ctx, c.ID, err)
	}
	if cause != "" {
		return no(cause)
	}
	if r.Scope == "" && len(r.Resources) > 0 {
		scope = target.meaningful(scope)
	}
	at := p.now().UTC().Truncate(time.Second) // once: what is compared here is what signs
	if cause := target.covers(c, scope, at); cause != "" {
		return no(cause)
	}
	if r.DPoP {
		return no(CauseDPoPUnsupported)
	}
	return p.decision(a, target, scope, at), nil
}

// granted returns c with what Admin implies: the management API, its scope, and that as the default
// where c has no other. The record does not say it, so that nothing but Admin can grant it.
func (p *policy) granted(c Client) Client {
	if !c.Admin {
		return c
	}
	c.Resources = append(slices.Clip(c.Resources), p.admin.ID)
	c.Scopes = c.Scopes.union(p.admin.Scopes)
	if c.DefaultScopes.Empty() {
		c.DefaultScopes = p.admin.Scopes
	}
	return c
}

func grantAllowed(c Client, grant string) Cause {
	switch {
	case grant != GrantClientCredentials:
		return CauseGrantUnsupported
	case c.AuthMethod == AuthNone: // RFC 6749, Section 4.4: confidential clients only
		return CausePublicClient
	case !slices.Contains(c.GrantTypes, grant):
		return CauseGrantNotRegistered
	}
	return ""
}

// requestedScope returns what is asked for, or the client's default when nothing is. A client that
// has no scopes at all gets a token without scope (TOK-17).
func requestedScope(c Client, requested string) (ScopeSet, Cause) {
	scope, err := ParseScope(requested)
	switch {
	case err != nil:
		return ScopeSet{}, CauseScopeMalformed
	case !scope.Empty() && !c.Scopes.Contains(scope):
		return ScopeSet{}, CauseScopeNotAllowed
	case !scope.Empty() || c.Scopes.Empty():
		return scope, ""
	case c.DefaultScopes.Empty():
		return ScopeSet{}, CauseScopeMissing
	}
	return c.DefaultScopes, ""
}

func (p *policy) decision(a authenticated, t target, scope ScopeSet, at time.Time) Decision {
	d := Decision{
		Client:     a.client.ID,
		Credential: a.credential,
		Subject:    string(a.client.ID),
		Audience:   make([]string, len(t)),
		Scope:      scope,
		IssuedAt:   at,
		Lifetime:   t[0].TokenLifetime,
		Algorithm:  t[0].AlgorithmAt(at),
		TokenType:  t[0].TokenType,
		Static:     a.client.Claims,
	}
	for i, r := range t {
		d.Audience[i] = string(r.ID)
		d.Lifetime = min(d.Lifetime, r.TokenLifetime) // the shorter wins
	}
	if a.client.TokenLifetime > 0 {
		d.Lifetime = min(d.Lifetime, a.client.TokenLifetime)
	}
	return d
}

// resource returns a resource of the client, or the cause why it is none.
func (p *policy) resource(ctx context.Context, c Client, id ResourceID) (Resource, Cause, error) {
	switch {
	case !slices.Contains(c.Resources, id), id == p.admin.ID && !c.Admin:
		return Resource{}, CauseResourceNotAllowed, nil
	case id == p.admin.ID:
		return p.admin, "", nil
	}
	r, err := p.resources.get(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && !r.DeletedAt.IsZero() {
		return Resource{}, CauseResourceUnknown, nil
	}
	return r, "", err
}

package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// ResourceSpec is what an admin says of a resource. Empty fields take their defaults.
type ResourceSpec struct {
	ID            string
	Scopes        []string      // each may itself be a scope string
	TokenLifetime time.Duration // default DefaultTokenLifetime
	Algorithm     string        // default ES256
	TokenType     string        // default token.TypeAccessToken
}

// CreateResource registers a resource and returns it, and whether it was created now.
func (r *Registry) CreateResource(ctx context.Context, by audit.Origin, spec ResourceSpec) (Resource, bool, error) {
	wanted, err := r.resource(spec)
	if err != nil {
		return Resource{}, false, err
	}
	wanted.CreatedAt = r.now()
	wanted.UpdatedAt = wanted.CreatedAt
	res, created := wanted, true
	res, err = r.config.Resources.PutResource(ctx, wanted, by.Done(r.config.Now(), "resource.create", string(wanted.ID)))
	if errors.Is(err, ErrConflict) {
		created = false
		res, err = r.existingResource(ctx, wanted)
	}
	if err != nil {
		return Resource{}, false, err
	}
	// Also when it exists: the attempt that stored it may have ended before its keys were made.
	if err := r.config.EnsureKeys(ctx, res.Algorithm, by); err != nil {
		return Resource{}, false, fmt.Errorf("authz: keys for %s: %w", res.Algorithm, err)
	}
	return res, created, r.config.Applied(ctx)
}

func (r *Registry) existingResource(ctx context.Context, wanted Resource) (Resource, error) {
	res, err := r.config.Resources.Resource(ctx, wanted.ID)
	if err != nil {
		return Resource{}, err
	}
	equal := res.Scopes.Equal(wanted.Scopes) && res.TokenLifetime == wanted.TokenLifetime &&
		res.Algorithm == wanted.Algorithm && res.TokenType == wanted.TokenType
	if !equal {
		return Resource{}, fmt.Errorf("authz: a different resource %q exists: %w", wanted.ID, ErrConflict)
	}
	return res, nil
}

// resource checks a spec and names every wrong field.
func (r *Registry) resource(spec ResourceSpec) (Resource, error) {
	var p problems
	res := Resource{TokenLifetime: spec.TokenLifetime, TokenType: spec.TokenType, Algorithm: jose.ES256}

	id, err := ParseResourceID(spec.ID)
	p.check(err == nil, "resource", resourceRule)
	p.check(err != nil || !underIssuer(r.config.Issuer, id), "resource", "the issuer and anything under it is reserved")
	res.ID = id

	res.Scopes = parseScopes(&p, "scopes", spec.Scopes)
	if spec.Algorithm != "" {
		alg, err := jose.ParseAlgorithm(spec.Algorithm)
		p.check(err == nil, "algorithm", "one of ES256, RS256, PS256, Ed25519")
		res.Algorithm = alg
	}
	if res.TokenType == "" {
		res.TokenType = token.TypeAccessToken
	}
	p.check(res.TokenType == token.TypeAccessToken || res.TokenType == token.TypeJWT, "token_type", "at+jwt or JWT")
	if res.TokenLifetime == 0 {
		res.TokenLifetime = DefaultTokenLifetime
	}
	p.check(validLifetime(res.TokenLifetime), "token_lifetime", lifetimeRule)
	return res, p.err()
}

// Resource returns a resource, or ErrNotFound.
func (r *Registry) Resource(ctx context.Context, id ResourceID) (Resource, error) {
	return r.config.Resources.Resource(ctx, id)
}

// ResourceQuery says which resources to list.
type ResourceQuery struct {
	After ResourceID // only identifiers that sort, bytewise, after this one
	Text  string     // only those whose identifier contains it, whatever the case of ASCII letters
	Limit int        // at least 1
}

// resourcePage is how many resources are read at a time to be searched.
const resourcePage = 1_000

// ListResources returns at most q.Limit resources that q describes, in the bytewise order of their
// identifiers. Fewer than that means that there are no more. There are few resources: a search reads
// them all.
func (r *Registry) ListResources(ctx context.Context, q ResourceQuery) ([]Resource, error) {
	if q.Text == "" {
		return r.config.Resources.ListResources(ctx, q.After, q.Limit)
	}
	text := strings.ToLower(q.Text) // an identifier is ASCII, so nothing else can be found in it
	var found []Resource
	for after := q.After; ; {
		page, err := r.config.Resources.ListResources(ctx, after, resourcePage)
		if err != nil {
			return nil, err
		}
		for _, res := range page {
			if !strings.Contains(strings.ToLower(string(res.ID)), text) {
				continue
			}
			if found = append(found, res); len(found) == q.Limit {
				return found, nil
			}
		}
		if len(page) < resourcePage {
			return found, nil
		}
		after = page[len(page)-1].ID
	}
}

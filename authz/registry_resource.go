package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// ResourceSpec is what an admin says of a resource. Empty fields take their defaults.
type ResourceSpec struct {
	ID            string
	Scopes        []string      // each may itself be a scope string
	TokenLifetime time.Duration // default DefaultTokenLifetime
	Algorithm     string        // default what an existing resource has; for a new one RegistryConfig.Algorithm
	TokenType     string        // default token.TypeAccessToken
}

// CreateResource registers a resource and returns it, and whether it was created now. One that was
// deleted is registered anew: the tokens of before stay void.
func (r *Registry) CreateResource(ctx context.Context, by audit.Origin, spec ResourceSpec) (Resource, bool, error) {
	var p problems
	wanted := r.resource(&p, spec)
	if err := p.err(); err != nil {
		return Resource{}, false, err
	}
	res, created, err := r.createResource(ctx, by, wanted, spec.Algorithm != "")
	if err != nil {
		return Resource{}, false, err
	}
	// Also when it exists: the attempt that stored it may have ended before its keys were made, or before
	// it was applied here.
	if err := r.ensureKeys(ctx, by, res.Algorithm); err != nil {
		return Resource{}, false, err
	}
	return res, created, r.config.Applied(ctx)
}

// createResource stores a resource unless it exists. Where no algorithm was chosen, one that exists may
// have any: the default may have been another one when it was made.
func (r *Registry) createResource(ctx context.Context, by audit.Origin, wanted Resource, chosen bool) (Resource, bool, error) {
	for range maxAttempts {
		old, err := r.config.Resources.Resource(ctx, wanted.ID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Resource{}, false, err
		}
		if err == nil && old.DeletedAt.IsZero() {
			if !chosen {
				wanted.Algorithm = old.Algorithm
			}
			if !sameResource(old, wanted) {
				return Resource{}, false, fmt.Errorf("authz: a different resource %q exists: %w", wanted.ID, ErrConflict)
			}
			return old.asOf(r.now()), false, nil
		}
		res, err := r.putNewResource(ctx, by, old, wanted)
		if errors.Is(err, ErrConflict) {
			continue
		}
		return res, err == nil, err
	}
	return Resource{}, false, fmt.Errorf("authz: resource %q keeps changing: %w", wanted.ID, ErrConflict)
}

// putNewResource stores a resource that does not exist, or in place of what is left of it. No verifier
// knows a new one: its algorithm signs at once. One that is registered anew is often meant to be replaced,
// and its verifiers run on: for them it changes its algorithm as any other does.
func (r *Registry) putNewResource(ctx context.Context, by audit.Origin, tombstone, wanted Resource) (Resource, error) {
	wanted.CreatedAt, wanted.UpdatedAt = r.now(), r.now()
	var withdraw []withdrawal
	var err error
	if tombstone.Version > 0 {
		wanted.Version = tombstone.Version
		withdraw = append(withdraw, closing(resourceSubject(wanted.ID)))
		if wanted, err = r.replacing(ctx, by, tombstone, wanted); err != nil {
			return Resource{}, err
		}
	}
	err = r.config.Revoker.alongside(ctx, by, withdraw, func(revisions []revision) (err error) {
		if wanted, err = r.putResource(ctx, by, "resource.create", tombstone, wanted, revisions); err != nil {
			return err
		}
		return r.config.Applied(ctx)
	})
	return wanted, err
}

// replacing returns wanted as it takes over from a deleted resource, which remembers what signed last.
func (r *Registry) replacing(ctx context.Context, by audit.Origin, tombstone, wanted Resource) (Resource, error) {
	if tombstone.Algorithm == "" { // of before it did
		return wanted, nil
	}
	known, err := r.ensureKey(ctx, by, wanted.Algorithm)
	if err != nil {
		return Resource{}, err
	}
	alg := wanted.Algorithm
	wanted.Algorithm = tombstone.Algorithm
	wanted.turnTo(alg, known, r.now())
	return wanted, nil
}

// sameResource compares what an admin chose. When the algorithm takes effect nobody chose.
func sameResource(a, b Resource) bool {
	return a.Scopes.Equal(b.Scopes) && a.TokenLifetime == b.TokenLifetime && a.Algorithm == b.Algorithm && a.TokenType == b.TokenType
}

// updateResource is updateClient for a resource, a deleted one too.
func (r *Registry) updateResource(ctx context.Context, by audit.Origin, id ResourceID, action string, edit func(*Resource) (bool, []withdrawal, error)) (Resource, error) {
	for range maxAttempts {
		old, err := r.config.Resources.Resource(ctx, id)
		if err != nil {
			return Resource{}, err
		}
		old = old.asOf(r.now())
		res := old
		write, withdraw, err := edit(&res)
		if err != nil {
			return Resource{}, err
		}
		err = r.config.Revoker.alongside(ctx, by, withdraw, func(revisions []revision) (err error) {
			if !write && !writes(revisions) {
				res = old
				return r.config.Applied(ctx)
			}
			res.UpdatedAt = r.now()
			if res, err = r.putResource(ctx, by, action, old, res, revisions); err != nil {
				return err
			}
			return r.config.Applied(ctx)
		})
		switch {
		case errors.Is(err, ErrConflict):
			continue
		case err != nil:
			return Resource{}, err
		}
		return res, nil
	}
	return Resource{}, fmt.Errorf("authz: resource %q keeps changing: %w", id, ErrConflict)
}

// resource checks a spec and names every wrong field.
func (r *Registry) resource(p *problems, spec ResourceSpec) Resource {
	res := Resource{TokenLifetime: spec.TokenLifetime, TokenType: spec.TokenType}

	id, err := ParseResourceID(spec.ID)
	p.check(err == nil, "resource", resourceRule)
	p.check(err != nil || !underIssuer(r.config.Issuer, id), "resource", reservedRule)
	res.ID = id

	res.Scopes = parseScopes(p, "scopes", spec.Scopes)
	res.Algorithm = parseAlgorithm(p, "algorithm", spec.Algorithm, r.config.Algorithm)
	if res.TokenType == "" {
		res.TokenType = token.TypeAccessToken
	}
	p.check(res.TokenType == token.TypeAccessToken || res.TokenType == token.TypeJWT, "token_type", tokenTypeRule)
	if res.TokenLifetime == 0 {
		res.TokenLifetime = DefaultTokenLifetime
	}
	p.check(validLifetime(res.TokenLifetime), "token_lifetime", lifetimeRule)
	return res
}

// Resource returns a resource, or ErrNotFound; so for one that is deleted. A change of its algorithm shows
// while it is pending, here as in a list.
func (r *Registry) Resource(ctx context.Context, id ResourceID) (Resource, error) {
	res, err := r.config.Resources.Resource(ctx, id)
	if err == nil && !res.DeletedAt.IsZero() {
		return Resource{}, ErrNotFound
	}
	return res.asOf(r.now()), err
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
		return r.resourcesAfter(ctx, q.After, q.Limit)
	}
	text := strings.ToLower(q.Text) // an identifier is ASCII, so nothing else can be found in it
	var found []Resource
	for after := q.After; ; {
		page, err := r.resourcesAfter(ctx, after, resourcePage)
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

func (r *Registry) resourcesAfter(ctx context.Context, after ResourceID, limit int) ([]Resource, error) {
	page, err := r.config.Resources.ListResources(ctx, after, limit)
	now := r.now()
	for i := range page {
		page[i] = page[i].asOf(now)
	}
	return page, err
}

package authz

import (
	"context"
	"slices"
	"time"
)

// maxTargets bounds how many resources one token may be for.
const maxTargets = 8

// target is the resources that a token is for; never empty once it was found.
type target []Resource

// target finds the resources that a request is for: those that it names, or the one that its scope
// implies (RFC 8707, Section 2; RFC 9068, Section 3; TOK-21 to TOK-24).
func (p *policy) target(ctx context.Context, c Client, requested []string, scope ScopeSet) (target, Cause, error) {
	switch {
	case len(requested) > 0:
		return p.named(ctx, c, requested)
	case len(c.Resources) == 0:
		return nil, CauseResourceMissing, nil
	}
	return p.implied(ctx, c, scope)
}

// named returns the resources that the request names. One bad name refuses all of them.
func (p *policy) named(ctx context.Context, c Client, requested []string) (target, Cause, error) {
	var t target
	for _, s := range requested {
		id, err := ParseResourceID(s)
		if err != nil {
			return nil, CauseResourceMalformed, nil
		}
		if slices.ContainsFunc(t, func(r Resource) bool { return r.ID == id }) {
			continue
		}
		r, cause, err := p.resource(ctx, c, id)
		if err != nil || cause != "" {
			return nil, cause, err
		}
		if t = append(t, r); len(t) > maxTargets {
			return nil, CauseResourceAmbiguous, nil
		}
	}
	// A token for the management API is for nobody else: whoever else received it could manage with it.
	if len(t) > 1 && slices.ContainsFunc(t, func(r Resource) bool { return r.ID == p.admin.ID }) {
		return nil, CauseResourceAmbiguous, nil
	}
	return t, "", nil
}

// implied returns the one resource of the client that defines every requested scope; of several,
// the client's default.
func (p *policy) implied(ctx context.Context, c Client, scope ScopeSet) (target, Cause, error) {
	var known, candidates target
	for _, id := range c.Resources {
		r, cause, err := p.resource(ctx, c, id)
		if err != nil {
			return nil, "", err
		}
		if cause != "" {
			continue
		}
		known = append(known, r)
		if r.Scopes.Contains(scope) {
			candidates = append(candidates, r)
		}
	}
	switch {
	case len(candidates) == 1:
		return candidates, "", nil
	case !known.defines(scope): // an admin has taken it from the resource, or the resource away
		return nil, CauseScopeOfNoAPI, nil
	case len(known) == 0:
		return nil, CauseResourceMissing, nil
	case len(candidates) == 0:
		return nil, CauseScopeOfSeveralAPIs, nil
	}
	for _, r := range candidates {
		if r.ID == c.DefaultResource {
			return target{r}, "", nil
		}
	}
	return nil, CauseResourceAmbiguous, nil
}

// meaningful returns the scopes that some resource of t defines. It narrows a client's default to
// the resources that a request names: nobody asked for the others.
func (t target) meaningful(scope ScopeSet) ScopeSet {
	var tokens []string
	for _, s := range scope.tokens {
		if slices.ContainsFunc(t, func(r Resource) bool { return r.Scopes.Has(s) }) {
			tokens = append(tokens, s)
		}
	}
	return ScopeSet{tokens}
}

// covers checks that each scope means something at exactly one resource of t, that the resources agree
// on how the token is made (RFC 9068, Section 5), and that the token says something to each of them:
// where a resource has scopes and the client too, a token without any of them is refused. It is of a token
// that is issued at an instant: resources that change their algorithms agree until the first one does.
func (t target) covers(c Client, scope ScopeSet, at time.Time) Cause {
	for i := 1; i < len(t); i++ {
		if t[i].AlgorithmAt(at) != t[0].AlgorithmAt(at) || t[i].TokenType != t[0].TokenType {
			return CauseResourceAmbiguous
		}
	}
	for _, s := range scope.tokens {
		switch meanings := t.meanings(s); {
		case meanings == 0:
			return CauseScopeNotOfResource
		case meanings > 1:
			return CauseResourceAmbiguous
		}
	}
	for _, r := range t {
		if !c.Scopes.Empty() && !r.Scopes.Empty() && !r.Scopes.Intersects(scope) {
			return CauseScopeMissing
		}
	}
	return ""
}

func (t target) meanings(scope string) int {
	n := 0
	for _, r := range t {
		if r.Scopes.Has(scope) {
			n++
		}
	}
	return n
}

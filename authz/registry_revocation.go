package authz

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// RevocationSpec is what an admin says of a revocation.
type RevocationSpec struct {
	token.Subject
	Before time.Time // tokens issued until then are void; zero: now. Not for a jti.
}

// Revoke withdraws tokens: those of a client, of a credential, and so on (RVK-19). Repeating it
// withdraws no more than what it says each time.
func (r *Registry) Revoke(ctx context.Context, by audit.Origin, spec RevocationSpec) (Revocation, error) {
	if err := r.CheckRevocation(ctx, spec); err != nil {
		return Revocation{}, err
	}
	revocation, err := r.revocation(spec)
	if err != nil {
		return Revocation{}, err
	}
	stored, _, err := r.config.Revoker.Revoke(ctx, by, revocation, "")
	return stored, err
}

func (r *Registry) revocation(spec RevocationSpec) (token.Revocation, error) {
	switch {
	case spec.Kind == token.RevokedJTI: // when the token expires is not known: as late as any that exists
		return token.Revocation{Subject: spec.Subject, Until: r.config.Revoker.dated().Add(token.RevocationKept)}, nil
	case spec.Before.IsZero():
		return r.config.Revoker.issuedUntilNow(spec.Subject)
	}
	return issuedUntil(spec.Subject, whole(spec.Before)), nil // iat is in whole seconds: none lies in between
}

// checkSubject checks what a revocation is about. What can be looked up must exist: a mistyped
// identifier would withdraw nothing and say that it did.
func (r *Registry) checkSubject(ctx context.Context, p *problems, s token.Subject) error {
	switch s.Kind {
	case token.RevokedAll:
		p.check(s.Value == "", "value", noValueRule)
	case token.RevokedJTI: // so short that it can be neither a token nor a secret (RVK-20)
		p.check(s.Value != "" && len(s.Value) <= 64 && visible(s.Value) && Redact(s.Value) == s.Value, "value", jtiRule)
	case token.RevokedKey:
		return r.checkKnown(p, s, kidRule, validKeyID(s.Value), func() error { return r.knownKey(s.Value) })
	case token.RevokedClient:
		return r.checkKnown(p, s, clientRule, ValidClientID(s.Value), func() error {
			_, err := r.config.Clients.Client(ctx, ClientID(s.Value))
			return err
		})
	case token.RevokedCredential:
		return r.checkKnown(p, s, credentialRule, ValidClientID(s.Value), func() error {
			_, err := r.config.Clients.ClientOf(ctx, CredentialID(s.Value))
			return err
		})
	case token.RevokedResource:
		return r.checkResource(ctx, p, s)
	default:
		p.add("kind", kindRule)
	}
	return nil
}

func (r *Registry) knownKey(kid string) error {
	known, err := r.config.KnowsKey(kid)
	switch {
	case err != nil:
		return &UnavailableError{Cause: CauseKeysUnavailable, RetryAfter: retryAfter, Err: err}
	case !known:
		return ErrNotFound
	}
	return nil
}

func (r *Registry) checkResource(ctx context.Context, p *problems, s token.Subject) error {
	if ResourceID(s.Value) == AdminResource(r.config.Issuer) { // built in
		return nil
	}
	_, invalid := ParseResourceID(s.Value)
	return r.checkKnown(p, s, revokedResourceRule, invalid == nil && Redact(s.Value) == s.Value, func() error {
		_, err := r.config.Resources.Resource(ctx, ResourceID(s.Value))
		return err
	})
}

// checkKnown looks a well-formed value up.
func (r *Registry) checkKnown(p *problems, s token.Subject, rule string, wellFormed bool, look func() error) error {
	if !wellFormed {
		p.add("value", rule)
		return nil
	}
	err := look()
	if errors.Is(err, ErrNotFound) {
		p.add("value", rule)
		return nil
	}
	return err
}

// validKeyID keeps tokens and secrets out of records and of the log.
func validKeyID(s string) bool {
	token := strings.HasPrefix(s, "ey") && strings.Count(s, ".") > 1
	return s != "" && len(s) <= 255 && visible(s) && !token && Redact(s) == s
}

// ListRevocations returns at most limit live revocations after the given Subject.String, in bytewise
// order. Fewer than limit means that there are no more.
func (r *Registry) ListRevocations(ctx context.Context, after string, limit int) ([]Revocation, error) {
	var out []Revocation
	now := r.config.Now()
	for {
		page, err := r.config.Revocations.ListRevocations(ctx, after, limit)
		if err != nil {
			return nil, err
		}
		for _, x := range page {
			if x.live(now) {
				out = append(out, x)
			}
		}
		if len(out) >= limit {
			return out[:limit], nil
		}
		if len(page) < limit {
			return out, nil
		}
		after = page[len(page)-1].Subject.String()
	}
}

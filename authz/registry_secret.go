package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// ErrTooManySecrets says that a client has as many live secrets as it may have.
var ErrTooManySecrets = fmt.Errorf("authz: a client has at most %d live secrets; revoke one first", maxCredentials)

// maxCredentials bounds the credentials that one client keeps, dead ones included: each is compared
// at most once for a request, and the record stays small.
const maxCredentials = 16

// SecretSpec is what an admin says of a further secret. Zero times mean "at once" and "never".
type SecretSpec struct {
	NotBefore      time.Time
	Expires        time.Time
	IdempotencyKey string // repeating it repeats the addition
	Secret         Secret // one brought from another server; empty: the server makes one
}

// AddSecret gives a client a further secret, so that the old one can be retired without downtime. One
// that the server made is returned when it was made now, and never again; one that was brought along
// never. A secret that the client has, or had and still remembers, is refused.
func (r *Registry) AddSecret(ctx context.Context, by audit.Origin, id ClientID, spec SecretSpec) (Credential, Secret, bool, error) {
	spec.NotBefore, spec.Expires = whole(spec.NotBefore), whole(spec.Expires)
	credential, err := r.checkSecret(by, id, spec)
	if err != nil {
		return Credential{}, "", false, err
	}
	held, err := r.held(ctx, credential)
	if err != nil {
		return Credential{}, "", false, err
	}
	var secret Secret
	var created bool
	c, err := r.updateClient(ctx, id, by, clientChange{action: "client.secret.add", edit: func(c *Client) (bool, []withdrawal, error) {
		secret, created = "", false
		if old := c.credential(credential); old != nil {
			return false, nil, r.sameSecret(*c, *old, spec)
		}
		var p problems
		if checkBroughtSecret(&p, spec.Secret, id, c.Name); p != nil {
			return false, nil, p.err()
		}
		switch {
		case held:
			return false, nil, fmt.Errorf("authz: this Idempotency-Key made a secret that is gone: %w", ErrConflict)
		case spec.Secret != "" && r.remembers(*c, spec.Secret):
			return false, nil, &InvalidError{Fields: []FieldError{{"client_secret", newSecretRule}}}
		case !c.makeRoom(r.config.Now()):
			return false, nil, ErrTooManySecrets
		}
		secret, created = r.giveSecret(c, credential, spec), true
		return true, nil, nil
	}})
	if err != nil {
		return Credential{}, "", false, err
	}
	return *c.credential(credential), secret, created, nil
}

// held reports whether a client has, or once had, the credential. A credential_id names one secret for
// ever: tokens carry it. It is asked before the client is read, so that an equal addition that runs at
// the same time is found in the client, and not taken for one that is gone.
func (r *Registry) held(ctx context.Context, id CredentialID) (bool, error) {
	_, err := r.config.Clients.ClientOf(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// checkSecret checks a spec and returns the identifier that the credential will have.
func (r *Registry) checkSecret(by audit.Origin, id ClientID, spec SecretSpec) (CredentialID, error) {
	var p problems
	p.check(spec.Expires.IsZero() || spec.Expires.After(r.config.Now()) && spec.Expires.Unix() <= lastTime, "client_secret_expires_at", expiresRule)
	p.check(spec.Expires.IsZero() || spec.Expires.After(spec.NotBefore), "client_secret_expires_at", expiresAfterRule)
	checkBroughtSecret(&p, spec.Secret, id, "") // its name is looked up later
	if spec.IdempotencyKey == "" {
		return newCredentialID(), p.err()
	}
	p.check(validIdempotencyKey(spec.IdempotencyKey), "Idempotency-Key", idempotencyRule)
	return CredentialID(r.hash.derive("credential_id", by.Actor.String(), string(id), spec.IdempotencyKey)[:credentialIDLen]), p.err()
}

// sameSecret tells whether a repeated addition asks for what exists. A revoked secret is not what
// anybody asks for.
func (r *Registry) sameSecret(c Client, old Credential, spec SecretSpec) error {
	same := old.RevokedAt.IsZero() && old.NotBefore.Equal(spec.NotBefore) && old.Expires.Equal(spec.Expires) &&
		old.Generated == (spec.Secret == "") && (old.Generated || r.hash.matches(spec.Secret.Reveal(), c.ID, old))
	if !same {
		return fmt.Errorf("authz: this Idempotency-Key made another secret: %w", ErrConflict)
	}
	return nil
}

// brought reports whether the client has this secret, which came from another server, and not revoked.
func (r *Registry) brought(c Client, secret Secret) bool {
	return slices.ContainsFunc(c.Credentials, func(x Credential) bool {
		return x.RevokedAt.IsZero() && !x.Generated && r.hash.matches(secret.Reveal(), c.ID, x)
	})
}

// remembers reports whether the client has or had this secret. One that was revoked must not come back
// under another name.
func (r *Registry) remembers(c Client, secret Secret) bool {
	return slices.ContainsFunc(c.Credentials, func(x Credential) bool { return r.hash.matches(secret.Reveal(), c.ID, x) })
}

// giveSecret appends a new credential to c and returns its secret, unless it was brought along.
func (r *Registry) giveSecret(c *Client, id CredentialID, spec SecretSpec) Secret {
	secret, made := spec.Secret, Secret("")
	if secret == "" {
		made = newSecret(id)
		secret = made
	}
	digest := r.hash.digest(secret.Reveal(), c.ID, id)
	c.Credentials = append(slices.Clone(c.Credentials), Credential{
		ID:        id,
		Scheme:    SchemeHMAC,
		Digest:    digest[:],
		Generated: made != "",
		NotBefore: spec.NotBefore,
		Expires:   spec.Expires,
		CreatedAt: r.now(),
	})
	return made
}

// SecretRevocation says what is known of a secret that is revoked.
type SecretRevocation struct {
	Compromised bool      // tokens that it obtained are void, too (EVT-03)
	Since       time.Time // only those issued from then on; zero: all. Only with Compromised.
}

// RevokeSecret ends a secret at once. Tokens that it obtained stay good, unless it is compromised: those
// issued since the suspected time are void then (EVT-03), also when the secret had been revoked before.
// Doing it again changes nothing.
func (r *Registry) RevokeSecret(ctx context.Context, by audit.Origin, id ClientID, credential CredentialID, why SecretRevocation) (Credential, error) {
	why.Since = whole(why.Since)
	if err := r.CheckSecretRevocation(why); err != nil {
		return Credential{}, err
	}
	c, err := r.updateClient(ctx, id, by, clientChange{action: "client.secret.revoke", edit: func(c *Client) (bool, []withdrawal, error) {
		old := c.credential(credential)
		if old == nil {
			return false, nil, fmt.Errorf("authz: client %q has no credential %q: %w", id, Redact(string(credential)), ErrNotFound)
		}
		var withdraw []withdrawal
		if why.Compromised {
			withdraw = append(withdraw, withdrawal{Revocation: token.Revocation{Subject: credentialSubject(credential), Since: r.config.Revoker.since(why.Since)}})
		}
		if !old.RevokedAt.IsZero() {
			return false, withdraw, nil
		}
		c.Credentials = slices.Clone(c.Credentials)
		c.credential(credential).RevokedAt = r.now()
		return true, withdraw, nil
	}})
	if err != nil {
		return Credential{}, err
	}
	return *c.credential(credential), nil
}

// credential returns the credential of c with this identifier, or nil.
func (c *Client) credential(id CredentialID) *Credential {
	for i := range c.Credentials {
		if c.Credentials[i].ID == id {
			return &c.Credentials[i]
		}
	}
	return nil
}

// makeRoom drops the oldest dead credential when c is full, and reports whether there is room.
func (c *Client) makeRoom(now time.Time) bool {
	if len(c.Credentials) < maxCredentials {
		return true
	}
	dead := slices.IndexFunc(c.Credentials, func(x Credential) bool { return !x.RevokedAt.IsZero() || x.expired(now) })
	if dead < 0 {
		return false
	}
	c.Credentials = slices.Delete(slices.Clone(c.Credentials), dead, dead+1)
	return true
}

// whole returns t in UTC and whole seconds, the precision that records keep.
func whole(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// Token is what a verified access token says. There is no other way to get one than to verify it,
// and no way from it to anything that was not (RSV-15); the zero Token says nothing and has no scope.
type Token struct {
	claims token.Claims
	scopes []string // those that count here
}

// ClientID is the caller: the client that the token was issued to. Decide by it who may do what.
func (t Token) ClientID() string { return t.claims.ClientID }

// Subject is whom the token speaks of. If it equals ClientID, and with this server it does, it is
// the client itself, and never a person, even if a person's name reads the same (RFC 9068, Section 5).
func (t Token) Subject() string { return t.claims.Subject }

// Issuer is the authorization server: the one that the Verifier trusts.
func (t Token) Issuer() string { return t.claims.Issuer }

// Audience lists the APIs that the token is for; this one is among them.
func (t Token) Audience() []string { return slices.Clone(t.claims.Audience) }

// HasScope reports whether the token carries exactly this scope, for this API. Scopes are matched
// whole and with their case: read is not read:all.
func (t Token) HasScope(scope string) bool { return slices.Contains(t.scopes, scope) }

// Scopes lists the scopes that count here.
func (t Token) Scopes() []string { return slices.Clone(t.scopes) }

// JTI is the token's identifier, for logs and for replay checks. Never use the token's bytes for
// that: one token can be written in several ways.
func (t Token) JTI() string { return t.claims.JTI }

// CredentialID names the credential that the client authenticated with; it may be empty.
func (t Token) CredentialID() string { return t.claims.CredentialID }

// IssuedAt is when the token was issued, in whole seconds.
func (t Token) IssuedAt() time.Time { return t.claims.IssuedAt }

// Expiry is when the token expires, in whole seconds and without leeway.
func (t Token) Expiry() time.Time { return t.claims.Expiry }

// Claim returns the JSON of a claim beside the profile's, such as one that is configured for the
// client. The claims that have a method here, and other reserved ones, are not among them.
func (t Token) Claim(name string) (value json.RawMessage, ok bool) {
	for _, s := range t.claims.Static {
		if s.Name == name {
			return json.RawMessage(s.Value.Clone()), true
		}
	}
	return nil, false
}

// ErrNoClaim says that a token has no claim of that name.
var ErrNoClaim = errors.New("verifier: no such claim")

// ClaimAs returns a claim of t as a T: what Claim returns, decoded strictly. A member that occurs twice, or whose name
// differs in case only, is not one of T's fields, and null is an error. Without that claim the error is ErrNoClaim; any other
// says that it has another form, and quotes nothing of it. Either way, decide as if the claim gave no right.
//
//	roles, err := verifier.ClaimAs[[]string](caller, "roles")
func ClaimAs[T any](t Token, name string) (T, error) {
	var zero, v T
	c, ok := t.Claim(name)
	if !ok {
		return zero, ErrNoClaim
	}
	if err := jose.StrictUnmarshal(c, &v, false); err != nil {
		return zero, fmt.Errorf("verifier: the claim %q: %w", name, err)
	}
	return v, nil
}

// LogValue is the caller in a log line: client_id and jti.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(slog.String("client_id", t.claims.ClientID), slog.String("jti", t.claims.JTI))
}

type contextKey struct{}

// verified is what a request's context carries from one Require to the next.
type verified struct {
	by         *Verifier
	credential string // what was verified; it leaves this package as little as it entered it
	token      Token
	open       bool // it was judged for a call to which SilentOpen is open
}

// FromContext returns the token of a request that went through Require.
func FromContext(ctx context.Context) (Token, bool) {
	v, ok := ctx.Value(contextKey{}).(verified)
	return v.token, ok
}

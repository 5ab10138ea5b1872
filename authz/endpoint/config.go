package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// Defaults of Config.
const (
	DefaultBodyLimit      = 64 << 10 // octets
	DefaultRealm          = "marque"
	DefaultMetadataMaxAge = 5 * time.Minute
)

// Tokens issues tokens, says what has become of them, and withdraws them: authz.Server. It may be
// called concurrently.
type Tokens interface {
	// Token answers a request whose syntax holds. A refusal is an *authz.Error, too many requests
	// an *authz.ThrottledError, a state that cannot be known an *authz.UnavailableError; any other
	// error is a fault, and the caller is told nothing of it. The context carries RequestID.
	Token(ctx context.Context, r authz.Request) (authz.Issued, error)

	// Introspect is as authz.Server documents it; its errors are those of Token, and
	// *authz.InvalidTokenError.
	Introspect(ctx context.Context, r authz.IntrospectRequest) (authz.Introspection, error)

	// Revoke is as authz.Server documents it; its errors are those of Token.
	Revoke(ctx context.Context, r authz.RevokeRequest) (authz.Revoked, error)
}

// Refusals remembers refused requests for the admin: authz.Refusals. It must not block.
type Refusals interface{ Add(r authz.Refusal) }

// Meter counts. It may be called concurrently, and must not block.
type Meter interface {
	// Answered is called once for every request, after it was answered.
	Answered(a Answered)
}

// Answered is a request that was answered, in words from closed lists.
type Answered struct {
	Route  string // "token", "introspect", "revoke", "feed", "jwks", "metadata", "healthz", "readyz"; "other"
	Method string // as sent if the route knows it, otherwise "other"
	Status int
	Cause  string        // why it did not succeed: an authz.Cause, or one of this package; empty for success
	Took   time.Duration // from the first look at the request until the answer was written; of a stream, its header
}

// Keys publishes the verification keys. It may be called concurrently, and does no I/O.
type Keys interface {
	// JWKS returns the set as it is to be sent, or an error while there is none: never an empty set.
	JWKS() (keys.Document, error)
}

// Config is what a Handler is made of. Only Issuer, Tokens, Keys and Log are required.
type Config struct {
	// Issuer is the issuer identifier (RFC 8414, Section 2): an https URL without query and
	// fragment. Every URL in the metadata starts with it, whatever the Host field of a request says.
	Issuer string

	// InsecureHTTP allows an issuer that is http, and credentials that arrive in clear from another
	// machine than a trusted proxy.
	InsecureHTTP bool

	Tokens Tokens
	Keys   Keys
	Log    *slog.Logger

	Feed     Feed     // nil: there is no revocation feed
	Refusals Refusals // nil: none are remembered
	Meter    Meter    // nil: nothing is counted

	// Now is the clock: what was refused is remembered with its time, and how long an answer took is
	// its difference. Nil means time.Now.
	Now func() time.Time

	// Ready returns nil while tokens can be issued, and may say by a NotReady why they cannot. Nil means always.
	Ready func(context.Context) error

	// TrustedProxies are the networks whose X-Forwarded-For is believed. Empty: nobody's is.
	TrustedProxies []netip.Prefix

	// BodyLimit bounds a request body, in octets. 0 means DefaultBodyLimit.
	BodyLimit int

	// Realm is what the Basic challenge names (RFC 7617, Section 2). Empty means DefaultRealm.
	Realm string

	// MetadataMaxAge is how long the metadata may be cached; whole seconds. 0 means
	// DefaultMetadataMaxAge. The cache life of the JWKS comes with it, from Keys.
	MetadataMaxAge time.Duration

	// SigningAlgorithms are the names that introspection_signing_alg_values_supported lists, and
	// id_token_signing_alg_values_supported in the OpenID Connect alias: what this server can sign
	// with, as the JWKS spells it.
	// Empty means ES256, ES384, RS256, PS256 and EdDSA.
	SigningAlgorithms []jose.Algorithm

	// WithoutOpenIDAlias turns /.well-known/openid-configuration off.
	WithoutOpenIDAlias bool

	// PlaceholderResponseTypes lists response_types_supported in the RFC 8414 document too, for
	// libraries that insist on it although this server has no authorization endpoint.
	PlaceholderResponseTypes bool
}

// Validate returns every reason why New would refuse c, joined, each starting with a field's name.
func (c Config) Validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := parseIssuer(c.Issuer, c.InsecureHTTP); err != nil {
		refuse("Issuer: %w", err)
	}
	if c.Tokens == nil {
		refuse("Tokens: required")
	}
	if c.Keys == nil {
		refuse("Keys: required")
	}
	if c.Log == nil {
		refuse("Log: required")
	}
	if c.BodyLimit < 0 {
		refuse("BodyLimit: negative")
	}
	if !quotable(c.Realm) {
		refuse("Realm: only printable ASCII without quotation marks and backslashes")
	}
	if c.MetadataMaxAge < 0 || c.MetadataMaxAge%time.Second != 0 {
		refuse("MetadataMaxAge: not a number of whole seconds")
	}
	for _, p := range c.TrustedProxies {
		if !p.IsValid() {
			refuse("TrustedProxies: an invalid network")
		}
	}
	for _, a := range c.SigningAlgorithms {
		if _, err := jose.ParseAlgorithm(string(a)); err != nil {
			refuse("SigningAlgorithms: %w", err)
		}
	}
	return errors.Join(errs...)
}

// withDefaults returns c with every zero setting replaced by its default.
func (c Config) withDefaults() Config {
	if c.BodyLimit == 0 {
		c.BodyLimit = DefaultBodyLimit
	}
	if c.Realm == "" {
		c.Realm = DefaultRealm
	}
	if c.MetadataMaxAge == 0 {
		c.MetadataMaxAge = DefaultMetadataMaxAge
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	if len(c.SigningAlgorithms) == 0 {
		c.SigningAlgorithms = []jose.Algorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.EdDSA}
	}
	c.SigningAlgorithms = slices.Clone(c.SigningAlgorithms)
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	return c
}

// issuer is a parsed issuer identifier.
type issuer struct {
	id     string // as configured: compared as a string by everyone (RFC 8414, Section 3.3)
	origin string // scheme and authority
	path   string // without a final slash; empty for most
	secure bool   // https
}

// parseIssuer checks RFC 8414, Section 2. The path must read the same before and after decoding and
// cleaning, because requests are routed by exact spelling (TOK-13).
func parseIssuer(s string, insecure bool) (issuer, error) {
	u, err := url.Parse(s)
	if err != nil {
		return issuer{}, errors.New("not a URL")
	}
	secure := strings.HasPrefix(s, "https://")
	base := strings.TrimSuffix(u.Path, "/")
	switch {
	case !secure && !(insecure && strings.HasPrefix(s, "http://")):
		return issuer{}, errors.New("must start with https://")
	case u.Host == "" || u.Hostname() == "" || u.User != nil:
		return issuer{}, errors.New("must have a host and no user")
	case strings.ContainsAny(s, "?#"):
		return issuer{}, errors.New("must have neither query nor fragment")
	case u.EscapedPath() != u.Path || base != "" && (path.Clean(base) != base || base == "/"):
		return issuer{}, errors.New("must have a path without escapes, empty and dot segments")
	}
	scheme, _, _ := strings.Cut(s, "://")
	return issuer{
		id: s, origin: scheme + "://" + u.Host, path: base, secure: secure,
	}, nil
}

// quotable reports whether s can stand inside a quoted-string and an error_description as it is:
// %x20-21 / %x23-5B / %x5D-7E (RFC 6749, Section 5.2; RFC 9110, Section 5.6.4).
func quotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

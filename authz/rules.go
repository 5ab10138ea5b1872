package authz

import (
	"crypto/rand"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// The rules of management fields live here, once, for every surface: each is a function and the
// sentence that an admin reads. The bounds are in authz/admin/openapi.yaml too; a test there compares them.

const (
	clientIDLen  = 26
	maxResources = 64

	// A token has at most token.MaxSize characters, of which claims may not take all (JWT-24).
	maxClaims     = 32
	maxClaimBytes = 1536

	claimsRule          = "at most 32 claims, names and values together at most 1536 bytes"
	clientIDRule        = "1 to 64 of A-Z a-z 0-9 . _ ~ -, but not . or .. alone, and not the shape of a secret"
	nameRule            = "1 to 200 characters without control characters, and never a secret"
	lifetimeRule        = "whole seconds from 1 s to 1 h"
	resourceRule        = "an absolute URI without fragment, user information or dot segments, at most 512 ASCII characters"
	reservedRule        = "the issuer and anything under it is reserved"
	resourcesRule       = "at most 64 resources"
	registeredRule      = "every resource must be registered; identifiers compare as strings"
	defaultResourceRule = "must be one of resources"
	scopeRule           = "scope tokens of %x21 %x23-5B %x5D-7E joined by single spaces, at most 256"
	adminScopeRule      = "marque:admin is reserved for the management API; a client has it by admin, and need not name it"
	defaultScopeRule    = "every default scope must be in scope"
	definedScopeRule    = "every scope must be defined by one of the client's resources"
	algorithmRule       = "one of ES256, ES384, RS256, PS256, Ed25519"
	tokenTypeRule       = "at+jwt or JWT"
	servesNothingRule   = "only for a client that serves a resource"
	idempotencyRule     = "16 to 255 visible ASCII characters"
	claimRule           = "a claim's name must begin with an entry of claims.namespaces, must not be reserved, and its value must not be empty"
	sameIDRule          = "must be left out, or be that of the address: identifiers do not change"
	noSecretRule        = "only when a client is created; add a secret instead"
	secretRule          = "22 to 255 visible ASCII characters, at least 8 different ones, not a short text again and again, without the client_id or client_name in it, and not beginning like a secret that this server makes"
	newSecretRule       = "must not be a secret that the client has or had"
	expiresRule         = "must lie in the future, before the year 10000: it is in seconds since 1970"
	expiresAfterRule    = "must lie after not_before"
	sinceRule           = "must not lie in the future"
	compromisedRule     = "only for a secret that is compromised"
	kindRule            = "one of jti, client, credential, kid, resource, all"
	noValueRule         = "must be left out for all"
	jtiRule             = "the jti claim of a token, 1 to 64 visible ASCII characters; never the token itself"
	kidRule             = "must be the identifier of a key of this server, published, withdrawn or revoked; never a token or a secret"
	clientRule          = "must be the client_id of a client, registered or deleted"
	credentialRule      = "must be the credential_id of a secret of some client; never the secret itself"
	revokedResourceRule = "must be the identifier of a resource, registered or deleted"
	beforeRule          = "not in the future, and not more than 65 minutes ago: no token is that old"
	beforeOfJTIRule     = "not with a jti, which names one token"

	maxReason = 256   // octets
	maxLimit  = 1_000 // entries
	maxFilter = 1_024 // characters; the longest subject of a revocation is shorter
	lastTime  = 253402300799

	introspectionField = "introspection_signed_response_alg" // RFC 9701, Section 6
)

// The rules of what is said beside the fields of a record, which every surface reads by itself.
const (
	ReasonRule = "at most 256 octets of UTF-8 without control characters"
	LimitRule  = "must be an integer from 1 to 1000"
	CursorRule = "must be the next of the page before, unchanged"
	FilterRule = "must be 1 to 1024 characters of UTF-8"

	IdempotencyKeyRule = idempotencyRule
)

// comparedWith names the other field that a rule compares a field with.
var comparedWith = map[string]string{
	defaultScopeRule:    "scope",
	definedScopeRule:    "resources",
	defaultResourceRule: "resources",
	servesNothingRule:   "serves",
	expiresAfterRule:    "not_before",
	compromisedRule:     "compromised",
	noValueRule:         "kind",
	beforeOfJTIRule:     "kind",
}

// ComparedWith returns the other field that the rule compares the field with; empty when there is none.
// While that one cannot be read, nobody knows whether the rule is broken.
func (e FieldError) ComparedWith() string { return comparedWith[e.Rule] }

// ValidReason reports whether a reason may stand in the audit log. Characters that could change how a
// line of it is displayed may not: control characters, and format characters such as U+202E, which
// turns the direction of text around.
func ValidReason(s string) bool {
	return len(s) <= maxReason && utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool {
		return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\u2028' || c == '\u2029'
	}) < 0
}

// ValidIdempotencyKey reports whether a key can name an act.
func ValidIdempotencyKey(s string) bool { return validIdempotencyKey(s) }

// ValidLimit reports whether a page may have so many entries.
func ValidLimit(n int) bool { return n >= 1 && n <= maxLimit }

// ValidFilter reports whether a list may be searched for s.
func ValidFilter(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxFilter
}

// ValidClientID reports whether an admin may give a client this identifier. The alphabet leaves out
// the colon, so that no client can look like a person, whose subjects start with "user:" (TOK-49).
func ValidClientID(s string) bool {
	if s == "" || len(s) > 64 || Redact(s) != s {
		return false
	}
	if s == "." || s == ".." { // dot segments of a path (RFC 3986, Section 3.3): the management API could not address it
		return false
	}
	return strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._~-", c))
	}) < 0
}

// newClientID returns a random identifier: not guessable from others, not secret.
func newClientID() ClientID { return ClientID(strings.ToLower(rand.Text()[:clientIDLen])) }

func validIdempotencyKey(s string) bool {
	return len(s) >= 16 && len(s) <= 255 && visible(s)
}

func validName(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= 200 && strings.IndexFunc(s, unicode.IsControl) < 0 &&
		Redact(s) == s // a name is shown, logged and audited
}

func validLifetime(d time.Duration) bool {
	return d >= MinTokenLifetime && d <= MaxTokenLifetime && d%time.Second == 0
}

var errResourceID = errors.New("a resource is " + resourceRule)

// ParseResourceID checks that s can identify a resource: an absolute URI without fragment (RFC 8707,
// Section 2). It changes nothing: identifiers compare as strings.
func ParseResourceID(s string) (ResourceID, error) {
	if s == "" || len(s) > 512 || strings.Contains(s, "#") || strings.IndexFunc(s, func(c rune) bool { return c < 0x21 || c > 0x7e }) >= 0 {
		return "", errResourceID
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.User != nil {
		return "", errResourceID
	}
	hierarchical := u.Scheme == "https" || u.Scheme == "http"
	if hierarchical && (u.Opaque != "" || u.Hostname() == "") || !hierarchical && u.Opaque == "" && u.Host == "" && u.Path == "" {
		return "", errResourceID
	}
	if !plainlySpelled(u) {
		return "", errResourceID
	}
	return ResourceID(s), nil
}

// plainlySpelled refuses the ways to write one place in several: dot segments (also as %2e), a root
// dot behind the host, zeros before the port. Without them underIssuer need not guess.
func plainlySpelled(u *url.URL) bool {
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return !strings.HasSuffix(u.Hostname(), ".") && !strings.HasPrefix(u.Port(), "0")
}

// underIssuer reports whether id, which is plainly spelled, names the issuer or something under it,
// whatever the case of scheme and host, with or without the default port.
func underIssuer(issuer string, id ResourceID) bool {
	a, errA := url.Parse(issuer)
	b, errB := url.Parse(string(id))
	if errA != nil || errB != nil || !strings.EqualFold(a.Scheme, b.Scheme) || origin(a) != origin(b) {
		return false
	}
	root := strings.TrimSuffix(a.Path, "/")
	path := strings.TrimSuffix(b.Path, "/")
	return path == root || strings.HasPrefix(path, root+"/")
}

func origin(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[strings.ToLower(u.Scheme)]
	}
	return host + ":" + port
}

func parseScopes(p *problems, field string, scopes []string) ScopeSet {
	scopes = slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == "" })
	set, err := ParseScope(strings.Join(scopes, " "))
	p.check(err == nil, field, scopeRule)
	p.check(!set.Has(ScopeAdmin), field, adminScopeRule)
	return set
}

// ParseAlgorithm returns the canonical algorithm of that name, or an *InvalidError of the field.
func ParseAlgorithm(field, name string) (jose.Algorithm, error) {
	alg, err := jose.ParseAlgorithm(name)
	if err != nil {
		return "", &InvalidError{Fields: []FieldError{{field, algorithmRule}}}
	}
	return alg, nil
}

// parseAlgorithm returns the canonical algorithm of that name, or the default when there is none.
func parseAlgorithm(p *problems, field, name string, otherwise jose.Algorithm) jose.Algorithm {
	if name == "" {
		return otherwise
	}
	alg, err := jose.ParseAlgorithm(name)
	p.check(err == nil, field, algorithmRule)
	return alg
}

// The least that a secret from another server must have: 22 characters of 64 hold 132 bits. Whether it
// is random cannot be seen; one that uses few characters is not.
const (
	minSecretLen      = 22
	maxSecretLen      = 255
	minSecretDistinct = 8
	minSecretRuns     = 16 // of three characters; 22 random digits hold at least that many
)

// checkBroughtSecret checks a secret from another server for the client of that identifier and name; the
// empty one is none. One with the shape of ours is refused: it would be looked up by a credential that it
// does not belong to. Whether one is random cannot be seen; what is plainly not is refused.
func checkBroughtSecret(p *problems, secret Secret, id ClientID, name string) {
	s := secret.Reveal()
	if s == "" {
		return
	}
	kind, _ := shapeOf(s)
	p.check(len(s) >= minSecretLen && len(s) <= maxSecretLen && visible(s) && kind == shapeForeign &&
		runs(s, 1) >= minSecretDistinct && runs(s, 3) >= minSecretRuns &&
		!speaksOf(s, string(id)) && !speaksOf(s, name), "client_secret", secretRule)
}

// runs returns how many different runs of n characters s holds. A text of so many characters that is
// repeated holds no more than that, and the few of its end.
func runs(s string, n int) int {
	seen := make(map[string]struct{}, len(s))
	for i := range len(s) - n + 1 {
		seen[s[i:i+n]] = struct{}{}
	}
	return len(seen)
}

// speaksOf reports whether a secret holds a name, whatever the case and without the name's spaces. What
// is shorter than four characters occurs by chance.
func speaksOf(secret, name string) bool {
	name = strings.ToLower(strings.Join(strings.Fields(name), ""))
	return len(name) >= 4 && strings.Contains(strings.ToLower(secret), name)
}

// visible reports whether s is visible ASCII alone.
func visible(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c < 0x21 || c > 0x7e }) < 0
}

// staticClaims checks configured claims (CLM-01 to CLM-07) and returns them sorted by name.
func (r *Registry) staticClaims(p *problems, claims map[string]jsontext.Value) []token.Static {
	var out []token.Static
	for name, value := range claims {
		allowed := slices.ContainsFunc(r.config.ClaimNamespaces, func(ns string) bool { return ns != "" && strings.HasPrefix(name, ns) })
		value = slices.Clone(value)
		if !allowed || value.Compact() != nil || token.CheckStatic(name, value) != nil {
			p.add("claims", claimRule)
			continue
		}
		out = append(out, token.Static{Name: name, Value: value})
	}
	size := 0
	for _, c := range out {
		size += len(c.Name) + len(c.Value)
	}
	p.check(len(out) <= maxClaims && size <= maxClaimBytes, "claims", claimsRule)
	slices.SortFunc(out, func(a, b token.Static) int { return strings.Compare(a.Name, b.Name) })
	return out
}

package endpoint

import (
	"strings"

	"github.com/marque-auth/marque/authz"
)

// The codes of a Bearer challenge (RFC 6750, Section 3.1). They stand in answers to a caller whose
// access token does not authenticate it, and are none of the domain's.
const (
	invalidToken      authz.Code = "invalid_token"
	insufficientScope authz.Code = "insufficient_scope"
)

const (
	invalidTokenDescription      = "the access token in the Authorization header field is malformed, expired, revoked or not for this server; get a new one"
	insufficientScopeDescription = "the access token in the Authorization header field lacks the scope that this takes"
)

// bearer returns what follows the scheme of an Authorization field, if that is Bearer.
func bearer(field string) (token string, ok bool) {
	scheme, token, _ := strings.Cut(field, " ")
	return strings.Trim(token, " "), strings.EqualFold(scheme, "Bearer") // RFC 9110, Section 11.1
}

// wellFormedBearer checks b64token (RFC 6750, Section 2.1).
func wellFormedBearer(token string) bool {
	body := strings.TrimRight(token, "=")
	for i := range len(body) {
		switch c := body[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return body != ""
}

// besideBearer refuses everything in the form that also says who asks, or is another access token:
// which of them would count (RFC 6750, Section 2; RFC 6749, Section 2.3)?
func besideBearer(f *form) *refusal {
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type", "access_token"} {
		if len(f.value(name)) > 0 {
			return severalMethods
		}
	}
	return nil
}

// bearerChallenge is the challenge to a token that does not suffice (RFC 6750, Section 3). A scope that
// cannot be quoted is left out.
func bearerChallenge(realm string, code authz.Code, description, scope string) []string {
	s := `Bearer realm="` + realm + `", error="` + string(code) + `", error_description="` + description + `"`
	if scope != "" && quotable(scope) {
		s += `, scope="` + scope + `"`
	}
	return []string{s}
}

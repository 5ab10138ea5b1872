package authz

import (
	"regexp"
	"strings"
)

// maxAsked bounds what askedFor returns, in characters: it is kept for every refusal that is remembered.
const maxAsked = 256

// shortestHidden is the length in octets from which the secret that a client presented is looked for in
// its other parameters.
const shortestHidden = 8

// askedFor says for the admin which scope or resource was refused. It is empty for every other cause,
// and for what is not well-formed. A stranger gets nothing in here: only an authenticated client is asked
// what it wants.
func askedFor(cause Cause, c Client, r Request) string {
	scope, resources := false, false
	switch cause {
	case CauseScopeNotAllowed, CauseScopeOfSeveralAPIs, CauseScopeOfNoAPI:
		scope = true
	case CauseResourceUnknown, CauseResourceNotAllowed:
		resources = true
	case CauseScopeNotOfResource, CauseScopeMissing, CauseResourceAmbiguous:
		scope, resources = true, true
	default:
		return ""
	}
	var parts []string
	switch {
	case scope && r.Scope != "":
		parts = append(parts, "scope: "+r.Scope)
	case scope && !c.DefaultScopes.Empty():
		parts = append(parts, "default scope: "+c.DefaultScopes.String())
	}
	for _, s := range r.Resources {
		if _, err := ParseResourceID(s); resources && err == nil {
			parts = append(parts, "resource: "+s)
		}
	}
	return bounded(hidden(strings.Join(parts, "; "), r.Client.Secret))
}

// jwsPattern matches a compact JWS, and what was cut off from one.
var jwsPattern = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*){1,4}`)

// hidden takes out what looks like a secret or a token, and the secret that came with the request: a
// scope may be made of any of them.
func hidden(s string, presented Secret) string {
	if p := presented.Reveal(); len(p) >= shortestHidden {
		s = strings.ReplaceAll(s, p, redacted)
	}
	return jwsPattern.ReplaceAllString(Redact(s), redacted)
}

// bounded cuts s, which is ASCII. It returns a copy: a remembered part of a request must not keep the
// rest of it in memory.
func bounded(s string) string {
	if len(s) <= maxAsked {
		return s
	}
	return s[:maxAsked-3] + "..."
}

package gate

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// dialect is how an answer reaches the caller.
type dialect string

// The dialects, as the first segment of the path says them.
const (
	plain       dialect = "require"      // as it is
	authRequest dialect = "auth_request" // nginx understands 2xx, 401 and 403: the rest travels in headers
)

// Limits of a requirement; longer ones are nobody's configuration.
const (
	maxRequirement = 1 << 10 // bytes, as the path has it
	maxScopes      = 16
)

// The segments that end a requirement. One must be there, so that a path from which the configuration has lost something is
// refused, rather than completed by what the caller asked for; and no scope can have its name, however it is
// written, so that nobody on the way can make one out of another segment.
//
// The second is for requests that go on while it is not known what was revoked, where feed.when_silent is open. nginx and
// Traefik ask by GET whatever the caller does, so the gate knows of no request that it changes nothing.
const (
	end     = "-"
	openEnd = "+"
)

// requirement is what the proxy asks for.
type requirement struct {
	dialect dialect
	open    bool // see verifier.OpenTo
	scopes  []string
}

// parse reads the requirement from a request target as it came over the wire. It cleans, decodes and merges nothing
// but the escapes within a scope: two readings of one path would be two requirements. The text that it returns
// is the requirement alone, without what the caller may have added. With an error there are no scopes.
func parse(target string) (r requirement, text string, err error) {
	path, _, _ := strings.Cut(target, "?")
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return requirement{}, "", errors.New("the target is no path")
	}
	first, rest, _ := strings.Cut(rest, "/")
	r.dialect = dialect(first)
	if r.dialect != plain && r.dialect != authRequest {
		return requirement{}, "", errors.New("the path begins with neither /require/ nor /auth_request/")
	}
	refused := requirement{dialect: r.dialect}
	for {
		segment, after, more := strings.Cut(rest, "/")
		length := len(path) - len(after)
		switch {
		case !more:
			return refused, "", errors.New(`the path has neither "/-/" nor "/+/", which end what is required`)
		case length > maxRequirement:
			return refused, "", fmt.Errorf("what is required is longer than %d bytes", maxRequirement)
		case segment == end || segment == openEnd:
			r.open = segment == openEnd
			return r, path[:length], nil
		case len(r.scopes) == maxScopes:
			return refused, "", fmt.Errorf("more than %d scopes are required", maxScopes)
		}
		scope, err := scopeIn(segment)
		if err != nil {
			return refused, "", err
		}
		if !slices.Contains(r.scopes, scope) {
			r.scopes = append(r.scopes, scope)
		}
		rest = after
	}
}

// scopeIn reads one scope from a segment. Names that somebody who cleans paths would take for something else are
// refused: they would be lost there, and with them the requirement.
func scopeIn(segment string) (string, error) {
	scope, err := url.PathUnescape(segment)
	if err != nil || !scopeToken(scope) {
		return "", errors.New("a segment of what is required is no scope")
	}
	if scope == end || scope == openEnd || scope == "." || scope == ".." {
		return "", fmt.Errorf("%q cannot be required as a scope", scope)
	}
	return scope, nil
}

// scopeToken reports whether s is one scope: RFC 6749, Section 3.3.
func scopeToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

package verifier

import (
	"net/http"
	"net/url"
	"strings"
)

// presented is how a request brings its token.
type presented int

const (
	none      presented = iota // no token, or a scheme that is not ours
	malformed                  // some token, in a wrong way: 400
	bearer                     // one bearer token
)

// credential returns the bearer token of r: RFC 6750, Section 2.1. A token in the query is never
// taken, since URLs end up in logs, nor is one in the body, which is not read here (RFC 6750, Section
// 5.3; OAuth 2.1, Section 5.1); but a query that brings one beside the header is an error
// (RFC 6750, Section 3.1).
func credential(r *http.Request) (string, presented) {
	fields := r.Header["Authorization"]
	if len(fields) == 0 {
		return "", none
	}
	// Two fields: whoever reads the first and whoever reads the last would not agree on the caller.
	if len(fields) > 1 {
		return "", malformed
	}
	scheme, rest, _ := strings.Cut(fields[0], " ")
	if !isToken(scheme) {
		return "", malformed
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return "", none
	}
	token := strings.TrimLeft(rest, " ")
	if !isToken68(token) || queryHasToken(r.URL) {
		return "", malformed
	}
	return token, bearer
}

// queryHasToken reads what it can of a query: one bad pair does not hide the others.
func queryHasToken(u *url.URL) bool {
	if u == nil || u.RawQuery == "" {
		return false
	}
	q, _ := url.ParseQuery(u.RawQuery)
	return q.Has("access_token")
}

// isToken reports whether s is a token: RFC 9110, Section 5.6.2.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !alphanumeric(s[i]) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// isToken68 reports whether s is a token68: RFC 9110, Section 11.2.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := 0; i < len(s); i++ {
		if !token68[s[i]] {
			return false
		}
	}
	return s != ""
}

// token68 is its alphabet, as a table: every octet of every token is looked up at every call. It is immutable.
var token68 = func() (table [256]bool) {
	for c := range table {
		table[c] = alphanumeric(byte(c)) || strings.IndexByte("-._~+/", byte(c)) >= 0
	}
	return table
}()

func alphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

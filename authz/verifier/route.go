package verifier

import "net/http"

// Route is one kind of request to an API, and what it takes.
type Route struct {
	// Scopes are those that the token must have, all of them; none means that any good token will do.
	Scopes []string

	// OpenTo says which requests are let through by Feed.WhenSilent = SilentOpen. It means nothing elsewhere.
	OpenTo OpenTo
}

// OpenTo says what goes on while it is not known what was revoked, for Feed.OpenFor, where SilentOpen was chosen; what
// does not is answered 503. What is known to be revoked is refused in any case.
type OpenTo string

// The choices. The zero value is closed to whatever writes.
const (
	// OpenToSafe is for requests that change nothing, by their method: GET, HEAD, OPTIONS and TRACE (RFC 9110, Section
	// 9.2.1). A service that takes the method from elsewhere, such as X-HTTP-Method-Override, must not rely on it.
	OpenToSafe OpenTo = ""

	// OpenToAll is for those that write, too: of a route where waiting costs more than what a revoked token could do.
	OpenToAll OpenTo = "all"

	// OpenToNone is for a route where reading is bad enough.
	OpenToNone OpenTo = "none"
)

// holds reports whether it is open to requests of that method.
func (o OpenTo) holds(method string) bool {
	switch o {
	case OpenToAll:
		return true
	case OpenToSafe:
		switch method {
		case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
			return true
		}
	}
	return false
}

package verifier

import (
	"net/http"
	"strconv"
	"strings"
)

// The answers that refuse: RFC 6750, Section 3.1. One fixed description per code: nothing of the
// request is echoed, and nothing tells one bad token from another (RSV-10, RST-12).
const (
	codeInvalidRequest    = "invalid_request"
	codeInvalidToken      = "invalid_token"
	codeInsufficientScope = "insufficient_scope"
	codeUnavailable       = "temporarily_unavailable"

	textInvalidRequest    = "Send the access token once, as Authorization: Bearer, and nowhere else."
	textInvalidToken      = "The access token is not valid for this API. Get a new one."
	textInsufficientScope = "The access token lacks a scope that this request needs."
	textUnavailable       = "Access tokens cannot be verified at the moment. Try again."
)

// retryAfter is what a caller is told when the keys are away, in seconds.
const retryAfter = 5

// answer is a reply that was made beforehand; all it takes from the request is whether it has a body.
type answer struct {
	status    int
	challenge string // of WWW-Authenticate; empty: none
	body      string // JSON; empty: none
}

// answers are those of one route.
type answers struct {
	noToken, badRequest, badToken, lacksScope, unavailable answer
}

// newAnswers prepares the answers; realm and scopes are known to need no escaping.
func newAnswers(realm string, scopes []string) answers {
	challenge := `Bearer realm="` + realm + `"`
	refuse := func(status int, code, text, more string) answer {
		return answer{
			status:    status,
			challenge: challenge + `, error="` + code + `", error_description="` + text + `"` + more,
			body:      errorBody(code, text),
		}
	}
	return answers{
		// RFC 6750, Section 3.1: no error code for a request that brought no token.
		noToken:    answer{status: http.StatusUnauthorized, challenge: challenge},
		badRequest: refuse(http.StatusBadRequest, codeInvalidRequest, textInvalidRequest, ""),
		badToken:   refuse(http.StatusUnauthorized, codeInvalidToken, textInvalidToken, ""),
		lacksScope: refuse(http.StatusForbidden, codeInsufficientScope, textInsufficientScope,
			`, scope="`+strings.Join(scopes, " ")+`"`),
		// No challenge: another token would not help.
		unavailable: answer{status: http.StatusServiceUnavailable, body: errorBody(codeUnavailable, textUnavailable)},
	}
}

func errorBody(code, text string) string {
	return `{"error":"` + code + `","error_description":"` + text + `"}` + "\n"
}

func (a *answer) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if a.challenge != "" {
		h.Set("WWW-Authenticate", a.challenge)
	}
	if a.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if a.body != "" {
		h.Set("Content-Type", "application/json")
		h.Set("X-Content-Type-Options", "nosniff")
	}
	// net/http would read some of an upload of unknown length before it sends the reply, at the pace
	// of whoever uploads without a right to.
	if r.ContentLength < 0 && r.ProtoMajor == 1 {
		h.Set("Connection", "close")
	}
	w.WriteHeader(a.status)
	if a.body != "" {
		_, _ = w.Write([]byte(a.body)) // a caller who has gone needs no answer
	}
}

package endpoint

import (
	"net/http"

	"github.com/marque-auth/marque/authz"
)

// refusal is what a request is refused for before the domain sees it: one row of the error matrix.
// Its description says what to change and is the same for every request (TOK-37).
type refusal struct {
	status      int
	code        authz.Code
	cause       authz.Cause
	description string
}

func badRequest(description string) *refusal {
	return &refusal{http.StatusBadRequest, authz.InvalidRequest, authz.CauseBadRequest, description}
}

// Error implements error, for what an endpoint finds missing when the syntax of its form holds.
func (r *refusal) Error() string { return r.description }

func notAllowed(endpoint string) *refusal {
	return &refusal{
		http.StatusMethodNotAllowed, authz.InvalidRequest, authz.CauseBadRequest,
		"the " + endpoint + " endpoint takes POST only, with all parameters in the body",
	}
}

// The refusals of syntax, in the order in which they are looked for.
var (
	wrongMethodToken         = notAllowed("token")
	wrongMethodIntrospection = notAllowed("introspection")
	wrongMethodRevocation    = notAllowed("revocation")
	wrongMethodFeed          = &refusal{
		http.StatusMethodNotAllowed, authz.InvalidRequest, authz.CauseBadRequest, "the revocation feed takes GET only",
	}

	plainHTTP        = badRequest("the connection is not encrypted; use https, and replace the secret that was sent in clear")
	credentialsInURL = &refusal{
		http.StatusBadRequest, authz.InvalidRequest, authz.CauseCredentialsInURL,
		"credentials must not be sent in the URL; send them in the Authorization header field or in the body, and replace the secret",
	}
	tokenInURL = &refusal{
		http.StatusBadRequest, authz.InvalidRequest, authz.CauseCredentialsInURL,
		"a token must not be sent in the URL; send it in the body, and revoke this one",
	}
	repeatedAuthorization = badRequest("there is more than one Authorization header field; send one")
	repeatedContentType   = badRequest("there is more than one Content-Type header field; send one")
	missingContentType    = badRequest("the Content-Type header field is missing; send application/x-www-form-urlencoded")
	wrongContentType      = badRequest("the body has the wrong media type; send application/x-www-form-urlencoded")
	wrongCharset          = badRequest("the charset of the body is not supported; send UTF-8")
	contentEncoding       = &refusal{
		http.StatusUnsupportedMediaType, authz.InvalidRequest, authz.CauseBadRequest,
		"the body must not be compressed; send it without Content-Encoding",
	}
	bodyTooLarge = &refusal{
		http.StatusRequestEntityTooLarge, authz.InvalidRequest, authz.CauseBadRequest,
		"the body is too large",
	}
	bodyUnreadable        = badRequest("the body ended early or could not be read")
	tooManyParameters     = badRequest("there are too many parameters")
	rawSemicolon          = badRequest("the body has a raw semicolon; separate parameters by & and write a semicolon as %3B")
	badEscape             = badRequest("the body has a malformed percent-escape; write a percent sign as %25")
	notUTF8               = badRequest("a parameter is not valid UTF-8")
	notASCII              = badRequest("a parameter has characters outside ASCII; send them as UTF-8, and no other charset")
	controlCharacter      = badRequest("a parameter has a control character")
	repeatedParameter     = badRequest("a parameter is repeated; send each once, only resource may repeat")
	repeatedOnce          = badRequest("a parameter is repeated; send each once")
	malformedClientID     = badRequest("client_id is malformed; it is at most 255 printable ASCII characters")
	malformedClientSecret = badRequest("client_secret is malformed; it is at most 255 octets")
	incompleteAssertion   = badRequest("client_assertion and client_assertion_type must be sent together")
	severalMethods        = &refusal{
		http.StatusBadRequest, authz.InvalidRequest, authz.CauseSeveralMethods,
		"there is more than one kind of client credentials; send either the Authorization header field or the parameters of one method",
	}
	contradictingClientID = badRequest("client_id in the body differs from the one in the Authorization header field; send one of them")
	missingGrantType      = badRequest("grant_type is missing; send grant_type=client_credentials")
	feedBody              = badRequest("the revocation feed takes no body; send none")
	feedQuery             = badRequest("the query of the revocation feed is malformed; send after at most once, and escape what must be")
	feedAfter             = badRequest("after is not from the revocation feed; send what next was, or leave it out to get everything")
	missingToken          = badRequest("token is missing; send the token as the parameter token in the body")
)

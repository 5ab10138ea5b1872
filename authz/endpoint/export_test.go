package endpoint

import "flag"

// Update rewrites golden files: go test ./authz/endpoint -update.
var Update = flag.Bool("update", false, "rewrite golden files in testdata")

// SyntaxAnswer is an answer that this package gives by itself.
type SyntaxAnswer struct {
	Status int
	Body   string
}

// SyntaxAnswers returns all of them.
func SyntaxAnswers() (all []SyntaxAnswer) {
	for _, r := range refusals() {
		a := errorAnswer(nil, r.status, r.code, r.description)
		all = append(all, SyntaxAnswer{a.status, string(a.body)})
	}
	return all
}

// refusals returns every row of the table of syntax refusals, for the tests that know all answers.
func refusals() []*refusal {
	return []*refusal{
		wrongMethodToken, plainHTTP, credentialsInURL, repeatedAuthorization, repeatedContentType, missingContentType,
		wrongContentType, wrongCharset, contentEncoding, bodyTooLarge, bodyUnreadable, tooManyParameters,
		rawSemicolon, badEscape, notUTF8, notASCII, controlCharacter, repeatedParameter, malformedClientID,
		malformedClientSecret, incompleteAssertion, severalMethods, contradictingClientID, missingGrantType,
		wrongMethodIntrospection, wrongMethodRevocation, tokenInURL, repeatedOnce, missingToken,
		wrongMethodFeed, feedBody, feedQuery, feedAfter,
	}
}

package authz

// refusal is one row of the error matrix: what the client is told for a cause. Each description
// says what to change and holds nothing of the request (RFC 6749, Section 5.2; TOK-37).
type refusal struct {
	code        Code
	description string
}

// invalidClient is the one answer to every failed authentication: which of the reasons it was is the
// operator's to see (TOK-42).
var invalidClient = refusal{InvalidClient, "client authentication failed; check client_id and client secret, or ask the operator with the X-Request-Id of this answer"}

const (
	scopeDescription    = "a requested scope is unknown or not allowed for this client; request only scopes that were registered for it"
	resourceDescription = "a requested resource is unknown or not allowed for this client; send the identifier exactly as registered"
)

var refusals = map[Cause]refusal{
	CauseNoCredentials:         invalidClient,
	CauseMalformedCredentials:  invalidClient,
	CauseUnsupportedScheme:     invalidClient,
	CauseUnsupportedMethod:     invalidClient,
	CauseUnknownClient:         invalidClient,
	CauseDeletedClient:         invalidClient,
	CauseDisabled:              invalidClient,
	CauseWrongMethod:           invalidClient,
	CauseWrongSecret:           invalidClient,
	CauseEmptySecret:           invalidClient,
	CauseSecretTypo:            invalidClient,
	CauseSecretExpired:         invalidClient,
	CauseSecretNotYetValid:     invalidClient,
	CauseSecretRevoked:         invalidClient,
	CauseSecretOfAnotherClient: invalidClient,
	CauseTrailingWhitespace:    invalidClient,
	CauseSecretInClientID:      invalidClient,

	CauseGrantUnsupported:   {UnsupportedGrantType, "this grant_type is not supported; use client_credentials"},
	CauseGrantNotRegistered: {UnauthorizedClient, "this client is not registered for this grant_type"},
	CausePublicClient:       {UnauthorizedClient, "a public client cannot use this grant; register the client with a secret"},

	CauseScopeMalformed:     {InvalidScope, "scope is malformed; send scope tokens joined by single spaces"},
	CauseScopeNotAllowed:    {InvalidScope, scopeDescription},
	CauseScopeMissing:       {InvalidScope, "no default scope applies here; send the scope parameter"},
	CauseScopeNotOfResource: {InvalidScope, "a requested scope has no meaning for the requested resource; request scopes of that resource only"},
	CauseScopeOfSeveralAPIs: {InvalidScope, "no resource of this client defines every requested scope; request the scopes of one resource, or send the resource parameters"},
	CauseScopeOfNoAPI:       {InvalidScope, "no resource of this client defines a requested scope any more; request other scopes, or ask the operator"},
	CauseTokenTooLarge:      {InvalidScope, "the token would be too large; request fewer scopes"},

	CauseResourceMalformed:  {InvalidTarget, "resource must be an absolute URI without fragment"},
	CauseResourceUnknown:    {InvalidTarget, resourceDescription},
	CauseResourceNotAllowed: {InvalidTarget, resourceDescription},
	CauseResourceMissing:    {InvalidTarget, "this client has no resource to address; ask the operator to register one"},
	CauseResourceAmbiguous:  {InvalidTarget, "the target is ambiguous; send one resource parameter"},

	CauseTokenOfAnotherClient: {InvalidGrant, "this token was issued to another client; a token is revoked by the client that it was issued to, or by the operator"},

	CauseServesNothing: {UnauthorizedClient, "this client serves no resource, and so needs no revocations; ask the operator to register what it serves"},

	CauseDetailsUnsupported: {InvalidAuthorizationDetails, "authorization_details is not supported; leave it out"},
	CauseDPoPUnsupported:    {InvalidDPoPProof, "DPoP is not supported; leave the DPoP header field out"},
}

// refuse returns the refusal for a cause. A cause that is not in the table gets no code, which no
// endpoint answers with anything but a fault: a forgotten row must not look like the client's mistake.
func refuse(cause Cause, client ClientID, credential CredentialID) *Error {
	r := refusals[cause]
	return &Error{Code: r.code, Description: r.description, Cause: cause, Client: client, Credential: credential}
}

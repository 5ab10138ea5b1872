package authz

import (
	"time"

	"github.com/marque-auth/marque/authz/token"
)

// Code is an error code that a client may read: RFC 6749, Section 5.2, and its extensions.
type Code string

// The codes of the token endpoint (TOK-41).
const (
	InvalidRequest              Code = "invalid_request"
	InvalidClient               Code = "invalid_client"
	InvalidGrant                Code = "invalid_grant" // of revocation: the token is another client's (RVK-07)
	UnauthorizedClient          Code = "unauthorized_client"
	UnsupportedGrantType        Code = "unsupported_grant_type"
	InvalidScope                Code = "invalid_scope"
	InvalidTarget               Code = "invalid_target"                // RFC 8707, Section 2
	InvalidAuthorizationDetails Code = "invalid_authorization_details" // RFC 9396, Section 5
	InvalidDPoPProof            Code = "invalid_dpop_proof"            // RFC 9449, Section 5
)

// Cause says why a request was refused, for the operator's log and metrics. The list is closed.
type Cause string

// The causes of failed client authentication. The client is told none of them: to it they are one
// invalid_client with one description (TOK-37, TOK-42).
const (
	CauseNoCredentials         Cause = "no_credentials"
	CauseMalformedCredentials  Cause = "malformed_credentials"
	CauseUnsupportedScheme     Cause = "unsupported_scheme"
	CauseUnsupportedMethod     Cause = "unsupported_method"
	CauseUnknownClient         Cause = "unknown_client"
	CauseDeletedClient         Cause = "deleted_client"
	CauseDisabled              Cause = "disabled"
	CauseWrongMethod           Cause = "wrong_method"
	CauseWrongSecret           Cause = "wrong_secret"
	CauseEmptySecret           Cause = "empty_secret"
	CauseSecretTypo            Cause = "secret_typo"
	CauseSecretExpired         Cause = "secret_expired"
	CauseSecretNotYetValid     Cause = "secret_not_yet_valid"
	CauseSecretRevoked         Cause = "secret_revoked"
	CauseSecretOfAnotherClient Cause = "secret_of_another_client"
	CauseTrailingWhitespace    Cause = "trailing_whitespace"
	CauseSecretInClientID      Cause = "secret_in_client_id"
)

// The causes of every other refusal.
const (
	CauseBadRequest         Cause = "bad_request" // syntax; the description says which
	CauseCredentialsInURL   Cause = "credentials_in_url"
	CauseSeveralMethods     Cause = "several_methods"
	CauseGrantUnsupported   Cause = "grant_unsupported"
	CauseGrantNotRegistered Cause = "grant_not_registered"
	CausePublicClient       Cause = "public_client"
	CauseScopeMalformed     Cause = "scope_malformed"
	CauseScopeNotAllowed    Cause = "scope_not_allowed"
	CauseScopeMissing       Cause = "scope_missing"
	CauseScopeNotOfResource Cause = "scope_not_of_resource"
	CauseScopeOfSeveralAPIs Cause = "scope_of_several_apis"
	CauseScopeOfNoAPI       Cause = "scope_of_no_api" // its resources have changed since it was given the scope
	CauseTokenTooLarge      Cause = "token_too_large"
	CauseResourceMalformed  Cause = "resource_malformed"
	CauseResourceUnknown    Cause = "resource_unknown"
	CauseResourceNotAllowed Cause = "resource_not_allowed"
	CauseResourceMissing    Cause = "resource_missing"
	CauseResourceAmbiguous  Cause = "resource_ambiguous"
	CauseDetailsUnsupported Cause = "authorization_details_unsupported"
	CauseDPoPUnsupported    Cause = "dpop_unsupported"
	CauseRateLimited        Cause = "rate_limited"
	CauseFailuresLimited    Cause = "failures_limited" // TOK-43
	CauseSigningQueueFull   Cause = "signing_queue_full"
	CauseRevocationsFull    Cause = "revocation_queue_full"
	CauseNoSigningKey       Cause = "no_signing_key"
	CauseStoreUnavailable   Cause = "store_unavailable"
	CauseRecordDamaged      Cause = "record_damaged"   // of the store: somebody has to mend it
	CauseKeysUnavailable    Cause = "keys_unavailable" // the server cannot say which keys are its own
	CauseNotLoaded          Cause = "revocations_not_loaded"
	CauseBornVoid           Cause = "born_void"          // what would be issued is withdrawn, or is about to be
	CauseClockBehind        Cause = "clock_behind"       // tokens of ours say that they will be issued later
	CauseClockSkew          Cause = "clock_skew"         // ROT-09: this server's clock is not that of the store
	CauseUnknownLimited     Cause = "unknown_limited"    // INT-12
	CauseInsufficientScope  Cause = "insufficient_scope" // RFC 6750, Section 3.1
	CauseServesNothing      Cause = "serves_nothing"     // of the feed: the caller is no resource server
	CauseFeedLimited        Cause = "feed_limited"       // the client has too many streams
	CauseFeedFull           Cause = "feed_full"          // all clients together have
	CauseFeedUnavailable    Cause = "feed_unavailable"   // what is revoked cannot be read, or not be signed
)

// What is wrong with a token that was asked about, or withdrawn, or sent to authenticate its bearer.
// Beside the first three they are those of token.Reason.
const (
	CauseTokenRevoked         Cause = "token_revoked"
	CauseTokenNotForCaller    Cause = "token_not_for_caller"    // INT-06
	CauseTokenOfAnotherClient Cause = "token_of_another_client" // RVK-07

	CauseTokenMalformed    Cause = "token_malformed"
	CauseTokenHeader       Cause = "token_header"
	CauseTokenType         Cause = "token_type"
	CauseTokenAlgorithm    Cause = "token_algorithm"
	CauseTokenUnknownKey   Cause = "token_unknown_key"
	CauseTokenSignature    Cause = "token_signature"
	CauseTokenClaims       Cause = "token_claims"
	CauseTokenIssuer       Cause = "token_issuer"
	CauseTokenAudience     Cause = "token_audience"
	CauseTokenExpired      Cause = "token_expired"
	CauseTokenNotYetValid  Cause = "token_not_yet_valid"
	CauseTokenConfirmation Cause = "token_confirmation"
)

// tokenCause returns the Cause for a Reason: one of those above.
func tokenCause(r token.Reason) Cause { return "token_" + Cause(r) }

// Error is a refusal that the client may read: RFC 6749, Section 5.2. Everything but Code and
// Description is for the operator and never leaves the server.
type Error struct {
	Code        Code
	Description string // one fixed text per row of the error matrix: says what to change, echoes nothing
	Cause       Cause
	Detail      string       // what was asked for, of a refused scope or resource; bounded and redacted; may be empty
	Client      ClientID     // the authenticated, or claimed and well-formed, client; may be empty
	Credential  CredentialID // when one was recognised
	Err         error        // more for the log; may be nil
}

func (e *Error) Error() string {
	s := string(e.Code) + ": " + string(e.Cause)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ThrottledError says that this caller asked too often: 429 with Retry-After (RFC 6585, Section 4).
type ThrottledError struct {
	Cause      Cause
	Failure    Cause // with CauseFailuresLimited: why authentication failed this time
	Client     ClientID
	Credential CredentialID
	RetryAfter time.Duration
}

func (e *ThrottledError) Error() string {
	if e.Failure != "" {
		return "throttled: " + string(e.Cause) + ": " + string(e.Failure)
	}
	return "throttled: " + string(e.Cause)
}

// UnavailableError says that the server cannot answer now, for a reason that is not the caller's:
// 503 with Retry-After. It never means "no".
type UnavailableError struct {
	Cause      Cause
	Client     ClientID
	RetryAfter time.Duration
	Err        error
}

func (e *UnavailableError) Error() string {
	s := "unavailable: " + string(e.Cause)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the fault behind it.
func (e *UnavailableError) Unwrap() error { return e.Err }

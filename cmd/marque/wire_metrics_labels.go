package main

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/marque-auth/marque/authz"
)

// The closed lists of labels. The first of each is what everything else becomes.

const other = "other"

// routeAdmin stands for every path of the admin listener, on which only refused callers are counted.
const routeAdmin = "admin"

var routeLabels = [...]string{other, "token", "introspect", "revoke", "feed", "jwks", "metadata", "healthz", "readyz", routeAdmin}

var methodLabels = [...]string{other, http.MethodGet, http.MethodHead, http.MethodPost}

var causeLabels = [...]string{
	other,

	string(authz.CauseNoCredentials),
	string(authz.CauseMalformedCredentials),
	string(authz.CauseUnsupportedScheme),
	string(authz.CauseUnsupportedMethod),
	string(authz.CauseUnknownClient),
	string(authz.CauseDeletedClient),
	string(authz.CauseDisabled),
	string(authz.CauseWrongMethod),
	string(authz.CauseWrongSecret),
	string(authz.CauseEmptySecret),
	string(authz.CauseSecretTypo),
	string(authz.CauseSecretExpired),
	string(authz.CauseSecretNotYetValid),
	string(authz.CauseSecretRevoked),
	string(authz.CauseSecretOfAnotherClient),
	string(authz.CauseTrailingWhitespace),
	string(authz.CauseSecretInClientID),

	string(authz.CauseBadRequest),
	string(authz.CauseCredentialsInURL),
	string(authz.CauseSeveralMethods),
	string(authz.CauseGrantUnsupported),
	string(authz.CauseGrantNotRegistered),
	string(authz.CausePublicClient),
	string(authz.CauseScopeMalformed),
	string(authz.CauseScopeNotAllowed),
	string(authz.CauseScopeMissing),
	string(authz.CauseScopeNotOfResource),
	string(authz.CauseScopeOfSeveralAPIs),
	string(authz.CauseScopeOfNoAPI),
	string(authz.CauseTokenTooLarge),
	string(authz.CauseResourceMalformed),
	string(authz.CauseResourceUnknown),
	string(authz.CauseResourceNotAllowed),
	string(authz.CauseResourceMissing),
	string(authz.CauseResourceAmbiguous),
	string(authz.CauseDetailsUnsupported),
	string(authz.CauseDPoPUnsupported),
	string(authz.CauseRateLimited),
	string(authz.CauseFailuresLimited),
	string(authz.CauseSigningQueueFull),
	string(authz.CauseRevocationsFull),
	string(authz.CauseNoSigningKey),
	string(authz.CauseStoreUnavailable),
	string(authz.CauseRecordDamaged),
	string(authz.CauseKeysUnavailable),
	string(authz.CauseNotLoaded),
	string(authz.CauseBornVoid),
	string(authz.CauseClockBehind),
	string(authz.CauseClockSkew),
	string(authz.CauseUnknownLimited),
	string(authz.CauseInsufficientScope),
	string(authz.CauseServesNothing),
	string(authz.CauseFeedLimited),
	string(authz.CauseFeedFull),
	string(authz.CauseFeedUnavailable),

	string(authz.CauseTokenRevoked),
	string(authz.CauseTokenNotForCaller),
	string(authz.CauseTokenOfAnotherClient),
	string(authz.CauseTokenMalformed),
	string(authz.CauseTokenHeader),
	string(authz.CauseTokenType),
	string(authz.CauseTokenAlgorithm),
	string(authz.CauseTokenUnknownKey),
	string(authz.CauseTokenSignature),
	string(authz.CauseTokenClaims),
	string(authz.CauseTokenIssuer),
	string(authz.CauseTokenAudience),
	string(authz.CauseTokenExpired),
	string(authz.CauseTokenNotYetValid),
	string(authz.CauseTokenConfirmation),

	// Those of authz/endpoint, whose names stay in that package.
	"caller_gone", "fault", "method_not_allowed", "no_jwks", "not_found", "not_ready", "panic",
}

const (
	routeCount  = len(routeLabels)
	methodCount = len(methodLabels)
	causeCount  = len(causeLabels)
	statusCount = 80 // at most: the registered ones, and "other"
)

// statuses are those that net/http knows, which are those that IANA has registered. This server sends
// about a dozen of them.
var statuses = func() (list struct {
	label [statusCount]string
	index [600]uint8
},
) {
	list.label[0] = other
	n := uint8(1)
	for s := range list.index {
		if http.StatusText(s) != "" {
			list.label[n], list.index[s] = strconv.Itoa(s), n
			n++
		}
	}
	return list
}()

func statusIndex(s int) int {
	if s < 0 || s >= len(statuses.index) {
		return 0
	}
	return int(statuses.index[s])
}

func routeIndex(s string) int  { return max(0, slices.Index(routeLabels[:], s)) }
func methodIndex(s string) int { return max(0, slices.Index(methodLabels[:], s)) }

var causeIndexes = func() map[string]int {
	m := make(map[string]int, causeCount)
	for i, s := range causeLabels {
		m[s] = i
	}
	return m
}()

func causeIndex(s string) int { return causeIndexes[s] } // not there: 0

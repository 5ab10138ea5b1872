package token

import (
	"strings"
	"unicode"
)

// reservedNames is every claim that configuration must not set (CLM-01), and the names that some
// validators read in place of scope (CLM-06). It is a function and not a variable, so that nothing
// can change it.
func reservedNames(name string) bool {
	switch name {
	case "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "cnf", "act", "may_act",
		"authorization_details", "status", "status_list", "ttl", "events", "sub_id", "txn",
		"token_introspection", "acr", "amr", "auth_time", "azp", "nonce", "sid", "credential_id",
		"scp", "scopes", "permissions":
		return true
	}
	return false
}

// reservedSkeleton is reservedNames for names that went through skeleton.
func reservedSkeleton(s string) bool {
	switch s {
	case "clientid", "mayact", "authorizationdetails", "statuslist", "subid", "tokenintrospection",
		"authtime", "credentialid":
		return true
	}
	return reservedNames(s)
}

// ReservedClaim reports whether a configured claim must not bear this name: it is one that the
// server sets or that a verifier acts on, or it looks like one (CLM-01, CLM-02, CLM-06). Case and
// everything but letters and digits is left out of the comparison, because some JSON libraries fold
// case, dashes and underscores. A name with anything but printable ASCII is always reserved: it can
// look like every other name.
func ReservedClaim(name string) bool {
	for i := 0; i < len(name); i++ {
		if name[i] < '!' || name[i] > '~' {
			return true
		}
	}
	return name == "" || reservedSkeleton(skeleton(name))
}

// skeleton keeps ASCII letters, in lower case, and digits.
func skeleton(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return -1
	}, name)
}

// caseVariant reports whether name differs from a reserved name in case only, as encoding/json folds
// it: a reader that does so would take its value for the reserved claim's (JWT-42).
func caseVariant(name string) bool {
	if reservedNames(name) {
		return false
	}
	return reservedNames(strings.Map(foldRune, name))
}

// foldRune returns the lower-case ASCII letter that r folds to, if there is one. Beside the capitals
// there are two: U+017F folds to s, and U+212A to k.
func foldRune(r rune) rune {
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if 'a' <= f && f <= 'z' {
			return f
		}
	}
	return r
}

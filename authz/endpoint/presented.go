package endpoint

import "github.com/marque-auth/marque/authz"

// assertionTypeJWT is the one known client_assertion_type (RFC 7523, Section 2.2).
const assertionTypeJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// presented collects the client's credentials from the Authorization fields and the form. It
// refuses combinations that contradict themselves (RFC 6749, Section 2.3; RFC 7521, Section 4.2),
// without looking at whether any of the credentials is right.
func presented(authorization []string, f *form) (authz.Presented, *refusal) {
	id, secret := f.value("client_id"), f.value("client_secret")
	assertion, assertionType := f.value("client_assertion"), f.value("client_assertion_type")
	switch {
	case !validID(id):
		return authz.Presented{}, malformedClientID
	case !validSecret(secret):
		return authz.Presented{}, malformedClientSecret
	case (len(assertion) == 0) != (len(assertionType) == 0):
		return authz.Presented{}, incompleteAssertion
	case methods(len(authorization) > 0, len(secret) > 0, len(assertion) > 0) > 1:
		return authz.Presented{}, severalMethods
	case len(authorization) > 0:
		return presentedInHeader(authorization[0], id)
	case len(assertion) > 0:
		return presentedAssertion(id, assertionType), nil
	case len(secret) > 0:
		return authz.Presented{Method: authz.PresentedPost, ID: authz.ClientID(id), Secret: authz.Secret(secret)}, nil
	case len(id) > 0:
		return authz.Presented{Method: authz.PresentedID, ID: authz.ClientID(id)}, nil
	}
	return authz.Presented{}, nil
}

func methods(used ...bool) (n int) {
	for _, u := range used {
		if u {
			n++
		}
	}
	return n
}

// presentedInHeader allows client_id beside Basic when it says the same (TOK-45).
func presentedInHeader(field string, id []byte) (authz.Presented, *refusal) {
	p := parseAuthorization(field)
	if p.Unusable == "" && len(id) > 0 && string(id) != string(p.ID) {
		return authz.Presented{}, contradictingClientID
	}
	return p, nil
}

// presentedAssertion is what a client that authenticates by assertion presents. No such method can
// be registered, so none is usable; the type decides only which cause the log shows.
func presentedAssertion(id, assertionType []byte) authz.Presented {
	p := authz.Presented{ID: authz.ClientID(id), Unusable: authz.CauseUnsupportedMethod}
	if string(assertionType) == assertionTypeJWT {
		p.Unusable = authz.CauseWrongMethod
	}
	return p
}

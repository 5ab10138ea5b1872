package endpoint

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/marque-auth/marque/authz"
)

// maxCredential bounds a client identifier and a secret, in octets (CLA-05).
const maxCredential = 255

// maxBasic bounds what two credentials, with every octet escaped, and a colon can take.
const maxBasic = 2*3*maxCredential + 1

// basicEncoding refuses a second spelling of the same octets (RFC 4648, Section 3.5).
var basicEncoding = base64.StdEncoding.Strict()

// parseAuthorization reads the one Authorization field of a request. What is not Basic, or not well
// formed, is not a defect of the request's syntax but a failed authentication (RFC 6749, Section
// 5.2): it comes back as Unusable, for the domain to refuse like every other failure.
func parseAuthorization(field string) authz.Presented {
	scheme, credentials, _ := strings.Cut(field, " ")
	if !strings.EqualFold(scheme, "Basic") { // RFC 9110, Section 11.1
		return authz.Presented{Unusable: authz.CauseUnsupportedScheme}
	}
	id, secret, ok := parseBasic(strings.TrimLeft(credentials, " "))
	if !ok {
		return authz.Presented{Unusable: authz.CauseMalformedCredentials}
	}
	return authz.Presented{Method: authz.PresentedBasic, ID: authz.ClientID(id), Secret: authz.Secret(secret)}
}

// parseBasic undoes RFC 6749, Section 2.3.1: base64, split at the first colon, form-decode both
// halves. An empty secret is well formed: that it never matches is for the domain to say.
func parseBasic(credentials string) (id, secret string, ok bool) {
	if len(credentials) > base64.StdEncoding.EncodedLen(maxBasic) {
		return "", "", false
	}
	var buf [maxBasic + 3]byte // decoding may look ahead by a quantum
	n, err := basicEncoding.Decode(buf[:], []byte(credentials))
	if err != nil {
		return "", "", false
	}
	rawID, rawSecret, found := bytes.Cut(buf[:n], []byte(":"))
	if !found {
		return "", "", false
	}
	decodedID, ok1 := formDecode(rawID)
	decodedSecret, ok2 := formDecode(rawSecret)
	if !ok1 || !ok2 || len(decodedID) == 0 || !validID(decodedID) || !validSecret(decodedSecret) {
		return "", "", false
	}
	return string(decodedID), string(decodedSecret), true
}

// validID checks RFC 6749, Appendix A.1: printable ASCII.
func validID(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return len(b) <= maxCredential
}

// validSecret checks CLA-05: UTF-8 without control characters. The text of RFC 6749, Appendix A.2
// allows ASCII alone; secrets that come from another server may be wider.
func validSecret(b []byte) bool {
	return len(b) <= maxCredential && checkText(b, false) == nil
}

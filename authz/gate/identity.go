package gate

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/marque-auth/marque/authz/verifier"
)

// The headers that name the caller. A 200 has each of them exactly once, empty where the token says nothing.
const (
	HeaderClientID = "Marque-Client-Id" // client_id: the caller
	HeaderSubject  = "Marque-Subject"   // sub: the same, unless the issuer has tokens that speak of others
	HeaderScope    = "Marque-Scope"     // the scopes that count here, separated by spaces
	HeaderTokenID  = "Marque-Token-Id"  // jti, for logs and replay checks
)

// IdentityHeaders returns the names of the headers that name the caller. A proxy must remove them from what comes in,
// in every spelling that the service behind it takes for the same.
func IdentityHeaders() []string {
	return []string{HeaderClientID, HeaderSubject, HeaderScope, HeaderTokenID}
}

// What the values may take, in bytes, as they are written. All of an answer's header fits into the 4 KiB that nginx
// has for it by default.
const (
	maxName  = 512
	maxScope = 1 << 10
)

// identify writes the identity headers. A value that is too long is an error: one that was cut off could be
// somebody else's.
func identify(h http.Header, t verifier.Token) error {
	scopes := t.Scopes()
	for i, s := range scopes {
		scopes[i] = escape(s)
	}
	for _, v := range []struct {
		name, value string
		most        int
	}{
		{HeaderClientID, escape(t.ClientID()), maxName},
		{HeaderSubject, escape(t.Subject()), maxName},
		{HeaderTokenID, escape(t.JTI()), maxName},
		{HeaderScope, strings.Join(scopes, " "), maxScope},
	} {
		if len(v.value) > v.most {
			return fmt.Errorf("%s takes %d bytes, more than %d", v.name, len(v.value), v.most)
		}
		h.Set(v.name, v.value)
	}
	return nil
}

// escape writes text so that no header can be made of it, no list, and no other text: what is not visible ASCII, and
// "%" and ",", is percent-encoded, as UTF-8. What an ordinary identifier consists of stays as it is.
func escape(s string) string {
	for i := 0; i < len(s); i++ {
		if !stays(s[i]) {
			return s[:i] + escaped(s[i:])
		}
	}
	return s
}

func escaped(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if stays(s[i]) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

func stays(c byte) bool { return c > ' ' && c < 0x7f && c != '%' && c != ',' }

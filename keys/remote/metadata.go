package remote

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/marque-auth/marque/keys/jose"
)

// errDocument says that the issuer answered, and that the answer cannot be right: waiting does not
// mend it.
var errDocument = errors.New("wrong metadata")

// metadataURL puts the well-known part between host and path, without the path's last slash: RFC
// 8414, Section 3.1.
func metadataURL(issuer *url.URL) string {
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	return issuer.Scheme + "://" + issuer.Host + "/.well-known/oauth-authorization-server" + path
}

// jwksURI reads a metadata document and returns where the keys are. Errors wrap errDocument.
func jwksURI(document []byte, issuer *url.URL, identifier string) (string, error) {
	var m struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := jose.StrictUnmarshal(document, &m, false); err != nil {
		return "", fmt.Errorf("%w: %w", errDocument, err)
	}
	// RFC 8414, Section 3.3: identical, or the document must not be used. Otherwise any issuer could
	// speak for any other.
	if m.Issuer != identifier {
		return "", fmt.Errorf("%w: the issuer in it is not %q", errDocument, identifier)
	}
	// An https issuer is not weakened by InsecureHTTP: its document must not send us to http.
	if _, err := parseURL(m.JWKSURI, issuer.Scheme == "http"); err != nil {
		return "", fmt.Errorf("%w: jwks_uri: %w", errDocument, err)
	}
	return m.JWKSURI, nil
}

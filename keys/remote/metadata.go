package remote

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/marque-auth/marque/keys/jose"
)

// ErrDocument says that the issuer answered, and that the answer cannot be right: waiting does not
// mend it.
var ErrDocument = errors.New("wrong metadata")

// metadataURL puts the well-known part between host and path, without the path's last slash: RFC
// 8414, Section 3.1.
func metadataURL(issuer *url.URL) string {
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	return issuer.Scheme + "://" + issuer.Host + "/.well-known/oauth-authorization-server" + path
}

// maxNamed is how much of a name that somebody else wrote is told, in bytes.
const maxNamed = 200

// named is the issuer that a document names, for a message: whoever wrote a wrong one into his configuration finds the
// right one there.
func named(issuer any) string {
	switch s, ok := issuer.(string); {
	case !ok:
		return "missing"
	case len(s) > maxNamed:
		return fmt.Sprintf("(%d bytes)", len(s))
	default:
		return fmt.Sprintf("%q", s)
	}
}

// jwksURI reads a metadata document and returns where the keys are. Errors wrap ErrDocument.
func jwksURI(document []byte, issuer *url.URL, identifier string) (string, error) {
	return memberURL(document, issuer, identifier, "jwks_uri")
}

// memberURL returns the URL that a metadata document has under that name. Errors wrap ErrDocument.
func memberURL(document []byte, issuer *url.URL, identifier, member string) (string, error) {
	var m map[string]any
	if err := jose.StrictUnmarshal(document, &m, false); err != nil {
		return "", fmt.Errorf("%w: %w", ErrDocument, err)
	}
	// RFC 8414, Section 3.3: identical, or the document must not be used. Otherwise any issuer could
	// speak for any other.
	if m["issuer"] != identifier {
		return "", fmt.Errorf("%w: the issuer in it is %s, not %q", ErrDocument, named(m["issuer"]), identifier)
	}
	uri, ok := m[member].(string)
	if !ok {
		return "", fmt.Errorf("%w: it has no %s", ErrDocument, member)
	}
	// An https issuer is not weakened by InsecureHTTP: its document must not send us to http.
	if _, err := parseURL(uri, issuer.Scheme == "http"); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrDocument, member, err)
	}
	return uri, nil
}

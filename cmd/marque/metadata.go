package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/marque-auth/marque/keys/jose"
)

// maxDocument bounds what is read of an issuer's documents, in bytes.
const maxDocument = 256 << 10

// metadata is what the commands need of an issuer's RFC 8414 document.
type metadata struct {
	Issuer             string `json:"issuer"`
	TokenEndpoint      string `json:"token_endpoint"`
	RevocationEndpoint string `json:"revocation_endpoint"`
	JWKSURI            string `json:"jwks_uri"`

	from *url.URL
}

// discover asks the issuer for its metadata: RFC 8414, Section 3.
func discover(ctx context.Context, issuer string) (metadata, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return metadata{}, err
	}
	u.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
	body, status, err := document(ctx, u.String())
	switch {
	case err != nil:
		return metadata{}, fmt.Errorf("ask the issuer for its metadata: %w", err)
	case status != "":
		return metadata{}, fmt.Errorf("%s answered %s: is %q the issuer identifier?", u, status, issuer)
	}
	var m metadata
	if err := jose.StrictUnmarshal(body, &m, false); err != nil {
		return metadata{}, fmt.Errorf("%s is no metadata document", u)
	}
	// RFC 8414, Section 3.3: otherwise any issuer could collect the secrets of another's clients.
	if m.Issuer != issuer {
		return metadata{}, fmt.Errorf("%s is the metadata of another issuer, %q; identifiers compare as strings", u, clean(m.Issuer))
	}
	m.from = u
	return m, nil
}

// endpoint checks the address that the document has for a member. What goes there may be a secret, so
// it is never less protected than the document was.
func (m metadata) endpoint(member, address string) (string, error) {
	to, err := url.Parse(address)
	if err != nil || to.Host == "" || (to.Scheme != "https" && to.Scheme != m.from.Scheme) {
		return "", fmt.Errorf("%s names no usable %s", m.from, member)
	}
	return address, nil
}

// document reads a document, or returns the status that is not 200.
func document(ctx context.Context, address string) (body []byte, status string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", err
	}
	client := outward()
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, resp.Status, nil
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	return body, "", err
}

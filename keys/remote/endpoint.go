package remote

import (
	"context"
	"fmt"
)

// Endpoint returns the URL that the issuer's metadata has under a name, such as introspection_endpoint
// (RFC 8414, Section 2). It asks once, for a document that is found, read and believed as for the
// keys; the URL is https, unless the issuer is not. An error that wraps ErrDocument says that the issuer
// answered, and that waiting does not mend the answer.
func Endpoint(ctx context.Context, c Config, member string) (string, error) {
	c, err := c.withDefaults()
	if err != nil {
		return "", err
	}
	src, release, err := newSource(c)
	if err != nil {
		return "", fmt.Errorf("remote: Issuer: %w", err)
	}
	defer release()
	body, _, err := src.get(ctx, metadataURL(src.issuer), "application/json")
	if err != nil {
		return "", fmt.Errorf("remote: fetch the metadata of %q: %w", c.Issuer, err)
	}
	uri, err := memberURL(body, src.issuer, src.identifier, member)
	if err != nil {
		return "", fmt.Errorf("remote: metadata of %q: %w", c.Issuer, err)
	}
	return uri, nil
}

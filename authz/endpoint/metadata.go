package endpoint

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	metadataPath = "/.well-known/oauth-authorization-server" // RFC 8414, Section 3: before the issuer's path
	aliasPath    = "/.well-known/openid-configuration"       // OpenID Connect Discovery, Section 4: after it
)

// metadata is the document of RFC 8414, Section 2. A member is absent until it is true, and never
// null or an empty array (Section 3.2). authorization_endpoint and its companions are absent because
// no grant here uses them.
type metadata struct {
	Issuer                            string             `json:"issuer"`
	TokenEndpoint                     string             `json:"token_endpoint"`
	JWKSURI                           string             `json:"jwks_uri"`
	GrantTypesSupported               []string           `json:"grant_types_supported"` // the default would be a lie
	TokenEndpointAuthMethodsSupported []authz.AuthMethod `json:"token_endpoint_auth_methods_supported"`
	IntrospectionEndpoint             string             `json:"introspection_endpoint"`

	// The access token of an administrator is one of the methods, under its type (RFC 8414, Section 2).
	IntrospectionEndpointAuthMethodsSupported []authz.AuthMethod `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionSigningAlgValuesSupported    []jose.Algorithm   `json:"introspection_signing_alg_values_supported"` // RFC 9701, Section 7

	RevocationEndpoint                     string             `json:"revocation_endpoint"`
	RevocationEndpointAuthMethodsSupported []authz.AuthMethod `json:"revocation_endpoint_auth_methods_supported"`

	// RevocationFeedEndpoint is a member of this project's own: no standard names such an endpoint.
	RevocationFeedEndpoint string `json:"revocation_feed_endpoint,omitempty"`

	ResponseTypesSupported []string `json:"response_types_supported,omitempty"`

	// What OpenID Connect Discovery, Section 3 adds, in the alias alone. The algorithms are those
	// of access tokens: libraries take their list of acceptable ones from this member.
	SubjectTypesSupported            []string         `json:"subject_types_supported,omitempty"`
	IDTokenSigningAlgValuesSupported []jose.Algorithm `json:"id_token_signing_alg_values_supported,omitempty"`
}

// placeholderResponseTypes is what stands where a library insists on response_types_supported: the
// registered type that answers with nothing.
func placeholderResponseTypes() []string { return []string{"none"} }

// secretMethods are the ways in which a client may authenticate itself, at every endpoint.
func secretMethods() []authz.AuthMethod {
	return []authz.AuthMethod{authz.AuthSecretBasic, authz.AuthSecretPost}
}

// newDocuments renders the metadata and its alias, once: they depend on configuration alone, never
// on a request (MET-05).
func newDocuments(c Config, iss issuer) (plain, alias document, err error) {
	m := metadata{
		Issuer:                            iss.id,
		TokenEndpoint:                     iss.origin + iss.path + tokenPath,
		JWKSURI:                           iss.origin + iss.path + jwksPath,
		GrantTypesSupported:               []string{authz.GrantClientCredentials},
		TokenEndpointAuthMethodsSupported: secretMethods(),
		IntrospectionEndpoint:             iss.origin + iss.path + introspectionPath,
		IntrospectionEndpointAuthMethodsSupported: append(secretMethods(), "Bearer"),
		IntrospectionSigningAlgValuesSupported:    c.SigningAlgorithms,
		RevocationEndpoint:                        iss.origin + iss.path + revocationPath,
		RevocationEndpointAuthMethodsSupported:    secretMethods(),
	}
	if c.Feed != nil {
		m.RevocationFeedEndpoint = iss.origin + iss.path + feedPath
	}
	if c.PlaceholderResponseTypes {
		m.ResponseTypesSupported = placeholderResponseTypes()
	}
	if plain, err = newDocument(m, c); err != nil {
		return document{}, document{}, err
	}
	m.ResponseTypesSupported = placeholderResponseTypes()
	m.SubjectTypesSupported = []string{"public"}
	m.IDTokenSigningAlgValuesSupported = c.SigningAlgorithms
	alias, err = newDocument(m, c)
	return plain, alias, err
}

func newDocument(m metadata, c Config) (document, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return document{}, fmt.Errorf("metadata: %w", err)
	}
	return document{media: mediaJSON, body: body, etag: newETag(body), maxAge: c.MetadataMaxAge}, nil
}

func (h *Handler) serveMetadata(c *call) answer { return h.metadata.answerTo(c.r) }

func (h *Handler) serveAlias(c *call) answer { return h.alias.answerTo(c.r) }

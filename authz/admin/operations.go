package admin

import "github.com/marque-auth/marque/authz/admin/internal/api"

// operation says what a request for it may carry, and how it fails. The generated code reads bodies and
// parameters leniently, so nothing reaches it that does not fit here.
type operation struct {
	query        []string // the query parameters that it has
	body         *shape   // nil: it takes none
	bodyOptional bool
	missing      string // the detail of 404
	conflict     string // the detail of 409
}

// What is missing, or in the way. None of it repeats what the caller sent.
const (
	noResource = "there is no such resource; identifiers compare as strings"
	noClient   = "there is no such client; identifiers compare as strings"
	noSecret   = "there is no such client, or it has no such secret"

	otherResource = "this resource is registered already, with other settings"
	otherClient   = "a client of this client_id or Idempotency-Key is registered already, with other settings"
	otherSecret   = "this Idempotency-Key has made another secret, or the client was changed meanwhile"
	clientChanged = "the client was changed meanwhile; repeat the request"
)

// operations lists every operation by its pattern; a test compares it with openapi.yaml.
func operations() map[string]operation {
	page := []string{"cursor", "limit"}
	return map[string]operation{
		"GET /admin/v1/resources":            {query: page},
		"POST /admin/v1/resources":           {body: shapeOf[api.ResourceDefinition](), conflict: otherResource},
		"GET /admin/v1/resources/{resource}": {missing: noResource},

		"GET /admin/v1/clients":                      {query: page},
		"POST /admin/v1/clients":                     {body: shapeOf[api.ClientMetadata]("scope", "default_scope"), conflict: otherClient},
		"GET /admin/v1/clients/{client_id}":          {missing: noClient},
		"POST /admin/v1/clients/{client_id}/disable": {missing: noClient, conflict: clientChanged},
		"POST /admin/v1/clients/{client_id}/enable":  {missing: noClient, conflict: clientChanged},

		"GET /admin/v1/clients/{client_id}/secrets": {missing: noClient},
		"POST /admin/v1/clients/{client_id}/secrets": {
			body: shapeOf[api.SecretOptions](), bodyOptional: true, missing: noClient, conflict: otherSecret,
		},
		"POST /admin/v1/clients/{client_id}/secrets/{credential_id}/revoke": {missing: noSecret, conflict: clientChanged},

		"GET /admin/v1/keys":         {},
		"POST /admin/v1/keys/rotate": {body: shapeOf[api.RotateOptions](), bodyOptional: true},
	}
}

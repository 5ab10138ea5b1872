package admin

import "github.com/marque-auth/marque/authz/admin/internal/api"

// operation says what a request for it may carry, and how it fails. The generated code reads bodies and
// parameters leniently, so nothing reaches it that does not fit here.
type operation struct {
	query        []string // the query parameters that it has
	ifMatch      bool     // it changes what others may have changed: If-Match is required
	named        bool     // it is an act with a name of its own: Idempotency-Key is required
	local        bool     // it is for callers on the unix socket alone
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
	noKey      = "there is no such signing key"
	noRefusal  = "this server remembers no refusal of this request; it keeps a bounded number, and none from before its start"
	noToken    = "this is no token of this server, or it has expired: there is nothing to revoke"
	noRefusals = "there is no such client, and this server remembers no refusal under that name"

	noBackup    = "the records of this server are not in an embedded store: they lie in Redis, and a copy is made there"
	manyBackups = "as many backups are being taken as may be at a time: wait until one has ended"
	noRoom      = "the disk of the data folder has no room for a second copy of the store: make room, and ask again"

	otherResource = "this resource is registered already, with other settings"
	otherClient   = "a client of this client_id or Idempotency-Key is registered already, with other settings"
	otherSecret   = "this Idempotency-Key has made another secret, or the client was changed meanwhile"
	clientChanged = "the client was changed meanwhile; repeat the request"

	otherKey = "a key is known once, and this one, or one of this kid, is here already, if only as withdrawn or revoked"

	resourceChanged   = "the resource was changed meanwhile; repeat the request"
	revocationChanged = "what is revoked was changed meanwhile; repeat the request"
)

// operations lists every operation by its pattern; a test compares it with openapi.yaml.
func operations() map[string]operation {
	page, search := []string{"cursor", "limit"}, []string{"cursor", "limit", "query"}
	revokeTokens := []string{"revoke_tokens"}
	return map[string]operation{
		"GET /admin/v1/resources":            {query: search},
		"POST /admin/v1/resources":           {body: shapeOf[api.ResourceDefinition]("resource"), conflict: otherResource},
		"GET /admin/v1/resources/{resource}": {missing: noResource},
		"PUT /admin/v1/resources/{resource}": {
			query: revokeTokens, ifMatch: true, body: shapeOf[api.ResourceUpdate](), missing: noResource, conflict: resourceChanged,
		},
		"DELETE /admin/v1/resources/{resource}": {ifMatch: true, missing: noResource, conflict: resourceChanged},

		"GET /admin/v1/clients":             {query: search},
		"POST /admin/v1/clients":            {body: shapeOf[api.ClientMetadata]("client_name", "scope", "default_scope"), conflict: otherClient},
		"GET /admin/v1/clients/{client_id}": {missing: noClient},
		"PUT /admin/v1/clients/{client_id}": {
			query: revokeTokens, ifMatch: true, body: shapeOf[api.ClientUpdate]("client_name", "scope", "default_scope"), missing: noClient, conflict: clientChanged,
		},
		"DELETE /admin/v1/clients/{client_id}":       {ifMatch: true, missing: noClient, conflict: clientChanged},
		"POST /admin/v1/clients/{client_id}/disable": {missing: noClient, conflict: clientChanged},
		"POST /admin/v1/clients/{client_id}/enable":  {missing: noClient, conflict: clientChanged},
		"GET /admin/v1/clients/{client_id}/refusals": {missing: noRefusals},

		"GET /admin/v1/clients/{client_id}/secrets": {missing: noClient},
		"POST /admin/v1/clients/{client_id}/secrets": {
			body: shapeOf[api.SecretOptions](), bodyOptional: true, missing: noClient, conflict: otherSecret,
		},
		"POST /admin/v1/clients/{client_id}/secrets/{credential_id}/revoke": {
			body: shapeOf[api.SecretRevocation](), bodyOptional: true, missing: noSecret, conflict: clientChanged,
		},

		"GET /admin/v1/keys":               {},
		"POST /admin/v1/keys/rotate":       {body: shapeOf[api.RotateOptions](), bodyOptional: true},
		"GET /admin/v1/keys/plan":          {},
		"POST /admin/v1/keys/import":       {body: shapeOf[api.KeyImport](), conflict: otherKey},
		"POST /admin/v1/keys/rewrap":       {},
		"POST /admin/v1/keys/revoke-all":   {named: true},
		"POST /admin/v1/keys/{kid}/revoke": {missing: noKey},

		"GET /admin/v1/revocations":    {query: page},
		"POST /admin/v1/revocations":   {body: shapeOf[api.RevocationRequest]("kind"), conflict: revocationChanged},
		"POST /admin/v1/tokens/revoke": {body: shapeOf[api.TokenRevocation](), missing: noToken, conflict: revocationChanged},

		"GET /admin/v1/refusals/{request_id}": {missing: noRefusal},
		"GET /admin/v1/audit":                 {query: []string{"cursor", "limit", "actor", "action", "target", "since", "revoked"}},
		"GET /admin/v1/status":                {},
		"GET /admin/v1/doctor":                {},
		"GET /admin/v1/backup":                {local: true},
	}
}

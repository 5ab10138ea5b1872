package store_test

// storedForms are the bodies of format 3, one of each kind with every member set. They are written
// down here so that no change of a Go type changes them unnoticed.
var storedForms = map[string]string{
	"audit":           `{"format":2,"time":"2026-11-05T12:30:00.000000005Z","actor":{"kind":"uid","id":"0"},"action":"client.create","target":"acme","reason":"why","request_id":"r","result":"done","before":{"disabled":false},"after":{"disabled":true,"name":"\u0041é"}}`,
	"bare audit":      `{"format":2,"time":"2026-11-05T12:30:00.000000005Z","actor":{"kind":"uid","id":"0"},"action":"client.create","target":"acme","reason":"why","request_id":"r","result":"done"}`,
	"bare client":     `{"name":"","token_endpoint_auth_method":""}`,
	"bare revocation": `{"actor":{"kind":"","id":""}}`,
	"client":          `{"deleted_at":"2026-11-05T13:30:00Z","name":"Acme \"Fulfilment\" GmbH & Söhne <é>","disabled":true,"token_endpoint_auth_method":"client_secret_basic","grant_types":["client_credentials","urn:ietf:params:oauth:grant-type:token-exchange"],"scope":"a/b?c=d orders:read orders:write","default_scope":"orders:read","resources":["https://fulfilment.example","https://b.example/p?q=1"],"default_resource":"https://fulfilment.example","serves":["https://own.example"],"token_lifetime":300,"claims":[{"name":"a/deep","value":{"x":[1,2.50,-3e2,null,true],"y":"\u0041é"}},{"name":"a/text","value":"\u003c"}],"credentials":[{"id":"cred-1-acme","scheme":"hmac-sha256","digest":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQA=","generated":true,"not_before":"2026-11-05T11:30:00Z","expires":"2026-11-05T13:30:00Z","revoked_at":"2026-11-05T12:30:00.000000001Z","created_at":"2026-11-05T12:30:00Z"},{"id":"cred-2-acme","scheme":"other"}],"created_at":"2026-11-05T12:30:00Z","updated_at":"2026-11-05T12:31:00Z","admin":true,"introspection_signed_response_alg":"Ed25519"}`,
	"credential":      `{"client_id":"acme"}`,
	"installation":    `{"format":1,"id":"i","issuer":"https://auth.example/é","dev":true,"kek_id":"kek-1","pepper":"eyJ.pepper","record_key":"eyJ.record","mac":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQA=","created_at":"2026-11-05T12:30:00Z"}`,
	"resource":        `{"deleted_at":"2026-11-05T13:30:00Z","scope":"orders:read orders:write","token_lifetime":600,"algorithm":"Ed25519","token_type":"at+jwt","created_at":"2026-11-05T12:30:00Z","updated_at":"2026-11-05T12:31:00Z","previous_algorithm":"RS256","algorithm_from":"2026-11-06T13:30:00Z"}`,
	"revocation":      `{"since":"2026-11-05T11:30:00Z","before":"2026-11-05T12:30:01Z","until":"2126-11-05T12:30:00Z","client_id":"acme","actor":{"kind":"client","id":"ops: é"},"reason":"because of \"that\" ","created_at":"2026-11-05T12:30:00.000000001Z"}`,
	"bare resource":   `{"token_lifetime":0,"algorithm":"","token_type":""}`,
	"bare ring":       `{}`,
	"ring":            `{"keys":[{"kid":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs","alg":"ES256","wire_alg":"ES256","public":"eyJrdHkiOiJFQyIsICAiY3J2IjoiUC0yNTYifQ==","sealed":"eyJhbGciOiJBMjU2R0NNS1cifQ.a.b.c.d","created_at":"2026-11-05T12:30:00Z","published_at":"2026-11-05T12:30:01Z","sign_from":"2026-11-05T13:30:00Z","withdraw_at":"2026-11-05T14:30:00Z","publish_lead":86400,"retire_after":4200,"revoked_at":"2026-11-05T14:00:00Z","imported":true},{"kid":"second","alg":"","wire_alg":""}],"emergency":{"id":"e-1: é","at":"2026-11-05T13:50:00Z"}}`,
}

// secondForms are the bodies of format 2, which are read for ever. Audit entries and the installation record
// count their own formats.
var secondForms = map[string]string{
	"bare client":     `{"name":"","token_endpoint_auth_method":""}`,
	"bare revocation": `{"actor":{"kind":"","id":""}}`,
	"client":          `{"deleted_at":"2026-11-05T13:30:00Z","name":"Acme \"Fulfilment\" GmbH & Söhne <é>","disabled":true,"token_endpoint_auth_method":"client_secret_basic","grant_types":["client_credentials","urn:ietf:params:oauth:grant-type:token-exchange"],"scope":"a/b?c=d orders:read orders:write","default_scope":"orders:read","resources":["https://fulfilment.example","https://b.example/p?q=1"],"default_resource":"https://fulfilment.example","serves":["https://own.example"],"token_lifetime":300,"claims":[{"name":"a/deep","value":{"x":[1,2.50,-3e2,null,true],"y":"\u0041é"}},{"name":"a/text","value":"\u003c"}],"credentials":[{"id":"cred-1-acme","scheme":"hmac-sha256","digest":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQA=","generated":true,"not_before":"2026-11-05T11:30:00Z","expires":"2026-11-05T13:30:00Z","revoked_at":"2026-11-05T12:30:00.000000001Z","created_at":"2026-11-05T12:30:00Z"},{"id":"cred-2-acme","scheme":"other"}],"created_at":"2026-11-05T12:30:00Z","updated_at":"2026-11-05T12:31:00Z","admin":true,"introspection_signed_response_alg":"Ed25519"}`,
	"credential":      `{"client_id":"acme"}`,
	"resource":        `{"deleted_at":"2026-11-05T13:30:00Z","scope":"orders:read orders:write","token_lifetime":600,"algorithm":"Ed25519","token_type":"at+jwt","created_at":"2026-11-05T12:30:00Z","updated_at":"2026-11-05T12:31:00Z"}`,
	"revocation":      `{"since":"2026-11-05T11:30:00Z","before":"2026-11-05T12:30:01Z","until":"2126-11-05T12:30:00Z","client_id":"acme","actor":{"kind":"client","id":"ops: é"},"reason":"because of \"that\" ","created_at":"2026-11-05T12:30:00.000000001Z"}`,
	"ring":            `{"keys":[{"kid":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs","alg":"ES256","wire_alg":"ES256","public":"eyJrdHkiOiJFQyIsICAiY3J2IjoiUC0yNTYifQ==","sealed":"eyJhbGciOiJBMjU2R0NNS1cifQ.a.b.c.d","created_at":"2026-11-05T12:30:00Z","published_at":"2026-11-05T12:30:01Z","sign_from":"2026-11-05T13:30:00Z","withdraw_at":"2026-11-05T14:30:00Z","publish_lead":86400,"retire_after":4200,"revoked_at":"2026-11-05T14:00:00Z"},{"kid":"second","alg":"","wire_alg":""}]}`,
}

// firstForms are the bodies of format 1, which are read for ever.
var firstForms = map[string]string{
	"audit":        `{"format":1,"time":"2026-11-05T12:30:00.000000005Z","actor":{"kind":"uid","id":"0"},"action":"client.create","target":"acme","reason":"why","request_id":"r","result":"done"}`,
	"bare client":  `{"name":"","token_endpoint_auth_method":""}`,
	"client":       `{"name":"Acme \"Fulfilment\" GmbH & Söhne <é>","disabled":true,"token_endpoint_auth_method":"client_secret_basic","grant_types":["client_credentials","urn:ietf:params:oauth:grant-type:token-exchange"],"scope":"a/b?c=d orders:read orders:write","default_scope":"orders:read","resources":["https://fulfilment.example","https://b.example/p?q=1"],"default_resource":"https://fulfilment.example","serves":["https://own.example"],"token_lifetime":300,"claims":[{"name":"a/deep","value":{"x":[1,2.50,-3e2,null,true],"y":"\u0041é"}},{"name":"a/text","value":"\u003c"}],"credentials":[{"id":"cred-1-acme","scheme":"hmac-sha256","digest":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQA=","generated":true,"not_before":"2026-11-05T11:30:00Z","expires":"2026-11-05T13:30:00Z","revoked_at":"2026-11-05T12:30:00.000000001Z","created_at":"2026-11-05T12:30:00Z"},{"id":"cred-2-acme","scheme":"other"}],"created_at":"2026-11-05T12:30:00Z","updated_at":"2026-11-05T12:31:00Z"}`,
	"credential":   `{"client_id":"acme"}`,
	"installation": `{"format":1,"id":"i","issuer":"https://auth.example/é","dev":true,"kek_id":"kek-1","pepper":"eyJ.pepper","record_key":"eyJ.record","mac":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQA=","created_at":"2026-11-05T12:30:00Z"}`,
	"resource":     `{"scope":"orders:read orders:write","token_lifetime":600,"algorithm":"Ed25519","token_type":"at+jwt","created_at":"2026-11-05T12:30:00Z","updated_at":"2026-11-05T12:31:00Z"}`,
	"ring":         `{"keys":[{"kid":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs","alg":"ES256","wire_alg":"ES256","public":"eyJrdHkiOiJFQyIsICAiY3J2IjoiUC0yNTYifQ==","sealed":"eyJhbGciOiJBMjU2R0NNS1cifQ.a.b.c.d","created_at":"2026-11-05T12:30:00Z","published_at":"2026-11-05T12:30:01Z","sign_from":"2026-11-05T13:30:00Z","withdraw_at":"2026-11-05T14:30:00Z","publish_lead":86400,"retire_after":4200},{"kid":"second","alg":"","wire_alg":""}]}`,
}

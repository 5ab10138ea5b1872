// Package client calls the management API. Everything but [NewUnix] is generated from openapi.yaml.
//
// The WithResponse methods of [ClientWithResponses] parse answers: exactly one of the JSON200, JSON201
// and ApplicationproblemJSONDefault fields is set. What the API holds as a client of the server, in the
// sense of OAuth, is a [RegisteredClient]; [Client] is the HTTP client.
package client

//go:generate go tool oapi-codegen -config config.yaml -o client.gen.go ../openapi.yaml

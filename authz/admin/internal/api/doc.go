// Package api is the server's side of the management API, generated from openapi.yaml: the types of
// bodies, the routes, and one typed answer for each status that the document declares, so that an
// answer which it does not declare does not compile.
//
// Its own reading of bodies is more lenient than ours; package admin reads them strictly before it.
package api

//go:generate go tool oapi-codegen -config config.yaml -o api.gen.go ../../openapi.yaml

// Package admin serves the management API over HTTP. The contract is openapi.yaml; the routes and the
// types of bodies are generated from it, and every operation is one call of an authz.Registry or of a
// key ring.
//
// [New] returns the handler. It answers only callers whose user id the kernel vouches for, so it
// belongs behind [ListenUnix] and a server whose ConnContext is [ConnContext]. [NewTCP] returns the
// handler for the same API over TCP, where callers bring an access token of this server.
//
// What a request walks through, in handler.go: who calls (actor.go; tcp.go and bearer.go), which
// operation, is it well-formed (gate.go, body.go, match.go), then the operation itself (resources.go,
// clients.go, secrets.go, keys.go, revocations.go, diagnosis.go), and on any failure problem.go.
package admin

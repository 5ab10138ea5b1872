// Package endpoint is OAuth over HTTP: the endpoints for tokens, introspection and revocation, the
// JWKS, the metadata and the two health checks. It turns bytes into an [authz.Request] (or an
// [authz.IntrospectRequest], or an [authz.RevokeRequest]) and what came of it into an answer, and
// decides nothing itself.
//
// A request passes through one pipeline. [Handler.ServeHTTP] gives it an identifier and finds its
// route by the exact spelling of the path; the three endpoints that take a form read it strictly
// (post.go, form.go, basic.go, bearer.go, presented.go) so that whatever two programs might read
// differently is refused before anyone looks at it; [Tokens] judges it; and reply.go, the only place that sets a status, a header field or a
// body, writes the answer. Every refusal is logged once, with its cause, and remembered for the
// admin; every answer is counted. None of the three says anything of the request that it refuses.
package endpoint

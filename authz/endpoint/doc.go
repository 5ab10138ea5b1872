// Package endpoint is OAuth over HTTP: the token endpoint, the JWKS, the metadata and the two
// health checks. It turns bytes into an [authz.Request] and what came of it into an answer, and
// decides nothing itself.
//
// A request passes through one pipeline. [Handler.ServeHTTP] gives it an identifier and finds its
// route by the exact spelling of the path; the token route reads it strictly (form.go, basic.go,
// presented.go) so that whatever two programs might read differently is refused before anyone looks
// at it; [Tokens] judges it; and reply.go, the only place that sets a status, a header field or a
// body, writes the answer. Every refusal is logged once, with its cause, and says nothing of the
// request.
package endpoint

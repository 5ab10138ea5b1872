// Package gate answers proxies that ask whether a request may go on: nginx's auth_request, Traefik's ForwardAuth,
// Envoy's HTTP ext_authz, HAProxy. It is a verifier.Verifier behind one path for each requirement, so that a service
// in any language has the same check, and the same answers, as one in Go.
//
// What a request needs stands in the path that the proxy calls, and the proxy's configuration writes it there:
//
//	/require/orders:read/-/            a good token with the scope orders:read
//	/require/orders:read/orders:ship/-/  with both scopes
//	/require/-/                        any good token
//	/auth_request/orders:read/-/       the same, answered so that nginx understands it
//	/require/orders:read/+/            the same, and open while nothing is heard of the issuer, if the Verifier may
//	                                   be: see verifier.SilentOpen
//
// The single "-", or "+", ends the requirement. What follows it is the caller's (Envoy appends the path that it was asked for)
// and means nothing, nor does any header but Authorization. The query is looked at for a token in the wrong place
// only. A path of any other form is refused.
//
// Where the caller may pass, the answer is 200 and names the caller in headers that the proxy hands on: see
// [IdentityHeaders]. Every other answer is the one of RFC 6750 for the caller: see verifier.Require.
package gate

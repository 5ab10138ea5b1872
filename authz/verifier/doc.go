// Package verifier protects a service with the access tokens of an authorization server: it finds
// the issuer's keys, checks every token by RFC 9068, Section 4, and answers callers as RFC 6750 wants.
//
//	v, err := verifier.New(ctx, verifier.Config{Issuer: "https://as.example", Audience: "https://api.example"})
//	…
//	defer v.Close()
//	mux.Handle("GET /orders", v.Require("orders:read")(orders))
//
// A handler behind [Verifier.Require] gets the verified [Token] by [FromContext]; nothing unverified
// is within its reach. What is not HTTP calls [Verifier.Verify].
//
// Verification is local: no request leaves the service for a token, and keys are fetched off the
// path of requests. A token that was revoked therefore works until it expires, unless the service
// follows the issuer's revocations ([Feed]), knows of them otherwise (Config.Revoked), or has the issuer asked
// about every token ([Introspection]).
//
// Three outcomes are kept apart: the token is good; it is refused for good, which is [ErrToken] and
// 401; it could not be judged, because the issuer's keys, or what it revoked, cannot be had, which is any other
// error and 503. Callers learn nothing of why a token was refused; the log does, and [Config].OnVerdict.
//
// Package verifiertest issues tokens for tests of services.
package verifier

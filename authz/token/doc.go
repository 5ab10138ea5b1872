// Package token is what an access token says, and the one strict check of it.
//
// The server writes tokens with [Claims.AppendJSON]; services read them with [Checker], which is RFC
// 9068, Section 4, and nothing weaker: a compact JWS of the right type, signed by a key of the
// issuer with an allowed algorithm, for this audience, within its time, and without a restriction
// that the caller cannot honour. Every refusal is one public answer, [ErrToken]; why it happened is
// a [Reason] from a closed list, for the log only.
//
// Whether a token was withdrawn since is another question, with one answer for everybody who asks it:
// [Void], over the revocations that a store found or that an [Index] holds in memory.
//
// The package is a leaf above keys/jose. It does no I/O, and but for an Index holds no state: the clock
// and the lookup of keys are given to it. Everything in it may be used concurrently.
package token

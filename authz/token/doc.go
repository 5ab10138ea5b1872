// Package token is what an access token says, and the one strict check of it.
//
// The server writes tokens with [Claims.AppendJSON]; services read them with [Checker], which is RFC
// 9068, Section 4, and nothing weaker: a compact JWS of the right type, signed by a key of the
// issuer with an allowed algorithm, for this audience, within its time, and without a restriction
// that the caller cannot honour. Every refusal is one public answer, [ErrToken]; why it happened is
// a [Reason] from a closed list, for the log only.
//
// The package is a leaf above keys/jose. It does no I/O and holds no state: the clock and the lookup
// of keys are given to it. Everything in it may be used concurrently.
package token

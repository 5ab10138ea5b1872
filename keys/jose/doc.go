// Package jose is the strict JOSE kernel: it signs and verifies compact JWS (RFC 7515), reads and
// writes JWKs and JWK sets (RFC 7517), and seals secrets as compact JWE (RFC 7516). It is the only
// package that imports a JOSE library, and it asks of that library nothing but primitives.
//
// A token comes in as a string of a stranger's choice. [Verify] looks at its size and alphabet
// before it allocates anything, reads a header of exactly three members, asks the caller for the
// one key that the header names, insists that key and header agree on the algorithm, checks the
// signature over the octets as they came, and only then decodes the payload. Claims are not its
// business: it returns octets that somebody signed, which the caller reads with [StrictUnmarshal].
//
// A token goes out through a [Signer], which wraps any [crypto.Signer], so that a key may live in a
// device. A [PublicKey] is one key for one algorithm; a [Set] is what a JWKS document holds.
// [Seal] and [Open] keep private keys and other secrets at rest under a [KEK].
//
// Everything here is safe for concurrent use, has no package-level state, does no I/O, and reads no
// clock. Errors never contain octets of a token, a key or a secret.
package jose

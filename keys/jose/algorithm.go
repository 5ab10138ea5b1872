package jose

import (
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

// Algorithm is a JWS signature algorithm by its registered, case-sensitive name.
type Algorithm string

// The algorithms of this server. [EdDSA] is the older wire name of [Ed25519] (RFC 9864, Section 2.2)
// and never a choice of its own: it is accepted only with an Ed25519 key.
const (
	ES256   Algorithm = "ES256"   // ECDSA, P-256, SHA-256: RFC 7518, Section 3.4
	ES384   Algorithm = "ES384"   // ECDSA, P-384, SHA-384: RFC 7518, Section 3.4
	RS256   Algorithm = "RS256"   // RSASSA-PKCS1-v1_5, SHA-256: RFC 7518, Section 3.3
	PS256   Algorithm = "PS256"   // RSASSA-PSS, SHA-256, 32 octets of salt: RFC 7518, Section 3.5
	Ed25519 Algorithm = "Ed25519" // RFC 9864, Section 2.2
	EdDSA   Algorithm = "EdDSA"   // RFC 8037, Section 3.1
)

// ParseAlgorithm returns the canonical algorithm that s names: one of the six names, exactly, with
// [EdDSA] turned into [Ed25519]. Anything else, none among it, is an error that wraps [ErrAlgorithm].
func ParseAlgorithm(s string) (Algorithm, error) {
	a := Algorithm(s)
	if !a.known() {
		return "", fmt.Errorf("%w: not one of ES256, ES384, RS256, PS256, Ed25519, EdDSA", ErrAlgorithm)
	}
	return a.Canonical(), nil
}

// Algorithms returns the canonical name of each algorithm that can be chosen.
func Algorithms() []Algorithm { return []Algorithm{ES256, ES384, RS256, PS256, Ed25519} }

// Canonical returns a, or [Ed25519] for [EdDSA].
func (a Algorithm) Canonical() Algorithm {
	if a == EdDSA {
		return Ed25519
	}
	return a
}

func (a Algorithm) known() bool {
	switch a {
	case ES256, ES384, RS256, PS256, Ed25519, EdDSA:
		return true
	}
	return false
}

// primitive returns the library's name of a. The library predates RFC 9864.
func (a Algorithm) primitive() jwa.SignatureAlgorithm {
	if a.Canonical() == Ed25519 {
		return jwa.EdDSA
	}
	return jwa.SignatureAlgorithm(a)
}

// in reports whether list has a, whichever of its wire names is used.
func (a Algorithm) in(list []Algorithm) bool {
	for _, b := range list {
		if a.Canonical() == b.Canonical() {
			return true
		}
	}
	return false
}

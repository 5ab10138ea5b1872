package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
)

// verify checks the signature over input. Lengths and ranges are checked here and do not depend on
// the library (RFC 8725, Section 3.4).
func (k *PublicKey) verify(input, signature []byte) error {
	if len(signature) != k.signatureSize() {
		return ErrSignature
	}
	switch raw := k.raw.(type) {
	case *ecdsa.PublicKey:
		c, ok := curveFor(k.algorithm)
		if !ok || !c.inScalarRange(signature[:c.size]) || !c.inScalarRange(signature[c.size:]) {
			return ErrSignature
		}
	case *rsa.PublicKey:
		if k.algorithm == PS256 {
			return verifyPSS(raw, input, signature)
		}
	}
	if err := k.verifier.Verify(input, signature, k.raw); err != nil {
		return ErrSignature
	}
	return nil
}

// verifyPSS does by itself what the library does not: it takes a salt of any length, where RFC 7518,
// Section 3.5 says 32 octets.
func verifyPSS(pub *rsa.PublicKey, input, signature []byte) error {
	digest := sha256.Sum256(input)
	opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	if err := rsa.VerifyPSS(pub, crypto.SHA256, digest[:], signature, opts); err != nil {
		return ErrSignature
	}
	return nil
}

// signatureSize returns the octets of every signature of k.
func (k *PublicKey) signatureSize() int {
	switch raw := k.raw.(type) {
	case *ecdsa.PublicKey:
		c, _ := curveFor(k.algorithm)
		return 2 * c.size // RFC 7518, Section 3.4: r and s, not DER
	case *rsa.PublicKey:
		return raw.Size()
	}
	return ed25519.SignatureSize // RFC 8037, Section 3.1
}

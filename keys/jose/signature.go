package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"slices"
)

// verify checks the signature over input. Lengths and ranges are checked here and do not depend on
// the library (RFC 8725, Section 3.4), which is the standard one: README.md says why.
func (k *PublicKey) verify(input, signature []byte) error {
	if len(signature) != k.signatureSize() {
		return ErrSignature
	}
	good := false
	switch pub := k.raw.(type) {
	case *ecdsa.PublicKey:
		good = k.verifyEC(pub, input, signature)
	case *rsa.PublicKey:
		digest := sha256.Sum256(input)
		if k.algorithm == PS256 {
			// RFC 7518, Section 3.5: a salt of 32 octets, no other.
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
			good = rsa.VerifyPSS(pub, crypto.SHA256, digest[:], signature, opts) == nil
		} else {
			good = rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], signature) == nil
		}
	case ed25519.PublicKey:
		good = ed25519.Verify(pub, input, signature)
	}
	if !good {
		return ErrSignature
	}
	return nil
}

// verifyEC takes a signature of the right length.
func (k *PublicKey) verifyEC(pub *ecdsa.PublicKey, input, signature []byte) bool {
	c, ok := curveFor(k.algorithm)
	if !ok {
		return false
	}
	r, s := signature[:c.size], signature[c.size:]
	if !c.inScalarRange(r) || !c.inScalarRange(s) {
		return false
	}
	if k.algorithm == ES384 {
		digest := sha512.Sum384(input)
		return ecdsa.VerifyASN1(pub, digest[:], appendSignature(nil, r, s))
	}
	digest := sha256.Sum256(input)
	return ecdsa.VerifyASN1(pub, digest[:], appendSignature(nil, r, s))
}

// appendSignature appends the DER of r and s (RFC 3279, Section 2.2.3), big-endian and not zero, of at most
// maxPointSize octets each, so that every length fits one octet.
func appendSignature(der, r, s []byte) []byte {
	der = slices.Grow(der, 2+2*(2+1+maxPointSize))
	start := len(der)
	der = appendInteger(appendInteger(append(der, 0x30, 0), r), s)
	der[start+1] = byte(len(der) - start - 2)
	return der
}

func appendInteger(der, n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	if n[0] >= 0x80 { // it would be negative
		der = append(der, 2, byte(len(n)+1), 0)
	} else {
		der = append(der, 2, byte(len(n)))
	}
	return append(der, n...)
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

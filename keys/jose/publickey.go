package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
)

// Bounds of RSA keys (ALG-05). Below is too weak (RFC 7518, Section 3.3); above, one check of a
// stranger's signature costs too much: a modulus of 65,536 bits takes over a second.
const (
	minRSABits  = 2048
	maxRSABits  = 4096
	rsaExponent = 65537
)

// PublicKey is one public key for one algorithm (RFC 8725, Section 3.1). It is immutable and safe for
// concurrent use, and the key in it has been validated.
type PublicKey struct {
	keyID      string
	algorithm  Algorithm // canonical
	thumbprint string
	bare       []byte // the required members alone: RFC 7638, Section 3
	raw        crypto.PublicKey
}

// NewPublicKey returns pub for use with alg. An empty kid becomes the key's thumbprint. pub is an
// *ecdsa.PublicKey on P-256 (ES256) or on P-384 (ES384), an *rsa.PublicKey of 2048 to 4096 bits with
// exponent 65537 (RS256, PS256), or an ed25519.PublicKey (Ed25519); it is copied. Errors wrap [ErrKey].
func NewPublicKey(kid string, alg Algorithm, pub crypto.PublicKey) (*PublicKey, error) {
	if !alg.known() {
		return nil, fmt.Errorf("%w: unknown algorithm", ErrKey)
	}
	k := &PublicKey{keyID: kid, algorithm: alg.Canonical()}
	var err error
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		err = k.setEC(pub)
	case *rsa.PublicKey:
		err = k.setRSA(pub)
	case ed25519.PublicKey:
		err = k.setEd25519(pub)
	default:
		err = fmt.Errorf("%w: a %T cannot verify signatures", ErrKey, pub)
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(k.bare)
	k.thumbprint = strictBase64.EncodeToString(sum[:])
	if k.keyID == "" {
		k.keyID = k.thumbprint
	}
	if !plainText(k.keyID, MaxKeyIDLength) {
		return nil, fmt.Errorf("%w: kid too long, or of other than printable characters", ErrKey)
	}
	return k, nil
}

// KeyID returns the kid.
func (k *PublicKey) KeyID() string { return k.keyID }

// Algorithm returns the one algorithm of k, canonical: Ed25519, never EdDSA.
func (k *PublicKey) Algorithm() Algorithm { return k.algorithm }

// Thumbprint returns the SHA-256 thumbprint of RFC 7638, in base64url.
func (k *PublicKey) Thumbprint() string { return k.thumbprint }

// Raw returns a copy of the key in the form that [NewPublicKey] takes.
func (k *PublicKey) Raw() crypto.PublicKey {
	switch raw := k.raw.(type) {
	case *ecdsa.PublicKey:
		point, err := raw.Bytes()
		if err != nil {
			return nil // it was valid when it came in
		}
		c, err := ecdsa.ParseUncompressedPublicKey(raw.Curve, point)
		if err != nil {
			return nil
		}
		return c
	case *rsa.PublicKey:
		return &rsa.PublicKey{N: new(big.Int).Set(raw.N), E: raw.E}
	case ed25519.PublicKey:
		return slices.Clone(raw)
	}
	return nil
}

// BareJWK returns the JWK of the required members alone, in the order and form that RFC 7638,
// Section 3 hashes: no kid, no alg, no use. [ParsePublicJWK] reads it back.
func (k *PublicKey) BareJWK() []byte { return slices.Clone(k.bare) }

// JWK returns the JWK as a JWKS shows it: the required members in the order of [PublicKey.BareJWK],
// then use, alg and kid. wireAlg is the name that alg takes, k's own or, for Ed25519, EdDSA.
// It holds public members only, because nothing else is within its reach (JWK-03).
func (k *PublicKey) JWK(wireAlg Algorithm) ([]byte, error) {
	if !wireAlg.known() || wireAlg.Canonical() != k.algorithm {
		return nil, fmt.Errorf("%w: a key for %s cannot be announced under another name", ErrKey, k.algorithm)
	}
	b := make([]byte, 0, len(k.bare)+len(k.keyID)+64)
	b = append(b, k.bare[:len(k.bare)-1]...)
	b = append(b, `,"use":"sig","alg":"`...)
	b = append(b, wireAlg...)
	b = append(b, `","kid":"`...)
	b = append(b, k.keyID...) // plain text: nothing to escape
	return append(b, `"}`...), nil
}

// PEM returns the key as SubjectPublicKeyInfo in a PEM block PUBLIC KEY (RFC 7468, Section 13), for
// validators that read no JWK. It says neither kid nor algorithm.
func (k *PublicKey) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.raw)
	if err != nil {
		return nil // it was valid when it came in
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// setEC takes a key on the curve that the algorithm names: RFC 7518, Section 3.4 (ALG-04).
func (k *PublicKey) setEC(pub *ecdsa.PublicKey) error {
	c, ok := curveFor(k.algorithm)
	if pub == nil || !ok || pub.Curve != c.Curve {
		return fmt.Errorf("%w: an EC key is for ES256 and on P-256, or for ES384 and on P-384", ErrKey)
	}
	//lint:ignore SA1019 Bytes panics without coordinates, and there is no other way to ask
	if pub.X == nil || pub.Y == nil {
		return fmt.Errorf("%w: not a point of the curve", ErrKey)
	}
	point, err := pub.Bytes() // refuses what is not on the curve
	if err != nil {
		return fmt.Errorf("%w: not a point of the curve", ErrKey)
	}
	raw, err := ecdsa.ParseUncompressedPublicKey(c.Curve, point)
	if err != nil {
		return fmt.Errorf("%w: not a point of the curve", ErrKey)
	}
	// RFC 7518, Section 6.2.1.2: coordinates keep their leading zeros.
	b := append([]byte(nil), `{"crv":"`+c.name+`","kty":"EC","x":"`...)
	b = strictBase64.AppendEncode(b, point[1:1+c.size])
	b = append(b, `","y":"`...)
	b = strictBase64.AppendEncode(b, point[1+c.size:])
	k.bare, k.raw = append(b, `"}`...), raw
	return nil
}

// setRSA takes an RSA key within bounds.
func (k *PublicKey) setRSA(pub *rsa.PublicKey) error {
	if pub == nil || pub.N == nil || k.algorithm != RS256 && k.algorithm != PS256 {
		return fmt.Errorf("%w: an RSA key is for RS256 or PS256", ErrKey)
	}
	if n := pub.N.BitLen(); pub.N.Sign() <= 0 || n < minRSABits || n > maxRSABits || pub.N.Bit(0) == 0 {
		return fmt.Errorf("%w: an RSA modulus is odd and has %d to %d bits", ErrKey, minRSABits, maxRSABits)
	}
	if pub.E != rsaExponent {
		return fmt.Errorf("%w: an RSA exponent is %d", ErrKey, rsaExponent)
	}
	// RFC 7518, Section 6.3.1: no leading zeros. The exponent is always AQAB.
	e := binary.BigEndian.AppendUint32(nil, uint32(pub.E))[1:]
	b := append([]byte(nil), `{"e":"`...)
	b = strictBase64.AppendEncode(b, e)
	b = append(b, `","kty":"RSA","n":"`...)
	b = strictBase64.AppendEncode(b, pub.N.Bytes())
	k.bare = append(b, `"}`...)
	k.raw = &rsa.PublicKey{N: new(big.Int).Set(pub.N), E: pub.E}
	return nil
}

// setEd25519 takes an Ed25519 key: RFC 8037, Section 2.
func (k *PublicKey) setEd25519(pub ed25519.PublicKey) error {
	if k.algorithm != Ed25519 {
		return fmt.Errorf("%w: an Ed25519 key is for Ed25519", ErrKey)
	}
	if err := checkEd25519(pub); err != nil {
		return err
	}
	b := append([]byte(nil), `{"crv":"Ed25519","kty":"OKP","x":"`...)
	b = strictBase64.AppendEncode(b, pub)
	k.bare, k.raw = append(b, `"}`...), slices.Clone(pub)
	return nil
}

// keyType returns what tells keys of one kid apart: kty, and crv where kty leaves a choice.
func (k *PublicKey) keyType() string {
	switch k.algorithm {
	case ES256, ES384:
		c, _ := curveFor(k.algorithm)
		return "EC " + c.name
	case Ed25519:
		return "OKP"
	}
	return "RSA"
}

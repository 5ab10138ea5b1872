package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// The standard library turns DER into keys. What it does not look at is looked at here: octets after
// the structure, the public key beside the private one, and the size of RSA numbers, which is settled
// before anything is computed with them.

// pkcs8 is OneAsymmetricKey: RFC 5958, Section 2.
type pkcs8 struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
	Attributes asn1.RawValue  `asn1:"optional,tag:0"`
	PublicKey  asn1.BitString `asn1:"optional,tag:1"`
}

// sec1 is ECPrivateKey: RFC 5915, Section 3.
type sec1 struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.RawValue  `asn1:"optional,explicit,tag:0"` // a name, or all the curve's numbers
	PublicKey  asn1.BitString `asn1:"optional,explicit,tag:1"`
}

// pkcs1 is RSAPrivateKey: RFC 8017, Appendix A.1.2.
type pkcs1 struct {
	Version              int
	N, E, D, P, Q        *big.Int
	ExpP, ExpQ, Inverted *big.Int
	Others               []asn1.RawValue `asn1:"optional"`
}

// derKind is what a PKCS #8 block says that it holds.
func derKind(id asn1.ObjectIdentifier) string {
	for kind, known := range map[string]asn1.ObjectIdentifier{
		"EC":      {1, 2, 840, 10045, 2, 1},     // RFC 5480
		"RSA":     {1, 2, 840, 113549, 1, 1, 1}, // RFC 8017
		"Ed25519": {1, 3, 101, 112},             // RFC 8410
	} {
		if id.Equal(known) {
			return kind
		}
	}
	return ""
}

func parsePKCS8(der []byte) (crypto.Signer, error) {
	var w pkcs8
	if !exactly(der, &w) {
		return nil, errDER("PRIVATE KEY", "PKCS #8")
	}
	var key crypto.Signer
	var err error
	switch derKind(w.Algorithm.Algorithm) {
	case "EC":
		key, err = pkcs8EC(der, w)
	case "RSA":
		key, err = parsePKCS1(w.PrivateKey)
	case "Ed25519":
		key, err = pkcs8Ed25519(der, w)
	default:
		return nil, errKeyType()
	}
	if err != nil {
		return nil, err
	}
	if w.PublicKey.BitLength != 0 && !isPublicOf(key, w.PublicKey) {
		return nil, errMismatch()
	}
	return key, nil
}

func pkcs8EC(der []byte, w pkcs8) (crypto.Signer, error) {
	var inner sec1
	if !exactly(w.PrivateKey, &inner) {
		return nil, errDER("PRIVATE KEY", "PKCS #8 of an EC key")
	}
	parameters := w.Algorithm.Parameters.FullBytes
	if !isCurve(parameters) || len(inner.Curve.Bytes) != 0 && !isCurve(inner.Curve.Bytes) {
		return nil, errCurve()
	}
	if len(inner.Curve.Bytes) != 0 && !bytes.Equal(inner.Curve.Bytes, parameters) {
		return nil, errMismatch()
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	return fittingEC(key, err, inner)
}

func pkcs8Ed25519(der []byte, w pkcs8) (crypto.Signer, error) {
	var seed []byte
	if !exactly(w.PrivateKey, &seed) {
		return nil, errDER("PRIVATE KEY", "PKCS #8 of an Ed25519 key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errDER("PRIVATE KEY", "PKCS #8 of an Ed25519 key")
	}
	return key, nil
}

// parseSEC1 reads an EC key, and holds it against the EC PARAMETERS that precede it, if any.
func parseSEC1(der, parameters []byte) (crypto.Signer, error) {
	var w sec1
	if !exactly(der, &w) {
		return nil, errDER("EC PRIVATE KEY", "SEC 1")
	}
	if !isCurve(w.Curve.Bytes) || parameters != nil && !isCurve(parameters) {
		return nil, errCurve()
	}
	if parameters != nil && !bytes.Equal(parameters, w.Curve.Bytes) {
		return nil, fmt.Errorf("%w: EC PARAMETERS are of another curve than the key", ErrKey)
	}
	key, err := x509.ParseECPrivateKey(der)
	return fittingEC(key, err, w)
}

// fittingEC returns what the standard library made of an EC key whose structure is w.
func fittingEC(parsed any, err error, w sec1) (crypto.Signer, error) {
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: not a private number of the curve", ErrKey)
	}
	if w.PublicKey.BitLength != 0 && !isPublicOf(key, w.PublicKey) {
		return nil, errMismatch()
	}
	return key, nil
}

func parsePKCS1(der []byte) (crypto.Signer, error) {
	var w pkcs1
	if !exactly(der, &w) {
		return nil, errDER("RSA PRIVATE KEY", "PKCS #1")
	}
	if len(w.Others) != 0 {
		return nil, errPrimes()
	}
	if !w.E.IsInt64() || w.E.Int64() != rsaExponent {
		return nil, fmt.Errorf("%w: an RSA exponent is %d", ErrKey, rsaExponent)
	}
	if _, err := NewPublicKey("", RS256, &rsa.PublicKey{N: w.N, E: rsaExponent}); err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, errMismatch()
	}
	return key, nil
}

// exactly reports whether all of der is one value of v's structure.
func exactly(der []byte, v any) bool {
	rest, err := asn1.Unmarshal(der, v)
	return err == nil && len(rest) == 0
}

// isCurve reports whether der is the name of one of our curves: RFC 5480, Section 2.1.1.1.
func isCurve(der []byte) bool {
	var id asn1.ObjectIdentifier
	if !exactly(der, &id) {
		return false
	}
	return id.Equal(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}) || id.Equal(asn1.ObjectIdentifier{1, 3, 132, 0, 34})
}

// isPublicOf reports whether bits, which stand beside the key in the file, are its public key.
func isPublicOf(key crypto.Signer, bits asn1.BitString) bool {
	if bits.BitLength%8 != 0 {
		return false
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		point, err := key.PublicKey.Bytes()
		if err != nil {
			return false
		}
		compressed := elliptic.MarshalCompressed(key.Curve, key.X, key.Y)
		return bytes.Equal(bits.Bytes, point) || bytes.Equal(bits.Bytes, compressed)
	case ed25519.PrivateKey:
		return bytes.Equal(bits.Bytes, key.Public().(ed25519.PublicKey))
	case *rsa.PrivateKey:
		return bytes.Equal(bits.Bytes, x509.MarshalPKCS1PublicKey(&key.PublicKey))
	}
	return false
}

func errDER(block, form string) error {
	return fmt.Errorf("%w: the PEM block %s does not hold %s and nothing else", ErrMalformed, block, form)
}

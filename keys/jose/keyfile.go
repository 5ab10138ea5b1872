package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"log/slog"
)

// space is the white space that may stand around the key in a file, and between PEM blocks.
const space = " \t\r\n"

// PrivateKeyFile is one private signing key as a file holds it, of another server's making. It prints
// as a placeholder.
type PrivateKeyFile struct {
	Key       crypto.Signer // *ecdsa.PrivateKey, *rsa.PrivateKey or ed25519.PrivateKey
	KeyID     string        // kid of the JWK; empty if it has none, and for PEM, which cannot say
	Algorithm Algorithm     // canonical: alg of the JWK, or what the key leaves no choice of; empty for RSA without alg
}

// ParsePrivateKeyFile reads the one private key that a file consists of, white space around it aside:
//
//   - PEM without a password: PRIVATE KEY (PKCS #8, RFC 5208 and 5958), EC PRIVATE KEY (SEC 1, RFC
//     5915), which an EC PARAMETERS block of the same curve may precede, or RSA PRIVATE KEY (PKCS #1,
//     RFC 8017), with nothing but that in the file;
//   - a private JWK (RFC 7517) in strict JSON. kid, alg, use and key_ops are read and have to be those
//     of a signing key. Members that are not known, certificates (x5c, x5u, x5t) among them, are
//     ignored: RFC 7517, Section 4 wants that, and they do not change what the key is.
//
// The key is one that [NewSigner] takes: P-256, P-384, Ed25519, or RSA of 2048 to 4096 bits with two
// primes and the exponent 65537. The private part fits the public one.
//
// An error wraps [ErrMalformed] or [ErrKey], says which block or member is wrong and what would be
// right, and holds nothing of the file.
func ParsePrivateKeyFile(b []byte) (PrivateKeyFile, error) {
	text := bytes.Trim(b, space)
	switch {
	case len(b) > MaxTokenSize:
		return PrivateKeyFile{}, fmt.Errorf("%w: a key file has at most %d octets", ErrMalformed, MaxTokenSize)
	case bytes.HasPrefix(text, []byte("{")):
		return parseJWKFile(text)
	case bytes.HasPrefix(text, []byte(pemBegin)):
		return parsePEMFile(text)
	}
	return PrivateKeyFile{}, fmt.Errorf("%w: %s", ErrMalformed, notAKeyFile(text))
}

// notAKeyFile says what else text seems to be, to whoever picked the wrong file.
func notAKeyFile(text []byte) string {
	for _, r := range []struct{ start, what string }{
		{"\ufeff", "a byte order mark before the key: save the file without it"},
		{"\xff\xfe", "UTF-16 text: save the file as plain ASCII"},
		{"[", "a JSON array: one private JWK is needed, without brackets around it"},
		{"eyJ", "an encrypted JWK, or a token: one private key is needed, decrypted first"},
		{"ssh-", "an OpenSSH public key: a private one is needed, in PEM or as a JWK"},
		{"ecdsa-", "an OpenSSH public key: a private one is needed, in PEM or as a JWK"},
		{"\x30", "binary DER or PKCS #12: convert it to PEM first, e.g. with openssl pkey -inform der"},
	} {
		if bytes.HasPrefix(text, []byte(r.start)) {
			return r.what
		}
	}
	switch {
	case len(text) == 0:
		return "the key file is empty"
	case bytes.Contains(text, []byte(pemBegin)):
		return "text before the PEM block: leave the block of the private key and nothing else"
	}
	return "neither PEM nor a JWK: one private key is needed, as a PEM block or as a JSON object"
}

// newPrivateKeyFile judges a key that was read, the same way wherever it comes from.
func newPrivateKeyFile(key crypto.Signer, kid string, alg Algorithm) (PrivateKeyFile, error) {
	implied, err := impliedAlgorithm(key)
	if err != nil {
		return PrivateKeyFile{}, err
	}
	if alg == "" {
		alg = implied
	}
	if implied != "" && alg != implied {
		return PrivateKeyFile{}, fmt.Errorf("%w: alg is %s, and does not fit: such a key is for %s", ErrKey, alg, implied)
	}
	as := alg
	if as == "" {
		as = RS256 // or PS256, which makes no difference here
	}
	if _, err := NewPublicKey(kid, as, key.Public()); err != nil {
		return PrivateKeyFile{}, err
	}
	return PrivateKeyFile{Key: key, KeyID: kid, Algorithm: alg}, nil
}

// impliedAlgorithm returns the algorithm that a key leaves no choice of; none for RSA, which has two.
func impliedAlgorithm(key crypto.Signer) (Algorithm, error) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256():
			return ES256, nil
		case elliptic.P384():
			return ES384, nil
		}
		return "", errCurve()
	case ed25519.PrivateKey:
		return Ed25519, nil
	case *rsa.PrivateKey:
		if len(key.Primes) != 2 {
			return "", errPrimes()
		}
		return "", nil
	}
	return "", errKeyType()
}

func errCurve() error {
	return fmt.Errorf("%w: another curve: an EC key is on P-256 (ES256) or on P-384 (ES384)", ErrKey)
}

func errPrimes() error {
	return fmt.Errorf("%w: RSA of more than two primes: make a key of two", ErrKey)
}

func errKeyType() error {
	return fmt.Errorf("%w: another type of key: EC, RSA and Ed25519 are taken, for ES256, ES384, RS256, PS256 and Ed25519", ErrKey)
}

func errPublicOnly(what string) error {
	return fmt.Errorf("%w: a public key (%s): a private one is needed", ErrKey, what)
}

// String returns a placeholder.
func (f PrivateKeyFile) String() string {
	return "jose.PrivateKeyFile(" + string(f.Algorithm) + ")"
}

// Format prints the placeholder whatever the verb: an Ed25519 key is a slice of octets.
func (f PrivateKeyFile) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(f.String())) }

// LogValue returns the placeholder.
func (f PrivateKeyFile) LogValue() slog.Value { return slog.StringValue(f.String()) }

// MarshalText returns the placeholder.
func (f PrivateKeyFile) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

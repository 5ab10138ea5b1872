package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// wireKey is a JWK as strangers write it. Members that are not here are ignored (RFC 7517,
// Section 4), certificates among them: x5c and x5u are never looked at.
type wireKey struct {
	Kty    string   `json:"kty"`
	Crv    string   `json:"crv"`
	X      string   `json:"x"`
	Y      *string  `json:"y"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	Use    *string  `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    *string  `json:"alg"`
	KeyID  *string  `json:"kid"`

	// Members that must not be there, whatever they hold.
	D    jsontext.Value `json:"d"`
	P    jsontext.Value `json:"p"`
	Q    jsontext.Value `json:"q"`
	DP   jsontext.Value `json:"dp"`
	DQ   jsontext.Value `json:"dq"`
	QI   jsontext.Value `json:"qi"`
	Oth  jsontext.Value `json:"oth"`
	K    jsontext.Value `json:"k"`
	Priv jsontext.Value `json:"priv"`
}

// ParsePublicJWK reads a JWK for use with alg under kid, ignoring what the JWK itself says of these
// two only where it says nothing: an alg or kid that differs is an error. It is how a key that was
// stored by [PublicKey.BareJWK] comes back. Errors wrap [ErrMalformed] or [ErrKey].
func ParsePublicJWK(b []byte, kid string, alg Algorithm) (*PublicKey, error) {
	if len(b) > MaxTokenSize {
		return nil, fmt.Errorf("%w: JWK over %d octets", ErrMalformed, MaxTokenSize)
	}
	var w wireKey
	if err := StrictUnmarshal(b, &w, false); err != nil {
		return nil, err
	}
	if w.Alg != nil && Algorithm(*w.Alg).Canonical() != alg.Canonical() {
		return nil, fmt.Errorf("%w: alg is not the expected one", ErrKey)
	}
	if w.KeyID != nil && *w.KeyID != kid {
		return nil, fmt.Errorf("%w: kid is not the expected one", ErrKey)
	}
	return w.publicKey(kid, alg)
}

// parseSetKey reads an entry of a JWKS document, which must say itself what it is for.
func parseSetKey(b []byte) (*PublicKey, error) {
	var w wireKey
	if err := StrictUnmarshal(b, &w, false); err != nil {
		return nil, err
	}
	alg, err := w.algorithm()
	if err != nil {
		return nil, err
	}
	kid := ""
	if w.KeyID != nil {
		if kid = *w.KeyID; kid == "" {
			return nil, fmt.Errorf("%w: kid empty", ErrKey)
		}
	}
	return w.publicKey(kid, alg)
}

// algorithm returns the one algorithm of the key. Where alg is absent, kty and crv must leave no
// choice: an RSA key could serve RS256 and PS256, and one key has one algorithm.
func (w *wireKey) algorithm() (Algorithm, error) {
	switch {
	case w.Alg != nil:
		return ParseAlgorithm(*w.Alg)
	case w.Kty == "EC":
		if c, ok := curveNamed(w.Crv); ok {
			return c.algorithm, nil
		}
	case w.Kty == "OKP" && w.Crv == "Ed25519":
		return Ed25519, nil
	}
	return "", fmt.Errorf("%w: alg missing, and not implied by the type of key", ErrKey)
}

func (w *wireKey) publicKey(kid string, alg Algorithm) (*PublicKey, error) {
	if err := w.checkUse(); err != nil {
		return nil, err
	}
	pub, err := w.material()
	if err != nil {
		return nil, err
	}
	return NewPublicKey(kid, alg, pub)
}

// checkUse refuses keys that are not for verifying signatures: RFC 7517, Sections 4.2 and 4.3.
func (w *wireKey) checkUse() error {
	// JWK-03. A private key in a public document is burnt; using its public half would hide that.
	if w.K != nil {
		return fmt.Errorf("%w: a symmetric key (member k): a public key is needed", ErrKey)
	}
	if w.private() {
		return fmt.Errorf("%w: a private key: a public one is needed, and this one is no secret any more", ErrKey)
	}
	if w.Use != nil && *w.Use != "sig" {
		return fmt.Errorf("%w: use is not sig", ErrKey)
	}
	if w.KeyOps == nil {
		return nil
	}
	for i, op := range w.KeyOps {
		if op != "verify" && op != "sign" || slices.Contains(w.KeyOps[:i], op) {
			return fmt.Errorf("%w: key_ops are not those of a signature", ErrKey)
		}
	}
	if !slices.Contains(w.KeyOps, "verify") {
		return fmt.Errorf("%w: key_ops lack verify", ErrKey)
	}
	return nil
}

// private reports whether there is a member of a private key, whatever it holds.
func (w *wireKey) private() bool {
	for _, v := range []jsontext.Value{w.D, w.P, w.Q, w.DP, w.DQ, w.QI, w.Oth, w.Priv} {
		if v != nil {
			return true
		}
	}
	return false
}

// material decodes the key itself, which NewPublicKey goes on to judge. Lengths are exact, so that
// one key has one JWK and one thumbprint (JWK-06).
func (w *wireKey) material() (crypto.PublicKey, error) {
	switch w.Kty {
	case "EC":
		return w.ec()
	case "RSA":
		return w.rsa()
	case "OKP":
		return w.ed25519()
	}
	return nil, fmt.Errorf("%w: the member kty is not EC, RSA or OKP", ErrKey)
}

func (w *wireKey) ed25519() (ed25519.PublicKey, error) {
	if w.Crv != "Ed25519" || w.Y != nil {
		return nil, fmt.Errorf("%w: the member crv is not Ed25519, the one OKP key for signatures that is taken, or there is a y", ErrKey)
	}
	x, err := decodeSized("x", w.X, ed25519.PublicKeySize)
	return ed25519.PublicKey(x), err
}

func (w *wireKey) ec() (*ecdsa.PublicKey, error) {
	c, ok := curveNamed(w.Crv)
	if !ok {
		return nil, errCurve()
	}
	if w.Y == nil {
		return nil, fmt.Errorf("%w: the member y is missing", ErrKey)
	}
	x, err := decodeSized("x", w.X, c.size)
	if err != nil {
		return nil, err
	}
	y, err := decodeSized("y", *w.Y, c.size)
	if err != nil {
		return nil, err
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(c.Curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, fmt.Errorf("%w: not a point of the curve", ErrKey)
	}
	return pub, nil
}

func (w *wireKey) rsa() (*rsa.PublicKey, error) {
	if w.E != "AQAB" {
		return nil, fmt.Errorf("%w: an RSA exponent is %d", ErrKey, rsaExponent)
	}
	n, err := decodeMember("n", w.N)
	if err != nil {
		return nil, err
	}
	if len(n) == 0 || n[0] == 0 {
		return nil, fmt.Errorf("%w: an RSA modulus has no leading zeros", ErrKey)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: rsaExponent}, nil
}

// decodeSized decodes the member of this name, which has exactly size octets.
func decodeSized(name, s string, size int) ([]byte, error) {
	if len(s) != strictBase64.EncodedLen(size) {
		return nil, fmt.Errorf("%w: the member %s does not have the %d octets of such a key, in base64url", ErrKey, name, size)
	}
	return decodeMember(name, s)
}

// decodeMember decodes the member of this name, of any length.
func decodeMember(name, s string) ([]byte, error) {
	b, err := decodeSegment(s)
	if err != nil {
		return nil, fmt.Errorf("%w, in the member %s", err, name)
	}
	return b, nil
}

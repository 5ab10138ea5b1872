package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// generatedRSABits is the size of RSA keys made here. Signing at 3072 bits costs three times as much,
// and keys are replaced every month.
const generatedRSABits = 2048

// GenerateKey makes a private key for alg: P-256, P-384, Ed25519, or RSA of 2048 bits.
func GenerateKey(alg Algorithm) (crypto.Signer, error) {
	switch alg.Canonical() {
	case ES256, ES384:
		c, _ := curveFor(alg)
		return ecdsa.GenerateKey(c.Curve, rand.Reader)
	case RS256, PS256:
		return rsa.GenerateKey(rand.Reader, generatedRSABits)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("%w: no keys for an unknown algorithm", ErrKey)
}

// MarshalPrivateJWK returns the private JWK of a key that [GenerateKey] or [ParsePrivateJWK] made,
// with the members of its type alone: no kid, no alg, no use. Seal it before it goes anywhere.
func MarshalPrivateJWK(key crypto.Signer) ([]byte, error) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey, *rsa.PrivateKey, ed25519.PrivateKey:
		k, err := jwk.FromRaw(key)
		if err != nil {
			return nil, fmt.Errorf("%w: private key not representable", ErrKey)
		}
		b, err := json.Marshal(k)
		if err != nil {
			return nil, fmt.Errorf("%w: private key not representable", ErrKey)
		}
		return b, nil
	}
	return nil, fmt.Errorf("%w: the private part of a %T cannot be had", ErrKey, key)
}

// wirePrivateKey is a private JWK. Any other member is refused; oth, of multi-prime RSA, is one.
type wirePrivateKey struct {
	Kty string  `json:"kty"`
	Crv string  `json:"crv"`
	X   string  `json:"x"`
	Y   *string `json:"y"`
	N   string  `json:"n"`
	E   string  `json:"e"`
	D   string  `json:"d"`
	P   string  `json:"p"`
	Q   string  `json:"q"`
	DP  string  `json:"dp"`
	DQ  string  `json:"dq"`
	QI  string  `json:"qi"`
}

// ParsePrivateJWK reads what [MarshalPrivateJWK] wrote. The private part must fit the public one, and
// the key must be within the bounds of [NewPublicKey]. Errors wrap [ErrMalformed] or [ErrKey] and
// contain nothing of the key.
func ParsePrivateJWK(b []byte) (crypto.Signer, error) {
	if len(b) > MaxTokenSize {
		return nil, fmt.Errorf("%w: JWK over %d octets", ErrMalformed, MaxTokenSize)
	}
	var w wirePrivateKey
	if err := StrictUnmarshal(b, &w, true); err != nil {
		return nil, err
	}
	return w.signer()
}

// signer returns the key, once it is known to be whole and within bounds.
func (w *wirePrivateKey) signer() (crypto.Signer, error) {
	public := wireKey{Kty: w.Kty, Crv: w.Crv, X: w.X, Y: w.Y, N: w.N, E: w.E}
	pub, err := public.material()
	if err != nil {
		return nil, err
	}
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return w.ec(pub)
	case *rsa.PublicKey:
		return w.rsa(pub)
	case ed25519.PublicKey:
		return w.ed25519(pub)
	}
	return nil, errKeyType()
}

func (w *wirePrivateKey) ec(pub *ecdsa.PublicKey) (crypto.Signer, error) {
	c, _ := curveNamed(w.Crv) // whose point pub is
	d, err := decodeSized("d", w.D, c.size)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseRawPrivateKey(c.Curve, d)
	if err != nil || !key.PublicKey.Equal(pub) {
		return nil, errMismatch()
	}
	return key, nil
}

func (w *wirePrivateKey) ed25519(pub ed25519.PublicKey) (crypto.Signer, error) {
	seed, err := decodeSized("d", w.D, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	if !pub.Equal(key.Public()) {
		return nil, errMismatch()
	}
	return key, nil
}

func (w *wirePrivateKey) rsa(pub *rsa.PublicKey) (crypto.Signer, error) {
	if _, err := NewPublicKey("", RS256, pub); err != nil {
		return nil, err
	}
	var numbers [6]*big.Int
	names := [...]string{"d", "p", "q", "dp", "dq", "qi"}
	for i, s := range []string{w.D, w.P, w.Q, w.DP, w.DQ, w.QI} {
		b, err := decodeMember(names[i], s)
		if err != nil {
			return nil, err
		}
		if len(b) == 0 || len(b) > maxRSABits/8 {
			return nil, fmt.Errorf("%w: the member %s is missing or too long: an RSA key has d, p, q, dp, dq and qi", ErrKey, names[i])
		}
		numbers[i] = new(big.Int).SetBytes(b)
	}
	key := &rsa.PrivateKey{PublicKey: *pub, D: numbers[0], Primes: numbers[1:3]}
	key.Precompute()
	if err := key.Validate(); err != nil {
		return nil, errMismatch()
	}
	crt := key.Precomputed
	if crt.Dp.Cmp(numbers[3]) != 0 || crt.Dq.Cmp(numbers[4]) != 0 || crt.Qinv.Cmp(numbers[5]) != 0 {
		return nil, errMismatch()
	}
	return key, nil
}

func errMismatch() error {
	return fmt.Errorf("%w: private and public part do not fit", ErrKey)
}

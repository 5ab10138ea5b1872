package jose

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
)

// ecSigner is how an EC key is handed to the library. Behind its plain crypto.Signer the library
// spares itself a conversion of the key at each signature (8 allocations of 78).
//
// A key in a device answers in DER, which the library trusts: an r longer than the curve's octets
// makes it panic, a negative one loses its sign. What is not Go's own is therefore looked at first.
// The library takes the curve's octets from the public key, and asks for it at each signature: it gets
// the one that was examined, whatever the device says by then, and a device is not asked in vain.
type ecSigner struct {
	crypto.Signer
	curve  ecCurve
	public crypto.PublicKey
}

func (s ecSigner) Public() crypto.PublicKey { return s.public }

func (s ecSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	der, err := s.Signer.Sign(random, digest, opts)
	if _, own := s.Signer.(*ecdsa.PrivateKey); own || err != nil {
		return der, err
	}
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	if err != nil || len(rest) != 0 || !s.isScalar(sig.R) || !s.isScalar(sig.S) {
		return nil, errors.New("the device returned no ECDSA signature")
	}
	return der, nil
}

// isScalar reports whether v is from 1 to n-1, where n is the order of this key's curve.
func (s ecSigner) isScalar(v *big.Int) bool {
	return v.Sign() > 0 && v.Cmp(s.curve.Params().N) < 0
}

package jose

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// errNoECDSA says that what came back is no signature by a key of that curve, and nothing of what it was.
var errNoECDSA = errors.New("the device returned no ECDSA signature")

// signBy returns the signature of a key on c over input, as a JWS has it: r and s, each of the curve's octets
// (RFC 7518, Section 3.4). Every crypto.Signer answers in DER, Go's own and a device alike. An error of the
// key comes out as it is.
//
// The library turns DER into numbers and back, which costs 11 allocations of 71, and trusts it: an r longer
// than the curve's octets makes it panic, a negative one loses its sign. It also asks for the public key at
// each signature, to learn the curve; here the curve is that of the key which was examined, whatever the
// device says by then.
func (c ecCurve) signBy(key crypto.Signer, input []byte) ([]byte, error) {
	digest, hash := c.digest(input)
	der, err := key.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, err
	}
	return c.plain(der)
}

// digest hashes what is signed: RFC 7518, Section 3.4.
func (c ecCurve) digest(input []byte) ([]byte, crypto.Hash) {
	if c.algorithm == ES384 {
		d := sha512.Sum384(input)
		return d[:], crypto.SHA384
	}
	d := sha256.Sum256(input)
	return d[:], crypto.SHA256
}

// plain returns r and s of a signature in DER (RFC 3279, Section 2.2.3), one after the other. They are two
// integers from 1 to n-1 and nothing else, or there is an error.
func (c ecCurve) plain(der []byte) ([]byte, error) {
	var sequence cryptobyte.String
	var r, s []byte // without leading zeros, and not negative
	rest := cryptobyte.String(der)
	if !rest.ReadASN1(&sequence, asn1.SEQUENCE) || !rest.Empty() ||
		!sequence.ReadASN1Integer(&r) || !sequence.ReadASN1Integer(&s) || !sequence.Empty() ||
		len(r) > c.size || len(s) > c.size {
		return nil, errNoECDSA
	}
	both := make([]byte, 2*c.size)
	copy(both[c.size-len(r):], r)
	copy(both[2*c.size-len(s):], s)
	if !c.inScalarRange(both[:c.size]) || !c.inScalarRange(both[c.size:]) {
		return nil, errNoECDSA
	}
	return both, nil
}

package jose

import (
	"bytes"
	"crypto/elliptic"
)

// maxPointSize bounds the octets of a coordinate or scalar of any curve: those of P-384.
const maxPointSize = 48

// ecCurve is what the name of an ECDSA algorithm settles (RFC 7518, Section 3.4): the curve, and by it
// every length. An algorithm goes with no other curve, and a curve with no other algorithm.
type ecCurve struct {
	elliptic.Curve
	algorithm Algorithm
	name      string // crv
	size      int    // octets of a coordinate and of a scalar
}

// curveFor returns the curve of an ECDSA algorithm.
func curveFor(alg Algorithm) (ecCurve, bool) {
	switch alg {
	case ES256:
		return ecCurve{elliptic.P256(), ES256, "P-256", 32}, true
	case ES384:
		return ecCurve{elliptic.P384(), ES384, "P-384", 48}, true
	}
	return ecCurve{}, false
}

// curveNamed returns the curve that a JWK's crv names.
func curveNamed(crv string) (ecCurve, bool) {
	for _, alg := range []Algorithm{ES256, ES384} {
		if c, _ := curveFor(alg); c.name == crv {
			return c, true
		}
	}
	return ecCurve{}, false
}

// inScalarRange reports whether b, big-endian and of c.size octets, is from 1 to n-1, where n is the
// order of the curve. It takes no memory: it is asked twice for each ECDSA token.
func (c ecCurve) inScalarRange(b []byte) bool {
	var zero, order [maxPointSize]byte
	n := c.Params().N.FillBytes(order[:c.size])
	return !bytes.Equal(b, zero[:c.size]) && bytes.Compare(b, n) < 0
}

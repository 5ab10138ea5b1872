package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// Not only a shape: the points are on their curves, and of large order.
func TestJWT39_PublicPoints(t *testing.T) {
	for alg, other := range map[Algorithm]Algorithm{ES256: ES384, ES384: ES256} {
		c, _ := curveFor(alg)
		t.Run(c.name, func(t *testing.T) { publicPoints(t, c, pointOf(t, other)) })
	}
}

// pointOf returns the octets of a fresh key's point.
func pointOf(t *testing.T, alg Algorithm) []byte {
	t.Helper()
	octets, err := newSigner(t, alg).PublicKey().Raw().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func publicPoints(t *testing.T, c ecCurve, ofOther []byte) {
	octets := pointOf(t, c.algorithm)
	p := c.Params().P
	x := func(b []byte) string { return strictBase64.EncodeToString(b) }
	ec := func(a, b []byte) string {
		return fmt.Sprintf(`{"kty":"EC","crv":"%s","x":"%s","y":"%s"}`, c.name, x(a), x(b))
	}
	px, py := octets[1:1+c.size], octets[1+c.size:]
	flipped := slices.Clone(py)
	flipped[c.size-1] ^= 1
	half := len(ofOther) / 2
	// A point of another curve, cut or filled to this one's length.
	sized := func(b []byte) []byte {
		return append(make([]byte, max(0, c.size-len(b))), b[max(0, len(b)-c.size):]...)
	}
	for name, text := range map[string]string{
		"zero, zero":             ec(make([]byte, c.size), make([]byte, c.size)),
		"off the curve":          ec(px, flipped),
		"swapped":                ec(py, px),
		"x is p":                 ec(p.Bytes(), py),
		"y is p":                 ec(px, p.Bytes()),
		"all ones":               ec(slices.Repeat([]byte{0xff}, c.size), slices.Repeat([]byte{0xff}, c.size)),
		"x an octet short":       ec(px[1:], py),
		"x an octet long":        ec(append([]byte{0}, px...), py),
		"y an octet short":       ec(px, py[1:]),
		"y an octet long":        ec(px, append([]byte{0}, py...)),
		"no x":                   ec(nil, py),
		"no y":                   fmt.Sprintf(`{"kty":"EC","crv":"%s","x":"%s"}`, c.name, x(px)),
		"null y":                 fmt.Sprintf(`{"kty":"EC","crv":"%s","x":"%s","y":null}`, c.name, x(px)),
		"compressed in x":        fmt.Sprintf(`{"kty":"EC","crv":"%s","x":"%s","y":""}`, c.name, x(append([]byte{2}, px...))),
		"of the other curve":     ec(ofOther[1:1+half], ofOther[1+half:]),
		"the other curve's, cut": ec(sized(ofOther[1:1+half]), sized(ofOther[1+half:])),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePublicJWK([]byte(text), "k", c.algorithm)
			if !errors.Is(err, ErrKey) && !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("good", func(t *testing.T) {
		if _, err := ParsePublicJWK([]byte(ec(px, py)), "k", c.algorithm); err != nil {
			t.Error(err)
		}
	})
}

// The encodings of the eight points whose order divides 8, those that are not reduced included, in
// hexadecimal, without the sign of x. A signature by such a key can be made by anybody.
func smallOrderPoints(t *testing.T) []ed25519.PublicKey {
	var points []ed25519.PublicKey
	for _, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		var b []byte
		if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
			t.Fatal(err)
		}
		signed := slices.Clone(b)
		signed[31] |= 0x80
		points = append(points, b, signed)
	}
	return points
}

func TestJWT39_Ed25519PointsOfSmallOrder(t *testing.T) {
	points := smallOrderPoints(t)
	for _, p := range points {
		_, err := NewPublicKey("k", Ed25519, p)
		wantErr(t, err, ErrKey, "")
	}
	// Why: with s = 0 and R of small order, Go's own check takes forgeries for each of them.
	for _, p := range points[:10] {
		forged := false
		for i := range 200 {
			for _, r := range points {
				message := fmt.Appendf(nil, "message %d", i)
				forged = forged || ed25519.Verify(p, message, slices.Concat(r, make([]byte, 32)))
			}
		}
		if !forged {
			t.Errorf("%x: no forgery in 200 messages; is the check still needed?", []byte(p))
		}
	}
}

// A y from p on is another text of the same point, and would be another thumbprint. (p + 3 to p + 18;
// what comes before is of small order.)
func TestJWT39_Ed25519PointsReduced(t *testing.T) {
	reduced := 0
	for k := byte(3); k <= 18; k++ {
		y := make([]byte, 32)
		y[0] = k
		if checkEd25519(y) == nil {
			reduced++
		}
		unreduced := slices.Repeat([]byte{0xff}, 32)
		unreduced[0], unreduced[31] = 0xed+k, 0x7f
		wantErr(t, checkEd25519(unreduced), ErrKey, "")
	}
	if reduced == 0 {
		t.Error("none of these y is on the curve; nothing was tested")
	}
}

// Keys are points, and of random octets that say a y, half are.
func TestJWT39_Ed25519PointsOnCurve(t *testing.T) {
	on := 0
	for i := range 400 {
		seed := sha256.Sum256(fmt.Appendf(nil, "seed %d", i))
		if err := checkEd25519(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)); err != nil {
			t.Fatalf("refused a good key: %v", err)
		}
		if checkEd25519(seed[:]) == nil {
			on++
		}
	}
	if on < 150 || on > 250 {
		t.Errorf("%d of 400 random encodings are on the curve", on)
	}
}

package jose

import (
	"crypto/ed25519"
	"fmt"
	"math/big"
	"slices"
)

// checkEd25519 refuses what [ed25519.Verify] would take or would only refuse later: another length,
// a y that is not reduced, no point of the curve, and the points of small order, under which a
// constant signature fits any message.
func checkEd25519(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: an Ed25519 key has %d octets", ErrKey, ed25519.PublicKeySize)
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	y := slices.Clone(pub)
	y[31] &= 0x7f // the sign of x
	slices.Reverse(y)
	if v := new(big.Int).SetBytes(y); v.Cmp(p) >= 0 || !onEdwards(v, p) || smallOrder(v, p) {
		return fmt.Errorf("%w: not an Ed25519 point of large order", ErrKey)
	}
	return nil
}

// onEdwards reports whether some x makes -x² + y² = 1 + d·x²·y² (mod p): whether
// (y² - 1)/(d·y² + 1) is a square, and hence (y² - 1)·(d·y² + 1) is one. RFC 8032, Section 5.1.3.
func onEdwards(y, p *big.Int) bool {
	yy := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(yy, big.NewInt(1))
	v := new(big.Int).Mul(edwardsD(p), yy)
	v.Add(v, big.NewInt(1))
	return big.Jacobi(u.Mul(u, v).Mod(u, p), p) >= 0
}

// smallOrder reports whether the point with this y vanishes when multiplied by 8. Order 1 and 2 have
// y = ±1, order 4 has y = 0. A point of order 8 doubles to y' = (y² + x²)/(1 - d·x²·y²) = 0, so that
// x² = -y², which turns the curve's equation into d·y⁴ + 2·y² - 1 = 0.
func smallOrder(y, p *big.Int) bool {
	yy := new(big.Int).Mul(y, y)
	yy.Mod(yy, p)
	if yy.Sign() == 0 || yy.Cmp(big.NewInt(1)) == 0 {
		return true
	}
	sum := new(big.Int).Mul(yy, yy)
	sum.Mul(sum, edwardsD(p)).Add(sum, new(big.Int).Lsh(yy, 1)).Sub(sum, big.NewInt(1))
	return sum.Mod(sum, p).Sign() == 0
}

// edwardsD returns the curve's d = -121665/121666 (mod p).
func edwardsD(p *big.Int) *big.Int {
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	return d.Mul(d, big.NewInt(-121665)).Mod(d, p)
}

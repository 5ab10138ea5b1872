package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// withSignature replaces the third part.
func withSignature(token string, signature []byte) string {
	return token[:strings.LastIndexByte(token, '.')+1] + strictBase64.EncodeToString(signature)
}

func signatureOf(tb testing.TB, token string) []byte {
	tb.Helper()
	b, err := decodeSegment(token[strings.LastIndexByte(token, '.')+1:])
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestJWT39_ECDSASignatures(t *testing.T) {
	for alg, other := range map[Algorithm]elliptic.Curve{ES256: elliptic.P384(), ES384: elliptic.P256()} {
		t.Run(string(alg), func(t *testing.T) { ecdsaSignatures(t, alg, other) })
	}
}

func ecdsaSignatures(t *testing.T, alg Algorithm, otherCurve elliptic.Curve) {
	s := newSigner(t, alg)
	opts := accepting(s.PublicKey())
	token := sign(t, s)
	good := signatureOf(t, token)
	c, _ := curveFor(alg)
	curve, size := c.Params(), c.size
	sizedPair := func(r, s *big.Int, size int) []byte {
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	r, sv := new(big.Int).SetBytes(good[:size]), new(big.Int).SetBytes(good[size:])
	pair := func(r, s *big.Int) []byte { return sizedPair(r, s, size) }
	add := func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
	sub := func(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }
	zero, one := new(big.Int), big.NewInt(1)
	most := sub(new(big.Int).Lsh(one, uint(8*size)), one)
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, sv})
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := ecdsa.GenerateKey(otherCurve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
	r3, s3, err := ecdsa.Sign(rand.Reader, otherKey, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	otherSize := (otherCurve.Params().BitSize + 7) / 8
	// As many octets as are wanted, of two numbers of another length.
	cut := sizedPair(r3, s3, max(size, otherSize))
	cut = append(cut[len(cut)/2-size:len(cut)/2:len(cut)/2], cut[len(cut)-size:]...)
	for name, signature := range map[string][]byte{
		"all zeros":              make([]byte, 2*size),
		"r zero":                 pair(zero, sv),
		"s zero":                 pair(r, zero),
		"r is n":                 pair(curve.N, sv),
		"s is n":                 pair(r, curve.N),
		"both n":                 pair(curve.N, curve.N),
		"r n+1":                  pair(add(curve.N, one), sv),
		"s n+1":                  pair(r, add(curve.N, one)),
		"r n-1":                  pair(sub(curve.N, one), sv),
		"s n-1":                  pair(r, sub(curve.N, one)),
		"r is p":                 pair(curve.P, sv),
		"s is p":                 pair(r, curve.P),
		"r is p mod n":           pair(sub(curve.P, curve.N), sv),
		"r p+1":                  pair(add(curve.P, one), sv),
		"all ones":               pair(most, most),
		"one, one":               pair(one, one),
		"one, zero":              pair(one, zero),
		"zero, one":              pair(zero, one),
		"zero, n":                pair(zero, curve.N),
		"n, zero":                pair(curve.N, zero),
		"r n-r":                  pair(sub(curve.N, r), sv),
		"swapped":                pair(sv, r),
		"r twice":                pair(r, r),
		"little-endian":          slices.Concat(reversed(good[:size]), reversed(good[size:])),
		"both little-endian":     reversed(good),
		"r is the generator's x": pair(curve.Gx, sv),
		"an octet short":         good[:2*size-1],
		"an octet short, first":  good[1:],
		"an octet long":          append(slices.Clone(good), 0),
		"an octet long, zero":    append([]byte{0}, good...),
		"both padded":            slices.Concat([]byte{0}, good[:size], []byte{0}, good[size:]),
		"r alone":                good[:size],
		"twice as long":          slices.Concat(good, good),
		"one octet":              {1},
		"DER":                    der,
		"DER cut":                der[:2*size],
		"other curve":            sizedPair(r3, s3, otherSize),
		"other curve, this size": cut,
		"bit flipped":            append([]byte{good[0] ^ 1}, good[1:]...),
		"last bit flipped":       append(slices.Clone(good[:2*size-1]), good[2*size-1]^1),
	} {
		t.Run(name, func(t *testing.T) { refused(t, withSignature(token, signature), opts, ErrSignature) })
	}
	t.Run("over another hash", func(t *testing.T) {
		input := []byte(token[:strings.LastIndexByte(token, '.')])
		weak, wide, wider := sha1.Sum(input), sha512.Sum384(input), sha512.Sum512(input)
		hashes := map[Algorithm][][]byte{ES256: {weak[:], wide[:], wider[:]}, ES384: {weak[:], digest[:], wider[:]}}
		for _, sum := range hashes[alg] {
			r1, s1, err := ecdsa.Sign(rand.Reader, s.key.(*ecdsa.PrivateKey), sum)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, withSignature(token, pair(r1, s1)), opts, ErrSignature)
		}
	})
	// Not a defect, but a fact to design by: an ECDSA signature has a twin, so that a token's octets
	// are not its identity. jti is.
	t.Run("the twin n-s is as good", func(t *testing.T) {
		_, payload := accepted(t, withSignature(token, pair(r, sub(curve.N, sv))), opts)
		if string(payload) != testPayload {
			t.Errorf("got payload %q", payload)
		}
	})
}

// The range is checked before the library is asked, whatever the library does.
func TestJWT39_ScalarRange(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384} {
		c, _ := curveFor(alg)
		n := c.Params().N
		for offset, want := range map[int64]bool{-1: true, 0: false, 1: false} {
			v := new(big.Int).Add(n, big.NewInt(offset))
			if got := c.inScalarRange(v.FillBytes(make([]byte, c.size))); got != want {
				t.Errorf("%s: n%+d: got %t", alg, offset, got)
			}
		}
		for v, want := range map[int64]bool{0: false, 1: true, 2: true} {
			if got := c.inScalarRange(big.NewInt(v).FillBytes(make([]byte, c.size))); got != want {
				t.Errorf("%s: %d: got %t", alg, v, got)
			}
		}
		one := big.NewInt(1).FillBytes(make([]byte, c.size))
		if got := testing.AllocsPerRun(100, func() { c.inScalarRange(one) }); got != 0 {
			t.Errorf("%s: %v allocations", alg, got)
		}
	}
}

// Only an s below 2^256-n (2^384-n) has a second form of 32 (48) octets, s+n, so no signature that a
// library makes will ever show whether it is refused. This one is made backwards: s first, then the key
// that it is right for.
func TestJWT39_ScalarPlusOrder(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384} {
		t.Run(string(alg), func(t *testing.T) { scalarPlusOrder(t, alg) })
	}
}

func scalarPlusOrder(t *testing.T, alg Algorithm) {
	input := b64(`{"alg":"`+string(alg)+`","kid":"k","typ":"at+jwt"}`) + "." + b64(testPayload)
	hash := map[Algorithm]crypto.Hash{ES256: crypto.SHA256, ES384: crypto.SHA384}[alg].New()
	hash.Write([]byte(input))
	c, _ := curveFor(alg)
	n := c.Params().N
	nonce, err := ecdsa.GenerateKey(c.Curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := nonce.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := nonce.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	r := new(big.Int).SetBytes(point[1 : 1+c.size])
	r.Mod(r, n)
	s := big.NewInt(0x5eed)
	// d = (s*k - e) / r
	d := new(big.Int).Mul(s, new(big.Int).SetBytes(secret))
	d.Sub(d, new(big.Int).SetBytes(hash.Sum(nil))).Mul(d, new(big.Int).ModInverse(r, n)).Mod(d, n)
	private, err := ecdsa.ParseRawPrivateKey(c.Curve, d.FillBytes(make([]byte, c.size)))
	if err != nil {
		t.Fatal(err)
	}
	public, err := NewPublicKey("k", alg, &private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	with := func(s *big.Int) string {
		return withSignature(input+".", append(r.FillBytes(make([]byte, c.size)), s.FillBytes(make([]byte, c.size))...))
	}
	accepted(t, with(s), accepting(public))
	refused(t, with(new(big.Int).Add(s, n)), accepting(public), ErrSignature)
	refused(t, with(new(big.Int).Add(s, big.NewInt(1))), accepting(public), ErrSignature)
}

func reversed(b []byte) []byte {
	c := slices.Clone(b)
	slices.Reverse(c)
	return c
}

// A signature whose r or s starts with zeros is of full length all the same. (The writing half of
// JWT-39: a library that trims them makes one token in 128 unreadable.)
func TestJWT39_LeadingZerosOfSignature(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384} {
		t.Run(string(alg), func(t *testing.T) { leadingZerosOfSignature(t, alg) })
	}
}

func leadingZerosOfSignature(t *testing.T, alg Algorithm) {
	c, _ := curveFor(alg)
	s := newSigner(t, alg)
	opts := accepting(s.PublicKey())
	var r0, s0 bool
	for i := 0; i < 20_000 && (!r0 || !s0); i++ {
		token := sign(t, s)
		signature := signatureOf(t, token)
		if len(signature) != 2*c.size {
			t.Fatalf("signature of %d octets", len(signature))
		}
		if signature[0] == 0 || signature[c.size] == 0 {
			accepted(t, token, opts)
			r0, s0 = r0 || signature[0] == 0, s0 || signature[c.size] == 0
		}
	}
	if !r0 || !s0 {
		t.Error("no signature with a leading zero in 20,000")
	}
}

func TestJWT39_Ed25519Signatures(t *testing.T) {
	s := newSigner(t, Ed25519)
	opts := accepting(s.PublicKey())
	token := sign(t, s)
	good := signatureOf(t, token)
	// The group's order, little-endian: s + L is the same number to a careless verifier (RFC 8032,
	// Section 5.1.7).
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	plus := new(big.Int).Add(new(big.Int).SetBytes(reversed(good[32:])), order)
	for name, signature := range map[string][]byte{
		"63 octets":     good[:63],
		"65 octets":     append(slices.Clone(good), 0),
		"all zeros":     make([]byte, 64),
		"s plus L":      slices.Concat(good[:32], reversed(plus.FillBytes(make([]byte, 32)))),
		"s is L":        slices.Concat(good[:32], reversed(order.FillBytes(make([]byte, 32)))),
		"R neutral":     slices.Concat([]byte{1}, make([]byte, 31), good[32:]),
		"halves swap":   slices.Concat(good[32:], good[:32]),
		"bit flipped":   append([]byte{good[0] ^ 1}, good[1:]...),
		"high bit of s": append(slices.Clone(good[:63]), good[63]|0x80),
		"Ed448 length":  make([]byte, 114),
	} {
		t.Run(name, func(t *testing.T) { refused(t, withSignature(token, signature), opts, ErrSignature) })
	}
	t.Run("pre-hashed", func(t *testing.T) {
		input := token[:strings.LastIndexByte(token, '.')]
		digest := sha256.Sum256([]byte(input))
		signature := ed25519.Sign(s.key.(ed25519.PrivateKey), digest[:])
		refused(t, withSignature(token, signature), opts, ErrSignature)
	})
}

func TestJWT39_RSASignatures(t *testing.T) {
	rs, ps := newSigner(t, RS256), (*Signer)(nil)
	key := rs.key.(*rsa.PrivateKey)
	ps = signerFor(t, key, PS256)
	for _, s := range []*Signer{rs, ps} {
		opts := accepting(s.PublicKey())
		token := sign(t, s)
		input := []byte(token[:strings.LastIndexByte(token, '.')])
		good := signatureOf(t, token)
		digest := sha256.Sum256(input)
		weak := sha1.Sum(input)
		pkcs := func(h crypto.Hash, sum []byte) []byte {
			b, err := rsa.SignPKCS1v15(rand.Reader, key, h, sum)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		rows := map[string][]byte{
			"255 octets":       good[:255],
			"257 octets":       append(slices.Clone(good), 0),
			"257, zero first":  append([]byte{0}, good...),
			"all zeros":        make([]byte, 256),
			"one":              append(make([]byte, 255), 1),
			"modulus":          key.N.Bytes(),
			"n minus one":      new(big.Int).Sub(key.N, big.NewInt(1)).Bytes(),
			"bit flipped":      append([]byte{good[0] ^ 1}, good[1:]...),
			"SHA-1":            pkcs(crypto.SHA1, weak[:]),
			"no DigestInfo":    pkcs(crypto.Hash(0), digest[:]),
			"padding revealed": new(big.Int).Exp(new(big.Int).SetBytes(good), big.NewInt(rsaExponent), key.N).FillBytes(make([]byte, 256)),
		}
		if s == rs {
			rows["PSS"] = pss(t, key, digest[:], 32)
		} else {
			rows["PKCS #1 v1.5"] = pkcs(crypto.SHA256, digest[:])
			// RFC 7518, Section 3.5: the salt is as long as the hash.
			for _, salt := range []int{1, 20, 31, 33, 64, 222} {
				rows[fmt.Sprintf("salt of %d octets", salt)] = pss(t, key, digest[:], salt)
			}
		}
		for name, signature := range rows {
			t.Run(string(s.Algorithm())+" "+name, func(t *testing.T) {
				refused(t, withSignature(token, signature), opts, ErrSignature)
			})
		}
	}
	t.Run("PS256 good", func(t *testing.T) {
		token := sign(t, ps)
		digest := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
		accepted(t, withSignature(token, pss(t, key, digest[:], 32)), accepting(ps.PublicKey()))
	})
}

func pss(t *testing.T, key *rsa.PrivateKey, digest []byte, salt int) []byte {
	t.Helper()
	b, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: salt})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Two signatures with one r give the private key away. Go's ECDSA hedges its nonces: they depend on
// the key, the message and fresh randomness, so that neither a stuck generator nor a repeated message
// repeats one. Here every message is the same, which is where a plain deterministic nonce would
// repeat, too. The count is 10⁵, or 10⁴ with -short, and a tenth of it for P-384, which takes longer.
func TestJWT41_NoTwoSignaturesShareR(t *testing.T) {
	count := 100_000
	if testing.Short() {
		count = 10_000
	}
	t.Run("ES256", func(t *testing.T) { noTwoShareR(t, ES256, count) })
	t.Run("ES384", func(t *testing.T) { noTwoShareR(t, ES384, count/10) })
}

func noTwoShareR(t *testing.T, alg Algorithm, count int) {
	s := newSigner(t, alg)
	seen := make(map[string]bool, count)
	for range count {
		signature, err := s.signature([]byte(testPayload))
		if err != nil {
			t.Fatal(err)
		}
		r := string(signature[:len(signature)/2])
		if seen[r] {
			t.Fatalf("two of %d signatures share r", len(seen)+1)
		}
		seen[r] = true
	}
	t.Logf("%d signatures, %d values of r", count, len(seen))
}

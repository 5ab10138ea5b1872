package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
)

// JWT-01, JWT-02: compact, signed, and the header follows the key.
func TestJWT01_SignedCompactToken(t *testing.T) {
	for _, r := range []struct{ alg, wire Algorithm }{
		{ES256, ES256}, {ES384, ES384}, {RS256, RS256}, {PS256, PS256}, {Ed25519, Ed25519}, {Ed25519, EdDSA}, {EdDSA, EdDSA}, {EdDSA, Ed25519},
	} {
		t.Run(fmt.Sprintf("JWT-02 JWT-04 JWT-05 %s as %s", r.alg, r.wire), func(t *testing.T) {
			key, err := GenerateKey(r.alg)
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewSigner(key, "", r.alg, r.wire)
			if err != nil {
				t.Fatal(err)
			}
			if s.Algorithm() != r.alg.Canonical() || s.WireAlgorithm() != r.wire || s.KeyID() != s.PublicKey().Thumbprint() {
				t.Errorf("got %s, %s, %s", s.Algorithm(), s.WireAlgorithm(), s.KeyID())
			}
			token := sign(t, s)
			parts := strings.Split(token, ".")
			if len(parts) != 3 {
				t.Fatalf("%d parts", len(parts))
			}
			// JWT-03, JWT-04, JWT-05: these three and nothing else.
			b, err := decodeSegment(parts[0])
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf(`{"alg":"%s","kid":"%s","typ":"at+jwt"}`, r.wire, s.KeyID())
			if string(b) != want || !json.Valid(b) {
				t.Errorf("got header %s\nwant %s", b, want)
			}
			h, payload := accepted(t, token, accepting(s.PublicKey()))
			if h != (Header{r.wire, s.KeyID(), "at+jwt"}) || string(payload) != testPayload {
				t.Errorf("got %v, %s", h, payload)
			}
		})
	}
}

func TestJWT03_TypePerToken(t *testing.T) {
	s := newSigner(t, ES256)
	for i := range 3 * maxCachedTypes { // more than are kept
		for _, typ := range []string{"at+jwt", "JWT", fmt.Sprintf("t%d", i)} {
			token, err := s.Sign(typ, []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			opts := accepting(s.PublicKey())
			opts.Types = []string{typ}
			accepted(t, token, opts)
		}
	}
	if n := len(*s.headers.Load()); n > maxCachedTypes {
		t.Errorf("%d header segments are kept", n)
	}
	for _, typ := range []string{"", `a"b`, `a\b`, "a\nb", "ü", strings.Repeat("a", maxTypeLength+1), "\u2028"} {
		if token, err := s.Sign(typ, []byte("{}")); err == nil {
			t.Errorf("signed with typ %q: %s", typ, token)
		}
	}
}

func TestSignerRefuses(t *testing.T) {
	ec, _ := GenerateKey(ES256)
	ec384, _ := GenerateKey(ES384)
	okp, _ := GenerateKey(Ed25519)
	for name, r := range map[string]struct {
		key       crypto.Signer
		kid       string
		alg, wire Algorithm
	}{
		"no key":                 {nil, "k", ES256, ES256},
		"another type of key":    {ec, "k", Ed25519, Ed25519},
		"ALG-04 P-256 as ES384":  {ec, "k", ES384, ES384},
		"ALG-04 P-384 as ES256":  {ec384, "k", ES256, ES256},
		"ES256 named ES384":      {ec, "k", ES256, ES384},
		"ES384 named ES256":      {ec384, "k", ES384, ES256},
		"ES256 as EdDSA":         {ec, "k", ES256, EdDSA},
		"Ed25519 as ES256":       {okp, "k", Ed25519, ES256},
		"ALG-02 no wire name":    {okp, "k", Ed25519, ""},
		"unknown":                {ec, "k", "ES512", "ES512"},
		"none":                   {ec, "k", "none", "none"},
		"kid that needs escapes": {ec, `k"`, ES256, ES256},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewSigner(r.key, r.kid, r.alg, r.wire)
			wantErr(t, err, ErrKey, "")
		})
	}
	if _, err := GenerateKey("HS256"); !errors.Is(err, ErrKey) {
		t.Errorf("generated a key for HS256: %v", err)
	}
}

// One signer serves all requests at once.
func TestSignerConcurrently(t *testing.T) {
	s := newSigner(t, Ed25519)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				payload := fmt.Sprintf(`{"g":%d,"i":%d}`, g, i)
				typ := fmt.Sprintf("t%d+jwt", i%12)
				token, err := s.Sign(typ, []byte(payload))
				if err != nil {
					t.Error(err)
					return
				}
				opts := accepting(s.PublicKey())
				opts.Types = []string{typ}
				if _, got, err := Verify(token, opts); err != nil || string(got) != payload {
					t.Errorf("got %s, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

// What a token allocates beyond the bare signature: the string and, for ECDSA, r and s. Nothing else leaves
// the stack.
func TestSignAllocations(t *testing.T) {
	payload := []byte(strings.Repeat("x", 500))
	for alg, most := range map[Algorithm]float64{Ed25519: 1, ES256: 2, ES384: 2} {
		s := newSigner(t, alg)
		bare := testing.AllocsPerRun(100, func() {
			if _, err := signRaw(s.key, alg, payload); err != nil {
				t.Fatal(err)
			}
		})
		got := testing.AllocsPerRun(100, func() {
			if _, err := s.Sign("at+jwt", payload); err != nil {
				t.Fatal(err)
			}
		})
		if got > bare+most {
			t.Errorf("%v allocations for a token of %s, and %v for its signature, want at most %v more", got, alg, bare, most)
		}
	}
}

// A device that keeps what it was given to sign, and writes to it later, changes no token.
func TestSignerGivesAwayACopy(t *testing.T) {
	for _, alg := range []Algorithm{Ed25519, RS256, ES256} {
		key, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		keeper := &keeper{Signer: key}
		s := signerFor(t, keeper, alg)
		token := sign(t, s)
		clear(keeper.kept)
		accepted(t, token, accepting(s.PublicKey()))
		accepted(t, sign(t, s), accepting(s.PublicKey()))
	}
}

// keeper keeps what it signed.
type keeper struct {
	crypto.Signer
	kept []byte
}

func (k *keeper) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.kept = digest
	signature, err := k.Signer.Sign(random, digest, opts)
	clear(digest) // as early as it can
	return signature, err
}

// device is a key that only answers, as one behind PKCS #11 does.
type device struct {
	crypto.Signer
	answer func([]byte, error) ([]byte, error)
}

func (d device) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return d.answer(d.Signer.Sign(random, digest, opts))
}

func TestSignerWithDevice(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, RS256, PS256, Ed25519} {
		key, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		s := signerFor(t, device{key, func(b []byte, err error) ([]byte, error) { return b, err }}, alg)
		accepted(t, sign(t, s), accepting(s.PublicKey()))
		if _, err := MarshalPrivateJWK(device{Signer: key}); !errors.Is(err, ErrKey) {
			t.Errorf("%s: the private part of a device: %v", alg, err)
		}

		gone := errors.New("device removed")
		s = signerFor(t, device{key, func([]byte, error) ([]byte, error) { return nil, gone }}, alg)
		if token, err := s.Sign("at+jwt", []byte("{}")); token != "" || !errors.Is(err, gone) {
			t.Errorf("%s: got %q, %v", alg, token, err)
		}
		for name, answer := range map[string][]byte{"nothing": nil, "one octet": {1}, "too much": make([]byte, 1000)} {
			s = signerFor(t, device{key, func([]byte, error) ([]byte, error) { return answer, nil }}, alg)
			if token, err := s.Sign("at+jwt", []byte("{}")); token != "" || err == nil {
				t.Errorf("%s: a device answered with %s: got %q, %v", alg, name, token, err)
			}
		}
	}
}

// A device that answers nonsense makes an error, not a panic and not a token. What is nonsense depends
// on the key: a scalar of P-384 is none of P-256, and the other way round nearly all are.
func TestALG04_SignerWithBrokenECDevice(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384} {
		key, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := curveFor(alg)
		n, one := c.Params().N, big.NewInt(1)
		der := func(r, s *big.Int) []byte {
			b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		bit := func(n int) *big.Int { return new(big.Int).Lsh(one, uint(n)) }
		full := new(big.Int).Sub(bit(8*c.size), one) // of the right length, over the order
		for name, answer := range map[string][]byte{
			"r too long": der(bit(8*c.size), one), "s too long": der(one, bit(8*c.size)), "r far too long": der(bit(8*c.size+127), one),
			"r negative": der(big.NewInt(-1), one), "s negative": der(one, new(big.Int).Neg(bit(383))),
			"r zero": der(new(big.Int), one), "s zero": der(one, new(big.Int)), "r is n": der(n, one), "s is n": der(one, n),
			"r all ones": der(full, one), "s all ones": der(one, full), "of P-521": der(one, bit(520)),
			"trailing octet": append(der(one, one), 0), "not DER": make([]byte, 2*c.size), "empty sequence": {0x30, 0},
			"plain r and s": slices.Repeat([]byte{1}, 2*c.size), "one number": {0x30, 3, 2, 1, 1},
		} {
			t.Run(fmt.Sprintf("%s %s", alg, name), func(t *testing.T) {
				s := signerFor(t, device{key, func([]byte, error) ([]byte, error) { return answer, nil }}, alg)
				if token, err := s.Sign("at+jwt", []byte("{}")); token != "" || err == nil {
					t.Errorf("got %q, %v", token, err)
				}
			})
		}
		t.Run(fmt.Sprintf("%s the largest and the smallest scalar", alg), func(t *testing.T) {
			answer := der(new(big.Int).Sub(n, one), one)
			s := signerFor(t, device{key, func([]byte, error) ([]byte, error) { return answer, nil }}, alg)
			token, err := s.Sign("at+jwt", []byte("{}"))
			if err != nil || len(signatureOf(t, token)) != 2*c.size {
				t.Errorf("got %q, %v", token, err)
			}
		})
	}
}

// turncoat says another public key once it has been asked.
type turncoat struct {
	crypto.Signer
	asked *int
	then  crypto.PublicKey
}

func (d turncoat) Public() crypto.PublicKey {
	if *d.asked++; *d.asked > 1 {
		return d.then
	}
	return d.Signer.Public()
}

// The curve is that of the key which was examined. The library would ask again at each signature, and
// write 48 octets where it was told that there are 32.
func TestALG04_DeviceThatChangesItsPublicKey(t *testing.T) {
	key, err := GenerateKey(ES384)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	s := signerFor(t, turncoat{key, &asked, newSigner(t, ES256).PublicKey().Raw()}, ES384)
	accepted(t, sign(t, s), accepting(s.PublicKey()))
	if asked != 1 {
		t.Errorf("the device was asked %d times for its public key", asked)
	}
}

// No verb, no logger and no encoder shows a private key.
func TestSignerPrintsNoKey(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, Ed25519} {
		s := newSigner(t, alg)
		var private []byte
		switch key := s.key.(type) {
		case *ecdsa.PrivateKey:
			private, _ = key.Bytes()
		case ed25519.PrivateKey:
			private = key.Seed()
		}
		noSecret(t, private, s, struct{ S *Signer }{s})
	}
}

// noSecret prints values in every way and fails when 8 octets of secret show up in any notation.
func noSecret(t *testing.T, secret []byte, values ...any) {
	t.Helper()
	var notations []string
	for _, format := range []string{"%s", "%x", "%X", "%v"} {
		notations = append(notations, strings.Trim(fmt.Sprintf(format, secret[:8]), "[]"))
	}
	notations = append(notations, strings.TrimRight(strictBase64.EncodeToString(secret[:6]), "="))
	for _, v := range values {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%o", "%b", "%c", "%U", "%t"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		for _, n := range notations {
			if strings.Contains(out.String(), n) {
				t.Errorf("%T shows its secret as %q", v, n)
			}
		}
	}
	// The search itself must be able to find something.
	if !strings.Contains(fmt.Sprintf("%v", secret), notations[3]) {
		t.Fatal("the notations find nothing")
	}
}

package jose

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Each ECDSA algorithm has one curve, and refuses the other's wherever a key comes in.
func TestALG04_CurveTiedToAlgorithm(t *testing.T) {
	curves := []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()}
	for _, alg := range []Algorithm{ES256, ES384} {
		mine, _ := curveFor(alg)
		for _, curve := range curves {
			if curve == mine.Curve {
				continue
			}
			key, err := ecdsa.GenerateKey(curve, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			_, err = NewPublicKey("k", alg, &key.PublicKey)
			wantErr(t, err, ErrKey, "")
			_, err = NewSigner(key, "k", alg, alg)
			wantErr(t, err, ErrKey, "")
			_, err = NewSigner(device{Signer: key}, "k", alg, alg)
			wantErr(t, err, ErrKey, "")
		}
		k := newSigner(t, alg).PublicKey()
		for _, crv := range []string{"P-256", "P-384", "P-521", "secp256k1", "p-256", "P256", "p-384", "P384", ""} {
			if crv == mine.name {
				continue
			}
			text := strings.Replace(string(k.BareJWK()), mine.name, crv, 1)
			for _, as := range []Algorithm{ES256, ES384} {
				_, err := ParsePublicJWK([]byte(text), "k", as)
				wantErr(t, err, ErrKey, text)
			}
			parseSet(t, setOf(text), 0, 1)
		}
	}
}

func TestALG04_NeitherTakesTheOthersKey(t *testing.T) {
	for alg, other := range map[Algorithm]Algorithm{ES256: ES384, ES384: ES256} {
		s := newSigner(t, alg)
		bare := string(s.PublicKey().BareJWK())
		_, err := ParsePublicJWK([]byte(bare), "k", other)
		wantErr(t, err, ErrKey, bare)
		parseSet(t, setOf(strings.Replace(bare, "{", `{"alg":"`+string(other)+`",`, 1)), 0, 1)
		if _, err := s.PublicKey().JWK(other); !errors.Is(err, ErrKey) {
			t.Errorf("%s announced as %s: %v", alg, other, err)
		}
		// A token that names the other algorithm over a key of this one, with a signature that is right by the
		// key's own.
		h := fmt.Sprintf(`{"alg":"%s","kid":"%s","typ":"at+jwt"}`, other, s.KeyID())
		refused(t, forge(t, s, h, testPayload), accepting(s.PublicKey()), ErrAlgorithm)
		opts := accepting(s.PublicKey())
		opts.Algorithms = []Algorithm{other}
		refused(t, sign(t, s), opts, ErrAlgorithm)
	}
}

// ALG-02, ALG-05: which algorithm takes which key.
func TestALG05_KeyTypes(t *testing.T) {
	keys := map[string]crypto.PublicKey{}
	for _, alg := range []Algorithm{ES256, ES384, RS256, Ed25519} {
		keys[string(alg)] = newSigner(t, alg).PublicKey().Raw()
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["X25519"] = x25519.PublicKey()
	keys["octets"] = []byte("secret")
	keys["private key"] = newSigner(t, Ed25519).key
	keys["nil"] = nil
	keys["typed nil EC"] = (*ecdsa.PublicKey)(nil)
	keys["typed nil RSA"] = (*rsa.PublicKey)(nil)
	keys["empty RSA"] = &rsa.PublicKey{}
	keys["empty EC"] = &ecdsa.PublicKey{}
	keys["EC without coordinates"] = &ecdsa.PublicKey{Curve: elliptic.P256()}
	keys["empty Ed25519"] = ed25519.PublicKey{}
	takes := map[Algorithm]string{ES256: "ES256", ES384: "ES384", RS256: "RS256", PS256: "RS256", Ed25519: "Ed25519", EdDSA: "Ed25519"}
	for alg, want := range takes {
		for name, raw := range keys {
			t.Run(fmt.Sprintf("%s with %s", alg, name), func(t *testing.T) {
				k, err := NewPublicKey("k", alg, raw)
				if name != want {
					wantErr(t, err, ErrKey, "")
					return
				}
				if err != nil || k.Algorithm() != alg.Canonical() {
					t.Errorf("got %v, %v", k, err)
				}
			})
		}
	}
	for _, alg := range []Algorithm{"", "none", "HS256", "RS512", "es256"} {
		_, err := NewPublicKey("k", alg, keys["RS256"])
		wantErr(t, err, ErrKey, "")
	}
}

func TestALG05_RSABounds(t *testing.T) {
	good := newSigner(t, RS256).PublicKey().Raw().(*rsa.PublicKey)
	ofBits := func(n int) *big.Int {
		b := make([]byte, (n+7)/8)
		_, _ = rand.Read(b)
		v := new(big.Int).SetBytes(b)
		v.SetBit(v, 0, 1)
		v.Mod(v, new(big.Int).Lsh(big.NewInt(1), uint(n)))
		return v.SetBit(v, n-1, 1)
	}
	for _, r := range []struct {
		name string
		n    *big.Int
		e    int
		ok   bool
	}{
		{"1024 bits", ofBits(1024), 65537, false}, // JWT-40
		{"2047 bits", ofBits(2047), 65537, false},
		{"2048 bits", ofBits(2048), 65537, true},
		{"3072 bits", ofBits(3072), 65537, true},
		{"4096 bits", ofBits(4096), 65537, true},
		{"4097 bits", ofBits(4097), 65537, false},
		{"65536 bits", ofBits(65536), 65537, false},
		{"e 1", good.N, 1, false},
		{"e 3", good.N, 3, false},
		{"e 65535", good.N, 65535, false},
		{"e 65539", good.N, 65539, false},
		{"e 0", good.N, 0, false},
		{"e negative", good.N, -65537, false},
		{"even", new(big.Int).Lsh(good.N, 1), 65537, false},
		{"negative", new(big.Int).Neg(good.N), 65537, false},
		{"zero", new(big.Int), 65537, false},
	} {
		t.Run("JWT-40 "+r.name, func(t *testing.T) {
			k, err := NewPublicKey("k", RS256, &rsa.PublicKey{N: r.n, E: r.e})
			if r.ok != (err == nil) {
				t.Fatalf("got %v", err)
			}
			e := big.NewInt(int64(r.e)).Bytes()
			text := fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"%s"}`, strictBase64.EncodeToString(r.n.Bytes()), strictBase64.EncodeToString(e))
			if r.n.Sign() < 0 || r.e < 0 {
				return // no JWK says so
			}
			again, err := ParsePublicJWK([]byte(text), "k", RS256)
			if r.ok != (err == nil) {
				t.Fatalf("as a JWK: got %v", err)
			}
			if r.ok && again.Thumbprint() != k.Thumbprint() {
				t.Error("the JWK is another key")
			}
		})
	}
	t.Run("generated", func(t *testing.T) {
		if good.N.BitLen() != 2048 || good.E != 65537 {
			t.Errorf("%d bits, e %d", good.N.BitLen(), good.E)
		}
	})
	t.Run("a modulus that fills the document", func(t *testing.T) {
		text := fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"AQAB"}`, strings.Repeat("_", 15_000))
		_, err := ParsePublicJWK([]byte(text), "k", RS256)
		wantErr(t, err, ErrKey, text)
	})
}

func TestJWK02_JWK03_Members(t *testing.T) {
	for _, r := range []struct {
		alg, wire Algorithm
		bare      []string
	}{
		{ES256, ES256, []string{"crv", "kty", "x", "y"}},
		{ES384, ES384, []string{"crv", "kty", "x", "y"}},
		{RS256, RS256, []string{"e", "kty", "n"}},
		{PS256, PS256, []string{"e", "kty", "n"}},
		{Ed25519, Ed25519, []string{"crv", "kty", "x"}}, // ALG-03
		{Ed25519, EdDSA, []string{"crv", "kty", "x"}},   // ALG-02
	} {
		t.Run(string(r.wire), func(t *testing.T) {
			k := newSigner(t, r.alg).PublicKey()
			b, err := k.JWK(r.wire)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]string
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			if got["use"] != "sig" || got["alg"] != string(r.wire) || got["kid"] != k.Thumbprint() {
				t.Errorf("got %s", b)
			}
			// JWK-03: nothing else, and nothing private, is there.
			want := append(slices.Clone(r.bare), "use", "alg", "kid")
			if names := memberNames(t, b); !slices.Equal(names, want) {
				t.Errorf("got members %v, want %v", names, want)
			}
			if names := memberNames(t, k.BareJWK()); !slices.Equal(names, r.bare) {
				t.Errorf("got bare members %v, want %v", names, r.bare)
			}
			again, err := k.JWK(r.wire)
			if err != nil || string(again) != string(b) {
				t.Errorf("printed otherwise the second time: %s", again)
			}
			for _, other := range []Algorithm{"", "none", ES256, ES384, RS256, PS256, Ed25519, EdDSA} {
				if other.Canonical() == r.alg {
					continue
				}
				if _, err := k.JWK(other); err == nil {
					t.Errorf("announced as %q", other)
				}
			}
		})
	}
}

// memberNames returns the names of an object's members in order.
func memberNames(t *testing.T, b []byte) []string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(b)))
	var names []string
	for depth, i := 0, 0; ; i++ {
		token, err := dec.Token()
		if err != nil {
			return names
		}
		if d, ok := token.(json.Delim); ok {
			if depth++; d == '}' {
				depth -= 2
			}
			i = -1
			continue
		}
		if name, ok := token.(string); ok && i%2 == 0 && depth == 1 {
			names = append(names, name)
		}
	}
}

// The library computes thumbprints too; ours must be the same.
func TestJWK05_ThumbprintIsKeyID(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, RS256, Ed25519} {
		for range 5 {
			k := newSigner(t, alg).PublicKey()
			key, err := jwk.FromRaw(k.Raw())
			if err != nil {
				t.Fatal(err)
			}
			sum, err := key.Thumbprint(crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if want := strictBase64.EncodeToString(sum); k.Thumbprint() != want || k.KeyID() != want || len(want) != 43 {
				t.Errorf("%s: got thumbprint %s, kid %s, want %s", alg, k.Thumbprint(), k.KeyID(), want)
			}
			if alg == RS256 {
				break // keys are slow to make
			}
		}
	}
	t.Run("an imported key keeps its kid", func(t *testing.T) {
		k, err := NewPublicKey("theirs/2026-01", ES256, newSigner(t, ES256).PublicKey().Raw())
		if err != nil || k.KeyID() != "theirs/2026-01" || k.Thumbprint() == k.KeyID() {
			t.Errorf("got %v, %v", k, err)
		}
	})
	t.Run("but not any", func(t *testing.T) {
		raw := newSigner(t, ES256).PublicKey().Raw()
		for _, kid := range []string{"a\nb", `a"b`, `a\b`, "ü", "\x00", strings.Repeat("k", MaxKeyIDLength+1)} {
			_, err := NewPublicKey(kid, ES256, raw)
			wantErr(t, err, ErrKey, kid)
		}
	})
}

// Coordinates and private numbers keep their leading zeros: one key in 128 has one.
func TestJWK06_LeadingZeros(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384} {
		t.Run(string(alg), func(t *testing.T) { leadingZeros(t, alg) })
	}
	t.Run("RSA has none", rsaWithoutLeadingZeros)
}

func leadingZeros(t *testing.T, alg Algorithm) {
	c, _ := curveFor(alg)
	length := strictBase64.EncodedLen(c.size)
	var x0, y0, d0 bool
	for i := 0; i < 50_000 && (!x0 || !y0 || !d0); i++ {
		key, err := GenerateKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		private := key.(*ecdsa.PrivateKey)
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		d, err := private.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if point[1] != 0 && point[1+c.size] != 0 && d[0] != 0 {
			continue
		}
		x0, y0, d0 = x0 || point[1] == 0, y0 || point[1+c.size] == 0, d0 || d[0] == 0
		b, err := MarshalPrivateJWK(key)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if len(got["x"]) != length || len(got["y"]) != length || len(got["d"]) != length {
			t.Fatalf("x, y, d have %d, %d, %d characters", len(got["x"]), len(got["y"]), len(got["d"]))
		}
		roundTrip(t, signerFor(t, key, alg))
		again, err := ParsePrivateJWK(b)
		if err != nil || !private.Equal(again) {
			t.Fatalf("private JWK with leading zeros: %v", err)
		}
	}
	if !x0 || !y0 || !d0 {
		t.Errorf("no leading zero met: x %t, y %t, d %t", x0, y0, d0)
	}
}

func rsaWithoutLeadingZeros(t *testing.T) {
	k := newSigner(t, RS256).PublicKey()
	n := k.Raw().(*rsa.PublicKey).N.Bytes()
	for name, text := range map[string]string{
		"n": fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"AQAB"}`, strictBase64.EncodeToString(append([]byte{0}, n...))),
		"e": fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"AAEAAQ"}`, strictBase64.EncodeToString(n)),
	} {
		if _, err := ParsePublicJWK([]byte(text), "k", RS256); err == nil {
			t.Errorf("%s with a leading zero: one key with two JWKs", name)
		}
	}
	if got := memberNames(t, k.BareJWK()); len(got) != 3 || !strings.HasPrefix(string(k.BareJWK()), `{"e":"AQAB",`) {
		t.Errorf("got %s", k.BareJWK())
	}
}

// roundTrip prints the public key and reads it back.
func roundTrip(t *testing.T, s *Signer) {
	t.Helper()
	k := s.PublicKey()
	again, err := ParsePublicJWK(k.BareJWK(), k.KeyID(), k.Algorithm())
	if err != nil {
		t.Fatal(err)
	}
	if again.Thumbprint() != k.Thumbprint() || again.KeyID() != k.KeyID() || string(again.BareJWK()) != string(k.BareJWK()) {
		t.Errorf("got %s, want %s", again.BareJWK(), k.BareJWK())
	}
	accepted(t, sign(t, s), accepting(again))
}

func TestPublicKeyRoundTrip(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, RS256, PS256, Ed25519} {
		t.Run(string(alg), func(t *testing.T) { roundTrip(t, newSigner(t, alg)) })
	}
	k := newSigner(t, ES256).PublicKey()
	for name, text := range map[string]string{
		"another alg": strings.Replace(string(k.BareJWK()), "{", `{"alg":"RS256",`, 1),
		"another kid": strings.Replace(string(k.BareJWK()), "{", `{"kid":"other",`, 1),
	} {
		_, err := ParsePublicJWK([]byte(text), k.KeyID(), ES256)
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What is given out can be written to without harm, and so can what was taken in.
func TestPublicKeyIsImmutable(t *testing.T) {
	for _, alg := range []Algorithm{ES256, ES384, RS256, Ed25519} {
		s := newSigner(t, alg)
		token := sign(t, s)
		raw := s.PublicKey().Raw()
		k, err := NewPublicKey(s.KeyID(), alg, raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []crypto.PublicKey{raw, k.Raw()} {
			switch r := r.(type) {
			case *ecdsa.PublicKey:
				r.X.SetInt64(1) //lint:ignore SA1019 what a careless caller might do
				r.Curve = elliptic.P521()
			case *rsa.PublicKey:
				r.N.SetInt64(15)
				r.E = 3
			case ed25519.PublicKey:
				clear(r)
			}
		}
		clear(k.BareJWK())
		accepted(t, token, accepting(k))
		if k.BareJWK()[0] != '{' {
			t.Error("the bare JWK was overwritten")
		}
	}
}

func TestParseAlgorithm(t *testing.T) {
	for in, want := range map[string]Algorithm{
		"ES256": ES256, "ES384": ES384, "RS256": RS256, "PS256": PS256, "Ed25519": Ed25519, "EdDSA": Ed25519,
	} {
		if got, err := ParseAlgorithm(in); err != nil || got != want {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "none", "es256", "es384", "ES512", "ED25519", "HS256", "ES256 ", "RS512"} {
		if got, err := ParseAlgorithm(in); !errors.Is(err, ErrAlgorithm) || got != "" {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
}

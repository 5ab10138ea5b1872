package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
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
		{ES256, ES256}, {RS256, RS256}, {PS256, PS256}, {Ed25519, Ed25519}, {Ed25519, EdDSA}, {EdDSA, EdDSA}, {EdDSA, Ed25519},
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
	okp, _ := GenerateKey(Ed25519)
	for name, r := range map[string]struct {
		key       crypto.Signer
		kid       string
		alg, wire Algorithm
	}{
		"no key":                 {nil, "k", ES256, ES256},
		"another type of key":    {ec, "k", Ed25519, Ed25519},
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

// What a token allocates beyond the bare signature: the buffer, the string, and the library's copy.
func TestSignAllocations(t *testing.T) {
	s := newSigner(t, Ed25519)
	payload := []byte(strings.Repeat("x", 500))
	got := testing.AllocsPerRun(100, func() {
		if _, err := s.Sign("at+jwt", payload); err != nil {
			t.Fatal(err)
		}
	})
	if got > 4 {
		t.Errorf("%v allocations for an Ed25519 token, want at most 4", got)
	}
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
	for _, alg := range []Algorithm{ES256, RS256, PS256, Ed25519} {
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

// A device that answers nonsense makes an error, not a panic and not a token.
func TestSignerWithBrokenECDevice(t *testing.T) {
	key, err := GenerateKey(ES256)
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P256().Params().N
	der := func(r, s *big.Int) []byte {
		b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, huge := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 383)
	for name, answer := range map[string][]byte{
		"r too long": der(huge, one), "s too long": der(one, huge), "r negative": der(big.NewInt(-1), one),
		"s negative": der(one, new(big.Int).Neg(huge)), "r zero": der(new(big.Int), one), "s is n": der(one, n),
		"trailing octet": append(der(one, one), 0), "not DER": make([]byte, 64), "empty sequence": {0x30, 0},
		"plain r and s": slices.Repeat([]byte{1}, 64),
	} {
		t.Run(name, func(t *testing.T) {
			s := signerFor(t, device{key, func([]byte, error) ([]byte, error) { return answer, nil }}, ES256)
			if token, err := s.Sign("at+jwt", []byte("{}")); token != "" || err == nil {
				t.Errorf("got %q, %v", token, err)
			}
		})
	}
}

// No verb, no logger and no encoder shows a private key.
func TestSignerPrintsNoKey(t *testing.T) {
	for _, alg := range []Algorithm{ES256, Ed25519} {
		s := newSigner(t, alg)
		var private []byte
		switch key := s.key.(type) {
		case ecSigner:
			private, _ = key.Signer.(*ecdsa.PrivateKey).Bytes()
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

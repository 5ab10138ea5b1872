package token_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// reasonOf verifies and returns the reason; "" for a good token.
func reasonOf(t *testing.T, c *token.Checker, compact string) token.Reason {
	t.Helper()
	_, err := c.Verify(context.Background(), compact)
	if err == nil {
		return ""
	}
	var refusal *token.Error
	if !errors.As(err, &refusal) || !errors.Is(err, token.ErrToken) {
		t.Fatalf("a fault: %v", err)
	}
	return refusal.Reason
}

// wantReason fails unless the token is refused for one of the reasons, or taken for none.
func wantReason(t *testing.T, c *token.Checker, name, compact string, want ...token.Reason) {
	t.Helper()
	got := reasonOf(t, c, compact)
	for _, w := range want {
		if got == w {
			return
		}
	}
	t.Errorf("%s: got %q, want %q", name, got, want)
}

func TestChecker_Good(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.ES384, jose.Ed25519, jose.RS256, jose.PS256} {
		s := signer(t, alg)
		claims := goodClaims()
		payload, err := claims.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := checker(t, checkFor(t, s)).Verify(t.Context(), sign(t, s, payload))
		if err != nil || got.ClientID != "c1" || got.CredentialID != "k1" || got.JTI != "j1" {
			t.Errorf("%s: %+v, %v", alg, got, err)
		}
	}
}

// JWT-34 to JWT-37, JWT-50, RSV-20, RSV-37: the form of the token.
func TestRSV20_JWT34_JWT35_JWT36_JWT50_RSV37_Form(t *testing.T) {
	s := signer(t, jose.ES256)
	c := checker(t, checkFor(t, s))
	good := sign(t, s, members(nil))
	p := strings.Split(good, ".")
	for name, compact := range map[string]string{
		"empty":            "",
		"one part":         p[0],
		"two parts":        p[0] + "." + p[1],
		"four parts":       good + "." + p[2],
		"JWE, five parts":  good + "." + p[1] + "." + p[2],
		"no signature":     p[0] + "." + p[1] + ".",
		"JSON":             `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`,
		"JSON, inner":      `{"payload":"` + p[1] + `","signatures":[{"protected":"` + p[0] + `","signature":"` + p[2] + `"}]}`,
		"padding":          good + "=",
		"padding, header":  p[0] + "=." + p[1] + "." + p[2],
		"space":            good + " ",
		"newline":          p[0] + "." + p[1] + "\n." + p[2],
		"plus":             p[0] + "." + p[1] + "+." + p[2],
		"slash":            p[0] + "." + p[1] + "/." + p[2],
		"16 KiB and more":  p[0] + "." + strings.Repeat("A", 16<<10) + "." + p[2],
		"a million dots":   strings.Repeat(".", 1_000_000),
		"nul":              good + "\x00",
		"not ASCII":        good + "é",
		"bearer in token":  "Bearer " + good,
		"swapped segments": p[1] + "." + p[0] + "." + p[2],
	} {
		wantReason(t, c, name, compact, token.ReasonMalformed, token.ReasonHeader)
	}
	if got := reasonOf(t, c, good); got != "" {
		t.Fatalf("the good token: %s", got)
	}
}

// JWT-34: bits beyond the last octet must be zero, in each part.
func TestJWT34_DanglingBits(t *testing.T) {
	s := signer(t, jose.ES256)
	c := checker(t, checkFor(t, s))
	p := strings.Split(sign(t, s, members(nil)), ".")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range p {
		if len(p[i])%4 == 0 {
			continue
		}
		last := p[i][len(p[i])-1]
		q := append([]string(nil), p...)
		q[i] = p[i][:len(p[i])-1] + string(alphabet[strings.IndexByte(alphabet, last)+1])
		wantReason(t, c, fmt.Sprint("part ", i), strings.Join(q, "."), token.ReasonMalformed, token.ReasonSignature)
	}
}

// JWT-50: a million dots are refused without splitting them.
func TestJWT50_DotsCostNothing(t *testing.T) {
	c := checker(t, checkFor(t, signer(t, jose.ES256)))
	dots := strings.Repeat(".", 1_000_000)
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			_, _ = c.Verify(context.Background(), dots)
		}
	})
	if r.AllocedBytesPerOp() > 1<<20 {
		t.Errorf("%d bytes allocated", r.AllocedBytesPerOp())
	}
}

// forge signs whatever header says with the right key: the header alone is what is wrong.
func forge(t *testing.T, key interface {
	Sign(input []byte) []byte
}, header, payload string,
) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(key.Sign([]byte(input)))
}

// rawES256 signs any octets as ES256 does.
type rawES256 struct{ key *ecdsa.PrivateKey }

func (r rawES256) Sign(input []byte) []byte {
	sum := sha256.Sum256(input)
	x, y, err := ecdsa.Sign(nil, r.key, sum[:])
	if err != nil {
		panic(err)
	}
	out := make([]byte, 64)
	x.FillBytes(out[:32])
	y.FillBytes(out[32:])
	return out
}

func newRawES256(t *testing.T) (rawES256, *jose.Signer) {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(key, "kid1", jose.ES256, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("ES256 keys are %T", key)
	}
	return rawES256{private}, s
}

// JWT-37, JWT-38, JWT-49, RSV-23: members that we do not know, and keys that a token brings along.
func TestRSV23_JWT37_JWT38_JWT49_JWT05_HeaderMembers(t *testing.T) {
	key, s := newRawES256(t)
	c := checker(t, checkFor(t, s))
	payload := string(members(nil))
	jwk, err := s.PublicKey().JWK(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	base := `"alg":"ES256","kid":"kid1","typ":"at+jwt"`
	if got := reasonOf(t, c, forge(t, key, "{"+base+"}", payload)); got != "" {
		t.Fatalf("the forger's good token is refused: %s", got)
	}
	for _, more := range []string{
		`"crit":["exp"]`, `"crit":[]`, `"crit":["alg"]`, `"crit":["b64"],"b64":false`, `"b64":false`, `"b64":true`,
		`"jku":"https://evil.example/keys"`, `"x5u":"https://evil.example/cert"`, `"jwk":` + string(jwk),
		`"x5c":["MIIB"]`, `"x5t":"a"`, `"zip":"DEF"`, `"cty":"JWT"`, `"alg":"ES256"`, `"ALG":"none"`, `"x":1`,
	} {
		wantReason(t, c, more, forge(t, key, "{"+base+","+more+"}", payload), token.ReasonHeader)
	}
	for _, header := range []string{`null`, `[]`, `"x"`, `{}`, base, "{" + base + "}{}", "\xef\xbb\xbf{" + base + "}"} {
		wantReason(t, c, header, forge(t, key, header, payload), token.ReasonHeader, token.ReasonAlgorithm)
	}
}

// JWT-03, JWT-44, RSV-21: the type.
func TestRSV21_JWT44_JWT03_Type(t *testing.T) {
	key, s := newRawES256(t)
	c := checker(t, checkFor(t, s))
	check := checkFor(t, s)
	check.InsecureTypJWT = true
	lax := checker(t, check)
	compact := func(typ string) string {
		return forge(t, key, `{"alg":"ES256","kid":"kid1"`+typ+`}`, string(members(nil)))
	}
	for _, typ := range []string{"at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"} {
		wantReason(t, c, typ, compact(`,"typ":"`+typ+`"`), "")
		wantReason(t, lax, typ, compact(`,"typ":"`+typ+`"`), "")
	}
	for _, typ := range []string{
		"secevent+jwt", "client-authentication+jwt", "dpop+jwt", "statuslist+jwt", "token-introspection+jwt", "JOSE", "jose+json",
		"at+jwt ", " at+jwt", "text/at+jwt", "application/application/at+jwt", "at+jwt;x=1", "at", "", "a\\u0000t+jwt", "at\u212aj",
	} {
		wantReason(t, c, typ, compact(`,"typ":"`+typ+`"`), token.ReasonType)
		wantReason(t, lax, typ, compact(`,"typ":"`+typ+`"`), token.ReasonType)
	}
	wantReason(t, c, "absent", compact(``), token.ReasonType)
	wantReason(t, lax, "absent", compact(``), token.ReasonType)
	wantReason(t, c, "null", compact(`,"typ":null`), token.ReasonType, token.ReasonHeader)
	wantReason(t, c, "array", compact(`,"typ":["at+jwt"]`), token.ReasonHeader)
	for _, typ := range []string{"JWT", "jwt", "application/jwt"} {
		wantReason(t, c, typ, compact(`,"typ":"`+typ+`"`), token.ReasonType)
		wantReason(t, lax, typ, compact(`,"typ":"`+typ+`"`), "")
	}
}

// JWT-30, JWT-31, RSV-22: the algorithm, its spelling, and its agreement with the key.
func TestRSV22_JWT30_JWT31_Algorithm(t *testing.T) {
	key, s := newRawES256(t)
	rs := signer(t, jose.RS256)
	c := checker(t, checkFor(t, s, rs))
	payload := string(members(nil))
	for _, alg := range []string{
		"es256", "Es256", "none", "None", "NONE", "", "HS256", "PS512", "ES384", "ES256K", "RS1", "ES256 ", "EdDSA", "Ed25519", "RS256", "PS256",
	} {
		wantReason(t, c, alg, forge(t, key, `{"alg":"`+alg+`","kid":"kid1","typ":"at+jwt"}`, payload), token.ReasonAlgorithm)
	}
	for _, header := range []string{`{"kid":"kid1","typ":"at+jwt"}`, `{"alg":null,"kid":"kid1","typ":"at+jwt"}`, `{"alg":["ES256"],"kid":"kid1","typ":"at+jwt"}`} {
		wantReason(t, c, header, forge(t, key, header, payload), token.ReasonAlgorithm, token.ReasonHeader)
	}
	// ES256 header naming an RSA key; PS256 header naming an RS256 key.
	for _, alg := range []string{"ES256", "PS256"} {
		wantReason(t, c, alg, forge(t, key, `{"alg":"`+alg+`","kid":"`+rs.KeyID()+`","typ":"at+jwt"}`, payload), token.ReasonAlgorithm)
	}
	// On the key, but not on the caller's list.
	check := checkFor(t, s, rs)
	check.Algorithms = []jose.Algorithm{jose.RS256}
	wantReason(t, checker(t, check), "unlisted", sign(t, s, members(nil)), token.ReasonAlgorithm)
	wantReason(t, checker(t, check), "listed", sign(t, rs, members(nil)), "")
	wantReason(t, c, "none, no signature", b64(`{"alg":"none","kid":"kid1","typ":"at+jwt"}`)+"."+b64(payload)+".", token.ReasonMalformed)
}

// hmacKey signs as HS256 does, with a public key for a secret.
type hmacKey []byte

func (k hmacKey) Sign(input []byte) []byte {
	m := hmac.New(sha256.New, k)
	m.Write(input)
	return m.Sum(nil)
}

func TestJWT32_PublicKeyAsHMACSecret(t *testing.T) {
	s := signer(t, jose.RS256)
	c := checker(t, checkFor(t, s))
	pub, ok := s.PublicKey().Raw().(*rsa.PublicKey)
	if !ok {
		t.Fatal("not an RSA key")
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := s.PublicKey().JWK(jose.RS256)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "DER": der, "JWK": jwk, "PKCS1": x509.MarshalPKCS1PublicKey(pub),
	} {
		for _, alg := range []string{"HS256", "RS256"} {
			header := `{"alg":"` + alg + `","kid":"` + s.KeyID() + `","typ":"at+jwt"}`
			wantReason(t, c, name, forge(t, hmacKey(secret), header, string(members(nil))), token.ReasonAlgorithm, token.ReasonSignature)
		}
	}
}

// JWT-33, RSV-25: one bit in each part; a payload that means the same but was not signed.
func TestRSV25_JWT33_JWT01_Signature(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.ES384, jose.Ed25519, jose.RS256, jose.PS256} {
		s := signer(t, alg)
		c := checker(t, checkFor(t, s))
		good := sign(t, s, members(nil))
		p := strings.Split(good, ".")
		for part := range p {
			b, err := base64.RawURLEncoding.DecodeString(p[part])
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, len(b) / 2, len(b) - 1} {
				flipped := bytes.Clone(b)
				flipped[at] ^= 1
				q := append([]string(nil), p...)
				q[part] = base64.RawURLEncoding.EncodeToString(flipped)
				if reasonOf(t, c, strings.Join(q, ".")) == "" {
					t.Errorf("%s: part %d, octet %d: taken", alg, part, at)
				}
			}
		}
		spaced := p[0] + "." + b64(" "+string(members(nil))) + "." + p[2]
		wantReason(t, c, string(alg)+" re-encoded payload", spaced, token.ReasonSignature)
		other := sign(t, s, members(map[string]any{"jti": "j2"}))
		wantReason(t, c, string(alg)+" signature of another token", p[0]+"."+p[1]+other[strings.LastIndex(other, "."):], token.ReasonSignature)
	}
}

// JWT-39: signatures of a wrong form.
func TestJWT39_SignatureForm(t *testing.T) {
	_, s := newRawES256(t)
	c := checker(t, checkFor(t, s))
	p := strings.Split(sign(t, s, members(nil)), ".")
	sig, _ := base64.RawURLEncoding.DecodeString(p[2])
	for name, b := range map[string][]byte{
		"63 octets": sig[:63], "65 octets": append(bytes.Clone(sig), 0), "zeros": make([]byte, 64), "one octet": {0},
		"ones": bytes.Repeat([]byte{0xff}, 64), "r zero": append(make([]byte, 32), sig[32:]...), "s zero": append(bytes.Clone(sig[:32]), make([]byte, 32)...),
	} {
		wantReason(t, c, name, p[0]+"."+p[1]+"."+base64.RawURLEncoding.EncodeToString(b), token.ReasonSignature, token.ReasonMalformed)
	}
}

// JWT-33: nothing is read before the signature: a bad payload under a bad signature is a bad signature.
func TestJWT33_SignatureBeforeClaims(t *testing.T) {
	key, s := newRawES256(t)
	c := checker(t, checkFor(t, s))
	compact := forge(t, key, `{"alg":"ES256","kid":"kid1","typ":"at+jwt"}`, `not JSON`)
	wantReason(t, c, "signed nonsense", compact, token.ReasonClaims)
	wantReason(t, c, "unsigned nonsense", compact[:strings.LastIndex(compact, ".")]+"."+strings.Repeat("A", 86), token.ReasonSignature)
}

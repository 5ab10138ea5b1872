package jose

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
)

// The published examples. Their headers have neither kid nor typ, so Verify refuses them; the
// signatures are checked below it.

// joe is the payload of RFC 7515, Appendices A.1 to A.4, line feeds included.
const joe = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"

func readVector(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// checkVector verifies jws by k, and checks that Verify wants to know more about it than it says.
func checkVector(t *testing.T, k *PublicKey, jws, payload string) {
	t.Helper()
	_, dot, err := split(jws)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.verify([]byte(jws[:dot]), signatureOf(t, jws)); err != nil {
		t.Errorf("refused: %v", err)
	}
	if err := k.verify([]byte(jws[:dot-1]), signatureOf(t, jws)); err == nil {
		t.Error("accepted without the last character of the payload")
	}
	got, err := decodeSegment(jws[strings.IndexByte(jws, '.')+1 : dot])
	if err != nil || string(got) != payload {
		t.Errorf("got payload %q, %v, want %q", got, err, payload)
	}
	refused(t, jws, anyKid(k), ErrHeader)
}

func parsePrivateVector(t *testing.T, jwk string, alg Algorithm) *Signer {
	t.Helper()
	key, err := ParsePrivateJWK([]byte(jwk))
	if err != nil {
		t.Fatal(err)
	}
	return signerFor(t, key, alg)
}

func TestJWT30_VectorRFC7515AppendixA1HS256IsRefused(t *testing.T) {
	jws := "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	key, err := decodeSegment("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(jws[:strings.LastIndexByte(jws, '.')]))
	if !hmac.Equal(mac.Sum(nil), signatureOf(t, jws)) {
		t.Error("not the RFC's MAC")
	}
	refused(t, jws, anyKid(newSigner(t, ES256).PublicKey()), ErrAlgorithm)
}

func TestVectorRFC7515AppendixA2RS256(t *testing.T) {
	s := parsePrivateVector(t, readVector(t, "rfc7515-a2-key.json"), RS256)
	jws := readVector(t, "rfc7515-a2.jws")
	checkVector(t, s.PublicKey(), jws, joe)
	// The algorithm is deterministic: we sign as the RFC does.
	signature, err := s.signature([]byte(jws[:strings.LastIndexByte(jws, '.')]))
	if err != nil || !bytes.Equal(signature, signatureOf(t, jws)) {
		t.Errorf("signed otherwise: %v", err)
	}
}

func TestVectorRFC7515AppendixA3ES256(t *testing.T) {
	s := parsePrivateVector(t, `{"kty":"EC","crv":"P-256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
		"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
		"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`, ES256)
	checkVector(t, s.PublicKey(), vectorA3, joe)
}

const vectorA3 = "eyJhbGciOiJFUzI1NiJ9" +
	".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

// RFC 7515, Appendix A.4: ES512 on P-521, which is right, and none of ours, neither the token nor the key.
func TestALG04_VectorRFC7515AppendixA4ES512IsRefused(t *testing.T) {
	const jws = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA" +
		".AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpR" +
		"wcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
	const public = `"kty":"EC","crv":"P-521",
		"x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
		"y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"`
	const secret = "AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C"
	d, err := decodeSegment(secret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P521(), d)
	if err != nil {
		t.Fatal(err)
	}
	digest, signature := sha512.Sum512([]byte(jws[:strings.LastIndexByte(jws, '.')])), signatureOf(t, jws)
	r, s := new(big.Int).SetBytes(signature[:66]), new(big.Int).SetBytes(signature[66:])
	if len(signature) != 132 || !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
		t.Error("not the RFC's signature")
	}
	refused(t, jws, anyKid(newSigner(t, ES384).PublicKey()), ErrAlgorithm)
	for _, alg := range []Algorithm{ES256, ES384} {
		_, err := ParsePublicJWK([]byte("{"+public+"}"), "k", alg)
		wantErr(t, err, ErrKey, public)
		_, err = NewSigner(key, "k", alg, alg)
		wantErr(t, err, ErrKey, "")
	}
	private := "{" + public + `,"d":"` + secret + `"}`
	_, err = ParsePrivateJWK([]byte(private))
	wantErr(t, err, ErrKey, private)
	refusedFile(t, []byte(private), ErrKey, "on P-256 (ES256) or on P-384 (ES384)")
}

// RFC 7515, Appendices A.6 and A.7: the JSON serialisations hold the very signatures of A.2 and A.3, which
// verify, and are refused for their form, with one signature, with two, and flattened.
func TestJWT01_VectorRFC7515AppendixA6JSONIsRefused(t *testing.T) {
	rs := parsePrivateVector(t, readVector(t, "rfc7515-a2-key.json"), RS256)
	a2, a3 := strings.Split(readVector(t, "rfc7515-a2.jws"), "."), strings.Split(vectorA3, ".")
	if a2[0] != "eyJhbGciOiJSUzI1NiJ9" || a3[0] != "eyJhbGciOiJFUzI1NiJ9" || a2[1] != a3[1] {
		t.Fatal("A.2 and A.3 are not what A.6 is made of")
	}
	one := `{"protected":"` + a2[0] + `","header":{"kid":"2010-12-29"},"signature":"` + a2[2] + `"}`
	two := `{"protected":"` + a3[0] + `","header":{"kid":"e9bc097a-ce51-4036-9562-d2ade882db0d"},"signature":"` + a3[2] + `"}`
	for name, text := range map[string]string{
		"A.6, general":       `{"payload":"` + a2[1] + `","signatures":[` + one + "," + two + `]}`,
		"general, one":       `{"payload":"` + a2[1] + `","signatures":[` + one + `]}`,
		"A.7, flattened":     `{"payload":"` + a3[1] + `",` + two[1:],
		"flattened, A.2":     `{"payload":"` + a2[1] + `",` + one[1:],
		"payload in front":   a2[1] + `{"payload":"` + a2[1] + `",` + one[1:],
		"as segments":        b64(one) + "." + a2[1] + "." + a2[2] + ".",
		"detached, RFC 7797": a2[0] + ".." + a2[2],
	} {
		t.Run(name, func(t *testing.T) { refused(t, text, anyKid(rs.PublicKey()), ErrMalformed) })
	}
}

// RFC 6979, Appendix A.2.6: there is no JWS in it, but a key and a signature of P-384 with SHA-384. Ours
// over the same octets are others, since Go hedges its nonces.
func TestVectorRFC6979AppendixA26ES384(t *testing.T) {
	s := parsePrivateVector(t, readVector(t, "rfc6979-a2-6-key.json"), ES384)
	signature, err := hex.DecodeString("94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46" +
		"99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PublicKey().verify([]byte("sample"), signature); err != nil {
		t.Errorf("refused: %v", err)
	}
	if err := s.PublicKey().verify([]byte("sampled"), signature); err == nil {
		t.Error("accepted over other octets")
	}
	accepted(t, sign(t, s), accepting(s.PublicKey()))
}

func TestJWT30_VectorRFC7515AppendixA5UnsecuredIsRefused(t *testing.T) {
	k := newSigner(t, ES256).PublicKey()
	refused(t, "eyJhbGciOiJub25lIn0"+
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
		anyKid(k), ErrMalformed)
}

// RFC 7515, Appendix C: the octets of its example have exactly one text.
func TestVectorRFC7515AppendixC(t *testing.T) {
	octets := []byte{3, 236, 255, 224, 193}
	if got := strictBase64.EncodeToString(octets); got != "A-z_4ME" {
		t.Errorf("got %q", got)
	}
	for _, bad := range []string{"A-z_4MF", "A-z_4MG", "A-z_4ME=", "A+z/4ME", "A-z_4M", "A-z_4", "A-z_4ME\n"} {
		if got, err := decodeSegment(bad); err == nil && bytes.Equal(got, octets) || err == nil && len(bad) != 6 {
			t.Errorf("%q decoded to %v", bad, got)
		}
	}
}

// RFC 8037, Appendices A.1 to A.5: private key, public key, thumbprint, signing, verifying.
func TestALG02_ALG03_VectorRFC8037AppendixA(t *testing.T) {
	s := parsePrivateVector(t, `{"kty":"OKP","crv":"Ed25519",
		"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
		"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, Ed25519)
	const jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc" +
		".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	checkVector(t, s.PublicKey(), jws, "Example of Ed25519 signing")
	const public = `{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	if got := string(s.PublicKey().BareJWK()); got != public {
		t.Errorf("got %s", got)
	}
	if k, err := ParsePublicJWK([]byte(public), "", EdDSA); err != nil || k.KeyID() != s.KeyID() {
		t.Errorf("got %v, %v", k, err)
	}
	if got, want := s.PublicKey().Thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("got thumbprint %s, want %s", got, want)
	}
	signature, err := s.signature([]byte(jws[:strings.LastIndexByte(jws, '.')]))
	if err != nil || !bytes.Equal(signature, signatureOf(t, jws)) {
		t.Errorf("signed otherwise: %v", err)
	}
}

// RFC 8037, Appendix A.6: X25519 keys agree on secrets, and sign nothing.
func TestALG02_VectorRFC8037AppendixA6X25519IsRefused(t *testing.T) {
	const x = "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"
	const bob = `{"kty":"OKP","crv":"X25519","kid":"Bob","x":"` + x + `"}`
	secret, err := hex.DecodeString("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdh.X25519().NewPrivateKey(secret)
	if err != nil || strictBase64.EncodeToString(private.PublicKey().Bytes()) != x {
		t.Fatalf("not the RFC's key: %v", err)
	}
	for _, alg := range []Algorithm{Ed25519, EdDSA, ES256} {
		_, err := ParsePublicJWK([]byte(bob), "Bob", alg)
		wantErr(t, err, ErrKey, x)
		_, err = NewPublicKey("Bob", alg, private.PublicKey())
		wantErr(t, err, ErrKey, "")
	}
	parseSet(t, setOf(bob), 0, 1)
	whole := strings.Replace(bob, `"kid":"Bob"`, `"d":"`+strictBase64.EncodeToString(secret)+`"`, 1)
	_, err = ParsePrivateJWK([]byte(whole))
	wantErr(t, err, ErrKey, whole)
	refusedFile(t, []byte(whole), ErrKey, "crv is not Ed25519")
}

// RFC 7517, Appendix A.2 as key files: the set is one key too many, the first key is for encryption, the
// second is for signing and keeps its kid.
func TestVectorRFC7517AppendixA2KeyFiles(t *testing.T) {
	text := readVector(t, "rfc7517-a2.json")
	refusedFile(t, []byte(text), ErrKey, "a JWK set")
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || len(doc.Keys) != 2 {
		t.Fatalf("%d keys, %v", len(doc.Keys), err)
	}
	refusedFile(t, doc.Keys[0], ErrKey, "use is not sig")
	f, err := ParsePrivateKeyFile(doc.Keys[1])
	if err != nil || f.KeyID != "2011-04-29" || f.Algorithm != RS256 {
		t.Fatalf("got %v, %v", f, err)
	}
	s, err := NewSigner(f.Key, f.KeyID, f.Algorithm, f.Algorithm)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 7638, Section 3.1: the thumbprint of this key's public half.
	if got := s.PublicKey().Thumbprint(); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("got thumbprint %s", got)
	}
	accepted(t, sign(t, s), accepting(s.PublicKey()))
	parseSet(t, []byte(text), 0, 2) // JWK-03: no public document
	// Its first key is a good one, but for its purpose.
	use := bytes.Replace(doc.Keys[0], []byte(`"enc"`), []byte(`"sig"`), 1)
	if f, err := ParsePrivateKeyFile(use); err != nil || f.KeyID != "1" || f.Algorithm != ES256 {
		t.Errorf("got %v, %v", f, err)
	}
}

// RFC 7517, Appendix C: a private key under a password. It opens, with the library and the RFC's password, and
// for us it is neither a key file nor a sealed secret. The count of iterations, which is the stranger's, is
// never looked at: with the largest one this test would not end.
func TestVectorRFC7517AppendixCPasswordIsRefused(t *testing.T) {
	text := readVector(t, "rfc7517-c.jwe")
	plaintext, err := jwe.Decrypt([]byte(text),
		jwe.WithKey(jwa.PBES2_HS256_A128KW, []byte("Thus from my lips, by yours, my sin is purged.")))
	if err != nil {
		t.Fatal(err)
	}
	refusedFile(t, plaintext, ErrKey, "use is not sig")
	forever := b64(`{"alg":"PBES2-HS256+A128KW","p2s":"2WCTcJZ1Rvd_CJuJripQ1w","p2c":2147483647,"enc":"A128CBC-HS256"}`) +
		text[strings.IndexByte(text, '.'):]
	for _, sealed := range []string{text, forever} {
		refusedFile(t, []byte(sealed), ErrMalformed, "decrypted first")
		refused(t, sealed, anyKid(newSigner(t, RS256).PublicKey()), ErrMalformed)
		if b, err := Open([]*KEK{testKEK(1)}, vectorMembers, sealed); b != nil || !errors.Is(err, ErrSealed) {
			t.Errorf("opened: %q, %v", b, err)
		}
	}
}

// RFC 7518, Section 3.1: of its table these are ours, and Section 3.4 ties each to a curve and a length.
func TestALG01_VectorRFC7518Section31(t *testing.T) {
	ours := map[string]int{"RS256": 256, "PS256": 256, "ES256": 64, "ES384": 96}
	for _, name := range []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "none",
	} {
		alg, err := ParseAlgorithm(name)
		size, want := ours[name]
		if want != (err == nil) {
			t.Errorf("%s: got %v", name, err)
		}
		if want && newSigner(t, alg).PublicKey().signatureSize() != size {
			t.Errorf("%s: signatures are not of %d octets", name, size)
		}
	}
}

// RFC 7517, Appendix A: a set of an encryption key and a signing key; private keys; symmetric keys.
func TestVectorRFC7517AppendixA(t *testing.T) {
	const (
		ec = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
			"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",%s"kid":"1"}`
		d = `"d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",`
	)
	rsa := `{"kty":"RSA","n":"` + rfc7638Modulus + `","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	parse := func(text string) *Set {
		set, err := ParseSet([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	a1 := parse(`{"keys":[` + strings.Replace(ec, "%s", `"use":"enc",`, 1) + "," + rsa + `]}`)
	if k, ok := a1.Lookup("2011-04-29"); a1.Len() != 1 || a1.Skipped() != 1 || !ok || k.Algorithm() != RS256 {
		t.Errorf("A.1: got %d keys, %d skipped", a1.Len(), a1.Skipped())
	}
	a2 := parse(`{"keys":[` + strings.Replace(ec, "%s", d, 1) + `]}`)
	if a2.Len() != 0 || a2.Skipped() != 1 {
		t.Errorf("A.2: got %d keys, %d skipped", a2.Len(), a2.Skipped())
	}
	a3 := parse(`{"keys":[{"kty":"oct","alg":"A128KW","k":"GawgguFyGrWKav7AX4VKUg"},{"kty":"oct",
		"k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
		"kid":"HMAC key used in JWS spec Appendix A.1 example"}]}`)
	if a3.Len() != 0 || a3.Skipped() != 2 {
		t.Errorf("A.3: got %d keys, %d skipped", a3.Len(), a3.Skipped())
	}
}

// rfc7638Modulus is the modulus of RFC 7638, Section 3.1 and of RFC 7517, Appendix A.
const rfc7638Modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK" +
	"RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0" +
	"zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU" +
	"8awapJzKnqDKgw"

func TestJWK05_VectorRFC7638(t *testing.T) {
	k, err := ParsePublicJWK([]byte(`{"kty":"RSA","n":"`+rfc7638Modulus+`","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`),
		"2011-04-29", RS256)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := k.Thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; got != want {
		t.Errorf("got thumbprint %s, want %s", got, want)
	}
	if got, want := string(k.BareJWK()), `{"e":"AQAB","kty":"RSA","n":"`+rfc7638Modulus+`"}`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

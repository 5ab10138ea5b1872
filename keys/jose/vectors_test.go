package jose

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
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

func TestVectorRFC7515AppendixA1HS256IsRefused(t *testing.T) {
	jws := "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	refused(t, jws, anyKid(newSigner(t, ES256).PublicKey()), ErrAlgorithm)
}

func TestVectorRFC7515AppendixA2RS256(t *testing.T) {
	s := parsePrivateVector(t, readVector(t, "rfc7515-a2-key.json"), RS256)
	jws := readVector(t, "rfc7515-a2.jws")
	checkVector(t, s.PublicKey(), jws, joe)
	// The algorithm is deterministic: we sign as the RFC does.
	signature, err := s.primitive.Sign([]byte(jws[:strings.LastIndexByte(jws, '.')]), s.key)
	if err != nil || !bytes.Equal(signature, signatureOf(t, jws)) {
		t.Errorf("signed otherwise: %v", err)
	}
}

func TestVectorRFC7515AppendixA3ES256(t *testing.T) {
	s := parsePrivateVector(t, `{"kty":"EC","crv":"P-256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
		"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
		"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`, ES256)
	checkVector(t, s.PublicKey(), "eyJhbGciOiJFUzI1NiJ9"+
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"+
		".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", joe)
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

func TestVectorRFC7515AppendixA5UnsecuredIsRefused(t *testing.T) {
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

func TestVectorRFC8037AppendixA(t *testing.T) {
	s := parsePrivateVector(t, `{"kty":"OKP","crv":"Ed25519",
		"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
		"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, Ed25519)
	const jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc" +
		".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	checkVector(t, s.PublicKey(), jws, "Example of Ed25519 signing")
	if got, want := s.PublicKey().Thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("got thumbprint %s, want %s", got, want)
	}
	signature, err := s.primitive.Sign([]byte(jws[:strings.LastIndexByte(jws, '.')]), s.key)
	if err != nil || !bytes.Equal(signature, signatureOf(t, jws)) {
		t.Errorf("signed otherwise: %v", err)
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

package jose

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// jwkOf returns the JWK of a fresh key under kid.
func jwkOf(t *testing.T, alg Algorithm, kid string) (string, *Signer) {
	t.Helper()
	key, err := GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(key, kid, alg, alg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.PublicKey().JWK(alg)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), s
}

func setOf(entries ...string) []byte {
	return []byte(`{"keys":[` + strings.Join(entries, ",") + `]}`)
}

func parseSet(t *testing.T, b []byte, keys, skipped int) *Set {
	t.Helper()
	set, err := ParseSet(b)
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != keys || set.Skipped() != skipped || len(set.Keys()) != keys {
		t.Fatalf("got %d keys, %d skipped, want %d, %d", set.Len(), set.Skipped(), keys, skipped)
	}
	return set
}

// JWK-11, RKY-11, ALG-09: what cannot be used comes first and takes nothing else with it.
func TestJWK11_RKY11_UnusableKeysAreSkipped(t *testing.T) {
	ec, s := jwkOf(t, ES256, "good")
	p384, _ := jwkOf(t, ES384, "p384")
	rsa, _ := jwkOf(t, RS256, "rsa")
	okp, _ := jwkOf(t, Ed25519, "okp")
	edit := func(jwk, old, new string) string {
		changed := strings.Replace(jwk, old, new, 1)
		if changed == jwk {
			t.Fatalf("%q is not in the JWK", old)
		}
		return changed
	}
	with := func(jwk, members string) string { return strings.TrimSuffix(jwk, "}") + members + "}" }
	for name, entry := range map[string]string{
		"ALG-09 ML-DSA":             `{"kty":"AKP","alg":"ML-DSA-44","kid":"x","pub":"AAAA"}`,
		"ALG-09 unknown kty":        `{"kty":"XYZ","kid":"x"}`,
		"ALG-09 unknown alg":        edit(ec, `"ES256"`, `"ES999"`),
		"ALG-02 X25519":             edit(okp, `"crv":"Ed25519"`, `"crv":"X25519"`),
		"ALG-02 Ed448":              edit(okp, `"crv":"Ed25519"`, `"crv":"Ed448"`),
		"ALG-04 ES384 on P-256":     edit(ec, `"ES256"`, `"ES384"`),
		"ALG-04 ES256 on P-384":     edit(p384, `"ES384"`, `"ES256"`),
		"ALG-04 P-384 named P-256":  edit(p384, `"P-384"`, `"P-256"`),
		"ALG-04 P-521":              edit(p384, `"P-384"`, `"P-521"`),
		"ALG-04 ES512":              edit(p384, `"ES384"`, `"ES512"`),
		"ALG-02 EdDSA on P-256":     edit(ec, `"ES256"`, `"EdDSA"`),
		"ALG-03 OKP with y":         with(okp, `,"y":"AAAA"`),
		"ALG-03 x of 31 octets":     fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":"%s"}`, strings.Repeat("A", 42)),
		"ALG-03 x of 33 octets":     fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":"%s"}`, strings.Repeat("A", 44)),
		"ALG-03 small order":        fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":"%s"}`, strings.Repeat("A", 43)),
		"JWT-31 none":               edit(ec, `"ES256"`, `"none"`),
		"JWT-32 symmetric":          `{"kty":"oct","alg":"HS256","kid":"x","k":"AAAA"}`,
		"JWT-32 HS256 on RSA":       edit(rsa, `"RS256"`, `"HS256"`),
		"kty missing":               edit(ec, `"kty":"EC",`, ``),
		"kty in another case":       edit(ec, `"kty":"EC"`, `"kty":"ec"`),
		"kty a number":              edit(ec, `"kty":"EC"`, `"kty":1`),
		"EC saying RSA":             edit(ec, `"kty":"EC"`, `"kty":"RSA"`),
		"RSA without alg":           edit(rsa, `"alg":"RS256",`, ``),
		"RSA for RS512":             edit(rsa, `"RS256"`, `"RS512"`),
		"RKY-10 RSA for encryption": edit(rsa, `"RS256"`, `"RSA-OAEP"`),
		"n missing":                 `{"kty":"RSA","alg":"RS256","kid":"x","e":"AQAB"}`,
		"n padded":                  edit(rsa, `","use"`, `==","use"`),
		"alg null and RSA":          edit(rsa, `"alg":"RS256"`, `"alg":null`),
		"alg a list":                edit(ec, `"ES256"`, `["ES256"]`),
		"RKY-10 use enc":            edit(ec, `"use":"sig"`, `"use":"enc"`),
		"use empty":                 edit(ec, `"use":"sig"`, `"use":""`),
		"use unknown":               edit(ec, `"use":"sig"`, `"use":"SIG"`),
		"JWK-02 use against ops":    with(ec, `,"key_ops":["encrypt"]`),
		"key_ops sign only":         with(ec, `,"key_ops":["sign"]`),
		"key_ops empty":             with(ec, `,"key_ops":[]`),
		"key_ops twice":             with(ec, `,"key_ops":["verify","verify"]`),
		"key_ops mixed":             with(ec, `,"key_ops":["verify","deriveKey"]`),
		"key_ops a string":          with(ec, `,"key_ops":"verify"`),
		"kid empty":                 edit(ec, `"kid":"good"`, `"kid":""`),
		"kid a number":              edit(ec, `"kid":"good"`, `"kid":1`),
		"kid with line feed":        edit(ec, `"kid":"good"`, `"kid":"a\nb"`),
		"kid too long":              edit(ec, `"kid":"good"`, `"kid":"`+strings.Repeat("k", MaxKeyIDLength+1)+`"`),
		"null":                      `null`,
		"string":                    `"key"`,
		"number":                    `1`,
		"array":                     `[]`,
		"empty object":              `{}`,
		"a set in the set":          string(setOf(ec)),
	} {
		t.Run(name, func(t *testing.T) {
			set := parseSet(t, setOf(entry, ec), 1, 1)
			accepted(t, sign(t, s), VerifyOptions{Types: []string{"at+jwt"}, Algorithms: []Algorithm{ES256}, Key: set.Find})
			parseSet(t, setOf(ec, entry), 1, 1)
			parseSet(t, setOf(entry), 0, 1)
		})
	}
	// JWK-03: a key whose private part is published is nobody's any more.
	for _, member := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		t.Run("JWK-03 with "+member, func(t *testing.T) {
			for _, value := range []string{`"AAAA"`, `""`, `null`, `[]`, `1`} {
				for _, jwk := range []string{rsa, okp} {
					set := parseSet(t, setOf(with(jwk, `,"`+member+`":`+value), ec), 1, 1)
					if got := set.Exposed(); len(got) != 1 {
						t.Errorf("a secret is published, and Exposed says %q", got)
					}
				}
			}
		})
	}
	t.Run("JWK-03 whose secrets they are", func(t *testing.T) {
		set := parseSet(t, setOf(
			`{"kty":"oct","k":"AA","kid":"s"}`, `{"kty":"AKP","alg":"ML-DSA-44","kid":"m","pub":"AA","priv":"AA"}`, `{"kty":"oct","k":"AA","kid":"a\nb"}`,
			`{"kty":"oct","k":"AA"}`, `{"kty":"AKP","alg":"ML-DSA-44","kid":"n","pub":"AA"}`, `7`, ec), 1, 6)
		if got := fmt.Sprintf("%q", set.Exposed()); got != `["s" "m" "" ""]` {
			t.Errorf("Exposed says %s", got)
		}
	})
	t.Run("ALG-09 a token in an algorithm that was skipped", func(t *testing.T) {
		set := parseSet(t, setOf(`{"kty":"AKP","alg":"ML-DSA-44","kid":"x","pub":"AAAA"}`, ec), 1, 1)
		opts := VerifyOptions{Types: []string{"at+jwt"}, Algorithms: []Algorithm{ES256}, Key: set.Find}
		refused(t, forge(t, s, `{"alg":"ML-DSA-44","kid":"x","typ":"at+jwt"}`, testPayload), opts, ErrAlgorithm)
		refused(t, forge(t, s, `{"alg":"ES256","kid":"x","typ":"at+jwt"}`, testPayload), opts, ErrUnknownKey)
	})
}

func TestJWK01_Documents(t *testing.T) {
	ec, _ := jwkOf(t, ES256, "good")
	t.Run("unknown members are ignored", func(t *testing.T) {
		parseSet(t, []byte(` {"x":{"keys":[]},"keys":[`+strings.TrimSuffix(ec, "}")+
			`,"x5c":["MIIB"],"exp":1,"ext":true,"key_ops":["verify"]}],"iss":"https://as.example"} `), 1, 0)
	})
	t.Run("alg may be implied", func(t *testing.T) {
		okp, _ := jwkOf(t, Ed25519, "okp")
		p384, _ := jwkOf(t, ES384, "p384")
		set := parseSet(t, setOf(strings.Replace(ec, `"alg":"ES256",`, "", 1),
			strings.Replace(okp, `"alg":"Ed25519",`, "", 1), strings.Replace(p384, `"alg":"ES384",`, "", 1)), 3, 0)
		for kid, want := range map[string]Algorithm{"good": ES256, "okp": Ed25519, "p384": ES384} {
			if k, ok := set.Lookup(kid); !ok || k.Algorithm() != want {
				t.Errorf("%s: got %v", kid, k)
			}
		}
	})
	t.Run("ALG-02 both names of Ed25519", func(t *testing.T) {
		okp, s := jwkOf(t, Ed25519, "okp")
		for _, wire := range []string{"Ed25519", "EdDSA"} {
			set := parseSet(t, setOf(strings.Replace(okp, `"alg":"Ed25519"`, `"alg":"`+wire+`"`, 1)), 1, 0)
			for _, name := range []string{"Ed25519", "EdDSA"} {
				for _, allowed := range []Algorithm{Ed25519, EdDSA} {
					opts := VerifyOptions{Types: []string{"at+jwt"}, Algorithms: []Algorithm{allowed}, Key: set.Find}
					h, _ := accepted(t, forge(t, s, `{"alg":"`+name+`","kid":"okp","typ":"at+jwt"}`, testPayload), opts)
					if string(h.Algorithm) != name {
						t.Errorf("got alg %s, want it as written, %s", h.Algorithm, name)
					}
				}
			}
		}
	})
	t.Run("a key without kid goes by its thumbprint", func(t *testing.T) {
		s := newSigner(t, ES256)
		set := parseSet(t, setOf(string(s.PublicKey().BareJWK())), 1, 0)
		if _, ok := set.Lookup(s.PublicKey().Thumbprint()); !ok {
			t.Error("not found")
		}
	})
	t.Run("empty", func(t *testing.T) { parseSet(t, []byte(`{"keys":[]}`), 0, 0) })
	for name, text := range map[string]string{
		"nothing": ``, "null": `null`, "array": `[` + ec + `]`, "a key": ec, "no keys": `{}`, "keys null": `{"keys":null}`,
		"keys an object": `{"keys":{}}`, "keys a string": `{"keys":"x"}`, "KEYS": `{"KEYS":[]}`, "keys twice": `{"keys":[],"keys":[]}`,
		"a member twice":          `{"keys":[{"kty":"EC","kty":"RSA"}]}`,
		"a member twice, unknown": `{"keys":[],"x":{"a":1,"a":2}}`,
		"byte order mark":         "\ufeff" + `{"keys":[]}`, "text after": `{"keys":[]} x`, "HTML": `<html></html>`,
		"invalid UTF-8": "{\"keys\":[{\"kid\":\"\xff\"}]}",
		"too large":     `{"keys":[]` + strings.Repeat(" ", MaxSetSize) + `}`,
		"too many":      string(setOf(strings.Split(strings.Repeat("{} ", MaxSetKeys+1), " ")[:MaxSetKeys+1]...)),
	} {
		t.Run(name, func(t *testing.T) {
			set, err := ParseSet([]byte(text))
			if set != nil {
				t.Error("got a set")
			}
			wantErr(t, err, ErrMalformed, text)
		})
	}
	t.Run("as many as allowed", func(t *testing.T) {
		parseSet(t, setOf(strings.Split(strings.Repeat("{} ", MaxSetKeys), " ")[:MaxSetKeys]...), 0, MaxSetKeys)
	})
}

// JWK-04, RKY-12: one kid, two keys.
func TestRKY12_OneKeyIDTwoKeys(t *testing.T) {
	ec, ecSigner := jwkOf(t, ES256, "k")
	ec2, ecSigner2 := jwkOf(t, ES256, "k")
	p384, p384Signer := jwkOf(t, ES384, "k")
	p384b, _ := jwkOf(t, ES384, "k")
	okp, okpSigner := jwkOf(t, Ed25519, "k")
	rsa, rsaSigner := jwkOf(t, RS256, "k")
	t.Run("types differ: each by its algorithm, in any order", func(t *testing.T) {
		for _, doc := range [][]byte{setOf(ec, okp, rsa, p384), setOf(p384, rsa, ec, okp), setOf(okp, rsa, ec, p384)} {
			set := parseSet(t, doc, 4, 0)
			opts := VerifyOptions{
				Types: []string{"at+jwt"}, Algorithms: []Algorithm{ES256, ES384, RS256, PS256, Ed25519}, Key: set.Find,
			}
			for _, s := range []*Signer{ecSigner, p384Signer, okpSigner, rsaSigner} {
				accepted(t, sign(t, s), opts)
			}
			refused(t, sign(t, ecSigner2), opts, ErrSignature)
			refused(t, forge(t, rsaSigner, `{"alg":"PS256","kid":"k","typ":"at+jwt"}`, testPayload), opts, ErrAlgorithm)
		}
	})
	t.Run("the first one is what Lookup finds", func(t *testing.T) {
		if k, ok := parseSet(t, setOf(okp, ec), 2, 0).Lookup("k"); !ok || k.Algorithm() != Ed25519 {
			t.Errorf("got %v", k)
		}
	})
	for name, doc := range map[string][]byte{
		"same type":                 setOf(ec, ec2),
		"ALG-04 same curve":         setOf(ec, p384, p384b),
		"same type, third":          setOf(ec, okp, ec2),
		"the same key":              setOf(ec, ec),
		"one RSA key, two purposes": setOf(rsa, strings.Replace(rsa, "RS256", "PS256", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSet(doc)
			wantErr(t, err, ErrKey, "")
		})
	}
	t.Run("a skipped key does not count", func(t *testing.T) {
		parseSet(t, setOf(ec, strings.Replace(ec2, `"sig"`, `"enc"`, 1)), 1, 1)
	})
	t.Run("JWK-04 our own sets have no two", func(t *testing.T) {
		_, err := NewSet(ecSigner.PublicKey(), okpSigner.PublicKey())
		wantErr(t, err, ErrKey, "")
		_, err = NewSet(ecSigner.PublicKey(), nil)
		wantErr(t, err, ErrKey, "")
		set, err := NewSet(ecSigner.PublicKey(), newSigner(t, ES256).PublicKey())
		if err != nil || set.Len() != 2 || set.Skipped() != 0 || set.Keys()[0] != ecSigner.PublicKey() {
			t.Errorf("got %v, %v", set, err)
		}
	})
}

// JWT-46, RKY-10: the caller picks the set by the issuer, the set picks the key by kid, and the key
// says which algorithm.
func TestJWT46_KeyOfTheIssuer(t *testing.T) {
	a, aSigner := jwkOf(t, ES256, "2026")
	b, bSigner := jwkOf(t, ES256, "2026")
	opts := func(doc string) VerifyOptions {
		set := parseSet(t, setOf(doc), 1, 0)
		return VerifyOptions{Types: []string{"at+jwt"}, Algorithms: []Algorithm{ES256}, Key: set.Find}
	}
	accepted(t, sign(t, aSigner), opts(a))
	refused(t, sign(t, bSigner), opts(a), ErrSignature)
	refused(t, sign(t, aSigner), opts(b), ErrSignature)
	other, _ := jwkOf(t, ES256, "2027")
	refused(t, sign(t, aSigner), opts(other), ErrUnknownKey)
	t.Run("a fault is not an answer", func(t *testing.T) {
		down := errors.New("the store is down")
		o := opts(a)
		o.Key = func(Header) (*PublicKey, error) { return nil, down }
		_, _, err := Verify(sign(t, aSigner), o)
		if !errors.Is(err, down) || errors.Is(err, ErrUnknownKey) {
			t.Errorf("got %v", err)
		}
		o.Key = func(Header) (*PublicKey, error) { return nil, nil }
		refused(t, sign(t, aSigner), o, ErrUnknownKey)
	})
}

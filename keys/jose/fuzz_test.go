package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

// fuzzSigners returns one signer per algorithm, the same ones in every process, from the RFCs' keys.
func fuzzSigners(f *testing.F) []*Signer {
	f.Helper()
	var signers []*Signer
	for _, r := range []struct {
		jwk       string
		alg, wire Algorithm
	}{
		{`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
			`"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`, ES256, ES256},
		{readVector(f, "rfc6979-a2-6-key.json"), ES384, ES384},
		{readVector(f, "rfc7515-a2-key.json"), RS256, RS256},
		{`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",` +
			`"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, Ed25519, EdDSA},
	} {
		key, err := ParsePrivateJWK([]byte(r.jwk))
		if err != nil {
			f.Fatal(err)
		}
		s, err := NewSigner(key, "", r.alg, r.wire)
		if err != nil {
			f.Fatal(err)
		}
		signers = append(signers, s)
	}
	return signers
}

// FuzzVerify: whatever is accepted is what was signed, octet for octet.
func FuzzVerify(f *testing.F) {
	signers := fuzzSigners(f)
	var keys []*PublicKey
	signed := map[string]string{} // signing input → payload
	for _, s := range signers {
		keys = append(keys, s.PublicKey())
		for _, payload := range []string{testPayload, "x", strings.Repeat("y", 300)} {
			token, err := s.Sign("at+jwt", []byte(payload))
			if err != nil {
				f.Fatal(err)
			}
			signed[token[:strings.LastIndexByte(token, '.')]] = payload
			f.Add(token)
			f.Add(token[:len(token)-1])
			f.Add(token + ".")
			f.Add(token[:len(token)-86] + strings.Repeat("A", 86))
			f.Add(token[:strings.LastIndexByte(token, '.')+1] + strings.Repeat("A", 128))
			f.Add(strings.Replace(token, "e", "f", 1))
			// Four algorithms under the other keys' names, none, and members too many.
			for _, h := range []string{
				`{"alg":"none","kid":"` + s.KeyID() + `","typ":"at+jwt"}`,
				`{"alg":"ES256","kid":"` + s.KeyID() + `","typ":"at+jwt"}`,
				`{"alg":"EdDSA","kid":"` + s.KeyID() + `","typ":"at+jwt","crit":[]}`,
				`{"alg":"ES384","kid":"` + s.KeyID() + `","typ":"at+jwt"}`,
			} {
				f.Add(b64(h) + token[strings.IndexByte(token, '.'):])
			}
		}
	}
	set, err := NewSet(keys...)
	if err != nil {
		f.Fatal(err)
	}
	for _, token := range []string{"", ".", "..", "...", "{}", strings.Repeat(".", 1000), "e30.e30.e30", "bnVsbA.bnVsbA.bnVsbA"} {
		f.Add(token)
	}
	opts := VerifyOptions{Types: []string{"at+jwt"}, Algorithms: []Algorithm{ES256, ES384, RS256, PS256, Ed25519}, Key: set.Find}
	f.Fuzz(func(t *testing.T, token string) {
		h, payload, err := Verify(token, opts)
		if err != nil {
			if payload != nil || h != (Header{}) {
				t.Fatalf("refused, and yet gave %v, %q", h, payload)
			}
			for _, known := range []error{ErrMalformed, ErrHeader, ErrUnknownKey, ErrSignature} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("an error of no kind: %v", err)
		}
		want, ok := signed[token[:strings.LastIndexByte(token, '.')]]
		if !ok || string(payload) != want {
			t.Fatalf("accepted %q, which nobody signed", token)
		}
	})
}

// FuzzHeader: a header that was read, printed and read again is the same, and another parser agrees.
func FuzzHeader(f *testing.F) {
	for _, h := range []string{
		`{"alg":"ES256","kid":"k","typ":"at+jwt"}`, `{"alg":"ES384","kid":"k","typ":"at+jwt"}`, `{"typ":"AT+JWT","kid":"\u006b","alg":"EdDSA"}`,
		` {"alg" : "RS256" , "kid":"a b","typ":"application/at+jwt"} `, `{"alg":"none","kid":"k","typ":"at+jwt"}`,
		`{"alg":"ES256","alg":"ES256","kid":"k","typ":"x"}`, `{"alg":"ES256","kid":"k","typ":"x","crit":["x"]}`,
		`{"ALG":"ES256","kid":"k","typ":"x"}`, `{"alg":"ES256","kid":"a\nb","typ":"x"}`, `{"alg":"ES256","kid":"k","typ":"x"}{}`,
		`{"alg":null,"kid":null,"typ":null}`, "\ufeff{}", `null`, `[]`, `{`, `{"alg":"ES256","kid":"\ud800","typ":"x"}`,
		strings.Repeat(`{"a":`, 100), `{"alg":"PS256","kid":"` + strings.Repeat("k", MaxKeyIDLength+1) + `","typ":"x"}`,
	} {
		f.Add([]byte(h))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if plain, ok := plainHeader(b); ok {
			if read, err := readHeader(b); err != nil || read != plain {
				t.Fatalf("%q: without the parser %v, with it %v, error %v", b, plain, read, err)
			}
		}
		if err != nil {
			if h != (Header{}) || !errors.Is(err, ErrHeader) {
				t.Fatalf("got %v, %v", h, err)
			}
			return
		}
		again, err := parseHeader(h.appendJSON(nil))
		if err != nil || again != h {
			t.Fatalf("printed and read again: %v, %v, want %v", again, err, h)
		}
		var other map[string]string
		if err := json.Unmarshal(b, &other); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", b, err)
		}
		want := map[string]string{"alg": string(h.Algorithm), "kid": h.KeyID, "typ": h.Type}
		if !reflect.DeepEqual(other, want) {
			t.Fatalf("encoding/json reads %v, we %v", other, want)
		}
	})
}

// FuzzDERSignature: what is read of a device's answer is what encoding/asn1 reads, printed as it came, and
// between 1 and n-1; and whatever that is so for is read.
func FuzzDERSignature(f *testing.F) {
	one := big.NewInt(1)
	for _, alg := range []Algorithm{ES256, ES384} {
		c, _ := curveFor(alg)
		n := c.Params().N
		for _, v := range []*big.Int{new(big.Int), one, big.NewInt(-1), big.NewInt(127), big.NewInt(128), n, new(big.Int).Sub(n, one), new(big.Int).Lsh(one, 1016)} {
			f.Add(must(asn1.Marshal(derSignature{v, one})))
			f.Add(must(asn1.Marshal(derSignature{one, v})))
		}
	}
	for _, der := range []string{
		"", "0", "0\x00", "0\x80", "0\x80\x02\x01\x01\x02\x01\x01\x00\x00", "0\x81\x06\x02\x01\x01\x02\x01\x01", "0\x06\x02\x01\x01\x02\x01\x01\x00",
		"0\x07\x02\x02\x00\x01\x02\x01\x01", "0\x07\x02\x01\x01\x02\x02\x00\x80", "0\x05\x02\x00\x02\x01\x01", "0\x09\x02\x01\x01\x02\x01\x01\x02\x01\x01",
		"1\x06\x02\x01\x01\x02\x01\x01", "0\x06\x03\x01\x01\x02\x01\x01", "0\x08\x02\x84\xff\xff\xff\xff\x02\x01",
	} {
		f.Add([]byte(der))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, alg := range []Algorithm{ES256, ES384} {
			c, _ := curveFor(alg)
			got, err := c.plain(der)
			var want derSignature
			rest, other := asn1.Unmarshal(der, &want)
			good := other == nil && len(rest) == 0
			for _, v := range []*big.Int{want.R, want.S} {
				good = good && v.Sign() > 0 && v.Cmp(c.Params().N) < 0
			}
			if good {
				printed, err := asn1.Marshal(want)
				good = err == nil && bytes.Equal(printed, der)
			}
			if good != (err == nil) {
				t.Fatalf("%s: %x: %v, and encoding/asn1 has %v, %v", alg, der, err, want, other)
			}
			if good && !bytes.Equal(got, append(want.R.FillBytes(make([]byte, c.size)), want.S.FillBytes(make([]byte, c.size))...)) {
				t.Fatalf("%s: %x: got %x, want %v", alg, der, got, want)
			}
		}
	})
}

type derSignature struct{ R, S *big.Int }

// FuzzParseSet: a set that was read, printed and read again is the same, with nothing left to skip.
func FuzzParseSet(f *testing.F) {
	var docs []string
	for _, s := range fuzzSigners(f) {
		b, err := s.PublicKey().JWK(s.WireAlgorithm())
		if err != nil {
			f.Fatal(err)
		}
		docs = append(docs, string(b))
		private, err := MarshalPrivateJWK(s.key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(setOf(string(private), string(b)))
		f.Add(setOf(strings.Replace(string(b), `"use":"sig"`, `"key_ops":["verify"]`, 1)))
		f.Add(setOf(strings.Replace(string(b), `"alg":`, `"x":`, 1)))
	}
	f.Add(setOf(docs...))
	f.Add(setOf(docs[0], docs[0]))
	for _, doc := range []string{
		`{"keys":[]}`, `{}`, `null`, `{"keys":null}`, `{"keys":[null,1,"x",[],{}]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		`{"keys":[{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}]}`, `{"keys":[[[[[[[[[[[[[[[[[[[[`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := ParseSet(b)
		if err != nil {
			if set != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrKey) {
				t.Fatalf("got %v, %v", set, err)
			}
			return
		}
		if set.Len()+set.Skipped() > MaxSetKeys {
			t.Fatalf("%d keys, %d skipped", set.Len(), set.Skipped())
		}
		var entries []string
		for _, k := range set.Keys() {
			jwk, err := k.JWK(k.Algorithm())
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, string(jwk))
		}
		again, err := ParseSet(setOf(entries...))
		if err != nil || again.Len() != set.Len() || again.Skipped() != 0 {
			t.Fatalf("printed and read again: %v, %v", again, err)
		}
		for i, k := range again.Keys() {
			was := set.Keys()[i]
			if k.KeyID() != was.KeyID() || k.Thumbprint() != was.Thumbprint() || k.Algorithm() != was.Algorithm() {
				t.Fatalf("key %d was %s, is %s", i, was.BareJWK(), k.BareJWK())
			}
		}
	})
}

// FuzzParsePrivateKeyFile: what is read signs, and is the same when it is printed and read again; what
// is refused is refused for a reason that holds nothing of the file.
func FuzzParsePrivateKeyFile(f *testing.F) {
	for _, s := range fuzzSigners(f) {
		key := s.key
		jwk := string(must(MarshalPrivateJWK(key)))
		text := block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
		for _, seed := range []string{
			jwk, text, text + text, jwk + jwk, "x" + text, text + "x", string(setOf(jwk)), string(s.PublicKey().PEM()), string(s.PublicKey().BareJWK()),
			strings.Replace(jwk, "{", `{"kid":"k","use":"sig","key_ops":["sign"],"alg":"`+string(s.Algorithm())+`",`, 1),
			strings.Replace(jwk, "{", `{"alg":"ES384","oth":[],`, 1), strings.Replace(text, "END", "ENT", 1), text[:len(text)/2],
		} {
			f.Add([]byte(seed))
		}
		if ec, ok := key.(*ecdsa.PrivateKey); ok {
			der := must(x509.MarshalECPrivateKey(ec))
			f.Add([]byte(block("EC PARAMETERS", curveName(f, der)) + block("EC PRIVATE KEY", der)))
		}
	}
	for _, text := range []string{"", "{}", "[]", "null", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "0\x82", "eyJ"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := ParsePrivateKeyFile(b)
		if err != nil {
			if file != (PrivateKeyFile{}) || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrKey) || len(err.Error()) > 300 {
				t.Fatalf("got %v, %v", file, err)
			}
			leaks(t, b, err)
			return
		}
		alg := file.Algorithm
		if alg == "" {
			alg = RS256
		}
		s, err := NewSigner(file.Key, file.KeyID, alg, alg)
		if err != nil {
			t.Fatal(err)
		}
		accepted(t, sign(t, s), accepting(s.PublicKey()))
		for _, again := range []string{
			string(must(MarshalPrivateJWK(file.Key))), block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(file.Key))),
		} {
			if same, err := ParsePrivateKeyFile([]byte(again)); err != nil || !file.Key.(equaler).Equal(same.Key) {
				t.Fatalf("printed and read again: %v, %v", same, err)
			}
		}
	})
}

// FuzzOpen: nothing opens but what was sealed, character for character.
func FuzzOpen(f *testing.F) {
	sealed := map[string]string{}
	for s, plaintext := range sealedVectors(f) {
		sealed[s] = plaintext
		f.Add(s)
		f.Add(s[:len(s)-1])
		f.Add(s + "A")
		f.Add(s[strings.IndexByte(s, '.'):])
		f.Add(b64(`{"alg":"dir","enc":"A256GCM","kid":"`+testKEK(1).ID()+`"}`) + s[strings.IndexByte(s, '.'):])
	}
	for _, s := range []string{"", "....", "e30.AA.AA.AA.AA", `{"ciphertext":"AA"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		plaintext, err := Open([]*KEK{testKEK(2), testKEK(1)}, vectorMembers, s)
		if err != nil {
			if plaintext != nil || !errors.Is(err, ErrSealed) {
				t.Fatalf("got %q, %v", plaintext, err)
			}
			return
		}
		if want, ok := sealed[s]; !ok || string(plaintext) != want {
			t.Fatalf("opened %q, which nobody sealed", s)
		}
	})
}

// FuzzStrictUnmarshal: what we accept, encoding/json accepts and reads alike, and it is not deep.
func FuzzStrictUnmarshal(f *testing.F) {
	for _, text := range []string{
		`{"exp":1800000000,"aud":["a","b"],"x":{"y":[null,true,1.5e3,"\u00e9\n"]}}`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `null`,
		"\ufeff{}", `{} {}`, `"\ud83d\ude00"`, `"\ud83d"`, "\"\xff\"", strings.Repeat("[", 17) + strings.Repeat("]", 17), `["\"[[["]`, `[1,]`, `01`, `1e400`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if err := StrictUnmarshal(b, &v, false); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		var other any
		if err := json.Unmarshal(b, &other); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", b, err)
		}
		if !reflect.DeepEqual(v, other) {
			t.Fatalf("encoding/json reads %v, we %v", other, v)
		}
		if d := depthOf(v); d > MaxDepth {
			t.Fatalf("%d deep", d)
		}
		printed, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var again any
		if err := StrictUnmarshal(printed, &again, false); err != nil || !reflect.DeepEqual(v, again) {
			t.Fatalf("printed and read again: %v, %v", again, err)
		}
	})
}

func depthOf(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			deepest = max(deepest, depthOf(e))
		}
		return deepest + 1
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, depthOf(e))
		}
		return deepest + 1
	}
	return 0
}

package jose

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"hash"
	"strings"
	"testing"
)

// The tokens of this file carry a signature that is right, wherever one can be, so that only the
// rule in question can refuse them.

func TestJWT30_AlgorithmAllowList(t *testing.T) {
	s := newSigner(t, ES256)
	for _, alg := range []string{
		"none", "None", "NONE", "nOnE", "nonE", "", " ", "es256", "Es256", "ES256 ", " ES256", "ES256\\u0000",
		"rs256", "HS256", "HS384", "HS512", "RS384", "RS512", "PS384", "PS512", "ES385", "es384", "ES384 ", "Es384", "ES512", "ES256K",
		"RS1", "RSA1_5", "dir", "A256GCMKW", "ed25519", "eddsa", "EDDSA", "Ed448", "ML-DSA-44", "ES256,none",
	} {
		t.Run(alg, func(t *testing.T) {
			h := fmt.Sprintf(`{"alg":"%s","kid":"k","typ":"at+jwt"}`, alg)
			refused(t, forge(t, s, h, testPayload), anyKid(s.PublicKey()), ErrAlgorithm)
			// And unsigned, as RFC 7515, Appendix A.5 has it: the empty third part is no part.
			refused(t, b64(h)+"."+b64(testPayload)+".", anyKid(s.PublicKey()), ErrMalformed)
			refused(t, b64(h)+"."+b64(testPayload), anyKid(s.PublicKey()), ErrMalformed)
		})
	}
	for name, h := range map[string]string{
		"missing": `{"kid":"k","typ":"at+jwt"}`,
		"null":    `{"alg":null,"kid":"k","typ":"at+jwt"}`,
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, forge(t, s, h, testPayload), anyKid(s.PublicKey()), ErrAlgorithm)
		})
	}
	for name, h := range map[string]string{
		"array":  `{"alg":["ES256"],"kid":"k","typ":"at+jwt"}`,
		"number": `{"alg":256,"kid":"k","typ":"at+jwt"}`,
		"object": `{"alg":{"ES256":1},"kid":"k","typ":"at+jwt"}`,
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, forge(t, s, h, testPayload), anyKid(s.PublicKey()), ErrHeader)
		})
	}
	t.Run("known but not allowed here", func(t *testing.T) {
		opts := accepting(s.PublicKey())
		opts.Algorithms = []Algorithm{RS256, Ed25519}
		refused(t, sign(t, s), opts, ErrAlgorithm)
	})
	t.Run("nothing allowed is a mistake of the caller, not of the token", func(t *testing.T) {
		for _, opts := range []VerifyOptions{
			{Types: []string{"at+jwt"}, Key: onlyKey(s.PublicKey())},
			{Algorithms: []Algorithm{ES256}, Key: onlyKey(s.PublicKey())},
			{Types: []string{"at+jwt"}, Algorithms: []Algorithm{ES256}},
		} {
			if _, _, err := Verify(sign(t, s), opts); err == nil {
				t.Errorf("accepted with options %+v", opts)
			}
		}
	})
}

// One key, one algorithm: the header chooses neither.
func TestJWT31_HeaderAlgorithmAgreesWithKey(t *testing.T) {
	signers := map[Algorithm]*Signer{}
	for _, alg := range []Algorithm{ES256, ES384, RS256, PS256, Ed25519} {
		signers[alg] = newSigner(t, alg)
	}
	for keyAlg, s := range signers {
		for _, named := range []Algorithm{ES256, ES384, RS256, PS256, Ed25519, EdDSA} {
			if named.Canonical() == keyAlg {
				continue
			}
			t.Run(fmt.Sprintf("%s naming a key for %s", named, keyAlg), func(t *testing.T) {
				h := Header{Algorithm: named, KeyID: s.KeyID(), Type: "at+jwt"}
				token := forge(t, s, string(h.appendJSON(nil)), testPayload)
				refused(t, token, accepting(s.PublicKey()), ErrAlgorithm)
			})
		}
	}
	t.Run("PS256 made with the RSA key of RS256", func(t *testing.T) {
		rs := signers[RS256]
		ps := signerFor(t, rs.key, PS256)
		refused(t, sign(t, ps), accepting(rs.PublicKey()), ErrAlgorithm)
	})
}

func TestJWT32_PublicKeyAsHMACSecret(t *testing.T) {
	for _, alg := range []Algorithm{RS256, ES256, ES384, Ed25519} {
		s := newSigner(t, alg)
		for form, secret := range publicForms(t, s.PublicKey()) {
			for name, newHash := range map[string]func() hash.Hash{
				"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New,
				// Named as the key's own algorithm, an HMAC is just a bad signature.
				string(alg): sha256.New,
			} {
				t.Run(fmt.Sprintf("%s over %s of %s", name, form, alg), func(t *testing.T) {
					h := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, name, s.KeyID())
					input := b64(h) + "." + b64(testPayload)
					mac := hmac.New(newHash, secret)
					mac.Write([]byte(input))
					token := input + "." + strictBase64.EncodeToString(mac.Sum(nil))
					want := ErrAlgorithm
					if name == string(alg) {
						want = ErrSignature
					}
					refused(t, token, accepting(s.PublicKey()), want)
				})
			}
		}
	}
	t.Run("a symmetric key in the set", func(t *testing.T) {
		set, err := ParseSet([]byte(`{"keys":[{"kty":"oct","alg":"HS256","kid":"k","k":"AAAA"}]}`))
		if err != nil || set.Len() != 0 || set.Skipped() != 1 {
			t.Fatalf("got %d keys, %d skipped, %v", set.Len(), set.Skipped(), err)
		}
	})
	t.Run("octets as a key", func(t *testing.T) {
		for _, raw := range []crypto.PublicKey{[]byte("secret"), "secret", nil} {
			if _, err := NewPublicKey("k", ES256, raw); err == nil {
				t.Errorf("%T taken for a public key", raw)
			}
		}
	})
}

// publicForms returns the texts that a careless verifier might use as a secret.
func publicForms(t *testing.T, k *PublicKey) map[string][]byte {
	der, err := x509.MarshalPKIXPublicKey(k.Raw())
	if err != nil {
		t.Fatal(err)
	}
	wire, err := k.JWK(k.Algorithm())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return map[string][]byte{
		"DER": der, "PEM": text, "PEM without the last line feed": []byte(strings.TrimSpace(string(text))),
		"JWK": wire, "bare JWK": k.BareJWK(), "no octets": {},
	}
}

// The signature covers the octets as they came.
func TestJWT33_SignatureOverReceivedOctets(t *testing.T) {
	s := newSigner(t, ES256)
	parts := strings.Split(sign(t, s), ".")
	for name, token := range map[string]string{
		"claims changed":     parts[0] + "." + b64(strings.Replace(testPayload, "18", "19", 1)) + "." + parts[2],
		"claims re-encoded":  parts[0] + "." + b64(strings.Replace(testPayload, ":", ": ", 1)) + "." + parts[2],
		"header re-encoded":  b64(strings.Replace(header(s, ""), ":", ": ", 1)) + "." + parts[1] + "." + parts[2],
		"header reordered":   b64(fmt.Sprintf(`{"typ":"at+jwt","kid":%q,"alg":"ES256"}`, s.KeyID())) + "." + parts[1] + "." + parts[2],
		"typ in other case":  b64(strings.Replace(header(s, ""), "at+jwt", "AT+JWT", 1)) + "." + parts[1] + "." + parts[2],
		"parts swapped":      parts[0] + "." + b64("{}") + "." + parts[2],
		"signature of other": strings.Join(append(parts[:2:2], strings.Split(sign(t, newSigner(t, ES256)), ".")[2]), "."),
	} {
		t.Run(name, func(t *testing.T) {
			_, payload, err := Verify(token, accepting(s.PublicKey()))
			if err == nil || payload != nil {
				t.Fatalf("accepted: %q, %v", payload, err)
			}
		})
	}
	t.Run("payload is given out only when signed", func(t *testing.T) {
		refused(t, parts[0]+"."+b64(`{"sub":"admin"}`)+"."+parts[2], accepting(s.PublicKey()), ErrSignature)
	})
	t.Run("the payload's memory is its own", func(t *testing.T) {
		_, payload := accepted(t, strings.Join(parts, "."), accepting(s.PublicKey()))
		if cap(payload) != len(payload) {
			t.Errorf("appending to the payload would write over %d octets", cap(payload)-len(payload))
		}
	})
}

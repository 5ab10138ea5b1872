package endpoint

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parsed returns the pairs of a body as text, or the refusal.
func parsed(body string, asciiOnly bool) ([][2]string, *refusal) {
	var f form
	if r := f.parse([]byte(body), formRules{asciiOnly: asciiOnly, resources: true}); r != nil {
		return nil, r
	}
	pairs := [][2]string{}
	for i := range f.n {
		pairs = append(pairs, [2]string{string(f.pairs[i].name), string(f.pairs[i].value)})
	}
	return pairs, nil
}

func TestForm_Accepts(t *testing.T) {
	type pairs = [][2]string
	for name, c := range map[string]struct {
		body string
		want pairs
	}{
		"empty":                            {"", pairs{}},
		"TOK-05 plus and %20 are space":    {"a=x+y&b=x%20y&c=%2B", pairs{{"a", "x y"}, {"b", "x y"}, {"c", "+"}}},
		"TOK-05 names are decoded too":     {"sc%6Fpe=x&a+b=y", pairs{{"scope", "x"}, {"a b", "y"}}},
		"TOK-05 both cases of hex digits":  {"a=%c3%A9", pairs{{"a", "é"}}},
		"TOK-06 no value":                  {"a&b=&c", pairs{{"a", ""}, {"b", ""}, {"c", ""}}},
		"TOK-08 resource repeats":          {"resource=a&resource=a&resource=", pairs{{"resource", "a"}, {"resource", "a"}, {"resource", ""}}},
		"TOK-09 names differ by case":      {"a=1&A=2", pairs{{"a", "1"}, {"A", "2"}}},
		"empty sequences are skipped":      {"&&a=1&&", pairs{{"a", "1"}}},
		"only the first = splits":          {"a=b=c", pairs{{"a", "b=c"}}},
		"escaped delimiters are data":      {"a=%26%3D%3B%25", pairs{{"a", "&=;%"}}},
		"raw UTF-8 and raw spaces":         {"a=é x", pairs{{"a", "é x"}}},
		"an escaped name is the same name": {"%61=1&b=2", pairs{{"a", "1"}, {"b", "2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, refused := parsed(c.body, false)
			if refused != nil {
				t.Fatalf("refused: %s", refused.description)
			}
			if d := cmp.Diff(got, c.want); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestForm_Refuses(t *testing.T) {
	many := make([]string, maxParameters+1)
	for i := range many {
		many[i] = "p" + strconv.Itoa(i) + "=x"
	}
	for name, c := range map[string]struct {
		body string
		want *refusal
	}{
		"TKE-13 not UTF-8":                       {"scope=%FF", notUTF8},
		"TKE-13 raw bytes":                       {"scope=\xff", notUTF8},
		"TKE-13 overlong":                        {"scope=%C0%AF", notUTF8},
		"TKE-13 surrogate":                       {"scope=%ED%A0%80", notUTF8},
		"TKE-13 in a name":                       {"sc%FFope=x", notUTF8},
		"TKE-14 not hexadecimal":                 {"scope=%zz", badEscape},
		"TKE-14 ends in a percent sign":          {"scope=x%", badEscape},
		"TKE-14 half an escape":                  {"scope=x%4", badEscape},
		"TKE-14 escape cut by the separator":     {"a=%4&b=1", badEscape},
		"TKE-14 in a name":                       {"sc%zzope=x", badEscape},
		"TKE-15 semicolon between pairs":         {"grant_type=client_credentials;scope=read", rawSemicolon},
		"TKE-15 semicolon alone":                 {";", rawSemicolon},
		"TKE-16 NUL":                             {"client_id=a%00", controlCharacter},
		"TKE-16 raw NUL":                         {"client_id=a\x00", controlCharacter},
		"TKE-16 line feed":                       {"scope=a%0Ab", controlCharacter},
		"TKE-16 DEL":                             {"scope=a%7F", controlCharacter},
		"TKE-16 C1 control":                      {"scope=a%C2%85", controlCharacter},
		"TKE-16 in an unknown parameter":         {"foo=%01", controlCharacter},
		"TKE-16 in a name":                       {"fo%00o=1", controlCharacter},
		"TKE-17 repeat":                          {"scope=read&scope=write", repeatedParameter},
		"TKE-17 equal repeat":                    {"scope=read&scope=read", repeatedParameter},
		"TKE-17 repeat with an empty value":      {"scope=read&scope=", repeatedParameter},
		"TKE-17 repeat under an escaped name":    {"scope=read&%73cope=read", repeatedParameter},
		"TOK-08 unknown parameters repeat alike": {"foo=1&foo=2", repeatedParameter},
		"TOK-08 audience is no exception here":   {"audience=a&audience=b", repeatedParameter},
		"TKE-18 one more than the limit":         {strings.Join(many, "&"), tooManyParameters},
	} {
		t.Run(name, func(t *testing.T) {
			if got, refused := parsed(c.body, false); refused != c.want {
				t.Errorf("got %v, %+v; want %s", got, refused, c.want.description)
			}
		})
	}
}

func TestTKE18_TheLimitItself(t *testing.T) {
	body := strings.Repeat("resource=x&", maxParameters)
	if _, refused := parsed(body, false); refused != nil {
		t.Errorf("%d parameters: %s", maxParameters, refused.description)
	}
	if _, refused := parsed(body+"a=1", false); refused != tooManyParameters {
		t.Errorf("one more: %+v", refused)
	}
}

func TestTKE09_AsciiOnly(t *testing.T) {
	if _, refused := parsed("a=plain+text", true); refused != nil {
		t.Errorf("ASCII: %s", refused.description)
	}
	for _, body := range []string{"a=%E9", "a=\xe9", "a=%C3%A9", "%C3%A9=a"} {
		if _, refused := parsed(body, true); refused != notASCII {
			t.Errorf("%q: %+v", body, refused)
		}
	}
}

// A form must not depend on what was parsed into it before.
func TestForm_Reused(t *testing.T) {
	var f form
	if r := f.parse([]byte("client_secret=s&scope=a"), formRules{resources: true}); r != nil {
		t.Fatal(r.description)
	}
	if r := f.parse([]byte("grant_type=x"), formRules{resources: true}); r != nil {
		t.Fatal(r.description)
	}
	if got := f.value("client_secret"); got != nil {
		t.Errorf("the secret of the previous request is still there")
	}
}

// FuzzForm checks that a form that was parsed, written and parsed again is the same, and that it
// agrees with net/url on everything that both accept.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"", "grant_type=client_credentials&scope=read&resource=https%3A%2F%2Fapi.example",
		"a=1&a=2", "resource=a&resource=b", "scope=%FF", "scope=%zz", "a;b", "a=%00", "é=%C3%A9", "a=b=c&&d", "+=+&%26=%3D",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, asciiOnly bool) {
		got, refused := parsed(string(body), asciiOnly)
		if refused != nil {
			if refused.description == "" {
				t.Fatal("a refusal without a description")
			}
			return
		}
		var encoded []string
		for _, p := range got {
			encoded = append(encoded, url.QueryEscape(p[0])+"="+url.QueryEscape(p[1]))
		}
		again, refused := parsed(strings.Join(encoded, "&"), asciiOnly)
		if refused != nil {
			t.Fatalf("its own writing is refused: %s", refused.description)
		}
		if d := cmp.Diff(got, again); d != "" {
			t.Fatal(d)
		}
		theirs, err := url.ParseQuery(string(body))
		if err != nil {
			t.Fatalf("net/url refuses what we accept: %v", err)
		}
		ours := url.Values{}
		for _, p := range got {
			ours.Add(p[0], p[1])
		}
		if d := cmp.Diff(ours, theirs); d != "" {
			t.Fatal(d)
		}
	})
}

func TestFormDecode_WritesNothingBehindItsEnd(t *testing.T) {
	body := []byte("a=%41%42&b=untouched")
	var f form
	if r := f.parse(body, formRules{resources: true}); r != nil {
		t.Fatal(r.description)
	}
	if !bytes.Equal(f.value("b"), []byte("untouched")) {
		t.Errorf("b = %q", f.value("b"))
	}
}

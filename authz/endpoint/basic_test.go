package endpoint

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
)

func basicField(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func rawBasic(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

func TestBasic_Accepts(t *testing.T) {
	long := strings.Repeat("x", maxCredential)
	for name, c := range map[string]struct{ field, id, secret string }{
		"CLA-10 both halves are form-decoded":        {basicField("a:b", "p %+&=é"), "a:b", "p %+&=é"},
		"CLA-10 plus is a space":                     {rawBasic("a+b:c+d"), "a b", "c d"},
		"CLA-10 the first colon splits":              {rawBasic("a:b:c"), "a", "b:c"},
		"CLA-11 clients that skip the encoding work": {rawBasic("acme:mrq_a-b_c"), "acme", "mrq_a-b_c"},
		"CLA-12 the scheme has no case":              {"bAsIc" + strings.TrimPrefix(basicField("a", "b"), "Basic"), "a", "b"},
		"CLA-12 text is UTF-8":                       {rawBasic("a:é"), "a", "é"},
		"several spaces":                             {"Basic   " + strings.TrimPrefix(basicField("a", "b"), "Basic "), "a", "b"},
		"TKE-32 an empty secret is well formed":      {rawBasic("a:"), "a", ""},
		"CLA-05 the longest":                         {basicField(long, long), long, long},
		"CLA-05 the longest, all escaped":            {rawBasic(strings.Repeat("%2B", 255) + ":" + strings.Repeat("%2B", 255)), strings.Repeat("+", 255), strings.Repeat("+", 255)},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseAuthorization(c.field)
			want := authz.Presented{Method: authz.PresentedBasic, ID: authz.ClientID(c.id), Secret: authz.Secret(c.secret)}
			if got != want {
				t.Errorf("got %q %q %v %q", got.ID, got.Secret.Reveal(), got.Method, got.Unusable)
			}
		})
	}
}

func TestBasic_Refuses(t *testing.T) {
	good := strings.TrimPrefix(rawBasic("a:b"), "Basic ")
	for name, c := range map[string]struct {
		field string
		want  authz.Cause
	}{
		"TKE-35 not base64":                   {"Basic !!!!", authz.CauseMalformedCredentials},
		"TKE-35 nothing":                      {"Basic", authz.CauseMalformedCredentials},
		"TKE-35 only a space":                 {"Basic ", authz.CauseMalformedCredentials},
		"TKE-35 no colon":                     {rawBasic("ab"), authz.CauseMalformedCredentials},
		"TKE-35 bad escape in the id":         {rawBasic("a%zz:b"), authz.CauseMalformedCredentials},
		"TKE-35 bad escape in the secret":     {rawBasic("a:b%"), authz.CauseMalformedCredentials},
		"TKE-35 no id":                        {rawBasic(":b"), authz.CauseMalformedCredentials},
		"TKE-35 id outside ASCII":             {rawBasic("é:b"), authz.CauseMalformedCredentials},
		"TKE-35 control character in the id":  {rawBasic("a%00:b"), authz.CauseMalformedCredentials},
		"TKE-35 control character in secret":  {rawBasic("a:b\n"), authz.CauseMalformedCredentials},
		"TKE-35 secret not UTF-8":             {rawBasic("a:\xff"), authz.CauseMalformedCredentials},
		"TKE-35 something behind":             {"Basic " + good + " x", authz.CauseMalformedCredentials},
		"TKE-35 parameters instead":           {`Basic realm="x"`, authz.CauseMalformedCredentials},
		"TKE-35 base64url":                    {"Basic YTr-_w==", authz.CauseMalformedCredentials},
		"TKE-35 loose bits in the last digit": {"Basic YTp=", authz.CauseMalformedCredentials},
		"TKE-35 padding is missing":           {"Basic YTpiYg", authz.CauseMalformedCredentials},
		"CLA-05 id too long":                  {rawBasic(strings.Repeat("x", 256) + ":b"), authz.CauseMalformedCredentials},
		"CLA-05 secret too long":              {rawBasic("a:" + strings.Repeat("x", 256)), authz.CauseMalformedCredentials},
		"CLA-05 far too long":                 {"Basic " + strings.Repeat("QUFB", 10_000), authz.CauseMalformedCredentials},
		"TKE-36 Bearer":                       {"Bearer x", authz.CauseUnsupportedScheme},
		"TKE-36 Digest":                       {`Digest username="x"`, authz.CauseUnsupportedScheme},
		"TKE-36 unknown":                      {"Foo", authz.CauseUnsupportedScheme},
		"TKE-36 empty":                        {"", authz.CauseUnsupportedScheme},
		"TKE-36 a tab is no space":            {"Basic\t" + good, authz.CauseUnsupportedScheme},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseAuthorization(c.field); got != (authz.Presented{Unusable: c.want}) {
				t.Errorf("got %q %q %q", got.ID, got.Secret.Reveal(), got.Unusable)
			}
		})
	}
}

// FuzzBasic checks that whatever is accepted is in bounds, and reads the same when written again.
func FuzzBasic(f *testing.F) {
	for _, seed := range []string{
		"", "Basic", "Basic YTpi", basicField("a:b", "p %+&=é"), rawBasic(":"), rawBasic("a%zz:b"), "bAsIc  YTpi", "Bearer x", "Basic YTpiYg",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		p := parseAuthorization(field)
		if p.Unusable != "" {
			if p.ID != "" || p.Secret != "" || p.Method != authz.PresentedNothing {
				t.Fatal("what cannot be used leaves nothing behind")
			}
			return
		}
		if p.ID == "" || !validID([]byte(p.ID)) || !validSecret([]byte(p.Secret)) {
			t.Fatalf("out of bounds: %q", p.ID)
		}
		if again := parseAuthorization(basicField(string(p.ID), p.Secret.Reveal())); again != p {
			t.Fatalf("written and read again: %q %q, want %q %q", again.ID, again.Secret.Reveal(), p.ID, p.Secret.Reveal())
		}
	})
}

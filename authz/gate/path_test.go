package gate

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestParse_WhatIsRequired(t *testing.T) {
	for target, want := range map[string]requirement{
		"/require/-/":                               {plain, false, nil},
		"/auth_request/-/":                          {authRequest, false, nil},
		"/require/orders:read/-/":                   {plain, false, []string{"orders:read"}},
		"/auth_request/orders:read/-/":              {authRequest, false, []string{"orders:read"}},
		"/require/a/b/-/":                           {plain, false, []string{"a", "b"}},
		"/require/a/a/-/":                           {plain, false, []string{"a"}},
		"/require/https:%2F%2Fapi.example%2Fa/-/":   {plain, false, []string{"https://api.example/a"}},
		"/require/%61/-/":                           {plain, false, []string{"a"}},
		"/require/a+b/-/":                           {plain, false, []string{"a+b"}},
		"/require/a%25b/-/":                         {plain, false, []string{"a%b"}},
		"/require/.../-/":                           {plain, false, []string{"..."}},
		"/require/a/-//orders/1":                    {plain, false, []string{"a"}},
		"/require/a/-/require/-/":                   {plain, false, []string{"a"}},
		"/require/a/-/../../-/":                     {plain, false, []string{"a"}},
		"/require/a/-//../../../require/-/":         {plain, false, []string{"a"}},
		"/require/a/-/%2e%2e/%2e%2e/-/":             {plain, false, []string{"a"}},
		"/require/a/-/b/-/?scope=c":                 {plain, false, []string{"a"}},
		"/require/a/-/?/require/-/":                 {plain, false, []string{"a"}},
		"/require/a/-/#/require/-/":                 {plain, false, []string{"a"}},
		"/require/+/":                               {plain, true, nil},
		"/auth_request/a/+/":                        {authRequest, true, []string{"a"}},
		"/require/a/+/../require/-/":                {plain, true, []string{"a"}},
		"/require/a+/-/":                            {plain, false, []string{"a+"}},
		"/require/a/-/../../require/+/":             {plain, false, []string{"a"}},
		"/require/a/-/+/":                           {plain, false, []string{"a"}},
		"/require/a/-/\xff%zz":                      {plain, false, []string{"a"}},
		"/require/a/-/" + strings.Repeat("x", 9999): {plain, false, []string{"a"}},
	} {
		got, text, err := parse(target)
		if err != nil || got.dialect != want.dialect || got.open != want.open || !slices.Equal(got.scopes, want.scopes) {
			t.Errorf("%.60q: %+v, %v", target, got, err)
		}
		if !strings.HasPrefix(target, text) || !strings.HasSuffix(text, "/-/") && !strings.HasSuffix(text, "/+/") {
			t.Errorf("%.60q: the requirement is %q", target, text)
		}
	}
}

// TestParse_AnythingElseIsRefused: what a proxy's configuration has lost is not completed by the caller.
func TestParse_AnythingElseIsRefused(t *testing.T) {
	for _, target := range []string{
		"", "*", "-", "/", "//", "/-/", "/orders", "/healthz", "/metrics", "/require", "/require/", "/require/-", "/require/a", "/require/a/", "/require/a/-",
		"/Require/-/", "/REQUIRE/-/", "/require /-/", "/requires/-/", "/require%2F-/", "/%72equire/-/", "/auth_request", "/auth-request/-/", "/auth_request%2f-%2f",
		"http://gate/require/-/", "//require/-/", "/./require/-/", "/../require/-/", "/x/../require/-/", "require/-/",
		"/+/", "/require/+", "/require/%2B/", "/require/%2b/-/", "/require/a/%2b/", "/require/a/++/", "/require/a/ /", "/require//+/", "/require/a/../+/",
		"/require//-/", "/require/a//-/", "/require//a/-/", "/require/./-/", "/require/../-/", "/require/%2e/-/", "/require/%2E%2e/-/", "/require/a/../-/",
		"/require/%2D/-/", "/require/a/%2d/", "/require/%2d/",
		"/require/a%20b/-/", "/require/a b/-/", "/require/%/-/", "/require/%2/-/", "/require/%zz/-/", "/require/%00/-/", "/require/%0d%0a/-/", "/require/\r\n/-/",
		`/require/"/-/`, "/require/%22/-/", `/require/\/-/`, "/require/%5c/-/", "/require/\x7f/-/", "/require/é/-/", "/require/%c3%a9/-/",
		"/require?/-/", "/require/?/-/", "/require/a?/-/", "/require/a/?/-/",
		"/require/" + strings.Repeat("x", maxRequirement) + "/-/", "/require/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/-/", strings.Repeat("/", 1<<16),
	} {
		if got, _, err := parse(target); err == nil {
			t.Errorf("%.60q: %+v", target, got)
		}
	}
}

// FuzzParse: what is required hangs on nothing behind its end; it can be written again; and no cleaner of paths,
// decoder or merger of slashes on the way makes less of it: what it makes is the same, or more, or refused.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"/require/-/", "/require/orders:read/-/orders?x=y", "/auth_request/a/b/-/", "/require/a%2Fb/-/", "/require/a/%2e%2e/-/", "/require//-/", "/require/%252d/-/",
		"/require/a/+/", "/require/a/%2b/-/",
	} {
		f.Add(seed, "/../../require/-/")
	}
	f.Fuzz(func(t *testing.T, target, tail string) {
		r, text, err := parse(target)
		if err != nil {
			if len(r.scopes) > 0 && err == nil || text != "" {
				t.Fatalf("refused, and %+v", r)
			}
			return
		}
		again, same, err := parse(text + tail)
		if err != nil || same != text || again.dialect != r.dialect || again.open != r.open || !slices.Equal(again.scopes, r.scopes) {
			t.Fatalf("%q, and with %q behind it %+v, %v", text, tail, again, err)
		}
		written, last := "/"+string(r.dialect)+"/", end+"/"
		if r.open {
			last = openEnd + "/"
		}
		for _, s := range r.scopes {
			if !scopeToken(s) || s == end || s == openEnd {
				t.Fatalf("%q is required", s)
			}
			written += url.PathEscape(s) + "/"
		}
		if again, _, err := parse(written + last); err != nil || again.open != r.open || !slices.Equal(again.scopes, r.scopes) {
			t.Fatalf("%q: %+v, %v", written, again, err)
		}
		decoded, err := url.PathUnescape(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if less, _, err := parse(decoded); err == nil && len(less.scopes) < len(r.scopes) {
			t.Fatalf("decoded, %q requires %q only", text, less.scopes)
		} else if err == nil && less.open && !r.open {
			t.Fatalf("decoded, %q is open", text)
		}
	})
}

package authz

import (
	"strings"
	"testing"
)

func TestTOK18_ScopeSyntax(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"read", "read"},
		{"write read read", "read write"},
		{"READ read", "READ read"},
		{"!#[]~", "!#[]~"},
	} {
		got, err := ParseScope(tt.in)
		if err != nil || got.String() != tt.want {
			t.Errorf("ParseScope(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{" ", " a", "a ", "a  b", "a\tb", `a"b`, `a\b`, "é", "a\x00", "a\x7f", strings.Repeat("a ", maxScopeTokens) + "a"} {
		if got, err := ParseScope(in); err == nil {
			t.Errorf("TKE-45: ParseScope(%q) = %q, want an error", in, got)
		}
	}
}

func FuzzParseScope(f *testing.F) {
	for _, seed := range []string{"", "read", "orders:read orders:write", "b a b", " a", "a  b", `"`, "\\", "é", "a\x7f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseScope(in)
		if err != nil {
			return
		}
		again, err := ParseScope(s.String())
		if err != nil || !again.Equal(s) {
			t.Fatalf("%q printed as %q parses as %q, %v", in, s, again, err)
		}
		for _, token := range s.Tokens() {
			if !s.Has(token) || !validScopeToken(token) {
				t.Fatalf("%q holds %q", in, token)
			}
		}
		if !s.Contains(s) || s.Len() > maxScopeTokens {
			t.Fatalf("%q does not contain itself, or is too large", in)
		}
	})
}

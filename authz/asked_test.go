package authz

import (
	"errors"
	"strings"
	"testing"
)

// detailOf returns the Detail of a refusal.
func detailOf(t *testing.T, err error) string {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T %v", err, err)
	}
	if strings.Contains(e.Description, "orders") || strings.Contains(e.Error(), "orders") {
		t.Errorf("the client or the log's error is told what it asked for: %v, %q", e, e.Description)
	}
	return e.Detail
}

func TestRefusal_SaysWhatWasAskedFor(t *testing.T) {
	w, ask := policyWorld(t)
	one := ClientSpec{Scopes: []string{"orders:read"}, Resources: []string{api}}
	two := ClientSpec{Scopes: []string{"orders:read accounts:create"}, DefaultScopes: []string{"orders:read accounts:create"}, Resources: []string{api, otherAPI}}
	jws := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhY21lIn0.c2lnbmF0dXJlLW9mLWl0"
	w.client(t, ClientSpec{ID: "other"})
	secret := newSecret("abcdefghijklmnop").Reveal()
	for name, tt := range map[string]struct {
		spec      ClientSpec
		scope     string
		resources []string
		want      string
	}{
		"scope":              {one, "orders:write orders:read", nil, "scope: orders:write orders:read"},
		"default scope":      {two, "", nil, "default scope: accounts:create orders:read"},
		"scope and resource": {two, "orders:read", []string{otherAPI}, "scope: orders:read; resource: " + otherAPI},
		"no scope":           {one, "", []string{api}, "resource: " + api},
		"resource":           {one, "orders:read", []string{"https://orders.example"}, "resource: https://orders.example"},
		"malformed scope":    {one, " orders:write", nil, ""},
		"malformed resource": {one, "orders:read", []string{"/orders"}, ""},
		"one is malformed":   {one, "orders:read", []string{"https://orders.example", "/orders"}, "resource: https://orders.example"},
		"our secret":         {one, "orders " + secret, nil, "scope: orders [redacted]"},
		"a token":            {one, "orders " + jws, nil, "scope: orders [redacted]"},
		"too long":           {one, strings.Repeat("s", 300), nil, "scope: " + strings.Repeat("s", 246) + "..."},
		"a secret at the end": {
			one, strings.Repeat("s", 240) + " " + secret, nil, "scope: " + strings.Repeat("s", 240) + " [reda...",
		},
	} {
		_, err := ask(tt.spec, tt.scope, tt.resources...)
		if got := detailOf(t, err); got != tt.want || len(got) > maxAsked {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// Whoever is not authenticated is not quoted, and a secret of another kind is known by having been sent.
func TestRefusal_QuotesNoStrangerAndNoSecret(t *testing.T) {
	w := newWorld(t, nil)
	const brought = "Tr0ub4dor&3-of-another-server"
	w.resource(t, ResourceSpec{ID: api, Scopes: []string{"orders:read"}})
	w.client(t, ClientSpec{ID: "acme", Scopes: []string{"orders:read"}, Resources: []string{api}, Secret: brought})
	r := request("acme", brought)
	r.Scope = "x" + brought + "y"
	_, err := w.server.Token(t.Context(), r)
	if got := detailOf(t, err); got != "scope: x[redacted]y" {
		t.Errorf("%q", got)
	}
	for _, r := range []Request{request("acme", "wrong"), request("nobody", brought), request("acme", "")} {
		r.Scope, r.Resources = "orders:nope", []string{"https://nowhere.example"}
		_, err := w.server.Token(t.Context(), r)
		if got := detailOf(t, err); got != "" {
			t.Errorf("a stranger is quoted: %q", got)
		}
	}
}

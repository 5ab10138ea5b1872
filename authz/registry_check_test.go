package authz

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/authz/token"
)

// What judges says what the act would say, for each act, and does nothing.
func TestRegistry_CheckSaysWhatTheActWouldSay(t *testing.T) {
	w := newWorld(t, nil)
	ctx, r := t.Context(), w.registry
	if _, _, err := r.CreateResource(ctx, admin, ResourceSpec{ID: api, Scopes: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.CreateClient(ctx, admin, ClientSpec{ID: "acme", Name: "Acme"}); err != nil {
		t.Fatal(err)
	}
	later := w.registry.config.Now().Add(time.Hour)
	badResource := ResourceSpec{ID: "relative", Scopes: []string{`"`}, TokenLifetime: 2 * time.Hour, Algorithm: "none", TokenType: "x"}
	badClient := ClientSpec{
		ID: "user:x", Scopes: []string{"b"}, DefaultScopes: []string{"c"}, Resources: []string{api}, DefaultResource: "urn:x",
		IntrospectionAlgorithm: "ES256", Secret: "short", Claims: map[string]jsontext.Value{"a": nil, "b": nil},
	}
	badSecret := SecretSpec{Expires: later.AddDate(9999, 0, 0), NotBefore: later, IdempotencyKey: "short", Secret: "short"}
	badWhy := SecretRevocation{Since: later}
	badRevocation := RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: "nobody"}, Before: later}

	before := len(w.entries)
	for name, c := range map[string]struct {
		check error
		act   func() error
	}{
		"resource": {r.CheckResource(badResource), func() error { _, _, err := r.CreateResource(ctx, admin, badResource); return err }},
		"update a resource": {r.CheckResourceUpdate(ctx, api, badResource), func() error {
			_, err := r.UpdateResource(ctx, admin, api, Match{Any: true}, badResource, false)
			return err
		}},
		"no resource": {r.CheckResourceUpdate(ctx, "urn:x", badResource), func() error {
			_, err := r.UpdateResource(ctx, admin, "urn:x", Match{Any: true}, badResource, false)
			return err
		}},
		"client": {r.CheckClient(ctx, admin, badClient), func() error { _, _, _, err := r.CreateClient(ctx, admin, badClient); return err }},
		"update a client": {r.CheckClientUpdate(ctx, "acme", badClient), func() error {
			_, err := r.UpdateClient(ctx, admin, "acme", Match{Any: true}, badClient, false)
			return err
		}},
		"no client": {r.CheckClientUpdate(ctx, "nobody", badClient), func() error {
			_, err := r.UpdateClient(ctx, admin, "nobody", Match{Any: true}, badClient, false)
			return err
		}},
		"secret":          {r.CheckSecret(admin, "acme", badSecret), func() error { _, _, _, err := r.AddSecret(ctx, admin, "acme", badSecret); return err }},
		"revoke a secret": {r.CheckSecretRevocation(badWhy), func() error { _, err := r.RevokeSecret(ctx, admin, "acme", "x", badWhy); return err }},
		"revoke":          {r.CheckRevocation(ctx, badRevocation), func() error { _, err := r.Revoke(ctx, admin, badRevocation); return err }},
	} {
		err := c.act()
		var invalid *InvalidError
		if !errors.As(err, &invalid) && !errors.Is(err, ErrNotFound) || c.check == nil || c.check.Error() != err.Error() {
			t.Errorf("%s: judged %v, done %v", name, c.check, err)
		}
		if n := strings.Count(err.Error(), claimRule); n > 1 {
			t.Errorf("%s: one rule is named %d times", name, n)
		}
	}
	for name, err := range map[string]error{
		"resource":          r.CheckResource(ResourceSpec{ID: "urn:new"}),
		"update a resource": r.CheckResourceUpdate(ctx, api, ResourceSpec{Scopes: []string{"b"}}),
		"client":            r.CheckClient(ctx, admin, ClientSpec{Name: "N"}),
		"update a client":   r.CheckClientUpdate(ctx, "acme", ClientSpec{Name: "N"}),
		"secret":            r.CheckSecret(admin, "acme", SecretSpec{}),
		"revoke a secret":   r.CheckSecretRevocation(SecretRevocation{Compromised: true}),
		"revoke":            r.CheckRevocation(ctx, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(w.entries) != before {
		t.Errorf("%d audit entries were made", len(w.entries)-before)
	}
}

// A seconds count that overflows, or lies beyond what a record can write, is not "never".
func TestRegistry_ExpiresInSeconds(t *testing.T) {
	w := newWorld(t, nil)
	for at, ok := range map[int64]bool{lastTime: true, lastTime + 1: false, 1767225600000: false, 1 << 40: false, 1: false} {
		if err := w.registry.CheckSecret(admin, "acme", SecretSpec{Expires: time.Unix(at, 0)}); (err == nil) != ok {
			t.Errorf("%d: %v", at, err)
		}
	}
}

func TestRules_Outside(t *testing.T) {
	for s, ok := range map[string]bool{
		"": true, "Änne said so": true, strings.Repeat("x", 256): true, strings.Repeat("x", 257): false, strings.Repeat("ä", 129): false,
		"a\tb": false, "a\x00": false, "\xff": false, "a\u202eb": false, "a\u0085b": false, "a\u2028b": false, "a\u2029b": false,
	} {
		if ValidReason(s) != ok {
			t.Errorf("reason %q: want %t", s, ok)
		}
	}
	for s, ok := range map[string]bool{"": false, "a": true, strings.Repeat("ä", 1024): true, strings.Repeat("a", 1025): false, "\xff": false} {
		if ValidFilter(s) != ok {
			t.Errorf("filter %q: want %t", s, ok)
		}
	}
	for n, ok := range map[int]bool{0: false, 1: true, 1000: true, 1001: false, -1: false} {
		if ValidLimit(n) != ok {
			t.Errorf("limit %d: want %t", n, ok)
		}
	}
}

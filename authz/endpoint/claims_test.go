package endpoint_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
)

// parts returns what a token says in its header and in its claims, every member of them.
func parts(t *testing.T, compact string) (header, claims map[string]any) {
	t.Helper()
	segments := strings.Split(compact, ".")
	for i, m := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(segments[i])
		check(t, err)
		check(t, json.Unmarshal(b, m))
	}
	return header, claims
}

// What a caller sends beside the parameters of the grant never reaches a token, whatever it is called.
func TestCLM05_FormFieldsNamedLikeClaims(t *testing.T) {
	s := newStack(t, func(c *settings) { c.clock = newFrozenClock() })
	const tier = "https://partner.example/tier"
	scope, err := authz.ParseScope("read")
	check(t, err)
	s.record(authz.Client{
		ID: "claimant", AuthMethod: authz.AuthSecretBasic, GrantTypes: []string{authz.GrantClientCredentials}, Scopes: scope,
		Resources: []authz.ResourceID{api}, Credentials: []authz.Credential{{ID: "kclaimant"}},
		Claims: []token.Static{{Name: tier, Value: jsontext.Value(`"silver"`)}},
	}, map[authz.CredentialID]string{"kclaimant": "claimant-secret"})

	for name, credentials := range map[string]change{"Basic": as("claimant", "claimant-secret"), "post": post("claimant", "claimant-secret")} {
		plain, _ := s.issued(credentials)
		header, claims := parts(t, plain.AccessToken)
		if claims[tier] != "silver" {
			t.Fatalf("the configured claim is %v", claims[tier])
		}
		delete(claims, "jti")
		same := func(t *testing.T, extra ...change) {
			t.Helper()
			got, _ := s.in(t).issued(append([]change{credentials}, extra...)...)
			h, c := parts(t, got.AccessToken)
			if c["jti"] == nil {
				t.Error("no jti")
			}
			delete(c, "jti")
			if d := cmp.Diff(header, h) + cmp.Diff(claims, c); d != "" || got.ExpiresIn != plain.ExpiresIn || got.TokenType != plain.TokenType {
				t.Errorf("the token differs: %s", d)
			}
		}
		fields := map[string]string{
			"roles": `["admin"]`, "groups": `["admin"]`, "entitlements": `["admin"]`, "permissions": "admin", "scp": "read write", "scopes": "read write",
			tier: "gold", "aud": other, "audience": other, "sub": "admin", "iss": "https://evil.example", "issuer": "https://evil.example",
			"exp": "4102444800", "iat": "0", "nbf": "0", "jti": "mine", "expires_in": "86400", "token_lifetime": "86400", "credential_id": "kother",
			"cnf": `{"jkt":"x"}`, "act": `{"sub":"admin"}`, "may_act": `{"sub":"admin"}`, "azp": "admin", "acr": "9", "amr": `["x"]`,
			"typ": "JWT", "token_type": "JWT", "alg": "none", "kid": "mine", "claims": `{"access_token":{"roles":null}}`,
			"Client_Id": "admin", "SCOPE": "write", "requested_token_type": "urn:ietf:params:oauth:token-type:jwt", "username": "admin",
		}
		var everything []change
		query := url.Values{}
		for field, value := range fields {
			everything = append(everything, with(field, value))
			query.Set(field, value)
			t.Run(name+" "+field, func(t *testing.T) { same(t, with(field, value)) })
		}
		t.Run(name+" everything", func(t *testing.T) { same(t, everything...) })
		t.Run(name+" in the query", func(t *testing.T) { same(t, func(r *wireRequest) { r.query = query.Encode() }) })
		t.Run(name+" in the header", func(t *testing.T) {
			for field, value := range fields {
				if field != tier {
					everything = append(everything, func(r *wireRequest) { r.header.Set("X-"+field, value) })
				}
			}
			same(t, everything...)
		})
	}
}

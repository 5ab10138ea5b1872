package authz

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

func wantInvalidToken(t testing.TB, err error, cause Cause, scope string) {
	t.Helper()
	var invalid *InvalidTokenError
	if !errors.As(err, &invalid) || invalid.Cause != cause || invalid.Scope != scope {
		t.Errorf("%T %v, want %s, scope %q", err, err, cause, scope)
	}
}

func TestAdmin_WhoBearsAToken(t *testing.T) {
	s := newScene(t, nil)
	boss := s.boss(t)
	got := s.issue(t, boss, "")
	if got.Scope != ScopeAdmin || got.ExpiresIn != 10*time.Minute {
		t.Errorf("%+v", got)
	}
	c := claims(t, got.AccessToken)
	if c["aud"] != testIssuer+"/admin/v1" || c["scope"] != "marque:admin" {
		t.Errorf("%v", c)
	}
	actor, err := s.server.Admin(t.Context(), got.AccessToken)
	if err != nil || actor != (audit.Actor{Kind: audit.ActorClient, ID: "boss"}) {
		t.Errorf("%v, %v", actor, err)
	}
	s.advance(10*time.Minute - time.Duration(s.now().Nanosecond()))
	s.server.ConfirmedAt(s.now())
	_, err = s.server.Admin(t.Context(), got.AccessToken)
	wantInvalidToken(t, err, CauseTokenExpired, "") // at the very second: no leeway
}

// Whatever is no token for the management API with its scope opens nothing.
func TestAdmin_Refuses(t *testing.T) {
	s := newScene(t, nil)
	s.addKey(t, jose.RS256)
	boss := s.boss(t)
	good := s.issue(t, boss, "").AccessToken
	for name, forged := range s.forgeries(t, good) {
		if actor, err := s.server.Admin(t.Context(), forged); err == nil {
			t.Errorf("%s: %v", name, actor)
		}
	}
	for name, kind := range s.otherKinds(t, good) {
		if actor, err := s.server.Admin(t.Context(), kind); err == nil {
			t.Errorf("%s: %v", name, actor)
		}
	}
	said := func(typ string, edit func(map[string]any)) string {
		c := claims(t, good)
		edit(c)
		return s.sign(t, typ, c)
	}
	nothing := func(map[string]any) {}
	bySecond, err := s.keys[jose.RS256].Sign("at+jwt", []byte(mustJSON(claims(t, good))))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		token, scope string
		cause        Cause
	}{
		"nothing":         {"", "", CauseNoCredentials},
		"for another API": {s.issue(t, s.partner, "").AccessToken, "", CauseTokenAudience},
		"for two APIs":    {said("at+jwt", func(c map[string]any) { c["aud"] = []string{testIssuer + "/admin/v1", api} }), "", CauseTokenAudience},
		"without a scope": {said("at+jwt", func(c map[string]any) { delete(c, "scope") }), ScopeAdmin, CauseInsufficientScope},
		"another scope":   {said("at+jwt", func(c map[string]any) { c["scope"] = "marque:administrator marque:admi" }), ScopeAdmin, CauseInsufficientScope},
		"in capitals":     {said("at+jwt", func(c map[string]any) { c["scope"] = "MARQUE:ADMIN" }), ScopeAdmin, CauseInsufficientScope},
		"of type JWT":     {said("JWT", nothing), "", CauseTokenType},
		"not yet":         {said("at+jwt", func(c map[string]any) { c["nbf"] = s.now().Unix() + 1 }), "", CauseTokenNotYetValid},
		"a slash more":    {said("at+jwt", func(c map[string]any) { c["aud"] = testIssuer + "/admin/v1/" }), "", CauseTokenAudience},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.server.Admin(t.Context(), row.token)
			wantInvalidToken(t, err, row.cause, row.scope)
		})
	}
	if _, err := s.server.Admin(t.Context(), said("at+jwt", nothing)); err != nil {
		t.Errorf("the unchanged one: %v", err)
	}
	if _, err := s.server.Admin(t.Context(), bySecond); err != nil { // the setting may have been another one when it was issued
		t.Errorf("by another of our algorithms: %v", err)
	}
}

// Who may manage is asked of the store each time, and an outage opens nothing.
func TestAdmin_EndsAtOnce(t *testing.T) {
	for name, end := range map[string]func(*scene, party, string) error{
		"disabled": func(s *scene, p party, _ string) error {
			_, err := s.registry.SetClientDisabled(t.Context(), admin, p.id, true)
			return err
		},
		"deleted": func(s *scene, p party, _ string) error {
			return s.registry.DeleteClient(t.Context(), admin, p.id, Match{Any: true})
		},
		"no administrator any more": func(s *scene, p party, _ string) error {
			_, err := s.registry.UpdateClient(t.Context(), admin, p.id, Match{Any: true}, ClientSpec{Name: "Boss"}, false)
			return err
		},
		"revoked": func(s *scene, p party, compact string) error {
			_, err := s.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(p.id, p.secret)})
			return err
		},
		"its secret compromised": func(s *scene, p party, compact string) error {
			_, err := s.registry.RevokeSecret(t.Context(), admin, p.id, CredentialID(claims(t, compact)["credential_id"].(string)), SecretRevocation{Compromised: true})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			boss := s.boss(t)
			compact := s.issue(t, boss, "").AccessToken
			s.fail(errDown)
			_, err := s.server.Admin(t.Context(), compact)
			wantUnavailable(t, err, CauseStoreUnavailable)
			s.fail(nil)
			if _, err := s.server.Admin(t.Context(), compact); err != nil {
				t.Fatal(err)
			}
			if err := end(s, boss, compact); err != nil {
				t.Fatal(err)
			}
			_, err = s.server.Admin(t.Context(), compact)
			wantInvalidToken(t, err, CauseTokenRevoked, "")
			_, err = s.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Bearer: compact})
			wantInvalidToken(t, err, CauseTokenRevoked, "")
		})
	}
}

// Only Client.Admin grants the management API, and a token for it is for nobody else.
func TestPolicy_TheManagementAPI(t *testing.T) {
	s := newScene(t, nil)
	own := testIssuer + "/admin/v1"
	both, secret := s.client(t, ClientSpec{ID: "both", Admin: true, Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api}})
	p := party{both.ID, secret}
	ask := func(p party, scope string, resources ...string) (Issued, error) {
		r := request(p.id, p.secret)
		r.Scope, r.Resources = scope, resources
		return s.server.Token(t.Context(), r)
	}
	for _, row := range []struct {
		scope     string
		resources []string
		want, aud string
	}{
		{"", nil, "orders:read", api}, // it has a default of its own
		{"marque:admin", nil, "marque:admin", own},
		{"marque:admin", []string{own}, "marque:admin", own},
		{"orders:read", []string{api}, "orders:read", api},
	} {
		got, err := ask(p, row.scope, row.resources...)
		if err != nil || got.Scope != row.want || claims(t, got.AccessToken)["aud"] != row.aud {
			t.Errorf("%+v: %+v, %v", row, got, err)
		}
	}
	_, err := ask(p, "marque:admin orders:read", own, api)
	wantError(t, err, InvalidTarget, CauseResourceAmbiguous)
	_, err = ask(p, "marque:admin orders:read")
	wantError(t, err, InvalidScope, CauseScopeOfSeveralAPIs)
	_, err = ask(p, "orders:read", own)
	wantError(t, err, InvalidScope, CauseScopeNotOfResource)

	_, err = ask(s.partner, "", own)
	wantError(t, err, InvalidTarget, CauseResourceNotAllowed)
	_, err = ask(s.partner, "marque:admin")
	wantError(t, err, InvalidScope, CauseScopeNotAllowed)
	s.edit(t, "acme", func(c *Client) { // a record that says what no record may say
		c.Resources = append(c.Resources[:1:1], ResourceID(own))
		c.Scopes = c.Scopes.union(BuiltInResource(testIssuer, jose.ES256).Scopes)
	})
	_, err = ask(s.partner, "marque:admin", own)
	wantError(t, err, InvalidTarget, CauseResourceNotAllowed)
	if _, err := ask(s.partner, "marque:admin"); err == nil {
		t.Error("issued without Admin")
	}
	// It is never read from the store.
	s.mu.Lock()
	s.resources[ResourceID(own)] = Resource{ID: ResourceID(own), Scopes: BuiltInResource(testIssuer, jose.ES256).Scopes, TokenLifetime: time.Hour, Algorithm: jose.RS256, TokenType: token.TypeJWT}
	s.mu.Unlock()
	s.server.AllChanged()
	if got, err := ask(p, "marque:admin"); err != nil || got.ExpiresIn != DefaultTokenLifetime {
		t.Errorf("%+v, %v", got, err)
	}
	if c := both; slices.Contains(c.Resources, ResourceID(own)) || c.Scopes.Has(ScopeAdmin) {
		t.Errorf("the record says it: %+v", c)
	}
}

func TestConfig_WhatRevocationNeedsIsRequired(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"PublicKey": func(c *Config) { c.PublicKey = nil }, "Revocations": func(c *Config) { c.Revocations = nil },
		"Index": func(c *Config) { c.Index = nil }, "Revoker": func(c *Config) { c.Revoker = nil }, "Unknown": func(c *Config) { c.Unknown = -1 },
	} {
		w := newWorld(t, nil)
		c := Config{
			Issuer: testIssuer, Pepper: [32]byte{1}, Clients: w.memory, Resources: w.memory, Keys: w.keys, PublicKey: w.keys.public,
			Revocations: w.memory, Index: w.index, Revoker: w.revoker, ClientCache: 1, StoreOutage: 1, Now: w.now,
		}
		edit(&c)
		if _, err := NewServer(c); err == nil || err.Error() != "authz: Config."+name+" is missing or out of range" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

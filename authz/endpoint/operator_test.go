package endpoint_test

import (
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
)

// What an operator withdraws is inactive for everybody who asks over HTTP, from that moment; what was not
// meant stays active, and what is issued afterwards is good where anything may be issued at all.
func TestRVK19_EVT02_EVT03_EVT05_EVT06_EVT07_EVT09_WhatAnOperatorWithdraws(t *testing.T) {
	revoke := func(kind token.RevocationKind, value func(mine token.Claims, kid string) string) func(*stack, token.Claims, string) error {
		return func(s *stack, mine token.Claims, kid string) error {
			_, err := s.registry.Revoke(s.t.Context(), admin, authz.RevocationSpec{Subject: token.Subject{Kind: kind, Value: value(mine, kid)}})
			return err
		}
	}
	anyone := authz.Match{Any: true}
	for name, c := range map[string]struct {
		act    func(s *stack, mine token.Claims, kid string) error
		others bool // stay active: tokens of another client, by another secret, for another API
		again  int  // what a further token request of that client is answered
	}{
		"RVK-19 by jti":        {revoke(token.RevokedJTI, func(m token.Claims, _ string) string { return m.JTI }), true, 200},
		"RVK-19 by client":     {revoke(token.RevokedClient, func(m token.Claims, _ string) string { return m.ClientID }), true, 200},
		"RVK-19 by credential": {revoke(token.RevokedCredential, func(m token.Claims, _ string) string { return m.CredentialID }), true, 200},
		"RVK-19 by resource":   {revoke(token.RevokedResource, func(token.Claims, string) string { return api }), true, 200},
		"RVK-19 by kid":        {revoke(token.RevokedKey, func(_ token.Claims, kid string) string { return kid }), false, 200},
		"EVT-09 all":           {revoke(token.RevokedAll, func(token.Claims, string) string { return "" }), false, 200},
		"EVT-05 the key": {func(s *stack, _ token.Claims, kid string) error {
			_, err := s.ring.Revoke(s.t.Context(), kid, admin)
			return err
		}, false, 200},
		"EVT-02 deleting the client": {func(s *stack, m token.Claims, _ string) error {
			return s.registry.DeleteClient(s.t.Context(), admin, authz.ClientID(m.ClientID), anyone)
		}, true, 401},
		"EVT-03 a compromised secret": {func(s *stack, m token.Claims, _ string) error {
			_, err := s.registry.RevokeSecret(s.t.Context(), admin, "mine", authz.CredentialID(m.CredentialID), authz.SecretRevocation{Compromised: true})
			return err
		}, true, 401},
		"EVT-06 a scope, with its tokens": {func(s *stack, _ token.Claims, _ string) error {
			_, err := s.registry.UpdateClient(s.t.Context(), admin, "mine", anyone, authz.ClientSpec{Name: "x", Resources: []string{api}}, true)
			return err
		}, true, 400},
		"EVT-07 deleting the resource": {func(s *stack, _ token.Claims, _ string) error {
			for id, spec := range map[authz.ClientID]authz.ClientSpec{ // or it is in use
				"mine": {Name: "x"}, "c1": {Name: "x"}, "gateway": {Name: "x", Serves: []string{other}}, "c2": {Name: "x"},
			} {
				if _, err := s.registry.UpdateClient(s.t.Context(), admin, id, anyone, spec, false); err != nil {
					return err
				}
			}
			return s.registry.DeleteResource(s.t.Context(), admin, api, anyone)
		}, true, 400},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newFrozenClock()
			s := newStack(t, func(c *settings) { c.clock = clock })
			who := s.staff()
			elsewhere := as("elsewhere", s.client(authz.ClientSpec{ID: "elsewhere", Scopes: []string{"other:read"}, DefaultScopes: []string{"other:read"}, Resources: []string{other}}))
			mine := as("mine", s.client(authz.ClientSpec{ID: "mine", Scopes: []string{"read write"}, DefaultScopes: []string{"read"}, Resources: []string{api}}))
			theirs := s.token(elsewhere, without("scope", "resource"))
			got, claims := s.issued(mine)
			bossy := field("Authorization", "Bearer "+s.token(who.boss, without("scope", "resource")))
			s.wantActive(true, got.AccessToken, bossy)
			header, _ := parts(t, got.AccessToken)
			check(t, c.act(s, claims, header["kid"].(string)))
			check(t, s.follower.CatchUp(t.Context()))
			s.wantActive(false, got.AccessToken, who.gateway)
			s.wantActive(c.others, theirs, who.archive)
			if c.others { // else the administrator's own token is void, too
				s.wantActive(false, got.AccessToken, bossy)
			} else {
				s.wantErrorWith(s.introspect(theirs, bossy), 401, "invalid_token", bearerChallenge("invalid_token"))
			}
			clock.set(clock.Now().Add(2 * time.Second))
			r := s.send(mine)
			if r.status != c.again {
				t.Fatalf("afterwards: %d %s", r.status, r.body)
			}
			if r.status == 200 {
				later, _ := s.accept(r)
				s.wantActive(true, later.AccessToken, who.gateway)
			}
			s.wantActive(false, got.AccessToken, who.gateway)
			s.nothingLeaked(t, s.log.take())
		})
	}
}

// Two tokens of the very second that an operator names are both void; one of the next second is good.
func TestRVK19_EVT09_TheVerySecond(t *testing.T) {
	clock := newFrozenClock()
	s := newStack(t, func(c *settings) { c.clock = clock })
	who := s.staff()
	at := clock.Now()
	first := s.token()
	clock.set(at.Add(999 * time.Millisecond))
	second := s.token()
	clock.set(at.Add(time.Second))
	third := s.token()
	_, err := s.registry.Revoke(t.Context(), admin, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}, Before: at})
	check(t, err)
	for compact, want := range map[string]bool{first: false, second: false, third: true} {
		s.wantActive(want, compact, who.gateway)
	}
}

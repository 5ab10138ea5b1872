package verifiertest_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/authz/verifier/verifiertest"
)

const audience = "https://fulfilment.example"

// What a test asks for is what the service gets.
func TestToken(t *testing.T) {
	issuer := verifiertest.NewIssuer(t, audience)
	v := issuer.Verifier()
	tok, err := v.Verify(t.Context(), issuer.Token(verifiertest.Claims{}))
	if err != nil || tok.ClientID() != "client" || tok.Subject() != "client" || tok.Scopes() != nil || len(tok.JTI()) < 26 ||
		!tok.IssuedAt().Equal(issuer.Now()) || !tok.Expiry().Equal(issuer.Now().Add(10*time.Minute)) {
		t.Errorf("by default %v, error %v", tok, err)
	}
	tok, err = v.Verify(t.Context(), issuer.Token(verifiertest.Claims{
		ClientID: "shop", Scopes: []string{"a", "b"}, Audience: []string{audience}, CredentialID: "k", JTI: "j",
		Age: time.Minute, Lifetime: time.Hour, Static: map[string]any{"roles": []string{"x"}, "https://x.example/y": 1},
	}))
	roles, ok := tok.Claim("roles")
	if err != nil || tok.ClientID() != "shop" || !tok.HasScope("b") || tok.CredentialID() != "k" || tok.JTI() != "j" ||
		tok.Expiry().Sub(tok.IssuedAt()) != time.Hour || !tok.IssuedAt().Equal(issuer.Now().Add(-time.Minute)) || !ok || string(roles) != `["x"]` {
		t.Errorf("%v, roles %s, error %v", tok, roles, err)
	}
}

// Every bad token is refused for what its name says, also where leeway is the longest; so are those of another Issuer.
func TestBadTokens(t *testing.T) {
	issuer := verifiertest.NewIssuer(t, audience)
	c := issuer.Config()
	c.Leeway = 5 * time.Minute
	v, err := verifier.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	bad := issuer.BadTokens(verifiertest.Claims{Lifetime: time.Hour})
	bad["of another Issuer"] = verifiertest.NewIssuer(t, audience).Token(verifiertest.Claims{})
	for what, want := range map[string]token.Reason{
		"expired": token.ReasonExpired, "for another audience": token.ReasonAudience, "of another issuer": token.ReasonIssuer,
		"signed by another key": token.ReasonSignature, "of another kind": token.ReasonType, "of algorithm none": token.ReasonAlgorithm,
		"revoked": token.ReasonRevoked, "no token at all": token.ReasonMalformed, "of another Issuer": token.ReasonUnknownKey,
	} {
		_, err := v.Verify(t.Context(), bad[what])
		var refusal *token.Error
		if !errors.As(err, &refusal) || refusal.Reason != want {
			t.Errorf("%s: %#v, want %s", what, err, want)
		}
		delete(bad, what)
	}
	if len(bad) > 0 {
		t.Errorf("not looked at: %v", bad)
	}
}

// A token that was taken is refused once it, or its client, is revoked; others and later ones are not.
func TestRevoke(t *testing.T) {
	issuer := verifiertest.NewIssuer(t, audience)
	v := issuer.Verifier()
	good := func(compact string) bool {
		_, err := v.Verify(t.Context(), compact)
		return err == nil
	}
	one, two := issuer.Token(verifiertest.Claims{ClientID: "shop"}), issuer.Token(verifiertest.Claims{ClientID: "shop"})
	other := issuer.Token(verifiertest.Claims{ClientID: "other"})
	if !good(one) || !good(two) || !good(other) {
		t.Fatal("refused before anything was revoked")
	}
	issuer.Revoke(one)
	if good(one) || !good(two) {
		t.Error("Revoke: not this one, or not it alone")
	}
	issuer.RevokeClient("shop")
	if good(two) || !good(other) {
		t.Error("RevokeClient: not its tokens, or not they alone")
	}
	issuer.Advance(time.Second)
	if !good(issuer.Token(verifiertest.Claims{ClientID: "shop"})) {
		t.Error("RevokeClient: a later token is refused")
	}
	issuer.Away(true)
	if _, err := v.Verify(t.Context(), other); !errors.Is(err, verifier.ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
	issuer.Away(false)
	if !good(other) {
		t.Error("back, and a good token is refused")
	}
}

// failing is a test that notes how it ended.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper()           {}
func (f *failing) Fatal(args ...any) { f.Fatalf("%s", fmt.Sprint(args...)) }

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// What the server would not issue fails the test, and says why.
func TestToken_FailsTheTest(t *testing.T) {
	for want, use := range map[string]func(*verifiertest.Issuer){
		"scope":            func(i *verifiertest.Issuer) { i.Token(verifiertest.Claims{Scopes: []string{`a"b`}}) },
		"reserved":         func(i *verifiertest.Issuer) { i.Token(verifiertest.Claims{Static: map[string]any{"iss": "x"}}) },
		"absolute URI":     func(i *verifiertest.Issuer) { i.Token(verifiertest.Claims{Static: map[string]any{"tier": 1}}) },
		"exp must lie":     func(i *verifiertest.Issuer) { i.Token(verifiertest.Claims{Lifetime: -1}) },
		"is no token":      func(i *verifiertest.Issuer) { i.Revoke("x") },
		"no access token:": func(i *verifiertest.Issuer) { i.Revoke("e30.e30.e30") },
	} {
		f := &failing{TB: t}
		var wg sync.WaitGroup
		wg.Go(func() { use(verifiertest.NewIssuer(f, audience)) })
		wg.Wait()
		if !strings.Contains(f.said, want) {
			t.Errorf("said %q, want %q in it", f.said, want)
		}
	}
}

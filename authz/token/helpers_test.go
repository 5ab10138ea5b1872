package token_test

import (
	"context"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	issuer   = "https://as.example"
	audience = "https://api.example"
)

// epoch is the virtual now of the tests.
var epoch = time.Unix(1_800_000_000, 0).UTC()

func signer(t testing.TB, alg jose.Algorithm) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(key, "", alg, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// checkFor is a Check that trusts the signers, with the virtual clock.
func checkFor(t testing.TB, signers ...*jose.Signer) token.Check {
	t.Helper()
	var keys []*jose.PublicKey
	for _, s := range signers {
		keys = append(keys, s.PublicKey())
	}
	set, err := jose.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return token.Check{
		Issuer: issuer, Audience: audience,
		Algorithms: []jose.Algorithm{jose.ES256, jose.ES384, jose.Ed25519, jose.PS256, jose.RS256},
		Now:        func() time.Time { return epoch },
		Key:        func(_ context.Context, h jose.Header) (*jose.PublicKey, error) { return set.Find(h) },
	}
}

func checker(t testing.TB, c token.Check) *token.Checker {
	t.Helper()
	ch, err := token.NewChecker(c)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func goodClaims() token.Claims {
	return token.Claims{
		Issuer: issuer, Subject: "c1", ClientID: "c1", Audience: []string{audience},
		CredentialID: "k1", Scope: "orders:read orders:write",
		IssuedAt: epoch, Expiry: epoch.Add(10 * time.Minute), JTI: "j1",
	}
}

// members is the payload of a good token, to be spoiled. A json.RawMessage is written as it is.
func members(change map[string]any) []byte {
	m := map[string]any{
		"iss": issuer, "sub": "c1", "client_id": "c1", "aud": audience, "jti": "j1",
		"iat": epoch.Unix(), "exp": epoch.Unix() + 600, "scope": "orders:read",
	}
	maps.Copy(m, change)
	for k, v := range m {
		if v == nil {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func sign(t testing.TB, s *jose.Signer, payload []byte) string {
	t.Helper()
	compact, err := s.Sign(token.TypeAccessToken, payload)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

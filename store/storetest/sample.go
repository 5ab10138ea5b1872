package storetest

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// Diff compares records; nil and empty are the same, and a ScopeSet is its tokens.
func Diff(got, want any) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

// FullClient returns a client in which every field of every part is set. A driver's own tests, and
// those of the encoding, use it too.
func FullClient(t *testing.T, id authz.ClientID) authz.Client {
	t.Helper()
	return authz.Client{
		ID:              id,
		Name:            "Acme \"Fulfilment\" GmbH & Söhne <é>",
		Disabled:        true,
		Admin:           true,
		AuthMethod:      authz.AuthSecretBasic,
		GrantTypes:      []string{authz.GrantClientCredentials, "urn:ietf:params:oauth:grant-type:token-exchange"},
		Scopes:          Scope(t, "orders:read orders:write a/b?c=d"),
		DefaultScopes:   Scope(t, "orders:read"),
		Resources:       []authz.ResourceID{"https://fulfilment.example", "https://b.example/p?q=1"},
		DefaultResource: "https://fulfilment.example",
		Serves:          []authz.ResourceID{"https://own.example"},
		TokenLifetime:   5 * time.Minute,
		Claims: []token.Static{
			{Name: "a/deep", Value: jsontext.Value(`{"x":[1,2.50,-3e2,null,true],"y":"\u0041é"}`)},
			{Name: "a/text", Value: jsontext.Value(`"\u003c"`)},
		},
		Credentials: []authz.Credential{
			{
				ID:        authz.CredentialID("cred-1-" + string(id)),
				Scheme:    authz.SchemeHMAC,
				Digest:    []byte("0123456789abcdef0123456789abcde\x00"),
				Generated: true,
				NotBefore: at.Add(-time.Hour),
				Expires:   at.Add(time.Hour),
				RevokedAt: at.Add(time.Nanosecond),
				CreatedAt: at,
			},
			{ID: authz.CredentialID("cred-2-" + string(id)), Scheme: "other"},
		},
		IntrospectionAlgorithm: jose.Ed25519,
		CreatedAt:              at,
		UpdatedAt:              at.Add(time.Minute),
		DeletedAt:              at.Add(time.Hour),
	}
}

// FullResource returns a resource in which every field is set.
func FullResource(t *testing.T, id authz.ResourceID) authz.Resource {
	t.Helper()
	return authz.Resource{
		ID:            id,
		Scopes:        Scope(t, "orders:read orders:write"),
		TokenLifetime: 10 * time.Minute,
		Algorithm:     jose.Ed25519,
		TokenType:     "at+jwt",

		PreviousAlgorithm: jose.RS256,
		AlgorithmFrom:     at.Add(25 * time.Hour),

		CreatedAt: at,
		UpdatedAt: at.Add(time.Minute),
		DeletedAt: at.Add(time.Hour),
	}
}

// FullRevocation returns a revocation in which every field is set.
func FullRevocation(subject token.Subject) authz.Revocation {
	return authz.Revocation{
		Revocation: token.Revocation{
			Subject: subject,
			Since:   at.Add(-time.Hour),
			Before:  at.Add(time.Second),
			Until:   at.AddDate(100, 0, 0), // no driver's clock has passed that
		},
		Client:    "acme",
		Actor:     audit.Actor{Kind: audit.ActorClient, ID: "ops: é"},
		Reason:    "because of \"that\"\u2028",
		CreatedAt: at.Add(time.Nanosecond),
	}
}

// FullRing returns a ring in which every field of its first key is set.
func FullRing(algorithm jose.Algorithm) keys.RingRecord {
	return keys.RingRecord{
		Algorithm: algorithm,
		Keys: []keys.Key{
			{
				KeyID:       "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
				Imported:    true,
				Algorithm:   algorithm,
				Wire:        algorithm,
				Public:      []byte(`{"kty":"EC",  "crv":"P-256"}`),
				Sealed:      "eyJhbGciOiJBMjU2R0NNS1cifQ.a.b.c.d",
				CreatedAt:   at,
				PublishedAt: at.Add(time.Second),
				SignFrom:    at.Add(time.Hour),
				WithdrawAt:  at.Add(2 * time.Hour),
				RevokedAt:   at.Add(90 * time.Minute),
				Windows:     keys.Windows{PublishLead: 24 * time.Hour, RetireAfter: 70 * time.Minute},
			},
			{KeyID: "second"},
		},
		Emergency: keys.Emergency{ID: "e-1: é", At: at.Add(80 * time.Minute)},
	}
}

// Scope parses a scope that is known to be well-formed.
func Scope(t *testing.T, s string) authz.ScopeSet {
	t.Helper()
	set, err := authz.ParseScope(s)
	if err != nil {
		t.Fatalf("scope %q: %v", s, err)
	}
	return set
}

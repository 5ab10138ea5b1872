package moving_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/moving"
)

const issuer = "https://auth.example"

var at = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func kek(n byte) *jose.KEK { return jose.NewKEK([32]byte{n, 7}) }

var by = audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: "0"}}

// installed is a namespace with an installation in it, and what seals its records.
type installed struct {
	*fake
	env    *store.Envelope
	record keys.Installation
}

func install(t testing.TB, k *jose.KEK, dev bool) installed {
	t.Helper()
	f := newFake()
	in, secrets, err := keys.Found(t.Context(), f, k, issuer, dev, at, by)
	if err != nil {
		t.Fatal(err)
	}
	env, err := store.NewEnvelope(secrets.RecordKey, "fake")
	if err != nil {
		t.Fatal(err)
	}
	return installed{f, env, in}
}

// must adds what was sealed.
func (s installed) must(t testing.TB, kind store.Kind, key string) func(sealed []byte, err error) {
	t.Helper()
	return func(sealed []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		s.add(kind, key, sealed)
		s.changes = append(s.changes, store.Change{Kind: kind, ID: key})
	}
}

func (s installed) client(t testing.TB, id string) {
	t.Helper()
	scopes, err := authz.ParseScope("orders:read orders:write")
	if err != nil {
		t.Fatal(err)
	}
	c := authz.Client{
		ID: authz.ClientID(id), Name: "Acme \"Fulfilment\" <é>", AuthMethod: authz.AuthSecretBasic, GrantTypes: []string{authz.GrantClientCredentials},
		Scopes: scopes, Resources: []authz.ResourceID{"https://a.example"}, TokenLifetime: time.Minute,
		Claims: []token.Static{{Name: "a/text", Value: []byte("\"\\u003c\"")}},
		Credentials: []authz.Credential{
			{ID: authz.CredentialID("c-" + id), Scheme: authz.SchemeHMAC, Digest: bytes.Repeat([]byte{7}, 32), Generated: true, CreatedAt: at},
		},
		CreatedAt: at, UpdatedAt: at, Version: 3,
	}
	s.must(t, store.KindClient, id)(s.env.SealClient(c))
	s.must(t, store.KindCredential, "c-"+id)(s.env.SealOwner(authz.CredentialID("c-"+id), c.ID))
}

func (s installed) revocation(t testing.TB, subject token.Subject, version uint64, before, until time.Time) {
	t.Helper()
	s.must(t, store.KindRevocation, subject.String())(s.env.SealRevocation(authz.Revocation{
		Revocation: token.Revocation{Subject: subject, Before: before, Until: until}, Actor: by.Actor, CreatedAt: at, Version: version,
	}))
}

func (s installed) ring(t testing.TB, alg jose.Algorithm, of jose.Algorithm, k *jose.KEK) {
	t.Helper()
	sealed, err := jose.Seal(k, map[string]string{"purpose": "signing_key"}, []byte("private"))
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, store.KindRing, string(alg))(s.env.SealRing(keys.RingRecord{
		Algorithm: alg, Version: 2,
		Keys: []keys.Key{{KeyID: "k1", Algorithm: of, Wire: of, Public: []byte(`{}`), Sealed: sealed, CreatedAt: at}},
	}))
}

// full is a namespace with some of everything.
func full(t testing.TB, k *jose.KEK, clients int) installed {
	t.Helper()
	s := install(t, k, false)
	s.must(t, store.KindResource, "https://a.example")(s.env.SealResource(authz.Resource{
		ID: "https://a.example", TokenLifetime: time.Minute, Algorithm: jose.ES256, TokenType: "at+jwt", CreatedAt: at, Version: 1,
	}))
	s.ring(t, jose.ES256, jose.ES256, k)
	for i := range clients {
		s.client(t, fmt.Sprintf("client-%04d", i))
	}
	s.must(t, store.KindCredential, "c-old")(s.env.SealOwner("c-old", "client-0000")) // which it holds no more
	s.revocation(t, token.Subject{Kind: token.RevokedClient, Value: "client-0001"}, 5, time.Time{}, time.Time{})
	s.revocation(t, token.Subject{Kind: token.RevokedJTI, Value: "j1"}, 9, time.Time{}, at.Add(time.Hour))
	s.floor = 4
	return s
}

func (s installed) source(k *jose.KEK) moving.Source {
	return moving.Source{Store: s.fake, Namespace: "fake", KEKs: []*jose.KEK{k}, ID: moving.NewID(), Now: at}
}

// export returns the file.
func export(t testing.TB, src moving.Source) []byte {
	t.Helper()
	var file bytes.Buffer
	done, err := moving.Export(t.Context(), &file, src)
	if err != nil {
		t.Fatal(err)
	}
	if int(done.Octets) != file.Len() {
		t.Errorf("it says %d octets, and %d were written", done.Octets, file.Len())
	}
	return file.Bytes()
}

func check(t testing.TB, file []byte, keks ...*jose.KEK) (*moving.Contents, error) {
	t.Helper()
	return moving.Check(t.Context(), bytes.NewReader(file), keks, "fake", nil)
}

func mustCheck(t testing.TB, file []byte, keks ...*jose.KEK) *moving.Contents {
	t.Helper()
	c, err := check(t, file, keks...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

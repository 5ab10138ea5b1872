package boltstore

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

func benchClient(b *testing.B, id string) authz.Client {
	b.Helper()
	scopes, err := authz.ParseScope("orders:read orders:write")
	if err != nil {
		b.Fatal(err)
	}
	return authz.Client{
		ID:          authz.ClientID(id),
		Name:        "Acme",
		AuthMethod:  authz.AuthSecretBasic,
		GrantTypes:  []string{authz.GrantClientCredentials},
		Scopes:      scopes,
		Resources:   []authz.ResourceID{"https://fulfilment.example"},
		Credentials: []authz.Credential{{ID: authz.CredentialID("k-" + id), Scheme: authz.SchemeHMAC, Digest: make([]byte, 32), CreatedAt: testTime}},
		CreatedAt:   testTime,
		UpdatedAt:   testTime,
	}
}

func BenchmarkRead(b *testing.B) {
	s := newStore(b, openTemp(b, Config{}))
	for i := range 1000 {
		mustPut(b, s, benchClient(b, fmt.Sprint(i)))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Client(b.Context(), authz.ClientID(fmt.Sprint(i%1000))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	s := newStore(b, openTemp(b, Config{}))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		mustPut(b, s, benchClient(b, fmt.Sprint(i)))
	}
}

func BenchmarkPutParallel(b *testing.B) {
	s := newStore(b, openTemp(b, Config{}))
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := fmt.Sprint(next.Add(1))
			if _, err := s.PutClient(b.Context(), benchClient(b, id), testEntry(id)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// withRevocations puts n live revocations of single tokens there directly.
func withRevocations(b *testing.B, s *Store, n int) {
	b.Helper()
	const batch = 10_000
	for from := 0; from < n; from += batch {
		if err := s.db.bolt.Update(func(tx *bolt.Tx) error {
			for i := from; i < min(from+batch, n); i++ {
				if _, err := s.putRevocation(tx, benchRevocation(fmt.Sprintf("%022d", i))); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchRevocation(jti string) authz.Revocation {
	return authz.Revocation{
		Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedJTI, Value: jti}, Until: testTime.AddDate(100, 0, 0)},
		Client:     "acme", Actor: audit.Actor{Kind: audit.ActorClient, ID: "acme"}, CreatedAt: testTime,
	}
}

// BenchmarkRevocations asks what introspection asks: for every subject of one token.
func BenchmarkRevocations(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStore(b, openTemp(b, Config{}))
			withRevocations(b, s, n)
			claims := &token.Claims{JTI: fmt.Sprintf("%022d", n), ClientID: "acme", CredentialID: "k", Audience: []string{"https://r.example"}}
			b.ReportAllocs()
			for b.Loop() {
				if found, err := s.Revocations(b.Context(), token.Subjects(claims, "kid")); err != nil || len(found) != 0 {
					b.Fatal(found, err)
				}
			}
		})
	}
}

// BenchmarkRevoke stores revocations, each in its own transaction, among many that are there.
func BenchmarkRevoke(b *testing.B) {
	s := newStore(b, openTemp(b, Config{}))
	withRevocations(b, s, 100_000)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		r := benchRevocation(fmt.Sprint("new-", i))
		start := time.Now()
		if _, err := s.PutRevocation(b.Context(), r, testEntry(r.Subject.String())); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	reportP95(b, took)
}

// BenchmarkInspect reads everything there is.
func BenchmarkInspect(b *testing.B) {
	s := withManyClients(b)
	withRevocations(b, s, 100_000)
	var read store.Inspected
	for b.Loop() {
		var err error
		if read, err = s.Inspect(b.Context(), func(err error) { b.Error(err) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(read.Records+read.Entries), "records")
}

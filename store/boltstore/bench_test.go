package boltstore

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/marque-auth/marque/authz"
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

package boltstore

import (
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/storetest"
)

// benchRows are clients in the order of their identifiers, and then a credential of each in no order, as a Redis gives
// them out.
func benchRows(b *testing.B, env *store.Envelope, clients int) (all []store.Stored) {
	b.Helper()
	for i := range clients {
		c := benchClient(b, fmt.Sprintf("client-%08d", i))
		c.Version = 1
		sealed, err := env.SealClient(c)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, store.Stored{Kind: store.KindClient, Key: string(c.ID), Octets: sealed})
	}
	for _, c := range all[:clients] {
		h := fnv.New64a()
		_, _ = h.Write([]byte(c.Key))
		id := authz.CredentialID(fmt.Sprintf("%016x", h.Sum64()))
		owner, err := env.SealOwner(id, authz.ClientID(c.Key))
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, store.Stored{Kind: store.KindCredential, Key: string(id), Octets: owner})
	}
	return all
}

// BenchmarkMove imports clients and credentials, in batches of so many records, and gives them out again.
func BenchmarkMove(b *testing.B) {
	const clients = 50_000
	for _, batch := range []int{500, 2_000, 10_000} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			var in, out time.Duration
			for range b.N {
				db := openTemp(b, Config{})
				all := benchRows(b, newStore(b, db).env, clients)
				began := time.Now()
				for done := 0; done < len(all); done += batch {
					if err := db.Restore(b.Context(), "E1", done, all[done:min(done+batch, len(all))]); err != nil {
						b.Fatal(err)
					}
				}
				in += time.Since(began)
				if err := db.Complete(b.Context(), "E1", len(all), nil, 0, storetest.FullInstallation("x"), testEntry("x")); err != nil {
					b.Fatal(err)
				}
				began = time.Now()
				for _, kind := range store.MovedKinds() {
					if err := db.Dump(b.Context(), kind, func(store.Stored) error { return nil }); err != nil {
						b.Fatal(err)
					}
				}
				out += time.Since(began)
			}
			b.ReportMetric(2*clients*float64(b.N)/in.Seconds(), "in/s")
			b.ReportMetric(2*clients*float64(b.N)/out.Seconds(), "out/s")
		})
	}
}

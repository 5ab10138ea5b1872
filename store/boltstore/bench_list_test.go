package boltstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
)

// manyClients is how many clients the lists are measured with.
const manyClients = 100_000

// withManyClients returns a store of manyClients clients, whose names hold their number. They are put
// there directly: made by PutClient, each would be synced.
func withManyClients(b *testing.B) *Store {
	b.Helper()
	s := newStore(b, openTemp(b, Config{Path: filepath.Join(b.TempDir(), "marque.db")}))
	const batch = 10_000
	for from := 0; from < manyClients; from += batch {
		if err := s.db.bolt.Update(func(tx *bolt.Tx) error {
			clients := tx.Bucket(s.db.name()).Bucket(bucketClients)
			for i := from; i < from+batch; i++ {
				c := benchClient(b, fmt.Sprintf("client-%06d", i))
				c.Name, c.Version = fmt.Sprintf("Partner number %d, Warehouse and Fulfilment", i), 1
				sealed, err := s.env.SealClient(c)
				if err != nil {
					return err
				}
				if err := errors.Join(clients.Put([]byte(c.ID), sealed), s.index(tx, c.ID, c.Credentials)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkList measures pages of lists and searches among manyClients clients: a page that begins
// anywhere, a search that fills its page, and the worst, which look at every client.
func BenchmarkList(b *testing.B) {
	s := withManyClients(b)
	for _, c := range []struct {
		name  string
		query func(i int) authz.ClientQuery
		want  int
	}{
		{"page", func(i int) authz.ClientQuery {
			return authz.ClientQuery{After: authz.ClientID(fmt.Sprintf("client-%06d", i*7919%(manyClients-100))), Limit: 100}
		}, 100},
		{"search-common", func(int) authz.ClientQuery { return authz.ClientQuery{Text: "WAREHOUSE", Limit: 100} }, 100},
		{"search-one", func(i int) authz.ClientQuery {
			return authz.ClientQuery{Text: fmt.Sprintf("Number %d,", i*7919%manyClients), Limit: 100}
		}, 1},
		{"search-none", func(int) authz.ClientQuery { return authz.ClientQuery{Text: "nobody", Limit: 100} }, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				page, err := s.ListClients(b.Context(), c.query(i))
				took = append(took, time.Since(start))
				if err != nil || len(page) != c.want {
					b.Fatalf("got %d clients, %v, want %d", len(page), err, c.want)
				}
			}
			reportP95(b, took)
		})
	}
}

// BenchmarkPutBesideSearch measures writes while somebody searches all the time: a search must not hold
// them up.
func BenchmarkPutBesideSearch(b *testing.B) {
	s := withManyClients(b)
	ctx, cancel := context.WithCancel(b.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			_, _ = s.ListClients(ctx, authz.ClientQuery{Text: "nobody", Limit: 100})
		}
	})
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		mustPut(b, s, benchClient(b, fmt.Sprint(i)))
		took = append(took, time.Since(start))
	}
	reportP95(b, took)
	cancel()
	done.Wait()
}

func reportP95(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds()), "p95-µs")
}

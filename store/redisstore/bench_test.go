package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

func benchClient(b *testing.B, id string) authz.Client {
	b.Helper()
	scopes, err := authz.ParseScope("orders:read orders:write")
	must(b, err)
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

func benchRevocation(jti string) authz.Revocation {
	r := revocation(jti, testTime.AddDate(100, 0, 0))
	r.Client, r.Actor = "acme", audit.Actor{Kind: audit.ActorClient, ID: "acme"}
	return r
}

func benchStore(b *testing.B, o ...redistest.Option) *Store {
	b.Helper()
	return newStore(b, openTest(b, Config{Addrs: []string{redistest.Start(b, o...).Addr}}))
}

func BenchmarkRead(b *testing.B) {
	s := benchStore(b)
	withClients(b, s, 1000)
	b.ReportAllocs()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		if _, err := s.Client(b.Context(), benchID(i%1000)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	reportP95(b, took)
}

func BenchmarkReadParallel(b *testing.B) {
	s := benchStore(b)
	withClients(b, s, 1000)
	var next atomic.Int64
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Client(b.Context(), benchID(int(next.Add(1)%1000))); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkPut(b *testing.B) {
	for _, fsync := range []string{"everysec", "always"} {
		b.Run(fsync, func(b *testing.B) {
			s := benchStore(b, redistest.Args("--appendfsync", fsync))
			b.ReportAllocs()
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				c := benchClient(b, fmt.Sprint(i))
				began := time.Now()
				if _, err := s.PutClient(b.Context(), c, testEntry("x")); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			reportP95(b, took)
		})
	}
}

func BenchmarkPutParallel(b *testing.B) {
	s := benchStore(b, redistest.Args("--appendfsync", "always"))
	var next atomic.Int64
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

// manyRevocations is how many revocations of single tokens there are where there are many.
const manyRevocations = 100_000

// withRevocations puts n of them there directly.
func withRevocations(b *testing.B, s *Store, n int) {
	b.Helper()
	inBatches(b, s, n, func(p redis.Pipeliner, i int) error {
		r := benchRevocation(fmt.Sprintf("%022d", i))
		r.Version = 1
		sealed, err := s.env.SealRevocation(r)
		id, end := r.Subject.String(), r.Until.Add(revocationsKept)
		key := s.db.names.record(store.KindRevocation, id)
		p.Set(b.Context(), key, sealed, 0)
		p.PExpireAt(b.Context(), key, end)
		p.ZAdd(b.Context(), s.db.names.index(store.KindRevocation), redis.Z{Member: id})
		p.ZAdd(b.Context(), s.db.names.of(nameEnds), redis.Z{Score: float64(end.UnixMilli()), Member: id})
		return err
	})
}

// BenchmarkRevocations asks what introspection asks: for every subject of one token.
func BenchmarkRevocations(b *testing.B) {
	for _, n := range []int{0, manyRevocations} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := benchStore(b)
			withRevocations(b, s, n)
			claims := &token.Claims{JTI: fmt.Sprintf("%022d", n), ClientID: "acme", CredentialID: "k", Audience: []string{"https://r.example"}}
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if found, err := s.Revocations(b.Context(), token.Subjects(claims, "kid")); err != nil || len(found) != 0 {
					b.Fatal(found, err)
				}
				took = append(took, time.Since(began))
			}
			reportP95(b, took)
		})
	}
}

// BenchmarkRevoke stores revocations among many that are there.
func BenchmarkRevoke(b *testing.B) {
	s := benchStore(b, redistest.Args("--appendfsync", "always"))
	withRevocations(b, s, manyRevocations)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		r := benchRevocation(fmt.Sprint("new-", i))
		began := time.Now()
		if _, err := s.PutRevocation(b.Context(), r, testEntry(r.Subject.String())); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	reportP95(b, took)
}

// manyClients is how many clients the lists are measured with.
const manyClients = 100_000

func benchID(i int) authz.ClientID { return authz.ClientID(fmt.Sprintf("client-%06d", i)) }

// withClients puts n clients there directly, whose names hold their number.
func withClients(b *testing.B, s *Store, n int) {
	b.Helper()
	inBatches(b, s, n, func(p redis.Pipeliner, i int) error {
		c := benchClient(b, string(benchID(i)))
		c.Name, c.Version = fmt.Sprintf("Partner number %d, Warehouse and Fulfilment", i), 1
		sealed, err1 := s.env.SealClient(c)
		owner, err2 := s.env.SealOwner(c.Credentials[0].ID, c.ID)
		p.Set(b.Context(), s.db.names.record(store.KindClient, string(c.ID)), sealed, 0)
		p.Set(b.Context(), s.db.names.record(store.KindCredential, string(c.Credentials[0].ID)), owner, 0)
		p.ZAdd(b.Context(), s.db.names.index(store.KindClient), redis.Z{Member: string(c.ID)})
		return errors.Join(err1, err2)
	})
}

func inBatches(b *testing.B, s *Store, n int, put func(p redis.Pipeliner, i int) error) {
	b.Helper()
	const batch = 1000
	for from := 0; from < n; from += batch {
		_, err := s.db.client.Pipelined(b.Context(), func(p redis.Pipeliner) (err error) {
			for i := from; i < min(from+batch, n); i++ {
				err = errors.Join(err, put(p, i))
			}
			return err
		})
		must(b, err)
	}
}

// BenchmarkList measures pages of lists and searches among manyClients clients: a page that begins
// anywhere, a search that fills its page, and the worst, which look at every client.
func BenchmarkList(b *testing.B) {
	s := benchStore(b)
	withClients(b, s, manyClients)
	for _, c := range []struct {
		name  string
		query func(i int) authz.ClientQuery
		want  int
	}{
		{"page", func(i int) authz.ClientQuery {
			return authz.ClientQuery{After: benchID(i * 7919 % (manyClients - 100)), Limit: 100}
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
				began := time.Now()
				page, err := s.ListClients(b.Context(), c.query(i))
				took = append(took, time.Since(began))
				if err != nil || len(page) != c.want {
					b.Fatalf("got %d clients, %v, want %d", len(page), err, c.want)
				}
			}
			reportP95(b, took)
		})
	}
}

// BenchmarkInspect reads everything there is.
func BenchmarkInspect(b *testing.B) {
	s := benchStore(b)
	withClients(b, s, manyClients)
	withRevocations(b, s, manyRevocations)
	var read store.Inspected
	for b.Loop() {
		var err error
		if read, err = s.Inspect(b.Context(), func(err error) { b.Error(err) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(read.Records+read.Entries), "records")
}

// BenchmarkListRevocations is what a server that starts does: it reads all revocations.
func BenchmarkListRevocations(b *testing.B) {
	s := benchStore(b)
	withRevocations(b, s, manyRevocations)
	for b.Loop() {
		n := 0
		for after := ""; ; {
			page, err := s.ListRevocations(b.Context(), after, 1000)
			must(b, err)
			if n += len(page); len(page) == 0 {
				break
			}
			after = page[len(page)-1].Subject.String()
		}
		if n != manyRevocations {
			b.Fatal(n)
		}
	}
}

// BenchmarkSize measures what keys of each kind take in Redis: MEMORY USAGE, octets. It is for README.md.
func BenchmarkSize(b *testing.B) {
	for b.Loop() {
	}
	s := benchStore(b)
	const n = 1000
	for i := range n {
		_, err := s.PutClient(b.Context(), benchClient(b, string(benchID(i))), testEntry(string(benchID(i))))
		must(b, err)
		_, err = s.PutRevocation(b.Context(), benchRevocation(fmt.Sprintf("%022d", i)), testEntry(strconv.Itoa(i)))
		must(b, err)
	}
	fill(b, s)
	for _, key := range []struct {
		name string
		per  float64
	}{
		{"epoch", 1},
		{"installation", 1},
		{"client:client-000500", 1},
		{"credential:k-client-000500", 1},
		{"resource:r", 1},
		{"ring:ES256", 1},
		{"revocation:jti:" + fmt.Sprintf("%022d", 500), 1},
		{"client-index", n},
		{"revocation-index", n},
		{"revocation-ends", n},
		{"revocation-floor", 1},
		{"changes", 2 * n},
		{"audit", 2 * n},
	} {
		used, err := s.db.client.MemoryUsage(b.Context(), s.db.names.of(key.name), 0).Result()
		must(b, err)
		b.ReportMetric(float64(used)/key.per, key.name+"-B")
	}
}

// BenchmarkMove imports clients and credentials, in batches of so many records, and gives them out again.
func BenchmarkMove(b *testing.B) {
	const clients = 20_000
	for _, batch := range []int{500, 2_000} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			var in, out time.Duration
			for range b.N {
				s := benchStore(b)
				var all, credentials []store.Stored
				for i := range clients {
					c := benchClient(b, string(benchID(i)))
					c.Version = 1
					sealed, err1 := s.env.SealClient(c)
					owner, err2 := s.env.SealOwner(c.Credentials[0].ID, c.ID)
					must(b, errors.Join(err1, err2))
					all = append(all, store.Stored{Kind: store.KindClient, Key: string(c.ID), Octets: sealed})
					credentials = append(credentials, store.Stored{Kind: store.KindCredential, Key: string(c.Credentials[0].ID), Octets: owner})
				}
				all = append(all, credentials...)
				began := time.Now()
				for done := 0; done < len(all); done += batch {
					must(b, s.db.Restore(b.Context(), "E1", done, all[done:min(done+batch, len(all))]))
				}
				in += time.Since(began)
				must(b, s.db.Complete(b.Context(), "E1", len(all), nil, 0, filledInstallation(), testEntry("x")))
				began = time.Now()
				for _, kind := range store.MovedKinds() {
					must(b, s.db.Dump(b.Context(), kind, func(store.Stored) error { return nil }))
				}
				out += time.Since(began)
			}
			b.ReportMetric(2*clients*float64(b.N)/in.Seconds(), "in/s")
			b.ReportMetric(2*clients*float64(b.N)/out.Seconds(), "out/s")
		})
	}
}

func reportP95(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds()), "p95-µs")
}

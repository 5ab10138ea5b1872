package token_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// live are the numbers of revocations that are compared.
var live = []int{0, 1_000, 1_000_000}

// BenchmarkVoid compares the decision over an index of 0, 1,000 and 1,000,000 revocations: naked, and
// with what it never goes without, the check of the token. The three take turns within one run, in
// short bursts whose lower quartiles are reported, so that a busy machine is busy for all of them. Every
// decision is about another token (of 1,000 clients), so that the place where it would be is not in
// the processor's cache.
func BenchmarkVoid(b *testing.B) {
	var indexes []*token.Index
	for _, n := range live {
		x := token.NewIndex()
		all := make([]token.Indexed, 0, n)
		for i := range n {
			all = append(all, revokedToken(i, 1000))
		}
		x.Replace(all)
		indexes = append(indexes, x)
	}
	runtime.GC()

	claims := make([]token.Claims, 1<<16)
	for i := range claims {
		claims[i] = goodClaims()
		claims[i].JTI, claims[i].ClientID = jti(1<<24+i), owner(i%1000)
	}
	b.Run("decision", func(b *testing.B) {
		compare(b, 512, func(which, i int) bool {
			_, void := token.Void(&claims[i%len(claims)], "kid1", indexes[which])
			return !void
		})
	})
	for _, alg := range []jose.Algorithm{jose.ES256, jose.Ed25519, jose.RS256} {
		s := signer(b, alg)
		c := checker(b, checkFor(b, s))
		tokens := make([]string, 1<<10)
		for i := range tokens {
			tokens[i] = sign(b, s, members(map[string]any{"jti": jti(1<<24 + i), "client_id": owner(i), "credential_id": "k1"}))
		}
		b.Run("judgement/"+string(alg), func(b *testing.B) {
			compare(b, 16, func(which, i int) bool {
				v, err := c.Verify(b.Context(), tokens[i%len(tokens)])
				if err != nil {
					return false
				}
				_, void := token.Void(&v.Claims, v.KeyID, indexes[which])
				return !void
			})
		})
	}
}

// compare runs judge in bursts over each of the indexes in turn, each round beginning with another one.
func compare(b *testing.B, burst int, judge func(which, i int) bool) {
	samples := make([][]float64, len(live))
	next := make([]int, len(live))
	for round := 0; b.Loop(); round++ {
		for turn := range live {
			which := (round + turn) % len(live)
			began := time.Now()
			for range burst {
				if !judge(which, next[which]) {
					b.Fatal("a good token is void")
				}
				next[which]++
			}
			samples[which] = append(samples[which], float64(time.Since(began).Nanoseconds())/float64(burst))
		}
	}
	quartile := make([]float64, len(live))
	for which, s := range samples {
		slices.Sort(s)
		quartile[which] = s[len(s)/4]
		b.ReportMetric(quartile[which], fmt.Sprintf("ns/%d", live[which]))
	}
	b.ReportMetric(slices.Max(quartile)/slices.Min(quartile), "max/min")
	b.ReportMetric(0, "ns/op") // of a whole round: means nothing
}

// BenchmarkVoidParallel is the decision on every core at once, while the index is changed now and then.
func BenchmarkVoidParallel(b *testing.B) {
	x := token.NewIndex()
	for i := range 100_000 {
		x.Set(revokedToken(i, 1000))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				x.Set(revokedToken(i, 1000))
			}
		}
	}()
	b.RunParallel(func(pb *testing.PB) {
		c := goodClaims()
		for pb.Next() {
			token.Void(&c, "kid1", x)
		}
	})
	close(stop)
	<-stopped
}

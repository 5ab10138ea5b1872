package verifier_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// BenchmarkFollow is what one event costs the service, from the wire to where calls see it.
func BenchmarkFollow(b *testing.B) {
	const each = 100
	for _, alg := range []jose.Algorithm{jose.ES256, jose.Ed25519, jose.RS256} {
		b.Run(string(alg), func(b *testing.B) {
			is := newFeed(b, alg)
			f := follow(b, is, nil)
			b.ReportAllocs()
			for n := 0; n < b.N; n += each {
				b.StopTimer()
				var events strings.Builder
				for i := range each {
					events.WriteString(frameOf(f.sign(f.revocation(jti(fmt.Sprint("j", n+i))))))
				}
				b.StartTimer()
				f.write(events.String())
				for range each {
					f.wait(verifier.FeedRevoked)
				}
			}
		})
	}
}

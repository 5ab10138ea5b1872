package verifier_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// TestSTR03_RST07_ACallThatRacesTheReconnect: whenever the first snapshot after a silence comes, a token that is in it
// is refused, or cannot be judged. What was asked before it came is not judged by how new things are since.
func TestSTR03_RST07_ACallThatRacesTheReconnect(t *testing.T) {
	for _, remembered := range []bool{false, true} {
		for look := range int64(4) { // at which reading of the clock, within the call, the stream comes back
			t.Run(fmt.Sprintf("remembered %t, look %d", remembered, look+1), func(t *testing.T) {
				is := newFeed(t, jose.ES256)
				var looks atomic.Int64
				var once sync.Once
				var f *following
				f = follow(t, is, nil, func(c *verifier.Config) {
					clock := c.Now
					c.Now = func() time.Time {
						if looks.Load() > 0 && looks.Add(-1) == 0 {
							once.Do(func() {
								f.feedStream = is.feed.stream(t)
								f.snapshot(jti("stolen"))
								f.wait(verifier.FeedInstalled)
							})
						}
						return clock()
					}
				})
				compact := is.token(t, map[string]any{"jti": "stolen"})
				if remembered {
					if _, err := f.Verify(t.Context(), compact); err != nil {
						t.Fatal(err)
					}
				}
				f.end()
				for r := range f.reports {
					if r.What == verifier.FeedDropped {
						break
					}
				}
				is.now.Add(60)
				looks.Store(look + 1)
				if _, err := f.Verify(t.Context(), compact); err == nil {
					t.Error("a token that was revoked during the silence is taken")
				}
				if looks.Load() > 0 {
					return // the call reads the clock less often
				}
				if _, err := f.Verify(t.Context(), compact); reasonOf(t, err) != token.ReasonRevoked {
					t.Errorf("then: %v", err)
				}
			})
		}
	}
}

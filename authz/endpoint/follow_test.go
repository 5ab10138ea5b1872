package endpoint_test

import (
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// The feed of this server and the follower of authz/verifier, over real connections: a token is refused when its
// event has arrived; after the emergency of a key the stream goes on under its successor.
func TestEVT14_EVT05_SET07_AServiceThatFollows(t *testing.T) {
	for version, edit := range overHTTP {
		t.Run(version, func(t *testing.T) {
			clock := newFrozenClock()
			s := newStack(t, edit, func(c *settings) { c.clock = clock })
			reports := make(chan verifier.FeedReport, 1_000)
			a := s.newService(func(a *service, c *verifier.Config) {
				secret := a.client(authz.ClientSpec{ID: "gateway", Serves: []string{api}})
				c.Follow = &verifier.Feed{ClientID: "gateway", Secret: verifier.Secret(secret), WhenSilent: verifier.SilentClosed}
				c.OnFeed = func(r verifier.FeedReport) { reports <- r }
			})
			until := func(what verifier.FeedWhat) {
				t.Helper()
				for {
					select {
					case r := <-reports:
						if r.What == what {
							return
						}
						if r.What == verifier.FeedDropped {
							t.Fatalf("the stream was dropped: %+v", r)
						}
					case <-time.After(10 * time.Second):
						t.Fatalf("no %v", what)
					}
				}
			}
			beat := func() {
				t.Helper()
				clock.set(clock.Now().Add(2 * time.Second))
				s.feed.Beat()
				until(verifier.FeedHeard)
			}
			taken := func(compact string, want bool) {
				t.Helper()
				if got := a.takes(compact); got != want {
					t.Fatalf("the token is taken: %t, want %t", got, want)
				}
			}
			until(verifier.FeedInstalled)
			for range 5 {
				got, claims := s.issued()
				taken(got.AccessToken, true)
				s.withdraw(authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: claims.JTI}})
				until(verifier.FeedRevoked)
				taken(got.AccessToken, false)
				beat()
			}
			got, _ := s.issued()
			taken(got.AccessToken, true)
			header, _ := parts(t, got.AccessToken)
			if _, err := s.ring.Revoke(t.Context(), header["kid"].(string), admin); err != nil {
				t.Fatal(err)
			}
			s.index.SetKeys(s.ring.RevokedKeys())
			s.feed.Renew()
			until(verifier.FeedInstalled)
			taken(got.AccessToken, false)
			beat()
			got, claims := s.issued()
			taken(got.AccessToken, true)
			s.withdraw(authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: claims.ClientID}})
			until(verifier.FeedRevoked)
			taken(got.AccessToken, false)
		})
	}
}

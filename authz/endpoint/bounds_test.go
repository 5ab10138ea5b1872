package endpoint_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// service is an API behind the middleware, and what it knows to be revoked.
type service struct {
	*stack
	handler http.Handler
	index   *token.Index
	heard   chan verifier.FeedReport // with Follow
}

// newService starts an API whose Verifier lives by the clock of the stack.
func (s *stack) newService(edit func(*service, *verifier.Config)) *service {
	s.t.Helper()
	a := &service{stack: s, index: token.NewIndex()}
	a.index.Replace(nil)
	c := verifier.Config{Issuer: s.issuer, Audience: api, HTTPClient: s.ts.Client(), Now: s.clock.Now, Log: slog.New(slog.DiscardHandler)}
	edit(a, &c)
	v, err := verifier.New(s.t.Context(), c)
	check(s.t, err)
	s.t.Cleanup(v.Close)
	a.handler = v.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return a
}

// takes reports whether the API takes the token; it must not be an outage.
func (a *service) takes(compact string) bool {
	a.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+compact)
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK && w.Code != http.StatusUnauthorized {
		a.t.Fatalf("the API answers %d %s", w.Code, w.Body)
	}
	return w.Code == http.StatusOK
}

// feed tells the API what the server knows to be revoked; with Follow it waits until it was told.
func (a *service) feed() {
	a.t.Helper()
	if a.heard != nil {
		a.hear()
		return
	}
	stored, err := a.gate.ListRevocations(a.t.Context(), "", 1000)
	check(a.t, err)
	var all []token.Indexed
	for _, r := range stored {
		all = append(all, token.Indexed{Revocation: r.Revocation, Client: string(r.Client)})
	}
	a.index.Replace(all)
	a.index.SetKeys(a.ring.RevokedKeys())
}

// hear has the server take over what was revoked of its signing keys, as cmd/marque does, and waits for the API to know
// what is revoked.
func (a *service) hear() {
	a.t.Helper()
	if kids := a.ring.RevokedKeys(); len(kids) > 0 {
		a.stack.index.SetKeys(kids)
		a.stack.feed.Renew()
	}
	for {
		select {
		case r := <-a.heard:
			if r.What == verifier.FeedRevoked || r.What == verifier.FeedInstalled && r.Revocations > 0 {
				return
			}
		case <-time.After(10 * time.Second):
			a.t.Fatal("the API was told nothing")
		}
	}
}

// refusedAfter asks the API every second until it refuses the token, and returns how long that took.
func (a *service) refusedAfter(compact string) (took time.Duration) {
	a.t.Helper()
	for from := a.clock.Now(); a.takes(compact); a.clock.set(from.Add(took)) {
		if took += time.Second; took > 2*time.Hour {
			a.t.Fatal("never refused")
		}
	}
	return took
}

// How long a token works at an API after the 200 that withdrew it, or the operator's act, in each mode of
// the verifier: the bounds of its README. Nothing but what an API asks for shortens that.
func TestEVT14_EVT05_TimeFromTheAnswerToTheRefusal(t *testing.T) {
	const jwks = 5 * time.Minute // the max-age that the ring has in newStack
	introspecting := func(cacheFor time.Duration) func(*service, *verifier.Config) {
		return func(a *service, c *verifier.Config) {
			secret := a.client(authz.ClientSpec{ID: "gateway", Serves: []string{api}})
			c.Introspect = &verifier.Introspection{ClientID: "gateway", Secret: verifier.Secret(secret), CacheFor: cacheFor}
		}
	}
	withdrawals := map[string]func(a *service, compact string, kid string){
		"RFC 7009": func(a *service, compact, _ string) { a.revoked(compact) },
		"disabled": func(a *service, _, _ string) {
			_, err := a.registry.SetClientDisabled(a.t.Context(), admin, "c1", true)
			check(a.t, err)
		},
		"the key": func(a *service, _, kid string) {
			_, err := a.ring.Revoke(a.t.Context(), kid, admin)
			check(a.t, err)
		},
	}
	for name, mode := range map[string]struct {
		config   func(*service, *verifier.Config)
		lifetime time.Duration
		bound    time.Duration
		key      time.Duration // the bound where the key was revoked
	}{
		"neither":            {func(*service, *verifier.Config) {}, 10 * time.Minute, 10*time.Minute + token.DefaultLeeway, jwks},
		"neither, no leeway": {func(_ *service, c *verifier.Config) { c.Leeway = verifier.NoLeeway }, 10 * time.Minute, 10 * time.Minute, jwks},
		"neither, the most":  {func(_ *service, c *verifier.Config) { c.Leeway = token.MaxLeeway }, time.Hour, token.RevocationKept, jwks},
		"Introspect":         {introspecting(0), 10 * time.Minute, 0, 0},
		"CacheFor":           {introspecting(20 * time.Second), 10 * time.Minute, 20 * time.Second, 20 * time.Second},
		"Follow": {func(a *service, c *verifier.Config) {
			secret := a.client(authz.ClientSpec{ID: "gateway", Serves: []string{api}})
			c.Follow = &verifier.Feed{ClientID: "gateway", Secret: verifier.Secret(secret), WhenSilent: verifier.SilentClosed}
			a.heard = make(chan verifier.FeedReport, 1_000)
			c.OnFeed = func(r verifier.FeedReport) { a.heard <- r }
		}, 10 * time.Minute, 0, 0},
		"Revoked": {func(a *service, c *verifier.Config) { c.Revoked = a.index }, 10 * time.Minute, 0, 0},
	} {
		for how, withdraw := range withdrawals {
			t.Run(name+"/"+how, func(t *testing.T) {
				clock := newFrozenClock()
				s := newStack(t, func(c *settings) { c.clock = clock })
				if mode.lifetime > authz.DefaultTokenLifetime {
					_, err := s.registry.UpdateResource(t.Context(), admin, api, authz.Match{Any: true},
						authz.ResourceSpec{Scopes: []string{"read write"}, TokenLifetime: mode.lifetime}, false)
					check(t, err)
				}
				a := s.newService(mode.config)
				got, claims := s.issued()
				if !a.takes(got.AccessToken) || claims.Expiry.Sub(s.clock.Now()) != mode.lifetime {
					t.Fatalf("before: refused, or %+v", claims)
				}
				header, _ := parts(t, got.AccessToken)
				withdraw(a, got.AccessToken, header["kid"].(string))
				a.feed()
				took, most := a.refusedAfter(got.AccessToken), mode.bound
				if how == "the key" { // the keys of the issuer are fetched again somewhat before they must be
					if most = mode.key; took > most || took == 0 && most > 0 {
						t.Errorf("refused after %v, want at most %v", took, most)
					}
				} else if took != most {
					t.Errorf("refused after %v, want %v", took, most)
				}
			})
		}
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// BenchmarkEndpoint is one token from the request's body to the answer's, without net/http around it.
func BenchmarkEndpoint(b *testing.B) {
	r := newRig(b, 1)
	for _, a := range algorithms() {
		b.Run(string(a), func(b *testing.B) {
			c := r.caller(a)
			b.ReportAllocs()
			for b.Loop() {
				c.send(b, r.handler)
			}
		})
	}
}

// BenchmarkClients is the same with the requests of many clients in turn: what they hold does not fit
// into a core's first caches, and every cache of the server sees each of them.
func BenchmarkClients(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1_000} {
		r := newRig(b, n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := r.caller(jose.ES256)
			for range n {
				c.send(b, r.handler) // every client is cached
			}
			b.ReportAllocs()
			for b.Loop() {
				c.send(b, r.handler)
			}
		})
	}
}

// BenchmarkFloor is the floor's handler under the same request, for comparison.
func BenchmarkFloor(b *testing.B) {
	r := newRig(b, 1)
	f := r.floor(b)
	for _, a := range algorithms() {
		b.Run(string(a), func(b *testing.B) {
			c := r.caller(a)
			b.ReportAllocs()
			for b.Loop() {
				c.send(b, f)
			}
		})
	}
}

// BenchmarkServed is both of them behind the HTTP server that each runs in, over loopback. The one
// connection of the load is in the same process and adds the same to both: profile this one to see
// what net/http costs.
func BenchmarkServed(b *testing.B) {
	r := newRig(b, 1)
	for name, server := range map[string]*http.Server{
		"marque": endpoint.NewServer(r.handler, slog.New(slog.DiscardHandler)),
		"floor":  {Handler: r.floor(b)},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		go server.Serve(listener)
		b.Cleanup(func() { server.Close() })
		c, err := dial(context.Background(), listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		for _, a := range algorithms() {
			request := tokenRequest(listener.Addr().String(), rigClient(0), r.secrets[0].Reveal(), resourceOf(a))
			b.Run(name+"/"+string(a), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.exchange(request, false); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDomain is one token without HTTP: authentication, policy, claims, signature.
func BenchmarkDomain(b *testing.B) {
	r := newRig(b, 1)
	for _, a := range algorithms() {
		b.Run(string(a), func(b *testing.B) {
			request := authz.Request{
				GrantType: authz.GrantClientCredentials,
				Scope:     scope,
				Resources: []string{resourceOf(a)},
				Client:    authz.Presented{Method: authz.PresentedPost, ID: authz.ClientID(rigClient(0)), Secret: r.secrets[0]},
				Address:   netip.MustParseAddr("127.0.0.1"),
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.tokens.Token(context.Background(), request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIntrospection is one question about a token, of a thousand in turn, from the request's body to
// the answer's, without net/http around it, with either store; beside it what it must do at least, the check
// of one signature.
func BenchmarkIntrospection(b *testing.B) {
	ask := func(b *testing.B, r *rig) {
		c := r.inquirer(b, 1_000)
		if body := c.send(b, r.handler); !bytes.HasPrefix(body, []byte(`{"active":true`)) {
			b.Fatalf("%s", body)
		}
		b.ReportAllocs()
		for b.Loop() {
			c.send(b, r.handler)
		}
	}
	raw, err := newRawCheck()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("endpoint", func(b *testing.B) { ask(b, newRig(b, 1)) })
	b.Run("redis", func(b *testing.B) { ask(b, newRedisRig(b, 1, testRedis(b))) })
	b.Run("raw check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !raw.verifies() {
				b.Fatal("a good signature does not verify")
			}
		}
	})
}

// The two sides must do comparable work, or the ratio between them says nothing.
func TestFloor_EqualsTheServerInSize(t *testing.T) {
	r := newRig(t, 1)
	f := r.floor(t)
	for _, a := range algorithms() {
		server, floor := r.caller(a), r.caller(a)
		if got, want := len(floor.send(t, f)), len(server.send(t, r.handler)); got != want {
			t.Errorf("%s: the floor answers with %d octets, the server with %d", a, got, want)
		}
		if _, err := r.checker(t, a).Verify(context.Background(), r.token(t, a)); err != nil {
			t.Errorf("%s: the server's token: %v", a, err)
		}
	}
}

func (r *rig) floor(tb testing.TB) *floor {
	tb.Helper()
	digest := sha256.Sum256([]byte(r.secrets[0].Reveal()))
	config := floorConfig{Digest: digest[:], Tokens: map[string]floorSample{}}
	for _, a := range algorithms() {
		sample, err := takeApart(r.caller(a).send(tb, r.handler))
		if err != nil {
			tb.Fatal(err)
		}
		config.Tokens[resourceOf(a)] = sample
	}
	f, err := newFloor(config)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func (r *rig) token(tb testing.TB, a jose.Algorithm) string {
	tb.Helper()
	issued, err := r.tokens.Token(context.Background(), authz.Request{
		GrantType: authz.GrantClientCredentials,
		Resources: []string{resourceOf(a)},
		Scope:     scope,
		Client:    authz.Presented{Method: authz.PresentedPost, ID: authz.ClientID(rigClient(0)), Secret: r.secrets[0]},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return issued.AccessToken
}

func (r *rig) checker(tb testing.TB, a jose.Algorithm) *token.Checker {
	tb.Helper()
	check, err := token.NewChecker(token.Check{
		Issuer:     rigIssuer,
		Audience:   resourceOf(a),
		Algorithms: []jose.Algorithm{a},
		Key:        func(_ context.Context, h jose.Header) (*jose.PublicKey, error) { return r.ring.Lookup(h.KeyID) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return check
}

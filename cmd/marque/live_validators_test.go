//go:build linux || darwin

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v2/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"
	"golang.org/x/time/rate"
)

// library verifies tokens and is not ours, set up as a service would. It is given no leeway.
type library struct {
	name   string
	stays  time.Duration // for how much longer than it may it keeps a set
	verify func(ctx context.Context, compact, audience string) error
}

// librariesOf are three of them, which fetch the set of an issuer through what stands in front of its servers.
// A library that asks again for a kid that it does not know would forgive a key that signs too early, so each is
// set up such that nothing but the time that the server allowed decides what it knows:
//
//   - go-oidc keeps a set for ever, and fetches a new one for an unknown kid only, as often as it meets one. It is
//     put behind a cache that keeps a set for the max-age that comes with it, and, as many do, does not care that
//     the asker would rather have a fresh one (no-cache).
//   - keyfunc fetches at an interval of its own whatever the header says; it is given the max-age that it is
//     told at the start. It is not allowed the fetch for an unknown kid, of which there is one in 5 minutes by default.
//   - jwk.Cache of jwx reads max-age, and looks once in a refresh window for what is due, so that it keeps a set for
//     as much longer. The window is 15 minutes by default, and also if less than a second is asked for. It does not
//     fetch for an unknown kid.
func librariesOf(t *testing.T, issuer, set string, front http.RoundTripper) []library {
	t.Helper()
	return []library{
		{"go-oidc", 0, withOIDC(t, issuer, set, &sharedCache{from: front})},
		{"keyfunc", 0, withKeyfunc(t, issuer, set, front)},
		{"jwx", jwxWindow, withJWX(t, issuer, set, front)},
	}
}

func withOIDC(t *testing.T, issuer, set string, cache *sharedCache) func(context.Context, string, string) error {
	remote := oidc.NewRemoteKeySet(oidc.ClientContext(t.Context(), &http.Client{Transport: cache}), set)
	return func(ctx context.Context, compact, audience string) error {
		_, err := oidc.NewVerifier(issuer, remote, &oidc.Config{
			ClientID: audience, SupportedSigningAlgs: []string{oidc.ES256, oidc.EdDSA},
		}).Verify(ctx, compact)
		return err
	}
}

func withKeyfunc(t *testing.T, issuer, set string, front http.RoundTripper) func(context.Context, string, string) error {
	t.Helper()
	client := &http.Client{Transport: front}
	resp, err := client.Get(set)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	remote, err := keyfunc.NewDefaultOverrideCtx(t.Context(), []string{set}, keyfunc.Override{
		Client:            client,
		RefreshInterval:   maxAgeOf(resp.Header),
		RefreshUnknownKID: rate.NewLimiter(0, 0),
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) { // by default it logs what is seen when a token is refused
			return func(context.Context, error) {}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(_ context.Context, compact, audience string) error {
		_, err := jwt.Parse(compact, remote.Keyfunc, jwt.WithValidMethods([]string{"ES256", "EdDSA"}),
			jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired())
		return err
	}
}

// jwxWindow is the least there is.
const jwxWindow = time.Second

func withJWX(t *testing.T, issuer, set string, front http.RoundTripper) func(context.Context, string, string) error {
	t.Helper()
	cache := jwk.NewCache(t.Context(), jwk.WithRefreshWindow(jwxWindow))
	err := cache.Register(set, jwk.WithHTTPClient(&http.Client{Transport: front}), jwk.WithMinRefreshInterval(time.Second))
	if err == nil {
		_, err = cache.Refresh(t.Context(), set)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, compact, audience string) error {
		keys, err := cache.Get(ctx, set)
		if err != nil {
			return err
		}
		_, err = jwxjwt.Parse([]byte(compact), jwxjwt.WithKeySet(keys), jwxjwt.WithIssuer(issuer), jwxjwt.WithAudience(audience))
		return err
	}
}

// maxAgeOf is what Cache-Control allows; zero if it does not say.
func maxAgeOf(h http.Header) time.Duration {
	_, after, _ := strings.Cut(h.Get("Cache-Control"), "max-age=")
	seconds, _, _ := strings.Cut(after, ",")
	n, err := strconv.Atoi(seconds)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// balancer stands in front of the servers, takes them in turn, and asks another one if one does not answer
// whole and in time. It does not know which of them live.
type balancer struct {
	nodes     []string // host:port
	turn      atomic.Uint32
	transport *http.Transport
}

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	first := int(b.turn.Add(1))
	var errs []error
	for i := range b.nodes {
		resp, err := b.ask(r, b.nodes[(first+i)%len(b.nodes)])
		if err == nil {
			return resp, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// ask returns once the whole answer has come: of one that is killed in the middle of it there is none.
func (b *balancer) ask(r *http.Request, node string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 500*time.Millisecond)
	defer cancel()
	r = r.Clone(ctx)
	r.URL.Host = node
	resp, err := b.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return nil, fmt.Errorf("%s: %s", node, resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// sharedCache keeps one answer for the max-age that comes with it, less the time it took to come (RFC 9111,
// Section 4.2.3), and heeds nothing that the asker says about caching.
type sharedCache struct {
	from http.RoundTripper

	mu     sync.Mutex
	stored http.Response
	body   []byte
	until  time.Time
}

func (c *sharedCache) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); !now.Before(c.until) {
		resp, err := c.from.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		c.stored, c.body, c.until = *resp, body, now.Add(maxAgeOf(resp.Header))
	}
	answer := c.stored
	answer.Header = c.stored.Header.Clone()
	answer.Body, answer.Request = io.NopCloser(bytes.NewReader(c.body)), r
	return &answer, nil
}

// longer is something in front of the servers that promises more than they do.
type longer struct {
	from http.RoundTripper
	says time.Duration
}

func (l longer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.from.RoundTrip(r)
	if err == nil {
		resp.Header.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", l.says/time.Second))
	}
	return resp, err
}

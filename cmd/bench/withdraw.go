package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// apiID names the client that serves the resource whose tokens it asks about.
const apiID = "fulfilment-api"

// rawChecks is how many signatures one window of the raw check verifies.
const rawChecks = 2_000

// withdrawal is what was seen of introspection and of revocation.
type withdrawal struct {
	tokens      int
	pairs       []judged
	revocations window
}

// judged is a window of raw signature checks and the window of introspection that followed it.
type judged struct {
	raw    float64 // µs of CPU for one check
	server window
}

func (j judged) ratio() float64 { return j.server.perToken() / j.raw }

// measureWithdrawal asks the server about tokens, beside raw signature checks in this process, and
// then revokes each of them once, as the client that it was issued to.
func (l *lab) measureWithdrawal(ctx context.Context, server *process, r *report) error {
	tokens, err := l.fetchTokens(ctx, server, l.settings.evenly(l.settings.withdrawn))
	if err != nil {
		return fmt.Errorf("tokens to withdraw: %w", err)
	}
	load, err := newLoad(ctx, server.address, l.settings.connections)
	if err != nil {
		return err
	}
	defer load.close()
	asking := side{process: server, load: load, requests: l.introspections(tokens)}
	pairs, err := l.judge(ctx, asking)
	if err != nil {
		return fmt.Errorf("introspection: %w", err)
	}
	revoking := side{process: server, load: load, requests: l.revocations(tokens)}
	once, err := revoking.measureUpTo(ctx, len(tokens), time.Minute)
	if err != nil {
		return fmt.Errorf("revocation: %w", err)
	}
	r.withdrawal(withdrawal{tokens: len(tokens), pairs: pairs, revocations: once})
	return nil
}

// judge measures raw checks, introspection, raw checks, …
func (l *lab) judge(ctx context.Context, asking side) ([]judged, error) {
	check, err := newRawCheck()
	if err != nil {
		return nil, err
	}
	if _, err := asking.measure(ctx, l.settings.window); err != nil { // warm up
		return nil, err
	}
	var pairs []judged
	for range l.settings.pairs {
		var raw float64
		if err := l.seats.atServer(func() (err error) { // cores differ, and so do their neighbours
			raw, err = check.measure()
			return err
		}); err != nil {
			return nil, err
		}
		w, err := asking.measure(ctx, l.settings.window)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, judged{raw, w})
	}
	return pairs, nil
}

// rawCheck is one ES256 signature and what verifies it: a hash and crypto/ecdsa, without a token
// around it.
type rawCheck struct {
	key       *ecdsa.PublicKey
	input     []byte
	signature []byte
}

func newRawCheck() (*rawCheck, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	input := make([]byte, 400) // about a token's signing input
	digest := sha256.Sum256(input)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	return &rawCheck{&key.PublicKey, input, signature}, err
}

func (c *rawCheck) verifies() bool {
	digest := sha256.Sum256(c.input)
	return ecdsa.VerifyASN1(c.key, digest[:], c.signature)
}

// measure returns the CPU time of one check, in µs.
func (c *rawCheck) measure() (float64, error) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		return 0, err
	}
	for range rawChecks {
		if !c.verifies() {
			return 0, errors.New("a good signature does not verify")
		}
	}
	after, err := cpuTime(os.Getpid())
	return float64((after - before).Nanoseconds()) / 1e3 / rawChecks, err
}

// owned is a token and the client that it was issued to, by its place among the clients.
type owned struct {
	token  string
	client int
}

// evenly is n, or the next number of which each connection has as many: then each request is sent once.
func (s settings) evenly(n int) int {
	return (n + s.connections - 1) / s.connections * s.connections
}

// fetchTokens gets so many ES256 tokens, from the clients in turn.
func (l *lab) fetchTokens(ctx context.Context, server *process, n int) ([]owned, error) {
	c, err := dial(ctx, server.address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	tokens := make([]owned, n)
	for i := range tokens {
		client := i % len(l.requests[jose.ES256])
		body, err := c.exchange(l.requests[jose.ES256][client], true)
		if err != nil {
			return nil, err
		}
		if tokens[i].token, err = tokenIn(body); err != nil {
			return nil, err
		}
		tokens[i].client = client
	}
	return tokens, ctx.Err()
}

func (l *lab) introspections(tokens []owned) [][]byte {
	return requestsAbout(tokens, l.address, "/oauth2/introspect", func(owned) (string, string) { return apiID, l.apiSecret })
}

func (l *lab) revocations(tokens []owned) [][]byte {
	return requestsAbout(tokens, l.address, "/oauth2/revoke", func(o owned) (string, string) {
		return clientID(o.client), l.secrets[o.client]
	})
}

func requestsAbout(tokens []owned, host, path string, caller func(owned) (id, secret string)) [][]byte {
	out := make([][]byte, len(tokens))
	for i, o := range tokens {
		id, secret := caller(o)
		out[i] = formRequest(host, path, url.Values{"token": {o.token}, "client_id": {id}, "client_secret": {secret}}.Encode())
	}
	return out
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
	"github.com/marque-auth/marque/store/redisstore"
)

const rigIssuer = "https://as.example"

// rigClient is the identifier of the i-th client.
func rigClient(i int) string { return fmt.Sprintf("partner-%06d", i) }

// rig is the server inside the test's own process, of the same parts as the real one: a store, a key
// ring, the domain and the endpoint.
type rig struct {
	kekFile  string
	records  store.Store
	ring     *keys.Ring
	registry *authz.Registry
	tokens   *authz.Server
	handler  http.Handler
	secrets  []authz.Secret // of the i-th client
	api      authz.Secret   // of the client that serves the ES256 resource
}

// newRig has the embedded store, in a temporary folder.
func newRig(tb testing.TB, clients int) *rig {
	tb.Helper()
	db, err := boltstore.OpenDB(boltstore.Config{Path: filepath.Join(tb.TempDir(), "marque.db"), Namespace: namespace})
	if err != nil {
		tb.Fatal(err)
	}
	closeLater(tb, db)
	return newRigOn(tb, clients, db, func(e *store.Envelope) (store.Store, error) { return boltstore.New(db, e) })
}

// newRedisRig has a Redis of its own.
func newRedisRig(tb testing.TB, clients int, redis *redis) *rig {
	tb.Helper()
	db, err := redisstore.OpenDB(tb.Context(), redisstore.Config{Namespace: namespace, Addrs: []string{redis.address}, Password: redis.password})
	if err != nil {
		tb.Fatal(err)
	}
	closeLater(tb, db)
	return newRigOn(tb, clients, db, func(e *store.Envelope) (store.Store, error) { return redisstore.New(db, e) })
}

func closeLater(tb testing.TB, c io.Closer) {
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
}

func newRigOn(tb testing.TB, clients int, db keys.Genesis, open func(*store.Envelope) (store.Store, error)) *rig {
	tb.Helper()
	ctx := context.Background()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	r := &rig{kekFile: filepath.Join(tb.TempDir(), "kek")}
	kek, err := keys.WriteKEKFile(r.kekFile)
	must(err)
	by := audit.Origin{Actor: audit.System("bench")}
	installation, secrets, err := keys.Found(ctx, db, kek, rigIssuer, false, time.Now(), by)
	must(err)
	envelope, err := store.NewEnvelope(secrets.RecordKey, namespace)
	must(err)
	records, err := open(envelope)
	must(err)
	r.records = records
	r.ring, err = keys.NewRing(keys.Config{
		Rings: records, KEKs: []*jose.KEK{kek}, Installation: installation.ID,
		JWKSMaxAge: keys.DefaultJWKSMaxAge, RefreshInterval: keys.DefaultRefreshInterval,
		PublishLead: keys.DefaultPublishLead, Leeway: keys.DefaultLeeway,
		StoreOutage:    time.Hour, // nobody follows the store here
		FirstKeyAtOnce: true,
	})
	must(err)
	must(r.ring.Step(ctx, time.Now()))
	index := token.NewIndex()
	index.Replace(nil)
	applied := func(context.Context) error { return nil } // nothing is withdrawn here
	revoker, err := authz.NewRevoker(authz.RevokerConfig{
		Records: records, Index: index, Applied: applied, PerClient: authz.DefaultTokenRevocations, Now: time.Now,
	})
	must(err)
	r.tokens, err = authz.NewServer(authz.Config{
		Issuer: rigIssuer, Pepper: secrets.Pepper, Clients: records, Resources: records, Keys: r.ring,
		PublicKey: r.ring.Lookup, Revocations: records, Index: index, Revoker: revoker,
		ClientCache: authz.DefaultClientCache, StoreOutage: time.Hour,
		ClientRate: 0, // one client sends everything
		Failures:   authz.DefaultFailures, SigningQueue: authz.DefaultSigningQueue, Now: time.Now,
	})
	must(err)
	r.tokens.ConfirmedAt(time.Now())
	r.registry, err = authz.NewRegistry(authz.RegistryConfig{
		Issuer: rigIssuer, Pepper: secrets.Pepper, Clients: records, Resources: records, Revocations: records, Log: records, Revoker: revoker,
		EnsureKeys: func(ctx context.Context, a jose.Algorithm, by audit.Origin) (time.Time, error) {
			if _, err := r.ring.Ensure(ctx, a, by); err != nil {
				return time.Time{}, err
			}
			return r.ring.KnownFrom(a)
		},
		KnowsKey: r.ring.Knows,
		Applied:  applied,
		Now:      time.Now,
	})
	must(err)
	var resources []string
	for _, a := range algorithms() {
		_, _, err := r.registry.CreateResource(ctx, by, authz.ResourceSpec{
			ID: resourceOf(a), Scopes: []string{scope}, Algorithm: string(a),
		})
		must(err)
		resources = append(resources, resourceOf(a))
	}
	for i := range clients {
		_, secret, _, err := r.registry.CreateClient(ctx, by, authz.ClientSpec{
			ID: rigClient(i), Name: "Partner", Scopes: []string{scope}, Resources: resources,
		})
		must(err)
		r.secrets = append(r.secrets, secret)
	}
	_, r.api, _, err = r.registry.CreateClient(ctx, by, authz.ClientSpec{
		ID: apiID, Name: "Fulfilment", Serves: []string{resourceOf(jose.ES256)},
	})
	must(err)
	r.handler, err = endpoint.New(endpoint.Config{
		Issuer: rigIssuer, Tokens: r.tokens, Keys: r.ring, Log: slog.New(slog.DiscardHandler),
	})
	must(err)
	return r
}

// caller sends requests, in turn, again and again to a handler, without a network.
// It allocates nothing itself, so that what a benchmark counts is the handler's.
type caller struct {
	request *http.Request
	bodies  [][]byte // all of one length
	next    int
	reader  bytes.Reader
	reply   reply
}

// caller sends the requests of all clients for tokens.
func (r *rig) caller(a jose.Algorithm) *caller {
	var bodies [][]byte
	for i, secret := range r.secrets {
		bodies = append(bodies, []byte(tokenForm(rigClient(i), secret.Reveal(), resourceOf(a))))
	}
	return newCaller("/oauth2/token", bodies)
}

// inquirer asks about so many tokens of the first client, as their API.
func (r *rig) inquirer(tb testing.TB, tokens int) *caller {
	var bodies [][]byte
	for range tokens {
		bodies = append(bodies, []byte(url.Values{
			"token": {r.token(tb, jose.ES256)}, "client_id": {apiID}, "client_secret": {r.api.Reveal()},
		}.Encode()))
	}
	return newCaller("/oauth2/introspect", bodies)
}

func newCaller(path string, bodies [][]byte) *caller {
	c := &caller{bodies: bodies, request: httptest.NewRequest(http.MethodPost, path, nil)}
	c.request.RemoteAddr = "127.0.0.1:40000"
	c.request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.request.ContentLength = int64(len(c.bodies[0]))
	c.request.Body = io.NopCloser(&c.reader)
	c.reply.fields = http.Header{}
	return c
}

// send returns the body of the answer; it is overwritten by the next call.
func (c *caller) send(tb testing.TB, h http.Handler) []byte {
	c.reader.Reset(c.bodies[c.next])
	c.next = (c.next + 1) % len(c.bodies)
	c.request.Form, c.request.PostForm = nil, nil // what an earlier call has parsed
	clear(c.reply.fields)
	c.reply.status, c.reply.body = http.StatusOK, c.reply.body[:0]
	h.ServeHTTP(&c.reply, c.request)
	if c.reply.status != http.StatusOK {
		tb.Fatalf("status %d, body %s", c.reply.status, c.reply.body)
	}
	return c.reply.body
}

// reply is a ResponseWriter that keeps its buffers.
type reply struct {
	fields http.Header
	status int
	body   []byte
}

func (r *reply) Header() http.Header    { return r.fields }
func (r *reply) WriteHeader(status int) { r.status = status }

func (r *reply) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}

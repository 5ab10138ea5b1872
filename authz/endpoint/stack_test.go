package endpoint_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
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
)

const (
	api   = "https://api.example"
	other = "https://other.example"
)

var admin = audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: "0"}}

// stack is a whole server: endpoint, domain, keys, and the embedded store in a temporary folder.
type stack struct {
	t        testing.TB
	ts       *httptest.Server
	issuer   string
	clock    *clock
	log      *logBuffer
	pepper   [32]byte
	gate     *gate
	ring     *keys.Ring
	server   *authz.Server
	registry *authz.Registry
	revoker  *authz.Revoker
	index    *token.Index
	follower *store.Follower
	feed     *authz.Feed
	secret   string          // of client c1
	db       string          // the file
	known    map[string]bool // every secret and token seen, for the check that none is logged
}

// settings are what a test may change of the parts before they are put together.
type settings struct {
	authz    authz.Config
	endpoint endpoint.Config
	clock    *clock
	path     string         // of the issuer
	ed25519  jose.Algorithm // how the ring spells it; empty: EdDSA
	http2    bool
	server   func(*http.Server) // nil: as NewServer makes it
	streams  int                // of the feed; 0: 100
}

// newStack starts a server with the resources api (scopes read, write) and other (other:read), and
// the client c1 for api, with the scopes read and write and the default read.
func newStack(t testing.TB, edits ...func(*settings)) *stack {
	t.Helper()
	first := chosen(edits)
	s := &stack{t: t, clock: first.clock, log: &logBuffer{}, pepper: [32]byte{1, 2, 3}, known: map[string]bool{}}
	s.db = filepath.Join(t.TempDir(), "marque.db")
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.ts = httptest.NewUnstartedServer(nil)

	db, err := boltstore.OpenDB(boltstore.Config{Path: s.db, Namespace: "marque", Now: s.clock.Now})
	check(t, err)
	t.Cleanup(func() { db.Close() })
	envelope, err := store.NewEnvelope([32]byte{4, 5, 6}, "marque")
	check(t, err)
	st, err := boltstore.New(db, envelope)
	check(t, err)
	s.gate = &gate{Store: st}

	s.ring, err = keys.NewRing(keys.Config{
		Rings: st, KEKs: []*jose.KEK{jose.NewKEK([32]byte{7})}, Installation: "test", JWKSMaxAge: 5 * time.Minute, RefreshInterval: 15 * time.Second,
		PublishLead: 24 * time.Hour, StoreOutage: 2 * time.Hour, Leeway: 30 * time.Second, FirstKeyAtOnce: true, WireEd25519: first.ed25519, Now: s.clock.Now,
	})
	check(t, err)
	check(t, s.ring.Step(t.Context(), s.clock.Now()))

	s.index = token.NewIndex()
	s.revoker, err = authz.NewRevoker(authz.RevokerConfig{
		Records: s.gate, Index: s.index, PerClient: authz.DefaultTokenRevocations, Now: s.clock.Now,
		Applied: func(ctx context.Context) error { return s.follower.CatchUp(ctx) },
	})
	check(t, err)
	c := settings{
		authz: authz.Config{
			Pepper: s.pepper, Clients: s.gate, Resources: s.gate, Keys: s.ring, ClientCache: 100, StoreOutage: 5 * time.Minute,
			PublicKey: s.ring.Lookup, Revocations: s.gate, Index: s.index, Revoker: s.revoker,
			SigningQueue: 1000, Now: s.clock.Now,
		},
		endpoint: endpoint.Config{Keys: s.ring, Log: log},
	}
	for _, edit := range edits {
		edit(&c)
	}
	s.issuer = "https://" + s.ts.Listener.Addr().String() + c.path
	c.authz.Issuer, c.endpoint.Issuer = s.issuer, s.issuer
	s.server, err = authz.NewServer(c.authz)
	check(t, err)
	s.openFeed(c.streams)
	s.follow(st)
	s.register(st)
	if c.endpoint.Tokens == nil {
		c.endpoint.Tokens = s.server
	}
	c.endpoint.Feed = s.feed
	h, err := endpoint.New(c.endpoint)
	check(t, err)
	s.ts.Config = endpoint.NewServer(h, log)
	if c.server != nil {
		c.server(s.ts.Config)
	}
	s.ts.TLS = s.ts.Config.TLSConfig.Clone()
	s.ts.EnableHTTP2 = c.http2
	s.ts.StartTLS()
	t.Cleanup(func() {
		s.feed.Close() // or the server would wait for its streams
		s.ts.Close()
	})
	s.ts.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

func (s *stack) openFeed(streams int) {
	url, err := endpoint.FeedURL(s.issuer)
	check(s.t, err)
	s.feed, err = authz.NewFeed(authz.FeedConfig{
		Server: s.server, URL: url, Index: s.index, Streams: cmp.Or(streams, 100), Now: s.clock.Now, Known: s.clock.Now, RevokedKeys: s.ring.RevokedKeys,
		Revocations: func(ctx context.Context) iter.Seq2[token.Revocation, error] {
			return func(yield func(token.Revocation, error) bool) {
				all, err := s.gate.ListRevocations(ctx, "", 1000)
				for _, r := range all {
					if !yield(r.Revocation, nil) {
						return
					}
				}
				if err != nil {
					yield(token.Revocation{}, err)
				}
			}
		},
	})
	check(s.t, err)
}

func (s *stack) follow(st store.Store) {
	// indexed reads what a change names again: the store says what holds now.
	indexed := func(ctx context.Context, text string) error {
		subject, err := token.ParseSubject(text)
		if err != nil {
			return err
		}
		found, err := st.Revocations(ctx, []token.Subject{subject})
		if err != nil {
			return err
		}
		s.index.Remove(subject)
		for _, r := range found {
			s.index.Set(token.Indexed{Revocation: r.Revocation, Client: string(r.Client)})
			s.feed.Publish(r.Revocation, r.CreatedAt)
		}
		return nil
	}
	reload := func(ctx context.Context) error {
		s.server.AllChanged()
		found, err := st.ListRevocations(ctx, "", 1000)
		var all []token.Indexed
		for _, r := range found {
			all = append(all, token.Indexed{Revocation: r.Revocation, Client: string(r.Client)})
		}
		s.index.Replace(all)
		s.feed.Renew()
		return err
	}
	var err error
	s.follower, err = store.NewFollower(store.FollowerConfig{
		Changes: s.gate, Now: s.clock.Now, Confirmed: s.server.ConfirmedAt,
		Apply: func(ctx context.Context, changes []store.Change) error {
			for _, c := range changes {
				switch c.Kind {
				case store.KindClient:
					s.server.ClientChanged(authz.ClientID(c.ID))
				case store.KindResource:
					s.server.ResourceChanged(authz.ResourceID(c.ID))
				}
			}
			for _, c := range changes { // after the records, as cmd/marque does
				if c.Kind == store.KindRevocation {
					if err := indexed(ctx, c.ID); err != nil {
						return err
					}
				}
			}
			s.feed.Look()
			return nil
		},
		Reload: reload,
	})
	check(s.t, err)
	check(s.t, s.follower.Start(s.t.Context()))
}

func (s *stack) register(st store.Store) {
	var err error
	s.registry, err = authz.NewRegistry(authz.RegistryConfig{
		Issuer: s.issuer, Pepper: s.pepper, Clients: st, Resources: st, Revocations: st, Log: st, Revoker: s.revoker,
		Applied: s.follower.CatchUp, Now: s.clock.Now,
		EnsureKeys: func(ctx context.Context, alg jose.Algorithm, by audit.Origin) (time.Time, error) {
			if _, err := s.ring.Ensure(ctx, alg, by); err != nil {
				return time.Time{}, err
			}
			return s.ring.KnownFrom(alg)
		},
		KnowsKey: s.ring.Knows,
	})
	check(s.t, err)
	s.resource(authz.ResourceSpec{ID: api, Scopes: []string{"read write"}})
	s.resource(authz.ResourceSpec{ID: other, Scopes: []string{"other:read"}})
	s.secret = s.client(authz.ClientSpec{ID: "c1", Scopes: []string{"read write"}, DefaultScopes: []string{"read"}, Resources: []string{api}})
}

func (s *stack) resource(spec authz.ResourceSpec) {
	s.t.Helper()
	_, _, err := s.registry.CreateResource(s.t.Context(), admin, spec)
	check(s.t, err)
}

// client registers a client and returns its secret.
func (s *stack) client(spec authz.ClientSpec) string {
	s.t.Helper()
	spec.Name = "a partner"
	_, secret, _, err := s.registry.CreateClient(s.t.Context(), admin, spec)
	check(s.t, err)
	s.known[secret.Reveal()] = true
	return secret.Reveal()
}

// record stores a client as it is, with credentials for the given secrets, past every rule of the
// registry: what another version, or an import, may have left behind.
func (s *stack) record(c authz.Client, secrets map[authz.CredentialID]string) {
	s.t.Helper()
	if c.Name == "" {
		c.Name = "a record"
	}
	c.CreatedAt, c.UpdatedAt = s.clock.Now().Truncate(time.Second), s.clock.Now().Truncate(time.Second)
	for i := range c.Credentials {
		credential := &c.Credentials[i]
		credential.Scheme, credential.CreatedAt = authz.SchemeHMAC, c.CreatedAt
		if secret, ok := secrets[credential.ID]; ok {
			credential.Digest = s.digest(secret, c.ID, credential.ID)
			s.known[secret] = true
		}
	}
	_, err := s.gate.PutClient(s.t.Context(), c, admin.Done(s.clock.Now(), "test", string(c.ID)))
	check(s.t, err)
	check(s.t, s.follower.CatchUp(s.t.Context()))
}

// digest computes what authz keeps of a secret, from its documentation.
func (s *stack) digest(secret string, client authz.ClientID, credential authz.CredentialID) []byte {
	mac := hmac.New(sha256.New, s.pepper[:])
	for _, part := range []string{secret, string(client), string(credential)} {
		binary.Write(mac, binary.BigEndian, uint32(len(part)))
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}

// clock is the time of a stack: the real one, because libraries that judge tokens read that, moved
// by an offset; or an instant that stands still until it is set.
type clock struct {
	offset atomic.Int64
	frozen atomic.Pointer[time.Time]
}

func newFrozenClock() *clock {
	c := &clock{}
	c.set(time.Now().UTC().Truncate(time.Second))
	return c
}

// chosen returns what the edits want of the parts that the others are made of: the clock, which else is
// one that runs, and the ring.
func chosen(edits []func(*settings)) (c settings) {
	for _, edit := range edits {
		edit(&c)
	}
	if c.clock == nil {
		c.clock = &clock{}
	}
	return c
}

func (c *clock) Now() time.Time {
	if at := c.frozen.Load(); at != nil {
		return *at
	}
	return time.Now().UTC().Add(time.Duration(c.offset.Load()))
}

func (c *clock) set(at time.Time) { c.frozen.Store(&at) }

func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// gate stands between the server and its store: it counts reads, and can be closed.
type gate struct {
	store.Store
	reads  atomic.Int64
	closed atomic.Bool
}

var errClosed = errors.New("the store is away")

func (g *gate) pass() error {
	g.reads.Add(1)
	if g.closed.Load() {
		return errClosed
	}
	return nil
}

func (g *gate) Client(ctx context.Context, id authz.ClientID) (authz.Client, error) {
	if err := g.pass(); err != nil {
		return authz.Client{}, err
	}
	return g.Store.Client(ctx, id)
}

func (g *gate) ClientVersion(ctx context.Context, id authz.ClientID) (uint64, error) {
	if err := g.pass(); err != nil {
		return 0, err
	}
	return g.Store.ClientVersion(ctx, id)
}

func (g *gate) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	if err := g.pass(); err != nil {
		return nil, err
	}
	return g.Store.Revocations(ctx, subjects)
}

func (g *gate) ListRevocations(ctx context.Context, after string, limit int) ([]authz.Revocation, error) {
	if err := g.pass(); err != nil {
		return nil, err
	}
	return g.Store.ListRevocations(ctx, after, limit)
}

func (g *gate) ClientOf(ctx context.Context, id authz.CredentialID) (authz.ClientID, error) {
	if err := g.pass(); err != nil {
		return "", err
	}
	return g.Store.ClientOf(ctx, id)
}

func (g *gate) Resource(ctx context.Context, id authz.ResourceID) (authz.Resource, error) {
	if err := g.pass(); err != nil {
		return authz.Resource{}, err
	}
	return g.Store.Resource(ctx, id)
}

func (g *gate) Changes(ctx context.Context, after store.Cursor, limit int) ([]store.Change, store.Cursor, error) {
	if g.closed.Load() {
		return nil, "", errClosed
	}
	return g.Store.Changes(ctx, after, limit)
}

func (g *gate) Head(ctx context.Context) (store.Cursor, error) {
	if g.closed.Load() {
		return "", errClosed
	}
	return g.Store.Head(ctx)
}

// logBuffer collects what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// take returns what was logged since the last call.
func (l *logBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return l.buf.String()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

package authz

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// memory is the contracts in a map, with a count of calls and faults on demand. It exists so that
// the domain is tested without a driver; the drivers have their own conformance suite.
type memory struct {
	mu        sync.Mutex
	clients   map[ClientID]Client
	resources map[ResourceID]Resource
	owners    map[CredentialID]ClientID
	entries   []audit.Entry
	calls     atomic.Int64
	fault     atomic.Pointer[error]
	panics    string // the operation that panics
}

func newMemory() *memory {
	return &memory{clients: map[ClientID]Client{}, resources: map[ResourceID]Resource{}, owners: map[CredentialID]ClientID{}}
}

func (m *memory) fail(err error) {
	if err == nil {
		m.fault.Store(nil)
		return
	}
	m.fault.Store(&err)
}

func (m *memory) called(op string) error {
	m.calls.Add(1)
	if op == m.panics {
		panic("a stored record")
	}
	if err := m.fault.Load(); err != nil {
		return *err
	}
	return nil
}

func get[K comparable, V any](m *memory, op string, from map[K]V, id K) (V, error) {
	var zero V
	m.mu.Lock()
	v, ok := from[id]
	m.mu.Unlock()
	if err := m.called(op); err != nil {
		return zero, err
	}
	if !ok {
		return zero, ErrNotFound
	}
	return v, nil
}

func (m *memory) Client(_ context.Context, id ClientID) (Client, error) {
	return get(m, "client", m.clients, id)
}

func (m *memory) ClientVersion(_ context.Context, id ClientID) (uint64, error) {
	c, err := get(m, "version", m.clients, id)
	if err == ErrNotFound {
		return 0, nil
	}
	return c.Version, err
}

func (m *memory) ClientOf(_ context.Context, id CredentialID) (ClientID, error) {
	return get(m, "owner", m.owners, id)
}

func (m *memory) Resource(_ context.Context, id ResourceID) (Resource, error) {
	return get(m, "resource", m.resources, id)
}

func list[K cmp.Ordered, V any](m *memory, from map[K]V, after K, limit int) ([]V, error) {
	if err := m.called("list"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []K
	for id := range from {
		if id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var out []V
	for _, id := range ids[:min(limit, len(ids))] {
		out = append(out, from[id])
	}
	return out, nil
}

func (m *memory) ListClients(_ context.Context, q ClientQuery) ([]Client, error) {
	return list(m, m.clients, q.After, q.Limit)
}

func (m *memory) ListResources(_ context.Context, after ResourceID, limit int) ([]Resource, error) {
	return list(m, m.resources, after, limit)
}

func (m *memory) PutClient(_ context.Context, c Client, e audit.Entry, revoked ...Revocation) (Client, error) {
	if err := m.called("put"); err != nil {
		return Client{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clients[c.ID].Version != c.Version {
		return Client{}, ErrConflict
	}
	for _, x := range c.Credentials {
		if owner, ok := m.owners[x.ID]; ok && owner != c.ID {
			return Client{}, ErrConflict
		}
	}
	for _, x := range c.Credentials {
		m.owners[x.ID] = c.ID
	}
	c.Version++
	m.clients[c.ID] = c
	m.entries = append(m.entries, e)
	return c, nil
}

func (m *memory) PutResource(_ context.Context, r Resource, e audit.Entry, revoked ...Revocation) (Resource, error) {
	if err := m.called("put"); err != nil {
		return Resource{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.resources[r.ID].Version != r.Version {
		return Resource{}, ErrConflict
	}
	r.Version++
	m.resources[r.ID] = r
	m.entries = append(m.entries, e)
	return r, nil
}

// clock is a time that tests move.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 11, 21, 12, 0, 0, 700_000_000, time.UTC).UnixNano()) // no whole second
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// oneKey signs everything with one key of each algorithm that it was given.
type oneKey map[jose.Algorithm]*jose.Signer

func (k oneKey) Signer(alg jose.Algorithm, _ time.Time) (*jose.Signer, error) {
	if s, ok := k[alg]; ok {
		return s, nil
	}
	return nil, errNoKey
}

type testError string

func (e testError) Error() string { return string(e) }

const (
	errNoKey = testError("no key")
	errDown  = testError("the store is down")
)

// world is a server and its registry on one memory, with the story's resource and client.
type world struct {
	*memory
	*clock
	keys     oneKey
	server   *Server
	registry *Registry
	applied  error
}

const (
	testIssuer = "https://as.example"
	api        = "https://fulfilment.example"
	otherAPI   = "https://accounts.example"
)

var admin = audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: "0"}, Reason: "test", RequestID: "r1"}

func newWorld(t testing.TB, edit func(*Config)) *world {
	t.Helper()
	w := &world{memory: newMemory(), clock: newClock(), keys: oneKey{}}
	w.addKey(t, jose.ES256)
	cfg := Config{
		Issuer: testIssuer, Pepper: [32]byte{1}, Clients: w.memory, Resources: w.memory, Keys: w.keys,
		ClientCache: 100, StoreOutage: DefaultStoreOutage, ClientRate: 0, Failures: 0, SigningQueue: 10, Now: w.now,
	}
	if edit != nil {
		edit(&cfg)
	}
	var err error
	if w.server, err = NewServer(cfg); err != nil {
		t.Fatal(err)
	}
	w.registry, err = NewRegistry(RegistryConfig{
		Issuer: testIssuer, Pepper: cfg.Pepper, Clients: w.memory, Resources: w.memory,
		ClaimNamespaces: []string{"https://partner.example/", "groups"},
		EnsureKeys:      func(context.Context, jose.Algorithm, audit.Origin) error { return nil },
		Applied: func(context.Context) error {
			w.server.AllChanged()
			w.server.ConfirmedAt(w.now())
			return w.applied
		},
		Now: w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server.ConfirmedAt(w.now())
	return w
}

func (w *world) addKey(t testing.TB, alg jose.Algorithm) {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	if w.keys[alg], err = jose.NewSigner(key, "", alg, alg); err != nil {
		t.Fatal(err)
	}
}

func (w *world) resource(t testing.TB, spec ResourceSpec) Resource {
	t.Helper()
	r, _, err := w.registry.CreateResource(t.Context(), admin, spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) client(t testing.TB, spec ClientSpec) (Client, Secret) {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "Acme"
	}
	c, s, created, err := w.registry.CreateClient(t.Context(), admin, spec)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	return c, s
}

// story registers the fulfilment API and the partner.
func (w *world) story(t testing.TB) (Client, Secret) {
	t.Helper()
	w.resource(t, ResourceSpec{ID: api, Scopes: []string{"orders:read orders:write"}})
	return w.client(t, ClientSpec{
		ID: "acme", Scopes: []string{"orders:read orders:write"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api},
	})
}

// edit changes a stored client as no API can: for records of an older server, or of a later one.
func (w *world) edit(t testing.TB, id ClientID, change func(*Client)) {
	t.Helper()
	w.mu.Lock()
	c := w.clients[id]
	c.Credentials = slices.Clone(c.Credentials)
	change(&c)
	c.Version++
	w.clients[id] = c
	w.mu.Unlock()
	w.server.ClientChanged(id)
}

func request(id ClientID, secret Secret) Request {
	return Request{GrantType: GrantClientCredentials, Client: Presented{Method: PresentedBasic, ID: id, Secret: secret}}
}

func wantError(t testing.TB, err error, code Code, cause Cause) {
	t.Helper()
	e, ok := err.(*Error)
	if !ok || e.Code != code || e.Cause != cause {
		t.Fatalf("got %T %v, want %s, %s", err, err, code, cause)
	}
	if bytes.ContainsAny([]byte(e.Description), "\"\\\r\n") || e.Description == "" {
		t.Errorf("description %q", e.Description)
	}
}

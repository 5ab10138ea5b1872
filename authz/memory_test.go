package authz

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// memory is the contracts in a map, with a count of calls and faults on demand. It exists so that
// the domain is tested without a driver; the drivers have their own conformance suite.
type memory struct {
	mu          sync.Mutex
	clients     map[ClientID]Client
	resources   map[ResourceID]Resource
	owners      map[CredentialID]ClientID
	revocations map[token.Subject]Revocation
	revoked     []token.Subject // the change feed of revocations, drained by world.apply
	entries     []audit.Entry
	clock       func() time.Time // when set, every write removes the revocations that may be forgotten
	calls       atomic.Int64
	fault       atomic.Pointer[error]
	hook        atomic.Pointer[func(op string) error] // asked before each operation, and after each commit as "stored"
	panics      string                                // the operation that panics
}

func newMemory() *memory {
	return &memory{
		clients: map[ClientID]Client{}, resources: map[ResourceID]Resource{}, owners: map[CredentialID]ClientID{},
		revocations: map[token.Subject]Revocation{},
	}
}

// onCall makes f decide whether an operation fails: client, version, owner, resource, list, put (of a
// client or a resource), revocations, revoke (the put of a revocation), latest; and stored, when the
// commit happened and only the answer can still be lost. It runs without the lock. Nil ends it.
func (m *memory) onCall(f func(op string) error) {
	if f == nil {
		m.hook.Store(nil)
		return
	}
	m.hook.Store(&f)
}

func (m *memory) ask(op string) error {
	if f := m.hook.Load(); f != nil {
		return (*f)(op)
	}
	return nil
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
	return m.ask(op)
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

func list[K cmp.Ordered, V any](m *memory, from map[K]V, after K, limit int, want func(V) bool) ([]V, error) {
	if err := m.called("list"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []K
	for id, v := range from {
		if id > after && want(v) {
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
	text := strings.ToLower(q.Text)
	return list(m, m.clients, q.After, q.Limit, func(c Client) bool {
		return c.DeletedAt.IsZero() && (strings.Contains(strings.ToLower(string(c.ID)), text) || strings.Contains(strings.ToLower(c.Name), text))
	})
}

func (m *memory) ListResources(_ context.Context, after ResourceID, limit int) ([]Resource, error) {
	return list(m, m.resources, after, limit, func(r Resource) bool { return r.DeletedAt.IsZero() })
}

func (m *memory) Revocations(_ context.Context, subjects []token.Subject) ([]Revocation, error) {
	if err := m.called("revocations"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Revocation
	for _, s := range subjects {
		if r, ok := m.revocations[s]; ok {
			out = append(out, r)
		}
	}
	return out, nil
}

func (m *memory) ListRevocations(_ context.Context, after string, limit int) ([]Revocation, error) {
	m.mu.Lock()
	named := make(map[string]Revocation, len(m.revocations))
	for s, r := range m.revocations {
		named[s.String()] = r
	}
	m.mu.Unlock()
	return list(m, named, after, limit, func(Revocation) bool { return true })
}

func (m *memory) PutClient(_ context.Context, c Client, e audit.Entry, revoked ...Revocation) (Client, error) {
	err := m.commit("put", e, revoked, func() bool {
		if m.clients[c.ID].Version != c.Version {
			return false
		}
		for _, x := range c.Credentials {
			if owner, ok := m.owners[x.ID]; ok && owner != c.ID {
				return false
			}
		}
		return true
	}, func() {
		for _, x := range c.Credentials {
			m.owners[x.ID] = c.ID
		}
		c.Version++
		m.clients[c.ID] = c
	})
	return c, err
}

func (m *memory) PutResource(_ context.Context, r Resource, e audit.Entry, revoked ...Revocation) (Resource, error) {
	err := m.commit("put", e, revoked, func() bool { return m.resources[r.ID].Version == r.Version }, func() {
		r.Version++
		m.resources[r.ID] = r
	})
	return r, err
}

func (m *memory) PutRevocation(_ context.Context, r Revocation, e audit.Entry) (Revocation, error) {
	err := m.commit("revoke", e, []Revocation{r}, func() bool { return true }, func() {})
	r.Version++
	return r, err
}

// commit writes if everything is as it was read, and all or nothing of it.
func (m *memory) commit(op string, e audit.Entry, revoked []Revocation, current func() bool, write func()) error {
	if err := m.called(op); err != nil {
		return err
	}
	if err := m.commitLocked(e, revoked, current, write); err != nil {
		return err
	}
	return m.ask("stored")
}

func (m *memory) commitLocked(e audit.Entry, revoked []Revocation, current func() bool, write func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	if !current() {
		return ErrConflict
	}
	for _, r := range revoked {
		if m.revocations[r.Subject].Version != r.Version {
			return ErrConflict
		}
	}
	write()
	for _, r := range revoked {
		r.Version++
		m.revocations[r.Subject] = r
		m.revoked = append(m.revoked, r.Subject)
	}
	e.ID = strconv.Itoa(len(m.entries) + 1)
	m.entries = append(m.entries, e)
	return nil
}

// forget removes, as a driver may with any write, what need not be kept.
func (m *memory) forget() {
	if m.clock == nil {
		return
	}
	for s, r := range m.revocations {
		if !r.Until.IsZero() && !m.clock().Before(r.Until) {
			delete(m.revocations, s)
			m.revoked = append(m.revoked, s)
		}
	}
}

func (m *memory) Latest(_ context.Context, before string, limit int) ([]audit.Entry, string, error) {
	if err := m.called("latest"); err != nil {
		return nil, "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	end := len(m.entries)
	if before != "" {
		n, err := strconv.Atoi(before)
		if err != nil || n < 1 || n > len(m.entries) {
			return nil, "", ErrCursor
		}
		end = n - 1
	}
	start := max(0, end-limit)
	page := slices.Clone(m.entries[start:end])
	slices.Reverse(page)
	if start == 0 {
		return page, "", nil
	}
	return page, strconv.Itoa(start + 1), nil
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

// public returns the published key of that identifier.
func (k oneKey) public(kid string) (*jose.PublicKey, error) {
	for _, s := range k {
		if s.KeyID() == kid {
			return s.PublicKey(), nil
		}
	}
	return nil, jose.ErrUnknownKey
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
	known    map[jose.Algorithm]time.Time // from when on verifiers know the key of an algorithm; zero: since long ago
	index    *token.Index
	revoker  *Revoker
	server   *Server
	registry *Registry
	applying sync.Mutex
	applied  error // when set, nothing arrives here any more
}

const (
	testIssuer = "https://as.example"
	api        = "https://fulfilment.example"
	otherAPI   = "https://accounts.example"
)

var admin = audit.Origin{Actor: audit.Actor{Kind: audit.ActorUID, ID: "0"}, Reason: "test", RequestID: "r1"}

func newWorld(t testing.TB, edit func(*Config)) *world {
	t.Helper()
	w := &world{memory: newMemory(), clock: newClock(), keys: oneKey{}, known: map[jose.Algorithm]time.Time{}, index: token.NewIndex()}
	w.memory.clock = w.now
	w.index.Replace(nil)
	w.addKey(t, jose.ES256)
	var err error
	w.revoker, err = NewRevoker(RevokerConfig{
		Records: w.memory, Index: w.index, Applied: w.apply, PerClient: DefaultTokenRevocations, Now: w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Issuer: testIssuer, Pepper: [32]byte{1}, Clients: w.memory, Resources: w.memory, Keys: w.keys,
		PublicKey: w.keys.public, Revocations: w.memory, Index: w.index, Revoker: w.revoker,
		ClientCache: 100, StoreOutage: DefaultStoreOutage, ClientRate: 0, Failures: 0, SigningQueue: 10, Now: w.now,
	}
	if edit != nil {
		edit(&cfg)
	}
	if w.server, err = NewServer(cfg); err != nil {
		t.Fatal(err)
	}
	w.registry, err = NewRegistry(RegistryConfig{
		Issuer: testIssuer, Pepper: cfg.Pepper, Clients: w.memory, Resources: w.memory,
		Revocations: w.memory, Log: w.memory, Revoker: w.revoker,
		ClaimNamespaces: []string{"https://partner.example/", "groups"},
		Algorithm:       cfg.Algorithm,
		EnsureKeys:      w.ensureKeys,
		KnowsKey:        w.knowsKey,
		Applied:         w.apply,
		Now:             w.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server.ConfirmedAt(w.now())
	return w
}

func (w *world) ensureKeys(_ context.Context, alg jose.Algorithm, _ audit.Origin) (time.Time, error) {
	return w.known[alg], nil
}

// unknownKey is the one that world.knowsKey does not know: tests make keys up.
const unknownKey = "nope"

// knowsKey fails as the store does: the keys are in it.
func (w *world) knowsKey(kid string) (bool, error) {
	if err := w.called("keys"); err != nil {
		return false, err
	}
	return kid != unknownKey, nil
}

// apply is what the follower of the change feed does: it returns once all that was committed before is
// applied here.
func (w *world) apply(context.Context) error {
	w.applying.Lock()
	defer w.applying.Unlock()
	if w.applied != nil {
		return w.applied
	}
	w.server.AllChanged() // first, as cmd/marque does
	w.mu.Lock()
	for _, s := range w.revoked {
		if r, ok := w.revocations[s]; ok {
			w.index.Set(token.Indexed{Revocation: r.Revocation, Client: string(r.Client)})
		} else {
			w.index.Remove(s)
		}
	}
	w.revoked = nil
	w.mu.Unlock()
	w.server.ConfirmedAt(w.now())
	return nil
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

package authz

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// This is the property test of revocation: random histories of tokens and of whatever withdraws them, on
// a clock that the test moves, compared with a model that keeps every token and marks those that an act
// withdrew, one by one, when it happens. It knows nothing of records, of merging, of how long they are
// kept, or of how tokens are dated: "issued until now" means whatever was issued before this act.

// modelToken is a token as the model knows it.
type modelToken struct {
	claims  token.Claims
	kid     string
	compact string
	dead    bool
	alone   bool // it was withdrawn by itself, which takes one of its client's places
}

// modelSecret is a secret of a client.
type modelSecret struct {
	id       CredentialID
	secret   Secret
	revoked  bool
	withdrew bool // tokens that it obtained were withdrawn
}

// modelClient is a client. There are always a few that are not deleted, and each has a good secret.
type modelClient struct {
	id                ClientID
	secrets           []*modelSecret
	disabled, deleted bool
}

func (c *modelClient) there() bool { return !c.deleted }
func (c *modelClient) on() bool    { return !c.deleted && !c.disabled }
func (c *modelClient) off() bool   { return !c.deleted && c.disabled }

// good returns a secret that was not revoked.
func (c *modelClient) good() *modelSecret {
	return c.secrets[slices.IndexFunc(c.secrets, func(s *modelSecret) bool { return !s.revoked })]
}

// modelKeys are signing keys that can be replaced and revoked.
type modelKeys struct {
	now     *jose.Signer
	all     map[string]*jose.PublicKey
	revoked []string
}

func (k *modelKeys) Signer(jose.Algorithm, time.Time) (*jose.Signer, error) { return k.now, nil }

func (k *modelKeys) public(kid string) (*jose.PublicKey, error) {
	if p, ok := k.all[kid]; ok && !slices.Contains(k.revoked, kid) {
		return p, nil
	}
	return nil, jose.ErrUnknownKey
}

func (k *modelKeys) replace(t testing.TB) {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if k.now, err = jose.NewSigner(key, "", jose.ES256, jose.ES256); err != nil {
		t.Fatal(err)
	}
	k.all[k.now.KeyID()] = k.now.PublicKey()
}

// history is a server beside its model.
type history struct {
	*world
	outer   *testing.T
	most    int
	keys    *modelKeys
	watcher party // the API of whatever there is
	clients []*modelClient
	tokens  []*modelToken
	removed bool      // otherAPI is
	acted   time.Time // when something was withdrawn last
	seen    tally     // of all histories
}

// tally counts what histories were made of: a test of nothing would pass.
type tally map[string]int

// newHistory returns a server that may revoke so many single tokens of a client.
func newHistory(t *testing.T, most int, seen tally) *history {
	h := &history{outer: t, most: most, keys: &modelKeys{all: map[string]*jose.PublicKey{}}, seen: seen}
	h.keys.replace(t)
	h.world = newWorld(t, func(c *Config) { c.Keys, c.PublicKey = h.keys, h.keys.public })
	h.revoker.config.PerClient = most
	for _, id := range []string{api, otherAPI} {
		h.resource(t, ResourceSpec{ID: id, TokenLifetime: time.Hour})
	}
	for range 3 {
		h.newClient()
	}
	c, secret := h.client(t, ClientSpec{ID: "watcher", Serves: []string{api, otherAPI}})
	h.watcher = party{c.ID, secret}
	return h
}

// act notes that something happened that withdraws the tokens that which names.
func (h *history) act(what string, which func(*modelToken) bool) {
	h.seen[what]++
	h.acted = h.now()
	for _, x := range h.tokens {
		if which(x) && !x.dead {
			x.dead = true
			h.seen["withdrawn"]++
		}
	}
}

func (h *history) must(err error) {
	if err != nil {
		h.outer.Helper()
		h.outer.Fatal(err)
	}
}

// judge compares what introspection, the index and the model say of one token.
func (h *history) judge(rt *rapid.T, x *modelToken) {
	h.seen["judged"]++
	now := h.now()
	got, err := h.server.Introspect(context.Background(), IntrospectRequest{Token: x.compact, Client: presented(h.watcher.id, h.watcher.secret)})
	if err != nil {
		rt.Fatal(err)
	}
	if want := !x.dead && now.Before(x.claims.Expiry); got.Active != want {
		rt.Fatalf("at %v introspection says active %t (%s), the model %t, of %+v", now, got.Active, got.Cause, want, x.claims)
	}
	h.compareIndex(rt, x)
}

// compareIndex holds for as long as any verifier may still take the token.
func (h *history) compareIndex(rt *rapid.T, x *modelToken) {
	if !h.now().Before(x.claims.Expiry.Add(token.MaxLeeway)) {
		return
	}
	if r, void := token.Void(&x.claims, x.kid, h.index); void != x.dead {
		rt.Fatalf("at %v the index says void %t (%+v), the model %t, of %+v", h.now(), void, r, x.dead, x.claims)
	}
}

// restart loads the index anew, as a server does that starts.
func (h *history) restart(rt *rapid.T) {
	stored, err := h.ListRevocations(context.Background(), "", 10_000)
	h.must(err)
	all := make([]token.Indexed, len(stored))
	for i, r := range stored {
		all[i] = token.Indexed{Revocation: r.Revocation, Client: string(r.Client)}
	}
	h.index.Replace(all)
	h.server.AllChanged()
	h.seen["restart"]++
}

// check compares what the index says of every token, and what introspection says of some.
func (h *history) check(rt *rapid.T) {
	for _, x := range h.tokens {
		h.compareIndex(rt, x)
	}
	if len(h.tokens) > 0 {
		h.judge(rt, h.tokens[len(h.tokens)-1])
		h.judge(rt, pick(rt, "judged", h.tokens))
	}
}

func TestEVT01_EVT02_EVT03_EVT05_EVT07_EVT09_EVT10_RVK19_RandomHistories(t *testing.T) {
	seen := tally{}
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rapid.SampledFrom([]int{1, 2, 1_000}).Draw(rt, "cap"), seen)
		actions := map[string]func(*rapid.T){"": h.check}
		for name, a := range h.acts() {
			for i := range a.weight {
				actions[name+" "+strconv.Itoa(i)] = a.do
			}
		}
		for range 3 {
			rt.Repeat(actions)
		}
		for _, x := range h.tokens {
			h.judge(rt, x)
		}
	})
	t.Log(seen)
	if testing.Short() {
		return
	}
	for what, least := range floors() {
		if seen[what] < least {
			t.Errorf("%s: %d, want at least %d: the histories hold too little", what, seen[what], least)
		}
	}
}

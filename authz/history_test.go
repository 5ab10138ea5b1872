package authz

import (
	"context"
	"errors"
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
}

// modelSecret is a secret of a client.
type modelSecret struct {
	id       CredentialID
	secret   Secret
	revoked  bool
	withdrew bool // tokens that it obtained were withdrawn
}

// modelClient is a client.
type modelClient struct {
	id                ClientID
	secrets           []*modelSecret
	disabled, deleted bool
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
	seen    tally
}

// tally counts what histories were made of: a test of nothing would pass.
type tally struct{ issued, withdrawn, refused, ahead, judged, collapsed, revived int }

// newHistory returns a server that may revoke so many single tokens of a client.
func newHistory(t *testing.T, most int) *history {
	h := &history{outer: t, most: most, keys: &modelKeys{all: map[string]*jose.PublicKey{}}}
	h.keys.replace(t)
	h.world = newWorld(t, func(c *Config) { c.Keys, c.PublicKey = h.keys, h.keys.public })
	h.revoker.config.PerClient = most
	for _, id := range []string{api, otherAPI} {
		h.resource(t, ResourceSpec{ID: id, TokenLifetime: time.Hour})
	}
	for range 3 {
		h.newClient(nil)
	}
	c, secret := h.client(t, ClientSpec{ID: "watcher", Serves: []string{api, otherAPI}})
	h.watcher = party{c.ID, secret}
	return h
}

// act notes that something happened that withdraws the tokens that which names.
func (h *history) act(which func(*modelToken) bool) {
	h.acted = h.now()
	for _, x := range h.tokens {
		if which(x) && !x.dead {
			x.dead = true
			h.seen.withdrawn++
		}
	}
}

func (h *history) must(err error) {
	if err != nil {
		h.outer.Helper()
		h.outer.Fatal(err)
	}
}

func pick[T any](rt *rapid.T, name string, from []T) T {
	if len(from) == 0 {
		rt.Skip("none")
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(rt, name)]
}

// issue asks for a token in a client's name, and expects one unless the model says that there is none.
func (h *history) issue(rt *rapid.T) {
	c := pick(rt, "client", h.clients)
	s := pick(rt, "secret", c.secrets)
	r := request(c.id, s.secret)
	r.Resources = rapid.SampledFrom([][]string{nil, {api}, {otherAPI}, {api, otherAPI}}).Draw(rt, "resources")
	got, err := h.server.Token(context.Background(), r)
	var refused *Error
	var unavailable *UnavailableError
	switch {
	case c.disabled || c.deleted || s.revoked || h.removed && slices.Contains(r.Resources, otherAPI):
		if !errors.As(err, &refused) {
			rt.Fatalf("issued to %+v with %+v: %v", c, s, err)
		}
		h.seen.refused++
		return
	case errors.As(err, &unavailable) && unavailable.Cause == CauseBornVoid:
		// Only in the moments after something was withdrawn.
		if since := h.now().Sub(h.acted); since > 3*time.Second {
			rt.Fatalf("not issued %v after the last act: %v", since, err)
		}
		h.seen.refused++
		return
	case err != nil:
		rt.Fatal(err)
	}
	v, err := h.server.own.verify(context.Background(), got.AccessToken)
	if err != nil {
		rt.Fatal(err)
	}
	if v.IssuedAt.After(h.now()) {
		h.seen.ahead++
	}
	h.seen.issued++
	x := &modelToken{claims: v.Claims, kid: v.KeyID, compact: got.AccessToken}
	h.tokens = append(h.tokens, x)
	h.judge(rt, x) // born alive, whatever happened before
}

// judge compares what introspection, the index and the model say of one token.
func (h *history) judge(rt *rapid.T, x *modelToken) {
	h.seen.judged++
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

// withdrawOne is RFC 7009, or an administrator with the token, or one with its jti.
func (h *history) withdrawOne(rt *rapid.T) {
	x := pick(rt, "token", h.tokens)
	owner := h.clients[slices.IndexFunc(h.clients, func(c *modelClient) bool { return string(c.id) == x.claims.ClientID })]
	only := func(y *modelToken) bool { return y == x }
	whole := func(y *modelToken) bool { return y.claims.ClientID == x.claims.ClientID }
	expired := !h.now().Before(x.claims.Expiry)
	switch rapid.IntRange(0, 3).Draw(rt, "how") {
	case 0:
		got, err := h.server.Revoke(context.Background(), RevokeRequest{Token: x.compact, Client: presented(owner.id, owner.secrets[0].secret)})
		if owner.disabled || owner.deleted || owner.secrets[0].revoked {
			if e := (*Error)(nil); !errors.As(err, &e) {
				rt.Fatalf("%+v revoked: %v", owner, err)
			}
			return
		}
		h.must(err)
		if got.Changed == (x.dead || expired) {
			rt.Fatalf("changed %t, of %+v", got.Changed, x)
		}
		if got.Collapsed {
			h.collapse(rt, x, whole)
			return
		}
	case 1: // another client's
		for _, c := range h.clients {
			if c == owner || c.disabled || c.deleted || c.secrets[0].revoked {
				continue
			}
			got, err := h.server.Revoke(context.Background(), RevokeRequest{Token: x.compact, Client: presented(c.id, c.secrets[0].secret)})
			if e := (*Error)(nil); (!errors.As(err, &e) || e.Code != InvalidGrant) && (err != nil || got.Changed || !expired && !slices.Contains(h.keys.revoked, x.kid)) {
				rt.Fatalf("%+v, %v", got, err)
			}
		}
		return
	case 2:
		r, err := h.server.RevokeToken(context.Background(), admin, x.compact)
		if errors.Is(err, ErrNotFound) {
			if !expired && !slices.Contains(h.keys.revoked, x.kid) {
				rt.Fatal(err)
			}
			return
		}
		h.must(err)
		if !x.dead && r.Kind != token.RevokedJTI {
			h.collapse(rt, x, whole)
			return
		}
	case 3:
		_, err := h.registry.Revoke(context.Background(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: x.claims.JTI}})
		h.must(err)
		h.act(only)
		return
	}
	if !expired {
		h.act(only)
	}
}

func (h *history) collapse(rt *rapid.T, x *modelToken, whole func(*modelToken) bool) {
	single := 0
	for _, y := range h.tokens {
		if y.claims.ClientID == x.claims.ClientID && y.dead {
			single++
		}
	}
	if single < h.most {
		rt.Fatalf("collapsed after %d", single)
	}
	h.seen.collapsed++
	h.act(whole)
}

// withdrawMany is an operator's "issued until T", or until now.
func (h *history) withdrawMany(rt *rapid.T) {
	var s token.Subject
	var which func(*modelToken) bool
	switch rapid.IntRange(0, 4).Draw(rt, "subject") {
	case 0:
		c := pick(rt, "client", h.clients)
		if c.deleted { // its tokens are dead, and nobody speaks of it any more
			rt.Skip("deleted")
		}
		s, which = clientSubject(c.id), func(x *modelToken) bool { return x.claims.ClientID == string(c.id) }
	case 1:
		c := pick(rt, "client", h.clients)
		one := pick(rt, "secret", c.secrets)
		one.withdrew = true
		s, which = credentialSubject(one.id), func(x *modelToken) bool { return x.claims.CredentialID == string(one.id) }
	case 2:
		id := h.keys.now.KeyID()
		if len(h.tokens) > 0 {
			id = pick(rt, "key of", h.tokens).kid
		}
		s, which = token.Subject{Kind: token.RevokedKey, Value: id}, func(x *modelToken) bool { return x.kid == id }
	case 3:
		s, which = resourceSubject(api), func(x *modelToken) bool { return slices.Contains(x.claims.Audience, api) }
	case 4:
		s, which = token.Subject{Kind: token.RevokedAll}, func(*modelToken) bool { return true }
	}
	spec := RevocationSpec{Subject: s}
	switch now := h.now(); rapid.IntRange(0, 3).Draw(rt, "T") {
	case 1: // the very second of a token
		spec.Before = pick(rt, "token", h.tokens).claims.IssuedAt
	case 2:
		spec.Before = now.Add(-time.Duration(rapid.Int64Range(0, int64(65*time.Minute)).Draw(rt, "ago")))
	case 3:
		spec.Before = now
	}
	if _, err := h.registry.Revoke(context.Background(), admin, spec); err != nil {
		invalid := (*InvalidError)(nil)
		if !errors.As(err, &invalid) || !spec.Before.After(h.now()) && h.now().Sub(spec.Before) < token.RevocationKept {
			h.must(err)
		}
		return
	}
	until := spec.Before.Truncate(time.Second)
	h.act(func(x *modelToken) bool { return which(x) && (spec.Before.IsZero() || !x.claims.IssuedAt.After(until)) })
}

// newClient registers one more partner.
func (h *history) newClient(rt *rapid.T) {
	if rt != nil && len(h.clients) > 2 && !slices.ContainsFunc(h.clients[len(h.clients)-3:], func(c *modelClient) bool { return c.deleted }) {
		rt.Skip("enough")
	}
	spec := ClientSpec{ID: "c" + strconv.Itoa(len(h.clients)), Resources: []string{api, otherAPI}, DefaultResource: api}
	if h.removed {
		spec.Resources = spec.Resources[:1]
	}
	c, secret := h.client(h.outer, spec)
	h.clients = append(h.clients, &modelClient{id: c.ID, secrets: []*modelSecret{{id: c.Credentials[0].ID, secret: secret}}})
}

func (h *history) switchClient(rt *rapid.T) {
	c := pick(rt, "client", h.clients)
	if c.deleted || !c.disabled && rapid.Bool().Draw(rt, "let it be") {
		rt.Skip("deleted")
	}
	c.disabled = !c.disabled
	_, err := h.registry.SetClientDisabled(context.Background(), admin, c.id, c.disabled)
	h.must(err)
	if c.disabled {
		h.act(func(x *modelToken) bool { return x.claims.ClientID == string(c.id) })
		return
	}
	h.acted = h.now() // enabling withdraws nothing that is not dead, and revives nothing
	h.seen.revived++
}

func (h *history) deleteClient(rt *rapid.T) {
	i := rapid.IntRange(0, len(h.clients)-1).Draw(rt, "client")
	c := h.clients[i]
	if rapid.IntRange(0, 3).Draw(rt, "really") != 0 {
		rt.Skip("rarely")
	}
	h.must(h.registry.DeleteClient(context.Background(), admin, c.id, Match{Any: true}))
	c.deleted = true
	h.act(func(x *modelToken) bool { return x.claims.ClientID == string(c.id) })
}

func (h *history) secret(rt *rapid.T) {
	c := pick(rt, "client", h.clients)
	if c.deleted {
		rt.Skip("deleted")
	}
	made, secret, _, err := h.registry.AddSecret(context.Background(), admin, c.id, SecretSpec{})
	if errors.Is(err, ErrTooManySecrets) {
		return
	}
	h.must(err)
	c.secrets = append(c.secrets, &modelSecret{id: made.ID, secret: secret})
}

func (h *history) revokeSecret(rt *rapid.T) {
	c := pick(rt, "client", h.clients)
	s := pick(rt, "secret", c.secrets)
	if c.deleted || s.revoked {
		rt.Skip("gone")
	}
	why := SecretRevocation{Compromised: rapid.Bool().Draw(rt, "compromised")}
	// A revocation of the same credential before would be widened to one stretch of time.
	if why.Compromised && !s.withdrew && rapid.Bool().Draw(rt, "since") {
		why.Since = h.now().Add(-time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "ago")))
		if len(h.tokens) > 0 && rapid.Bool().Draw(rt, "the very second") {
			why.Since = pick(rt, "token", h.tokens).claims.IssuedAt
		}
	}
	_, err := h.registry.RevokeSecret(context.Background(), admin, c.id, s.id, why)
	if e := (*InvalidError)(nil); errors.As(err, &e) && why.Since.After(h.now()) { // of a token that is dated ahead
		return
	}
	h.must(err)
	s.revoked = true
	if !why.Compromised {
		return
	}
	s.withdrew = true
	since := why.Since.Truncate(time.Second)
	h.act(func(x *modelToken) bool {
		return x.claims.CredentialID == string(s.id) && !x.claims.IssuedAt.Before(since)
	})
}

func (h *history) revokeKey(rt *rapid.T) {
	if rapid.IntRange(0, 2).Draw(rt, "really") != 0 {
		rt.Skip("rarely")
	}
	id := h.keys.now.KeyID()
	h.keys.revoked = append(h.keys.revoked, id)
	h.index.SetKeys(h.keys.revoked)
	h.keys.replace(h.outer)
	h.act(func(x *modelToken) bool { return x.kid == id })
}

// resources removes otherAPI, or brings it back.
func (h *history) resources(*rapid.T) {
	keep := []string{api}
	if h.removed {
		_, _, err := h.registry.CreateResource(context.Background(), admin, ResourceSpec{ID: otherAPI, TokenLifetime: time.Hour})
		h.must(err)
		keep = append(keep, otherAPI)
	}
	for _, c := range h.clients {
		if !c.deleted {
			_, err := h.registry.UpdateClient(context.Background(), admin, c.id, Match{Any: true}, ClientSpec{Name: "Acme", Resources: keep, DefaultResource: api}, false)
			h.must(err)
		}
	}
	_, err := h.registry.UpdateClient(context.Background(), admin, h.watcher.id, Match{Any: true}, ClientSpec{Name: "Watcher", Serves: keep}, false)
	h.must(err)
	if h.removed = !h.removed; h.removed {
		h.must(h.registry.DeleteResource(context.Background(), admin, otherAPI, Match{Any: true}))
		h.act(func(x *modelToken) bool { return slices.Contains(x.claims.Audience, otherAPI) })
		return
	}
	h.acted = h.now()
}

// wait moves the clock, and forgets what may be forgotten as a running server does.
func (h *history) wait(rt *rapid.T) {
	h.advance(rapid.SampledFrom([]time.Duration{
		1, time.Millisecond, 300 * time.Millisecond, time.Second, 1700 * time.Millisecond, 3 * time.Second, time.Minute, 11 * time.Minute, 35 * time.Minute,
	}).Draw(rt, "for"))
	if rapid.Bool().Draw(rt, "to a whole second") {
		h.advance(time.Second - time.Duration(h.now().Nanosecond()))
	}
	h.server.ConfirmedAt(h.now())
	if rapid.Bool().Draw(rt, "sweep") {
		h.index.Sweep(h.now())
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
	var all tally
	steps := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rapid.SampledFrom([]int{1, 2, 1_000}).Draw(rt, "cap"))
		step := func(f func(*rapid.T)) func(*rapid.T) {
			return func(rt *rapid.T) { steps++; f(rt) }
		}
		actions := map[string]func(*rapid.T){
			"":         h.check,
			"issue":    step(h.issue),
			"issue 2":  step(h.issue),
			"issue 3":  step(h.issue),
			"issue 4":  step(h.issue),
			"one 3":    step(h.withdrawOne),
			"one":      step(h.withdrawOne),
			"one 2":    step(h.withdrawOne),
			"many":     step(h.withdrawMany),
			"switch":   step(h.switchClient),
			"switch 2": step(h.switchClient),
			"delete":   step(h.deleteClient),
			"secret":   step(h.secret),
			"revoke":   step(h.revokeSecret),
			"key":      step(h.revokeKey),
			"resource": step(h.resources),
			"wait":     step(h.wait),
			"wait 2":   step(h.wait),
			"restart":  step(h.restart),
			"client":   step(h.newClient),
		}
		for range 3 {
			rt.Repeat(actions)
		}
		for _, x := range h.tokens {
			h.judge(rt, x)
		}
		all = all.plus(h.seen)
	})
	t.Logf("%d steps: %+v", steps, all)
	if !testing.Short() && (all.issued < 500 || all.withdrawn < 100 || all.refused < 50 || all.ahead < 20 || all.collapsed == 0 || all.revived < 20) {
		t.Errorf("%+v: the histories hold too little", all)
	}
}

func (a tally) plus(b tally) tally {
	return tally{
		a.issued + b.issued, a.withdrawn + b.withdrawn, a.refused + b.refused, a.ahead + b.ahead, a.judged + b.judged,
		a.collapsed + b.collapsed, a.revived + b.revived,
	}
}

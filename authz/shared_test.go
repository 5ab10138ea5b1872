package authz

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// These tests are of several servers on one store, each with a clock of its own, which learn of each
// other's changes when the test says so.

// node is one of them. Its own clock is that of its world.
type node struct {
	*world
	common *clock // the store's
	cut    error  // when set, it does not hear of changes
}

// learning is how long a change may take to reach the other servers.
const learning = time.Second

// Now implements SharedClock, without any uncertainty.
func (n *node) Now() time.Time { return n.common.now() }

// Off implements SharedClock.
func (n *node) Off() (time.Duration, bool) {
	ahead := n.now().Sub(n.common.now())
	return ahead, ahead.Abs() > MaxSkew
}

// hear applies everything that was committed.
func (n *node) hear(ctx context.Context) error {
	if n.cut != nil {
		return n.cut
	}
	n.server.AllChanged()
	stored, err := n.ListRevocations(ctx, "", 10_000)
	if err != nil {
		return err
	}
	for _, r := range stored {
		n.index.Set(token.Indexed{Revocation: r.Revocation, Client: string(r.Client)})
	}
	n.server.ConfirmedAt(n.common.now())
	return nil
}

// cluster is servers on one store, with a partner and the API that it calls.
type cluster struct {
	t      *testing.T
	common *clock
	nodes  []*node

	partner, rival, first party
}

// newCluster returns servers whose clocks are ahead by so much. The store's clock stands at d after the
// start of a second.
func newCluster(t *testing.T, d time.Duration, ahead ...time.Duration) *cluster {
	t.Helper()
	c := &cluster{t: t, common: newClock()}
	c.common.advance(time.Second - time.Duration(c.common.now().Nanosecond()) + d)
	records, keys := newMemory(), oneKey{}
	records.clock = c.common.now
	for _, a := range ahead {
		c.nodes = append(c.nodes, newNode(t, c.common, records, keys, a))
	}
	n := c.nodes[0]
	n.addKey(t, jose.ES256)
	n.resource(t, ResourceSpec{ID: api, Scopes: []string{"orders:read orders:write"}})
	add := func(spec ClientSpec) party {
		c, secret := n.client(t, spec)
		return party{c.ID, secret}
	}
	c.partner = add(ClientSpec{ID: "acme", Admin: true, Scopes: []string{"orders:read orders:write"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api}})
	c.rival = add(ClientSpec{ID: "rival", Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api}})
	c.first = add(ClientSpec{ID: "fulfilment", Serves: []string{api}})
	c.hear()
	return c
}

func newNode(t *testing.T, common *clock, records *memory, keys oneKey, ahead time.Duration) *node {
	t.Helper()
	own := &clock{}
	own.nanos.Store(common.now().Add(ahead).UnixNano())
	n := &node{common: common, world: &world{memory: records, clock: own, keys: keys, index: token.NewIndex()}}
	n.index.Replace(nil)
	var err error
	n.revoker, err = NewRevoker(RevokerConfig{
		Records: records, Index: n.index, Applied: n.hear, PerClient: DefaultTokenRevocations, Now: n.Now, Skew: MaxSkew + learning,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.server, err = NewServer(Config{
		Issuer: testIssuer, Pepper: [32]byte{1}, Clients: records, Resources: records, Keys: keys,
		PublicKey: keys.public, Revocations: records, Index: n.index, Revoker: n.revoker,
		ClientCache: 100, StoreOutage: DefaultStoreOutage, SigningQueue: 10, Now: n.now, Clock: n,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.registry, err = NewRegistry(RegistryConfig{
		Issuer: testIssuer, Pepper: [32]byte{1}, Clients: records, Resources: records,
		Revocations: records, Log: records, Revoker: n.revoker,
		EnsureKeys: func(context.Context, jose.Algorithm, audit.Origin) (time.Time, error) { return time.Time{}, nil },
		KnowsKey:   n.knowsKey, Applied: n.hear, Now: n.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// advance lets time pass for everybody.
func (c *cluster) advance(d time.Duration) {
	c.common.advance(d)
	for _, n := range c.nodes {
		n.advance(d)
	}
}

// hear lets every server hear of everything.
func (c *cluster) hear() {
	c.t.Helper()
	for _, n := range c.nodes {
		if err := n.hear(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
}

// try asks a server for a token of the partner.
func (n *node) try(p party, scope string) (Issued, error) {
	r := request(p.id, p.secret)
	r.Scope = scope
	return n.server.Token(context.Background(), r)
}

func iat(t *testing.T, compact string) time.Time {
	t.Helper()
	return time.Unix(int64(claims(t, compact)["iat"].(float64)), 0)
}

// clusterActs withdraw what the partner has been issued until they are acknowledged, each as one of the
// servers is asked to.
var clusterActs = map[string]func(c *cluster, n *node) error{
	"client": func(_ *cluster, n *node) error {
		_, err := n.registry.Revoke(context.Background(), admin, RevocationSpec{Subject: clientSubject("acme")})
		return err
	},
	"all": func(_ *cluster, n *node) error {
		_, err := n.registry.Revoke(context.Background(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}})
		return err
	},
	"resource": func(_ *cluster, n *node) error {
		_, err := n.registry.Revoke(context.Background(), admin, RevocationSpec{Subject: resourceSubject(api)})
		return err
	},
	"update": func(_ *cluster, n *node) error {
		_, err := n.registry.UpdateClient(context.Background(), admin, "acme", anyVersion, ClientSpec{
			Name: "Acme", Admin: true, Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api},
		}, true)
		return err
	},
	"resource update": func(_ *cluster, n *node) error {
		_, err := n.registry.UpdateResource(context.Background(), admin, api, anyVersion, ResourceSpec{Scopes: []string{"orders:read"}}, true)
		return err
	},
	"enable": func(c *cluster, n *node) error {
		if _, err := n.registry.SetClientDisabled(context.Background(), admin, "acme", true); err != nil {
			return err
		}
		// Until the others have heard of it they issue.
		c.advance(learning)
		for _, other := range c.nodes {
			_, _ = other.try(c.partner, "orders:read")
		}
		c.hear()
		_, err := n.registry.SetClientDisabled(context.Background(), admin, "acme", false)
		return err
	},
}

// skews are clocks that may issue, at their limits too.
var skews = []time.Duration{-MaxSkew, -time.Second - 1, 0, 300 * time.Millisecond, MaxSkew}

// EVT-06, EVT-09, EVT-10, RVK-12: what any server has issued until it has heard of a change is void on all
// of them, as far as the change withdraws it, wherever in a second that was and whatever the clocks show.
func TestEVT06_EVT09_EVT10_RVK12_WhatAnotherServerIssuesUntilItHears(t *testing.T) {
	for name, act := range clusterActs {
		t.Run(name, func(t *testing.T) {
			for _, offset := range offsets {
				for _, ahead := range skews {
					for _, behind := range []time.Duration{-MaxSkew, 0, MaxSkew} {
						c := newCluster(t, offset, behind, ahead)
						one, other := c.nodes[0], c.nodes[1]
						old := []string{one.issue(t, c.partner, "orders:read").AccessToken, other.issue(t, c.partner, "orders:read").AccessToken}
						good := other.issue(t, c.rival, "orders:read").AccessToken
						if err := act(c, one); err != nil {
							t.Fatal(err)
						}
						withdrawsAll := name == "all" || name == "resource" || name == "resource update"
						for _, later := range []time.Duration{0, learning - 1} {
							c.advance(later)
							if got, err := other.try(c.partner, "orders:read"); err == nil && name != "enable" {
								old = append(old, got.AccessToken)
							}
						}
						c.hear()
						for _, n := range c.nodes {
							for _, compact := range old {
								n.wantInactive(t, c.partner, compact, CauseTokenRevoked)
							}
							if !withdrawsAll {
								n.wantActive(t, c.rival, good)
							}
						}
						// And everybody has new ones, once that time has come.
						for _, n := range c.nodes {
							got, err := n.try(c.partner, "orders:read")
							if u := (*UnavailableError)(nil); errors.As(err, &u) {
								c.advance(u.RetryAfter)
								got, err = n.try(c.partner, "orders:read")
							}
							if err != nil {
								t.Fatalf("%v ahead: %v", ahead, err)
							}
							for _, n := range c.nodes {
								n.wantActive(t, c.partner, got.AccessToken)
							}
						}
						if t.Failed() {
							t.Fatalf("offset %v, clocks ahead by %v and %v", offset, behind, ahead)
						}
					}
				}
			}
		})
	}
}

// A token is not dated so far ahead that a revocation which another server makes right after it would not
// cover it.
func TestEVT09_RVK12_NoTokenIsDatedBeyondWhatOthersWithdraw(t *testing.T) {
	for _, offset := range offsets {
		for _, ahead := range skews {
			c := newCluster(t, offset, 0, ahead)
			one, other := c.nodes[0], c.nodes[1]
			withdraw := func(s token.Subject) {
				t.Helper()
				mustDo(t)(one.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: s}))
			}
			withdraw(clientSubject("acme"))
			c.hear()
			issued := 0
			for range 250 {
				if got, err := other.try(c.partner, ""); err == nil {
					issued++
					if most := c.common.now().Add(MaxSkew); iat(t, got.AccessToken).After(most) {
						t.Errorf("ahead %v: dated %v after the store's now", ahead, iat(t, got.AccessToken).Sub(c.common.now()))
					}
					withdraw(token.Subject{Kind: token.RevokedAll})
					one.wantInactive(t, c.partner, got.AccessToken, CauseTokenRevoked)
					if t.Failed() {
						t.Fatalf("offset %v, ahead %v", offset, ahead)
					}
				}
				c.advance(100 * time.Millisecond)
			}
			if issued == 0 {
				t.Errorf("ahead %v: nothing was issued: nothing is tested", ahead)
			}
		}
	}
}

// Whoever is told to come back is told when: until then it is no use, and then it is.
func TestEVT09_RetryAfterIsTheTimeThatRemains(t *testing.T) {
	for _, offset := range offsets {
		for _, ahead := range skews {
			c := newCluster(t, offset, ahead)
			n := c.nodes[0]
			mustDo(t)(n.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: clientSubject("acme")}))
			c.advance(1700 * time.Millisecond)
			mustDo(t)(n.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}}))
			_, err := n.try(c.partner, "")
			wantUnavailable(t, err, CauseBornVoid)
			var u *UnavailableError
			if !errors.As(err, &u) {
				t.Fatal(err)
			}
			if u.RetryAfter < 2*time.Second || u.RetryAfter > 14*time.Second {
				t.Errorf("ahead %v: come back in %v", ahead, u.RetryAfter)
			}
			c.advance(u.RetryAfter - time.Millisecond)
			_, err = n.try(c.partner, "")
			wantUnavailable(t, err, CauseBornVoid)
			c.advance(time.Millisecond)
			got := n.issue(t, c.partner, "")
			n.wantActive(t, c.partner, got.AccessToken)
		}
	}
	// What has no end cannot tell.
	c := newCluster(t, 0, 0)
	n := c.nodes[0]
	n.index.Set(token.Indexed{Revocation: openEnded(clientSubject("acme"))})
	_, err := n.try(c.partner, "")
	if u := (*UnavailableError)(nil); !errors.As(err, &u) || u.Cause != CauseBornVoid || u.RetryAfter != retryAfter {
		t.Errorf("%v", err)
	}
}

// A change that takes its time to be stored withdraws once more what the others have dated meanwhile. One
// that does not is one act.
func TestEVT06_AChangeThatWasSlowToStore(t *testing.T) {
	for _, name := range []string{"update", "resource update"} {
		act := clusterActs[name]
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 0, 0, MaxSkew)
			one, other := c.nodes[0], c.nodes[1]
			other.issue(t, c.partner, "orders:write") // its records are held
			before := len(one.entries)
			one.once("put", func() { c.advance(storing / 2) })
			if err := act(c, one); err != nil {
				t.Fatal(err)
			}
			if n := len(one.entries) - before; n != 1 {
				t.Errorf("%d entries of a quick change", n)
			}
		})
		t.Run(name+" slow", func(t *testing.T) {
			c := newCluster(t, 0, 0, MaxSkew)
			one, other := c.nodes[0], c.nodes[1]
			other.issue(t, c.partner, "orders:write")
			one.once("put", func() { c.advance(3 * time.Second) })
			if err := act(c, one); err != nil {
				t.Fatal(err)
			}
			c.advance(learning - storing)
			late, err := other.try(c.partner, "orders:write")
			if err != nil {
				t.Fatal(err)
			}
			c.hear()
			one.wantInactive(t, c.partner, late.AccessToken, CauseTokenRevoked)
			if e := one.entries[len(one.entries)-1]; e.Action != actionRevoke || e.Origin != admin {
				t.Errorf("%+v", e)
			}
		})
		t.Run(name+" slow, and then the store fails", func(t *testing.T) {
			c := newCluster(t, 0, 0, MaxSkew)
			one, other := c.nodes[0], c.nodes[1]
			other.issue(t, c.partner, "orders:write")
			one.onCall(func(op string) error {
				switch op {
				case "put":
					c.advance(3 * time.Second)
				case "revoke":
					return errDown
				}
				return nil
			})
			if err := act(c, one); !errors.Is(err, errDown) {
				t.Fatalf("acknowledged: %v", err)
			}
			one.onCall(nil)
			c.advance(learning - storing)
			late, err := other.try(c.partner, "orders:write")
			if err != nil {
				t.Fatal(err)
			}
			if err := act(c, one); err != nil { // the caller repeats it
				t.Fatal(err)
			}
			c.hear()
			one.wantInactive(t, c.partner, late.AccessToken, CauseTokenRevoked)
		})
	}
}

// EVT-03: a secret is compromised since T, and a server whose clock is behind has dated tokens before T that
// were obtained after it.
func TestEVT03_SinceTCoversAClockThatIsBehind(t *testing.T) {
	c := newCluster(t, 300*time.Millisecond, 0, -MaxSkew)
	one, other := c.nodes[0], c.nodes[1]
	before := one.issue(t, c.partner, "").AccessToken
	c.advance(2*MaxSkew + time.Second)
	suspected := c.common.now()
	c.advance(time.Millisecond)
	stolen := other.issue(t, c.partner, "").AccessToken
	if !iat(t, stolen).Before(suspected) {
		t.Fatal("nothing is tested")
	}
	id := one.clients["acme"].Credentials[0].ID
	mustDo(t)(one.registry.RevokeSecret(t.Context(), admin, "acme", id, SecretRevocation{Compromised: true, Since: suspected}))
	one.wantInactive(t, c.first, stolen, CauseTokenRevoked)
	one.wantActive(t, c.first, before)
}

// ROT-09: a server whose clock is off issues nothing and judges nothing by it, whoever asks. An administrator
// can go on, by the store's clock. It recovers by itself.
func TestROT09_AClockThatIsOff(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, MaxSkew + 1, -MaxSkew - 1, -time.Hour} {
		c := newCluster(t, 0, 0, 0)
		well, n := c.nodes[0], c.nodes[1]
		compact, foreign := well.issue(t, c.partner, "orders:read").AccessToken, well.issue(t, c.rival, "").AccessToken
		boss := well.issue(t, c.partner, ScopeAdmin).AccessToken
		n.issue(t, c.partner, "")
		n.advance(ahead)

		wrong := party{"acme", newSecret("cccccccccccccccc")}
		for name, err := range map[string]error{
			"token":                failure(n.try(c.partner, "")),
			"token, a wrong one":   failure(n.try(wrong, "")),
			"introspection":        failure(n.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Client: presented(c.partner.id, c.partner.secret)})),
			"introspection, admin": failure(n.server.Introspect(t.Context(), IntrospectRequest{Token: compact, Bearer: boss})),
			"revocation":           failure(n.server.Revoke(t.Context(), RevokeRequest{Token: compact, Client: presented(c.partner.id, c.partner.secret)})),
		} {
			wantUnavailable(t, err, CauseClockSkew)
			if t.Failed() {
				t.Fatalf("%s, %v ahead", name, ahead)
			}
		}
		well.wantActive(t, c.partner, compact)

		// Who may manage, what expires, and until when something is void, are judged by the store's clock.
		if _, err := n.server.Admin(t.Context(), boss); err != nil {
			t.Errorf("%v ahead: an administrator: %v", ahead, err)
		}
		if _, err := n.server.RevokeToken(t.Context(), admin, foreign); err != nil {
			t.Errorf("%v ahead: a token: %v", ahead, err)
		}
		well.wantInactive(t, c.rival, foreign, CauseTokenRevoked)
		if err := clusterActs["client"](c, n); err != nil {
			t.Errorf("%v ahead: %v", ahead, err)
		}
		r := n.revocations[clientSubject("acme")]
		if least := c.common.now().Add(MaxSkew + learning); r.Before.Before(least) || r.Before.After(least.Add(time.Second)) || !r.CreatedAt.Equal(c.common.now().Truncate(time.Second)) {
			t.Errorf("%v ahead: before %v, created %v, at %v", ahead, r.Before, r.CreatedAt, c.common.now())
		}

		n.advance(-ahead)
		c.advance(10 * time.Second)
		c.hear()
		n.issue(t, c.partner, "")
	}
}

// ROT-09, RVK-19: a token that has expired by the store's clock may be good, while that may be the wrong one: who
// revokes it is not told that there is none.
func TestROT09_RVK19_ATokenThatHasExpiredByAClockThatMayBeWrong(t *testing.T) {
	c := newCluster(t, 0, 0)
	n := c.nodes[0]
	compact := n.issue(t, c.partner, "").AccessToken
	c.common.advance(3 * time.Hour)
	_, err := n.server.RevokeToken(t.Context(), admin, compact)
	wantUnavailable(t, err, CauseClockSkew)
	n.advance(3 * time.Hour)
	if _, err := n.server.RevokeToken(t.Context(), admin, compact); !errors.Is(err, ErrNotFound) {
		t.Errorf("it has expired by both: %v", err)
	}
}

// How long ago the store was heard of is told by the clock by which it was.
func TestROT09_AnOutageIsAsLongByEveryClock(t *testing.T) {
	c := newCluster(t, 0, MaxSkew)
	n := c.nodes[0]
	n.issue(t, c.partner, "")
	n.fail(errDown)
	c.advance(DefaultStoreOutage)
	n.issue(t, c.partner, "")
	c.advance(1)
	_, err := n.try(c.partner, "")
	wantUnavailable(t, err, CauseStoreUnavailable)
}

func failure[T any](_ T, err error) error { return err }

// A clock that jumps while a request is on its way dates nothing either.
func TestROT09_AClockThatJumpsMeanwhile(t *testing.T) {
	c := newCluster(t, 0, 0)
	n := c.nodes[0]
	n.server.AllChanged()
	n.once("resource", func() { n.advance(time.Minute) })
	_, err := n.try(c.partner, "")
	wantUnavailable(t, err, CauseClockSkew)
	if u := (*UnavailableError)(nil); errors.As(err, &u) && u.Client != "acme" {
		t.Errorf("of client %q", u.Client)
	}
}

// What was withdrawn before a start is no reason to withdraw for longer after it: the others' dates are
// covered as it is.
func TestEVT09_AStartOnASharedStoreTakesNoDates(t *testing.T) {
	c := newCluster(t, 300*time.Millisecond, 0)
	n := c.nodes[0]
	mustDo(t)(n.registry.Revoke(t.Context(), admin, RevocationSpec{Subject: clientSubject("acme")}))
	want, err := n.revoker.now()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range n.revocations {
		n.revoker.Restored(r.Revocation)
	}
	if got, err := n.revoker.now(); err != nil || !got.Equal(want) {
		t.Errorf("now is %v, want %v, %v", got, want, err)
	}
}

func TestNewRevoker_Skew(t *testing.T) {
	c := newCluster(t, 0, 0)
	for skew, ok := range map[time.Duration]bool{-1: false, 0: true, MaxSkew: true, 66 * time.Second: true, token.MaxLeeway: false} {
		config := c.nodes[0].revoker.config
		config.Skew = skew
		if _, err := NewRevoker(config); (err == nil) != ok {
			t.Errorf("%v: %v", skew, err)
		}
	}
}

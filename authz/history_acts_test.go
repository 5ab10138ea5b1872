package authz

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/token"
)

// weighted is an act, and how often it is drawn beside the others.
type weighted struct {
	weight int
	do     func(*rapid.T)
}

// acts are what may happen. None gives up because nothing fits: it makes what it needs.
func (h *history) acts() map[string]weighted {
	return map[string]weighted{
		"ask":           {9, h.issueAny},
		"burst":         {2, h.burst},
		"one":           {6, h.withdrawAny},
		"many":          {3, h.withdrawMany},
		"disable":       {2, h.disable},
		"enable":        {3, h.enable},
		"delete":        {1, h.deleteClient},
		"new secret":    {1, h.addSecret},
		"revoke secret": {3, h.revokeSecret},
		"revoke key":    {1, h.revokeKey},
		"resource":      {2, h.resources},
		"wait":          {6, h.wait},
		"restart":       {1, h.restart},
	}
}

// floors are what all histories together must hold at least: about a fifth of the least of 30 runs, so
// that no run falls below by chance.
func floors() tally {
	return tally{
		"issued": 500, "refused": 400, "dated ahead": 140, "born void": 10, "judged": 4_000, "withdrawn": 450,
		"burst": 60, "collapsed": 40, "by its client": 60, "by an administrator": 60, "by another client": 60, "by jti": 30,
		"by all": 10, "by client": 10, "by credential": 10, "by kid": 10, "by resource": 10,
		"disable": 100, "enable": 80, "delete": 30, "secret": 80, "secret replaced": 30, "secret compromised": 15,
		"secret compromised since T": 10, "key": 20, "resource removed": 15, "resource back": 10, "restart": 20, "sweep": 80,
	}
}

// pick draws one of those that fit. There must be one.
func pick[T any](rt *rapid.T, name string, from []T, fits ...func(T) bool) T {
	for _, fit := range fits {
		from = slices.DeleteFunc(slices.Clone(from), func(x T) bool { return !fit(x) })
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(rt, name)]
}

// some returns a token, which it asks for if there is none.
func (h *history) some(rt *rapid.T, name string) *modelToken {
	if len(h.tokens) == 0 {
		h.obtain(rt, h.usable(rt))
	}
	return pick(rt, name, h.tokens)
}

// usable returns a client that may have tokens; perhaps a new one.
func (h *history) usable(rt *rapid.T) *modelClient {
	if !slices.ContainsFunc(h.clients, (*modelClient).on) {
		return h.newClient()
	}
	return pick(rt, "usable client", h.clients, (*modelClient).on)
}

func (h *history) owner(x *modelToken) *modelClient {
	return h.clients[slices.IndexFunc(h.clients, func(c *modelClient) bool { return string(c.id) == x.claims.ClientID })]
}

// issue asks for a token in a client's name, and expects one unless the model says that there is none.
func (h *history) issueAny(rt *rapid.T) {
	c := pick(rt, "client", h.clients)
	s := pick(rt, "secret", c.secrets)
	h.issue(rt, c, s, rapid.SampledFrom([][]string{nil, {api}, {otherAPI}, {api, otherAPI}}).Draw(rt, "resources"))
}

// obtain asks for a token that there must be, at the latest in a moment.
func (h *history) obtain(rt *rapid.T, c *modelClient) *modelToken {
	x := h.issue(rt, c, c.good(), nil)
	if x == nil {
		h.pass(4 * time.Second)
		x = h.issue(rt, c, c.good(), nil)
	}
	return x
}

func (h *history) issue(rt *rapid.T, c *modelClient, s *modelSecret, resources []string) *modelToken {
	r := request(c.id, s.secret)
	r.Resources = resources
	got, err := h.server.Token(context.Background(), r)
	var refused *Error
	var unavailable *UnavailableError
	switch {
	case c.disabled || c.deleted || s.revoked || h.removed && slices.Contains(resources, otherAPI):
		if !errors.As(err, &refused) {
			rt.Fatalf("issued to %+v with %+v: %v", c, s, err)
		}
		h.seen["refused"]++
		return nil
	case errors.As(err, &unavailable) && unavailable.Cause == CauseBornVoid:
		// Only in the moments after something was withdrawn.
		if since := h.now().Sub(h.acted); since > 3*time.Second {
			rt.Fatalf("not issued %v after the last act: %v", since, err)
		}
		h.seen["born void"]++
		return nil
	case err != nil:
		rt.Fatal(err)
	}
	v, err := h.server.own.verify(context.Background(), got.AccessToken)
	if err != nil {
		rt.Fatal(err)
	}
	if v.IssuedAt.After(h.now()) {
		h.seen["dated ahead"]++
	}
	h.seen["issued"]++
	x := &modelToken{claims: v.Claims, kid: v.KeyID, compact: got.AccessToken}
	h.tokens = append(h.tokens, x)
	h.judge(rt, x) // born alive, whatever happened before
	return x
}

// withdrawAny withdraws one token in one of the ways in which that is asked for.
func (h *history) withdrawAny(rt *rapid.T) {
	x := h.some(rt, "token")
	rapid.SampledFrom([]func(*rapid.T, *modelToken){h.byItsClient, h.byAnother, h.byAnAdministrator, h.byJTI}).Draw(rt, "how")(rt, x)
}

// burst withdraws several tokens of one client, one by one: more than it may where the cap is small.
func (h *history) burst(rt *rapid.T) {
	h.seen["burst"]++
	c := h.usable(rt)
	tokens := make([]*modelToken, 1+min(h.most, 3))
	for i := range tokens {
		tokens[i] = h.obtain(rt, c)
	}
	for _, x := range tokens {
		rapid.SampledFrom([]func(*rapid.T, *modelToken){h.byItsClient, h.byAnAdministrator}).Draw(rt, "by")(rt, x)
	}
}

// byItsClient is RFC 7009.
func (h *history) byItsClient(rt *rapid.T, x *modelToken) {
	c := h.owner(x)
	got, err := h.server.Revoke(context.Background(), RevokeRequest{Token: x.compact, Client: presented(c.id, c.good().secret)})
	if !c.on() {
		if e := (*Error)(nil); !errors.As(err, &e) {
			rt.Fatalf("%+v revoked: %v", c, err)
		}
		return
	}
	h.must(err)
	if got.Changed == (x.dead || h.expired(x)) {
		rt.Fatalf("changed %t, of %+v", got.Changed, x)
	}
	if got.Changed {
		h.withdrawn(rt, x, "by its client", got.Collapsed)
	}
}

// byAnother is RFC 7009 by all to whom the token was not issued.
func (h *history) byAnother(rt *rapid.T, x *modelToken) {
	for _, c := range h.clients {
		if c == h.owner(x) || !c.on() {
			continue
		}
		h.seen["by another client"]++
		got, err := h.server.Revoke(context.Background(), RevokeRequest{Token: x.compact, Client: presented(c.id, c.good().secret)})
		if e := (*Error)(nil); (!errors.As(err, &e) || e.Code != InvalidGrant) && (err != nil || got.Changed || !h.unknown(x)) {
			rt.Fatalf("%+v, %v", got, err)
		}
	}
}

func (h *history) byAnAdministrator(rt *rapid.T, x *modelToken) {
	r, err := h.server.RevokeToken(context.Background(), admin, x.compact)
	if errors.Is(err, ErrNotFound) {
		if !h.unknown(x) {
			rt.Fatal(err)
		}
		return
	}
	h.must(err)
	if !x.dead {
		h.withdrawn(rt, x, "by an administrator", r.Kind != token.RevokedJTI)
	}
}

// byJTI is an operator who has the token's identifier alone: whose it is is not known, nor when it expires.
func (h *history) byJTI(_ *rapid.T, x *modelToken) {
	_, err := h.registry.Revoke(context.Background(), admin, RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: x.claims.JTI}})
	h.must(err)
	h.act("by jti", func(y *modelToken) bool { return y == x })
}

func (h *history) expired(x *modelToken) bool { return !h.now().Before(x.claims.Expiry) }

// unknown says that the server no longer takes the token for one of its own that could be withdrawn.
func (h *history) unknown(x *modelToken) bool {
	return h.expired(x) || slices.Contains(h.keys.revoked, x.kid)
}

// withdrawn notes that a token was withdrawn that was good, alone or with all of its client's. That is
// so if and only if as many are withdrawn alone as may be; until they are swept, those count that have
// expired.
func (h *history) withdrawn(rt *rapid.T, x *modelToken, how string, collapsed bool) {
	ever, kept := 0, 0
	for _, y := range h.tokens {
		if y.alone && y.claims.ClientID == x.claims.ClientID {
			ever++
			if h.now().Before(y.claims.Expiry.Add(token.MaxLeeway)) {
				kept++
			}
		}
	}
	if collapsed && ever < h.most || !collapsed && kept >= h.most {
		rt.Fatalf("collapsed %t: %d tokens of this client are withdrawn, %d of them may be forgotten, and %d may be withdrawn alone", collapsed, ever, ever-kept, h.most)
	}
	if collapsed {
		h.act("collapsed", func(y *modelToken) bool { return y.claims.ClientID == x.claims.ClientID })
		return
	}
	x.alone = true
	h.act(how, func(y *modelToken) bool { return y == x })
}

// withdrawMany is an operator's "issued until T", or until now.
func (h *history) withdrawMany(rt *rapid.T) {
	s, which := h.subject(rt)
	spec := RevocationSpec{Subject: s}
	switch now := h.now(); rapid.IntRange(0, 3).Draw(rt, "T") {
	case 1: // the very second of a token
		spec.Before = h.some(rt, "token").claims.IssuedAt
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
		h.seen["no such T"]++
		return
	}
	until := spec.Before.Truncate(time.Second)
	h.act("by "+string(s.Kind), func(x *modelToken) bool {
		return which(x) && (spec.Before.IsZero() || !x.claims.IssuedAt.After(until))
	})
}

// subject draws whose tokens are withdrawn. Of a deleted client nobody speaks any more.
func (h *history) subject(rt *rapid.T) (token.Subject, func(*modelToken) bool) {
	switch rapid.IntRange(0, 4).Draw(rt, "subject") {
	case 0:
		c := pick(rt, "client", h.clients, (*modelClient).there)
		return clientSubject(c.id), func(x *modelToken) bool { return x.claims.ClientID == string(c.id) }
	case 1:
		s := pick(rt, "secret", pick(rt, "client", h.clients).secrets)
		s.withdrew = true
		return credentialSubject(s.id), func(x *modelToken) bool { return x.claims.CredentialID == string(s.id) }
	case 2:
		kid := h.some(rt, "key of").kid
		return token.Subject{Kind: token.RevokedKey, Value: kid}, func(x *modelToken) bool { return x.kid == kid }
	case 3:
		return resourceSubject(api), func(x *modelToken) bool { return slices.Contains(x.claims.Audience, api) }
	}
	return token.Subject{Kind: token.RevokedAll}, func(*modelToken) bool { return true }
}

// newClient registers one more partner.
func (h *history) newClient() *modelClient {
	spec := ClientSpec{ID: "c" + strconv.Itoa(len(h.clients)), Resources: []string{api, otherAPI}, DefaultResource: api}
	if h.removed {
		spec.Resources = spec.Resources[:1]
	}
	c, secret := h.client(h.outer, spec)
	h.clients = append(h.clients, &modelClient{id: c.ID, secrets: []*modelSecret{{id: c.Credentials[0].ID, secret: secret}}})
	return h.clients[len(h.clients)-1]
}

func (h *history) disable(rt *rapid.T) {
	if !slices.ContainsFunc(h.clients, (*modelClient).on) {
		h.newClient()
	}
	h.turn(pick(rt, "client", h.clients, (*modelClient).on), true)
}

// enable enables a client; if all are, one that was disabled at this very instant.
func (h *history) enable(rt *rapid.T) {
	if !slices.ContainsFunc(h.clients, (*modelClient).off) {
		h.disable(rt)
	}
	h.turn(pick(rt, "client", h.clients, (*modelClient).off), false)
}

func (h *history) turn(c *modelClient, off bool) {
	_, err := h.registry.SetClientDisabled(context.Background(), admin, c.id, off)
	h.must(err)
	if c.disabled = off; off {
		h.act("disable", func(x *modelToken) bool { return x.claims.ClientID == string(c.id) })
		return
	}
	h.act("enable", nobody) // withdraws nothing that is not dead, and revives nothing
}

func nobody(*modelToken) bool { return false }

// deleteClient deletes a client, perhaps once more, and lets another one come.
func (h *history) deleteClient(rt *rapid.T) {
	c := pick(rt, "client", h.clients)
	h.must(h.registry.DeleteClient(context.Background(), admin, c.id, Match{Any: true}))
	if !c.deleted {
		h.newClient()
	}
	c.deleted = true
	h.act("delete", func(x *modelToken) bool { return x.claims.ClientID == string(c.id) })
}

func (h *history) addSecret(rt *rapid.T) {
	h.secretFor(pick(rt, "client", h.clients, (*modelClient).there))
}

func (h *history) secretFor(c *modelClient) {
	made, secret, _, err := h.registry.AddSecret(context.Background(), admin, c.id, SecretSpec{})
	if errors.Is(err, ErrTooManySecrets) {
		return
	}
	h.must(err)
	c.secrets = append(c.secrets, &modelSecret{id: made.ID, secret: secret})
	h.seen["secret"]++
}

// revokeSecret revokes a secret: in the course of replacing it, or because it is compromised, and perhaps
// known since when. A client that had but one secret gets another one.
func (h *history) revokeSecret(rt *rapid.T) {
	c := pick(rt, "client", h.clients, (*modelClient).there)
	s := pick(rt, "secret", c.secrets, func(s *modelSecret) bool { return !s.revoked })
	how, why := "secret replaced", SecretRevocation{Compromised: rapid.Bool().Draw(rt, "compromised")}
	if why.Compromised {
		how = "secret compromised"
	}
	// A revocation of the same credential before would be widened to one stretch of time.
	if why.Compromised && !s.withdrew && rapid.Bool().Draw(rt, "since") {
		how, why.Since = "secret compromised since T", h.now().Add(-time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "ago")))
		if rapid.Bool().Draw(rt, "the very second") {
			why.Since = h.some(rt, "token").claims.IssuedAt
		}
	}
	_, err := h.registry.RevokeSecret(context.Background(), admin, c.id, s.id, why)
	if e := (*InvalidError)(nil); errors.As(err, &e) && why.Since.After(h.now()) { // of a token that is dated ahead
		h.seen["no such T"]++
		return
	}
	h.must(err)
	s.revoked = true
	if !slices.ContainsFunc(c.secrets, func(s *modelSecret) bool { return !s.revoked }) {
		h.secretFor(c)
	}
	if !why.Compromised {
		h.seen[how]++
		return
	}
	s.withdrew = true
	since := why.Since.Truncate(time.Second)
	h.act(how, func(x *modelToken) bool {
		return x.claims.CredentialID == string(s.id) && !x.claims.IssuedAt.Before(since)
	})
}

func (h *history) revokeKey(*rapid.T) {
	kid := h.keys.now.KeyID()
	h.keys.revoked = append(h.keys.revoked, kid)
	h.index.SetKeys(h.keys.revoked)
	h.keys.replace(h.outer)
	h.act("key", func(x *modelToken) bool { return x.kid == kid })
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
		h.act("resource removed", func(x *modelToken) bool { return slices.Contains(x.claims.Audience, otherAPI) })
		return
	}
	h.act("resource back", nobody)
}

// wait moves the clock, and forgets what may be forgotten as a running server does.
func (h *history) wait(rt *rapid.T) {
	h.pass(rapid.SampledFrom([]time.Duration{
		1, time.Millisecond, 300 * time.Millisecond, time.Second, 1700 * time.Millisecond, 3 * time.Second, time.Minute, 11 * time.Minute, 35 * time.Minute,
	}).Draw(rt, "for"))
	if rapid.Bool().Draw(rt, "to a whole second") {
		h.pass(time.Second - time.Duration(h.now().Nanosecond()))
	}
	if rapid.Bool().Draw(rt, "sweep") {
		h.index.Sweep(h.now())
		h.seen["sweep"]++
	}
}

// pass lets time go by, in which the change feed is read.
func (h *history) pass(d time.Duration) {
	h.advance(d)
	h.server.ConfirmedAt(h.now())
}

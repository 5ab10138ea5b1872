package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store/redistest"
)

// nodeConfig is one of several --dev servers that share a Redis: folders of their own, one issuer, one
// key-encryption key.
func nodeConfig(t *testing.T, redis string) configs.Config {
	t.Helper()
	c := devConfig(t)
	c.Issuer = "http://127.0.0.1:1"
	c.Store.Driver, c.Redis.Addrs = "redis", []string{redis}
	return c
}

// startNodes starts n servers on a Redis, the first of which made the sample, and returns once all of
// them issue tokens.
func startNodes(t *testing.T, n int, redis string) []*server {
	t.Helper()
	kek := filepath.Join(t.TempDir(), "kek")
	if _, err := keys.WriteKEKFile(kek); err != nil {
		t.Fatal(err)
	}
	var nodes []*server
	for i := range n {
		c := nodeConfig(t, redis)
		c.Keys.KEKFile = kek
		nodes = append(nodes, startTest(t, c, options{withoutSample: i > 0}))
	}
	for _, s := range nodes {
		waitFor(t, func() bool { time.Sleep(time.Millisecond); return s.ready(t.Context()) == nil })
	}
	return nodes
}

// partner is a client with a secret, as the servers' registry made it.
type partner struct{ id, secret string }

func newPartner(t *testing.T, s *server, id string) partner {
	t.Helper()
	_, secret, _, err := s.registry.CreateClient(t.Context(), byTest, authz.ClientSpec{
		ID: id, Name: "A partner", Scopes: []string{sampleScope}, DefaultScopes: []string{sampleDefaultScope}, Resources: []string{sampleResource},
	})
	if err != nil {
		t.Fatal(err)
	}
	return partner{id, secret.Reveal()}
}

func (p partner) form(more ...string) url.Values {
	form := url.Values{"client_id": {p.id}, "client_secret": {p.secret}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// asksFor requests a token at a server.
func (p partner) asksFor(t *testing.T, s *server) (status int, compact string) {
	t.Helper()
	status, body := post(t, "http://"+s.Address()+"/oauth2/token", p.form("grant_type", "client_credentials"))
	var got issued
	_ = json.Unmarshal([]byte(body), &got)
	return status, got.AccessToken
}

// hears introspects a token at a server.
func (p partner) hears(t *testing.T, s *server, compact string) (status int, active bool) {
	t.Helper()
	status, body := post(t, "http://"+s.Address()+"/oauth2/introspect", p.form("token", compact))
	var got struct{ Active bool }
	_ = json.Unmarshal([]byte(body), &got)
	return status, got.Active
}

// delays are how long something took to be seen elsewhere.
type delays []time.Duration

func (d delays) String() string {
	slices.Sort(d)
	return fmt.Sprintf("p50 %v, p99 %v, max %v of %d", d[len(d)/2].Round(10*time.Microsecond), d[len(d)*99/100].Round(10*time.Microsecond), d[len(d)-1].Round(10*time.Microsecond), len(d))
}

// until measures how long it takes from now until a condition holds.
func until(t *testing.T, condition func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	waitFor(t, condition)
	return time.Since(began)
}

// propagation is the most that may pass until every connected server obeys a change.
const propagation = time.Second

// TestNodes_WhatOneAcknowledgesTheOtherObeys: a client that is disabled, a token that is revoked and a key
// that is revoked at one server, as the other one sees it. Introspection is not late at all.
func TestNodes_WhatOneAcknowledgesTheOtherObeys(t *testing.T) {
	nodes := startNodes(t, 2, redistest.Start(t).Addr)
	defer http.DefaultClient.CloseIdleConnections()
	a, b := nodes[0], nodes[1]

	const times = 30
	var disabled, revoked delays
	for i := range times {
		p := newPartner(t, a, fmt.Sprint("partner-", i))
		if status, _ := p.asksFor(t, b); status != http.StatusOK { // known elsewhere at once, and cached there
			t.Fatalf("status %d at the other server", status)
		}
		_, compact := p.asksFor(t, a)
		if status, active := p.hears(t, b, compact); !active {
			t.Fatalf("introspection at the other server: %d, inactive", status)
		}
		// RVK-12: no time passes between the answer and the next question.
		if status, body := post(t, "http://"+a.Address()+"/oauth2/revoke", p.form("token", compact)); status != http.StatusOK {
			t.Fatalf("revocation: %d, %s", status, body)
		}
		if status, active := p.hears(t, b, compact); status != http.StatusOK || active {
			t.Errorf("RVK-12: %d, active %v at the other server right after the revocation", status, active)
		}
		subject := token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, compact)}
		revoked = append(revoked, until(t, func() bool { _, ok := b.index.Revocation(subject); return ok }))

		_, before := p.asksFor(t, b)
		if _, err := a.registry.SetClientDisabled(t.Context(), byTest, authz.ClientID(p.id), true); err != nil {
			t.Fatal(err)
		}
		disabled = append(disabled, until(t, func() bool { status, _ := p.asksFor(t, b); return status == http.StatusUnauthorized }))
		waitFor(t, func() bool { // the same change: it is on its way
			_, void := b.index.Revocation(token.Subject{Kind: token.RevokedClient, Value: p.id})
			return void
		})
		if status, active := p.hears(t, a, before); active { // EVT-06
			t.Errorf("a token that was issued elsewhere to a client that is disabled now: %d, active", status)
		}
	}
	var rotated delays
	for range 3 {
		kid := activeKey(t, a)
		if _, err := a.adminConfig().Keys.Revoke(t.Context(), kid, byTest); err != nil {
			t.Fatal(err)
		}
		rotated = append(rotated, until(t, func() bool { return !slices.Contains(signingKeys(b), kid) }))
		waitFor(t, func() bool {
			time.Sleep(time.Millisecond)
			return a.ready(t.Context()) == nil && b.ready(t.Context()) == nil
		})
	}
	t.Logf("from the answer at one server until the other one obeys: client disabled %v; token revoked, in the index %v; key revoked %v", disabled, revoked, rotated)
	for name, d := range map[string]delays{"a disabled client": disabled, "a revoked token": revoked, "a revoked key": rotated} {
		if worst := slices.Max(d); worst > propagation {
			t.Errorf("%s reached the other server after %v", name, worst)
		}
	}
}

// signingKeys are the keys that sign at a server now.
func signingKeys(s *server) (kids []string) {
	for _, k := range s.ring.List() {
		if k.State == keys.StateActive {
			kids = append(kids, k.KeyID)
		}
	}
	return kids
}

// TestNodes_OneRotationForAll: of servers that all carry out the timeline each step is made once, and they
// sign with the same key.
func TestNodes_OneRotationForAll(t *testing.T) {
	nodes := startNodes(t, 3, redistest.Start(t).Addr)
	defer http.DefaultClient.CloseIdleConnections()
	p := newPartner(t, nodes[0], "partner")
	for range 3 {
		old := activeKey(t, nodes[0])
		if _, err := nodes[1].ring.Rotate(t.Context(), nodes[1].algorithm(), byTest); err != nil {
			t.Fatal(err)
		}
		took := until(t, func() bool {
			time.Sleep(5 * time.Millisecond)
			for _, s := range nodes {
				if slices.Contains(signingKeys(s), old) {
					return false
				}
			}
			return true
		})
		kids := map[string]bool{}
		for _, s := range nodes {
			status, compact := p.asksFor(t, s)
			if status != http.StatusOK {
				t.Fatalf("status %d", status)
			}
			header, _, _ := strings.Cut(compact, ".")
			kids[header] = true
			for _, other := range nodes {
				if status, active := p.hears(t, other, compact); !active {
					t.Errorf("a token of another server: %d, inactive", status)
				}
			}
		}
		if len(kids) != 1 {
			t.Errorf("the servers sign with %d keys", len(kids))
		}
		t.Logf("a rotation took %v until all servers signed with the new key", took.Round(time.Millisecond))
	}
}

// RVK-13: a server that is cut off does not know by which key another one signs by now. What it cannot revoke it
// does not call done, what it cannot judge it does not call inactive, and both work once it is connected.
func TestRVK13_INT13_AKeyThatIsNotKnownHere(t *testing.T) {
	redis := redistest.Start(t)
	proxy := redistest.StartProxy(t, redis.Addr)
	a := startNodes(t, 1, redis.Addr)[0]
	defer http.DefaultClient.CloseIdleConnections()
	c := nodeConfig(t, proxy.Addr())
	c.Keys.KEKFile = a.config.Keys.KEKFile
	b := startTest(t, c, options{withoutSample: true})
	waitReady(t, b)
	p := newPartner(t, a, "partner")
	if status, _ := p.asksFor(t, b); status != http.StatusOK {
		t.Fatal(status)
	}
	proxy.Cut()
	for range 3 { // so that not even the next key is one that was published before
		if _, err := a.adminConfig().Keys.Revoke(t.Context(), activeKey(t, a), byTest); err != nil {
			t.Fatal(err)
		}
		waitReady(t, a)
	}
	var compact string
	waitFor(t, func() bool {
		time.Sleep(10 * time.Millisecond)
		_, compact = p.asksFor(t, a)
		return compact != ""
	})
	if status, body := post(t, "http://"+b.Address()+"/oauth2/revoke", p.form("token", compact)); status != http.StatusServiceUnavailable {
		t.Errorf("revocation at a server that is cut off: %d, %s", status, body)
	}
	if status, _ := p.hears(t, b, compact); status != http.StatusServiceUnavailable {
		t.Errorf("introspection there: %d", status)
	}
	if _, active := p.hears(t, a, compact); !active {
		t.Error("revoked by nobody")
	}
	proxy.Restore()
	waitFor(t, func() bool {
		time.Sleep(10 * time.Millisecond)
		status, active := p.hears(t, b, compact)
		if status == http.StatusOK && !active {
			t.Fatal("a good token is inactive")
		}
		return status == http.StatusOK
	})
	waitFor(t, func() bool { // a connection that was cut is noticed by who writes on it
		time.Sleep(10 * time.Millisecond)
		status, _ := post(t, "http://"+b.Address()+"/oauth2/revoke", p.form("token", compact))
		return status == http.StatusOK
	})
	if status, active := p.hears(t, a, compact); status != http.StatusOK || active {
		t.Errorf("%d, active %v after its revocation", status, active)
	}
}

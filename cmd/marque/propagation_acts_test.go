//go:build linux || darwin

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/token"
)

// register makes known what will be revoked, before it is.
func (p *spread) register(kind string, subject token.Subject, compact string) *act {
	a := &act{kind: kind, subject: subject.String(), compact: compact}
	a.left.Store(int32(len(p.services)))
	kid := kidOf(p.t, compact)
	p.registered.Lock()
	defer p.registered.Unlock()
	if p.keys[kid] == nil {
		p.keys[kid] = &atomic.Bool{}
	}
	a.key = p.keys[kid]
	p.bySubject[a.subject] = len(p.acts)
	p.acts = append(p.acts, a)
	return a
}

// anyNode returns a server that lives.
func (p *spread) anyNode(dice *rand.Rand) *liveNode {
	for {
		n := p.nodes[dice.IntN(len(p.nodes))]
		if _, lives := n.now(); lives {
			return n
		}
		time.Sleep(time.Millisecond)
	}
}

// insist asks servers until one has done it: the one that was asked may have been killed.
func (p *spread) insist(dice *rand.Rand, what string, do func(*liveNode) (status int, err error)) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		status, err := do(p.anyNode(dice))
		if err == nil && status/100 == 2 {
			return
		}
		if time.Now().After(end) {
			p.broken("%s: status %d, %v", what, status, err)
			return
		}
	}
}

// postForm posts a form to a server.
func (n *liveNode) postForm(path string, form url.Values, into any) (int, error) {
	r, err := n.http.PostForm("http://"+n.listen+path, form)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK || into == nil {
		return r.StatusCode, nil
	}
	return r.StatusCode, json.NewDecoder(r.Body).Decode(into)
}

func (p *spread) newPartner(dice *rand.Rand, id string) (c partner) {
	c, _ = p.newClient(dice, id)
	return c
}

// newClient makes a client, and returns its credential, too. An answer that was cut off left a client behind: the next one
// has another name.
func (p *spread) newClient(dice *rand.Rand, id string) (c partner, credential string) {
	tries := 0
	p.insist(dice, "create "+id, func(n *liveNode) (int, error) {
		c.id = fmt.Sprint(id, ".", tries)
		tries++
		r, err := n.api(p.t).CreateClientWithResponse(context.Background(), nil, client.ClientMetadata{
			ClientID: &c.id, ClientName: "A partner", Scope: new("read"), DefaultScope: new("read"), Resources: &[]string{propagated},
		})
		if err == nil && r.JSON201 != nil {
			c.secret, credential = *r.JSON201.ClientSecret, text(r.JSON201.CredentialID)
		}
		return statusOf(r, err), err
	})
	return c, credential
}

// token gets one, which one of the services takes.
func (p *spread) token(ctx context.Context, dice *rand.Rand, c partner) string {
	var got issued
	p.insist(dice, "a token for "+c.id, func(n *liveNode) (int, error) {
		return n.postForm("/oauth2/token", c.form("grant_type", "client_credentials"), &got)
	})
	w := p.services[dice.IntN(len(p.services))]
	for i := 0; ; i++ {
		v := w.judge.judge(ctx, got.AccessToken)
		if v != refused {
			return got.AccessToken
		}
		if p.hesitated.Add(1); i == 1_000 {
			p.broken("a service does not take a good token")
			return got.AccessToken
		}
		time.Sleep(20 * time.Millisecond) // its key is new, and was fetched of a server that did not know it
	}
}

// revokeOne makes the n-th revocation, and returns when it was answered.
func (p *spread) revokeOne(ctx context.Context, dice *rand.Rand, n int, c partner) *act {
	if every := max(p.want/4, 100); n%every == every-1 {
		return p.revokeKey(ctx, dice, c)
	}
	p.revoker.RLock()
	defer p.revoker.RUnlock()
	revoke := func(kind client.RevocationKind, value string) func(*liveNode) (int, error) {
		return func(n *liveNode) (int, error) {
			r, err := n.api(p.t).CreateRevocationWithResponse(context.Background(), nil, client.RevocationRequest{Kind: kind, Value: &value})
			return statusOf(r, err), err
		}
	}
	var a *act
	var do func(*liveNode) (int, error)
	switch n % 10 {
	case 0:
		c = p.newPartner(dice, fmt.Sprint("disabled-", n))
		a = p.register("client disabled", token.Subject{Kind: token.RevokedClient, Value: c.id}, p.token(ctx, dice, c))
		do = func(n *liveNode) (int, error) {
			r, err := n.api(p.t).DisableClientWithResponse(context.Background(), c.id, nil)
			return statusOf(r, err), err
		}
	case 1:
		c = p.newPartner(dice, fmt.Sprint("until-now-", n))
		a = p.register("client until now", token.Subject{Kind: token.RevokedClient, Value: c.id}, p.token(ctx, dice, c))
		do = revoke(client.RevocationKindClient, c.id)
	case 2:
		c, credential := p.newClient(dice, fmt.Sprint("compromised-", n))
		a = p.register("secret", token.Subject{Kind: token.RevokedCredential, Value: credential}, p.token(ctx, dice, c))
		do = func(n *liveNode) (int, error) {
			r, err := n.api(p.t).RevokeSecretWithResponse(context.Background(), c.id, credential, nil, client.SecretRevocation{Compromised: new(true)})
			return statusOf(r, err), err
		}
	case 3, 4, 5:
		compact := p.token(ctx, dice, c)
		a = p.register("token, by its client", token.Subject{Kind: token.RevokedJTI, Value: jtiOf(p.t, compact)}, compact)
		do = func(n *liveNode) (int, error) {
			return n.postForm("/oauth2/revoke", c.form("token", compact), nil)
		}
	default:
		compact := p.token(ctx, dice, c)
		jti := jtiOf(p.t, compact)
		a = p.register("token", token.Subject{Kind: token.RevokedJTI, Value: jti}, compact)
		do = revoke(client.RevocationKindJti, jti)
	}
	p.insist(dice, a.kind, do)
	a.answered.Store(time.Now().UnixNano())
	return a
}

// revokeKey revokes the key that signs, while nobody waits for what it has signed.
func (p *spread) revokeKey(ctx context.Context, dice *rand.Rand, c partner) *act {
	p.revoker.Lock()
	defer p.revoker.Unlock()
	compact := p.token(ctx, dice, c)
	kid := kidOf(p.t, compact)
	a := p.register("signing key", token.Subject{Kind: token.RevokedKey, Value: kid}, compact)
	a.key.Store(true)
	p.insist(dice, a.kind, func(n *liveNode) (int, error) {
		r, err := n.api(p.t).RevokeKeyWithResponse(context.Background(), kid, nil)
		return statusOf(r, err), err
	})
	a.answered.Store(time.Now().UnixNano())
	for _, n := range p.nodes { // until all who live sign by the next one
		waitFor(p.t, func() bool {
			time.Sleep(5 * time.Millisecond)
			if _, lives := n.now(); !lives {
				return true
			}
			var got issued
			status, _ := n.postForm("/oauth2/token", c.form("grant_type", "client_credentials"), &got)
			return status == http.StatusOK && kidOf(p.t, got.AccessToken) != kid
		})
	}
	return a
}

func kidOf(t *testing.T, compact string) string {
	header, _, err := decodeToken(compact)
	if err != nil {
		t.Error(err)
	}
	var h struct{ KID string }
	_ = json.Unmarshal(header, &h)
	return h.KID
}

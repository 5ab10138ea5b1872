//go:build linux || darwin

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/admin/client"
)

// asksForToken is the partner that every server knows.
func (w *world) asksForToken(n *faultNode, p *pause) {
	status, body := w.post(n, "/oauth2/token", w.known.form("grant_type", "client_credentials"))
	p.answered(w.history.now(), accessToken(status, body) != "", fmt.Sprintf("%d %s", status, body))
}

// asksAboutToken is an API that gets good tokens and withdrawn ones.
func (w *world) asksAboutToken(n *faultNode, p *pause) {
	p.answered(w.history.now(), w.look(n, w.held()), "no answer")
}

// pulse writes what nothing else depends on, and so shows whether changes are acknowledged.
func (w *world) pulse(n *faultNode, p *pause, name string) {
	asked := w.history.now()
	e := w.history.do(func() int {
		r, err := n.api.CreateRevocationWithResponse(context.Background(), nil, client.RevocationRequest{Kind: client.RevocationKindJti, Value: &name})
		if err != nil {
			n.refusal.Store(err.Error())
		} else if r.JSON200 == nil {
			n.refusal.Store(fmt.Sprintf("%s %s", r.Status(), r.Body))
		}
		return statusOf(r, err)
	}, deed{object: "pulse:" + name, doing: voids})
	if e == acked {
		n.acknowledges.Store(int64(asked))
	}
	p.answered(w.history.now(), e == acked, "not acknowledged")
}

// write has something changed. After a change that is in doubt it waits until the server acknowledges changes again, so
// that no object has many of those.
func (w *world) write(ctx context.Context, n *faultNode, ask func() int, deeds ...deed) ending {
	e := w.history.do(ask, deeds...)
	if e == inDoubt {
		for since := int64(w.history.now()); ctx.Err() == nil && n.acknowledges.Load() < since; {
			idle(ctx, 20*time.Millisecond)
		}
	}
	return e
}

// create registers a client, and returns it with the name of its credential if that was acknowledged.
func (w *world) create(ctx context.Context, n *faultNode, id string) (p partner, credential string, ok bool) {
	e := w.write(ctx, n, func() int {
		r, err := n.api.CreateClientWithResponse(context.Background(), nil, client.ClientMetadata{
			ClientID: &id, ClientName: "made", Scope: new("read"), DefaultScope: new("read"), Resources: &[]string{faultResource}, TokenLifetime: new(int64(3600)),
		})
		if err == nil && r.JSON201 != nil {
			p, credential = partner{id, text(r.JSON201.ClientSecret)}, text(r.JSON201.CredentialID)
		}
		return statusOf(r, err)
	}, deed{object: "client:" + id, doing: makes, name: "made"})
	return p, credential, e == acked
}

func (w *world) rename(ctx context.Context, n *faultNode, id, name string) ending {
	return w.write(ctx, n, func() int {
		r, err := n.api.UpdateClientWithResponse(context.Background(), id, &client.UpdateClientParams{IfMatch: "*"}, client.ClientUpdate{
			ClientName: name, Scope: new("read"), DefaultScope: new("read"), Resources: &[]string{faultResource}, TokenLifetime: new(int64(3600)),
		})
		return statusOf(r, err)
	}, deed{object: "client:" + id, doing: renames, name: name})
}

// disable voids the client's tokens with it.
func (w *world) disable(ctx context.Context, n *faultNode, id string, tokens ...heldToken) ending {
	return w.write(ctx, n, func() int {
		r, err := n.api.DisableClientWithResponse(context.Background(), id, nil)
		return statusOf(r, err)
	}, voiding(deed{object: "client:" + id, doing: disables}, tokens)...)
}

func (w *world) enable(ctx context.Context, n *faultNode, id string) ending {
	return w.write(ctx, n, func() int {
		r, err := n.api.EnableClientWithResponse(context.Background(), id, nil)
		return statusOf(r, err)
	}, deed{object: "client:" + id, doing: enables})
}

func (w *world) remove(ctx context.Context, n *faultNode, id string, tokens ...heldToken) ending {
	return w.write(ctx, n, func() int {
		r, err := n.api.DeleteClientWithResponse(context.Background(), id, &client.DeleteClientParams{IfMatch: "*"})
		return statusOf(r, err)
	}, voiding(deed{object: "client:" + id, doing: voids}, tokens)...)
}

// voiding is a deed that ends tokens as well.
func voiding(d deed, tokens []heldToken) []deed {
	deeds := []deed{d}
	for _, held := range tokens {
		deeds = append(deeds, deed{object: held.object, doing: voids})
	}
	return deeds
}

// tokensOf gets a token for a client that was just registered, if the server can issue one.
func (w *world) tokensOf(n *faultNode, p partner) []heldToken {
	if compact := w.token(n, p); compact != "" {
		return []heldToken{w.issued(compact)}
	}
	return nil
}

// afterwards keeps tokens that are void now, and asks the other server about them at once.
func (w *world) afterwards(e ending, other *faultNode, tokens []heldToken) {
	if e != acked {
		return
	}
	for _, held := range tokens {
		w.look(other, held)
		w.remember(held)
	}
}

// liveClient is the life of a client: made, renamed, disabled, and in the end left so, enabled, or deleted.
func (w *world) liveClient(ctx context.Context, n, other *faultNode, id string) {
	var tokens []heldToken
	p, _, ok := w.create(ctx, n, id)
	if ok {
		tokens = w.tokensOf(n, p)
	}
	w.rename(ctx, other, id, "renamed")
	w.afterwards(w.disable(ctx, n, id, tokens...), other, tokens)
	switch {
	case strings.HasSuffix(id, "1") || strings.HasSuffix(id, "5"):
	case strings.HasSuffix(id, "0") || strings.HasSuffix(id, "6"):
		w.remove(ctx, other, id, tokens...)
		w.rename(ctx, n, id, "after its deletion")
	default:
		w.enable(ctx, other, id)
		w.rename(ctx, n, id, "renamed again")
	}
}

// changeSecrets gives a client a second secret, and revokes its first as compromised.
func (w *world) changeSecrets(ctx context.Context, n, other *faultNode, id string) {
	p, first, ok := w.create(ctx, n, id)
	if !ok {
		return
	}
	w.history.did(deed{object: "credential:" + id + ":" + first, doing: makes})
	tokens := w.tokensOf(n, p)
	if r, err := other.api.AddSecretWithResponse(context.Background(), id, nil, client.SecretOptions{}); err == nil && r.JSON201 != nil {
		w.history.did(deed{object: "credential:" + id + ":" + r.JSON201.CredentialID, doing: makes})
	}
	w.afterwards(w.write(ctx, n, func() int {
		r, err := n.api.RevokeSecretWithResponse(context.Background(), id, first, nil, client.SecretRevocation{Compromised: new(true)})
		return statusOf(r, err)
	}, voiding(deed{object: "credential:" + id + ":" + first, doing: voids}, tokens)...), other, tokens)
}

// revokeTokens has one client get tokens and revoke them itself, or an administrator revoke them.
func (w *world) revokeTokens(ctx context.Context, n, other *faultNode, id string) {
	p, _, ok := w.create(ctx, n, id)
	for i := 0; ok && i < 50 && ctx.Err() == nil; i++ {
		tokens := w.tokensOf(n, p)
		for _, held := range tokens {
			w.look(other, held)
			w.afterwards(w.write(ctx, n, func() int {
				if i%2 == 0 {
					status, _ := w.post(n, "/oauth2/revoke", p.form("token", held.compact))
					return status
				}
				r, err := n.api.RevokeTokenWithResponse(context.Background(), nil, client.TokenRevocation{Token: held.compact})
				return statusOf(r, err)
			}, deed{object: held.object, doing: voids}), other, tokens)
		}
		idle(ctx, 20*time.Millisecond)
	}
}

// shareClients changes clients that the writers of the other servers change at the same time, and looks at them. Once
// something is in doubt, and after a while, others are taken.
func (w *world) shareClients(ctx context.Context, n *faultNode, k int, name string) {
	generation := w.shared.Load()
	id, first := fmt.Sprint("shared-", generation), n == w.nodes[0]
	e := acked
	switch k % 10 {
	case 0, 3, 6:
		e = w.disable(ctx, n, id)
	case 1, 4, 7:
		e = w.enable(ctx, n, id)
	case 2, 5, 8:
		e = w.rename(ctx, n, id, name)
	default:
		w.see(n, id)
	}
	if e == notThere && first {
		if _, _, ok := w.create(ctx, n, id); !ok {
			e = inDoubt
		}
	}
	if e == inDoubt || first && k%300 == 299 {
		w.shared.CompareAndSwap(generation, generation+1)
	}
}

// see looks at a client through a server.
func (w *world) see(n *faultNode, id string) {
	w.history.look("client:"+id, func() (condition, bool) {
		r, err := n.api.GetClientWithResponse(context.Background(), id)
		switch {
		case err == nil && r.JSON200 != nil:
			return condition{life: there, disabled: r.JSON200.Disabled, name: r.JSON200.ClientName}, true
		default: // a 404 does not say whether it was deleted
			return condition{}, false
		}
	})
}

// changeKeys has the next key take over, and revokes the one that signed. Now and then it rotates the usual keys.
func (w *world) changeKeys(ctx context.Context, n, other *faultNode, k int) {
	call := w.history.now()
	if active, next := w.ring(n, labRing); active != "" && next != "" {
		if object := "kid:" + active; !w.history.knows(object) { // nobody here made it, or whoever did was not told so
			w.history.note(deed{object: object, doing: makes, call: call, answer: w.history.now(), ending: inDoubt})
		}
		w.rotate(other, labRing)
		w.write(ctx, n, func() int {
			r, err := n.api.RevokeKeyWithResponse(context.Background(), active, nil)
			return statusOf(r, err)
		}, deed{object: "kid:" + active, doing: voids})
	}
	if n == w.nodes[0] && k%12 == 1 { // keys that retire stay published for more than an hour, and 48 may be
		w.rotate(n, client.AlgorithmNameES256)
	}
}

// rotate asks for the next key to sign. Which one that is the answer says; of one that is lost nothing is known.
func (w *world) rotate(n *faultNode, alg client.AlgorithmName) {
	call := w.history.now()
	r, err := n.api.RotateKeysWithResponse(context.Background(), nil, client.RotateOptions{Algorithm: &alg})
	if err != nil || r.JSON200 == nil {
		return
	}
	for _, k := range r.JSON200.Keys {
		w.history.note(deed{object: "kid:" + k.KID, doing: makes, call: call, answer: w.history.now()})
	}
}

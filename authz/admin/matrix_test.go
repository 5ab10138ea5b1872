package admin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// mint signs claims with the key that signs the server's own tokens.
func (w *world) mint(change func(*token.Claims)) string {
	w.t.Helper()
	signer, err := w.ring.Signer(jose.ES256, w.now())
	w.must(err)
	return w.mintWith(signer, token.TypeAccessToken, change)
}

func (w *world) mintWith(signer *jose.Signer, typ string, change func(*token.Claims)) string {
	w.t.Helper()
	now := w.now().UTC().Truncate(time.Second)
	c := token.Claims{
		Issuer: issuer, Subject: "ops", ClientID: "ops", Audience: []string{string(authz.AdminResource(issuer))},
		Scope: authz.ScopeAdmin, IssuedAt: now, Expiry: now.Add(10 * time.Minute), JTI: rand.Text(),
	}
	change(&c)
	payload, err := c.AppendJSON(nil)
	w.must(err)
	compact, err := signer.Sign(typ, payload)
	w.must(err)
	return compact
}

func (w *world) stranger() *jose.Signer {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	own, err := w.ring.Signer(jose.ES256, w.now())
	w.must(err)
	signer, err := jose.NewSigner(key, own.KeyID(), jose.ES256, jose.ES256) // in the name of our key
	w.must(err)
	return signer
}

// admins are clients, and tokens of theirs, that must not or may do everything.
type admins struct {
	*server
	credential string // of the client "victim"
	cases      []refusedCase
	good       string
}

type refusedCase struct {
	name          string
	authorization []string
	status        int
	cause         authz.Cause
}

func newAdmins(t *testing.T) *admins {
	t.Helper()
	w := newWorld(t)
	a := &admins{server: startTCP(t, w, func(c *TCPConfig) { c.Refused = w.refusals.Add })}
	ctx := t.Context()
	_, _, err := w.registry.CreateResource(ctx, w.by(), authz.ResourceSpec{ID: fulfilment, Scopes: []string{"orders:read"}})
	w.must(err)
	api := []string{fulfilment}
	admin := func(id string) authz.Secret {
		return w.register(authz.ClientSpec{ID: id, Name: id, Admin: true, Resources: api, Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}})
	}
	builtIn := string(authz.AdminResource(issuer))
	tokenOf := func(id string) string { return w.issueScope(authz.ClientID(id), admin(id), authz.ScopeAdmin, builtIn) }

	expired := tokenOf("expired")
	w.sleep(10 * time.Minute) // its very last second is over
	old := tokenOf("before-all")
	w.sleep(time.Second)
	_, err = w.registry.Revoke(ctx, w.by(), authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedAll}, Before: w.now().Add(-time.Second)})
	w.must(err)
	w.sleep(2 * time.Second)

	opsSecret := admin("ops")
	a.good = w.issueScope("ops", opsSecret, authz.ScopeAdmin, builtIn)
	partner := w.register(authz.ClientSpec{ID: "victim", Name: "Partner", Resources: api, Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}})
	victim, err := w.registry.Client(ctx, "victim")
	w.must(err)
	a.credential = string(victim.Credentials[0].ID)

	revoked := tokenOf("revoked")
	_, err = w.tokens.RevokeToken(ctx, w.by(), revoked)
	w.must(err)
	revokedClient := tokenOf("revoked-client")
	_, err = w.registry.Revoke(ctx, w.by(), authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedClient, Value: "revoked-client"}})
	w.must(err)
	leaked := tokenOf("leaked-secret")
	c, err := w.registry.Client(ctx, "leaked-secret")
	w.must(err)
	_, err = w.registry.RevokeSecret(ctx, w.by(), "leaked-secret", c.Credentials[0].ID, authz.SecretRevocation{Compromised: true})
	w.must(err)
	disabled := tokenOf("disabled")
	_, err = w.registry.SetClientDisabled(ctx, w.by(), "disabled", true)
	w.must(err)
	deleted := tokenOf("deleted")
	w.must(w.registry.DeleteClient(ctx, w.by(), "deleted", authz.Match{Any: true}))
	demoted := tokenOf("demoted")
	_, err = w.registry.UpdateClient(ctx, w.by(), "demoted", authz.Match{Any: true}, authz.ClientSpec{Name: "demoted"}, false)
	w.must(err)

	own, err := w.ring.Signer(jose.ES256, w.now())
	w.must(err)
	parts := strings.Split(a.good, ".")
	bearer := func(name, compact string, status int, cause authz.Cause) {
		a.cases = append(a.cases, refusedCase{name, []string{"Bearer " + compact}, status, cause})
	}
	a.cases = []refusedCase{
		{"no credential", nil, 401, authz.CauseNoCredentials},
		{"basic", []string{"Basic b3BzOng="}, 401, authz.CauseNoCredentials},
		{"malformed", []string{"Bearer " + a.good + " x"}, 400, authz.CauseMalformedCredentials},
		{"twice", []string{"Bearer " + a.good, "Bearer " + a.good}, 400, authz.CauseSeveralMethods},
	}
	bearer("no token", "not-a-token", 401, "")
	bearer("no signature", parts[0]+"."+parts[1]+".", 401, "")
	bearer("unsigned", segmentEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))+"."+parts[1]+".", 401, "")
	bearer("another signature", parts[0]+"."+parts[1]+"."+strings.Repeat("A", 86), 401, "")
	bearer("forged", w.mintWith(w.stranger(), token.TypeAccessToken, func(*token.Claims) {}), 401, "")
	bearer("another type", w.mintWith(own, token.TypeJWT, func(*token.Claims) {}), 401, "")
	bearer("another issuer", w.mint(func(c *token.Claims) { c.Issuer = "https://other.example" }), 401, "")
	bearer("wrong audience", w.issueScope("ops", opsSecret, "orders:read", fulfilment), 401, "")
	bearer("audience besides", w.mint(func(c *token.Claims) { c.Audience = append(c.Audience, fulfilment) }), 401, "")
	bearer("audience longer", w.mint(func(c *token.Claims) { c.Audience[0] += "/" }), 401, "")
	bearer("client without the scope", w.issue("victim", partner), 401, "")
	bearer("without the scope", w.mint(func(c *token.Claims) { c.Scope = "orders:read" }), 403, authz.CauseInsufficientScope)
	bearer("with no scope", w.mint(func(c *token.Claims) { c.Scope = "" }), 403, authz.CauseInsufficientScope)
	bearer("scope in another case", w.mint(func(c *token.Claims) { c.Scope = "Marque:admin marque:admins" }), 403, authz.CauseInsufficientScope)
	bearer("expired", expired, 401, "")
	bearer("expired this second", w.mint(func(c *token.Claims) { c.Expiry = c.IssuedAt; c.IssuedAt = c.IssuedAt.Add(-time.Minute) }), 401, "")
	bearer("issued before all were revoked", old, 401, authz.CauseTokenRevoked)
	bearer("revoked", revoked, 401, authz.CauseTokenRevoked)
	bearer("revoked by client", revokedClient, 401, authz.CauseTokenRevoked)
	bearer("of a compromised secret", leaked, 401, authz.CauseTokenRevoked)
	bearer("disabled client", disabled, 401, authz.CauseTokenRevoked)
	bearer("deleted client", deleted, 401, authz.CauseTokenRevoked)
	bearer("no admin any more", demoted, 401, authz.CauseTokenRevoked)
	return a
}

// request is one that would be carried out if it came from an admin. Every operation of the document
// gets one; an operation that this does not know fails the test.
func (a *admins) request(e endpoint) (path, body string) {
	path = e.path
	for name, value := range map[string]string{
		"client_id": "victim", "resource": fulfilment, "credential_id": a.credential, "kid": a.ring.List()[0].KeyID, "request_id": "r1",
	} {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(value))
	}
	if strings.Contains(path, "{") {
		a.t.Fatalf("%s: no value for a parameter of the path", e.pattern)
	}
	if e.op.RequestBody == nil {
		return path, ""
	}
	body, ok := map[string]string{
		"CreateResource": `{"resource":"urn:new"}`, "UpdateResource": `{"token_lifetime":77}`,
		"CreateClient": `{"client_id":"new","client_name":"New","admin":true}`, "UpdateClient": `{"client_name":"Changed","admin":true}`,
		"AddSecret": `{}`, "RevokeSecret": `{"compromised":true}`, "RotateKeys": `{}`,
		"ImportKey":        marshalled(map[string]any{"key": pemOf(jose.ES256)}),
		"CreateRevocation": `{"kind":"client","value":"victim"}`,
		"RevokeToken":      fmt.Sprintf(`{"token":%q}`, a.mint(func(c *token.Claims) { c.ClientID, c.Subject = "victim", "victim" })),
	}[e.op.OperationID]
	if !ok {
		a.t.Fatalf("%s: no body", e.pattern)
	}
	return path, body
}

func (a *admins) send(t *testing.T, e endpoint, authorization []string) answer {
	t.Helper()
	s := *a.server
	s.t = t
	path, body := a.request(e)
	var sent any
	if body != "" {
		sent = body
	}
	req := s.request(e.method, path, sent, header{"If-Match": "*"}, actOf(e))
	req.Header["Authorization"] = authorization
	return s.send(req, []byte(body))
}

// Every operation of the document, by its document, with everything that must not let anybody in: it is
// refused, learns nothing, and changes nothing. Tokens, server and store are real.
func TestAdmin_EveryOperationRefusesEveryBadToken(t *testing.T) {
	a := newAdmins(t)
	a.refusals.Add(authz.Refusal{RequestID: "r1", Client: "victim", Cause: authz.CauseWrongSecret, Route: "token", Time: a.now(), Address: netip.MustParseAddr("192.0.2.1")})
	before := a.entries()
	operations := a.doc.endpoints()
	for _, c := range a.cases {
		t.Run(c.name, func(t *testing.T) {
			var first string
			for _, e := range operations {
				got := a.send(t, e, c.authorization)
				if got.Status != c.status {
					t.Errorf("%s: status = %d, want %d: %s", e.pattern, got.Status, c.status, got.Body)
				}
				id := got.Header.Get("X-Request-Id")
				said := strings.ReplaceAll(string(got.Body), id, "") + got.Header.Get("WWW-Authenticate")
				if first == "" {
					first = said
				}
				if said != first {
					t.Errorf("%s: says %s, another operation %s", e.pattern, said, first)
				}
				if r, ok := a.refusals.ByRequest(id); !ok || r.Cause == "" || c.cause != "" && r.Cause != c.cause {
					t.Errorf("%s: remembered %+v, want cause %s", e.pattern, r, c.cause)
				}
			}
			if strings.Contains(first, "ops") || strings.Contains(first, "victim") {
				t.Errorf("says whom it was taken for: %s", first)
			}
		})
	}
	if after := a.entries(); len(after) != len(before) {
		t.Errorf("%d changes were recorded: %+v", len(after)-len(before), after[len(before):])
	}
	for _, c := range a.cases {
		for _, field := range c.authorization {
			if _, compact, _ := strings.Cut(field, " "); len(compact) > 100 && strings.Contains(a.log.String(), compact[len(compact)/2:]) {
				t.Errorf("%s: the token is in the log", c.name)
			}
		}
	}

	// The same requests, from an admin, are carried out.
	for _, e := range operations {
		if strings.HasPrefix(e.op.OperationID, "Revoke") && strings.Contains(e.path, "/keys/") || e.method == "DELETE" {
			continue // afterwards, because of what they take away
		}
		if e.op.OperationID == "GetBackup" { // not for anybody who comes over TCP
			a.send(t, e, []string{"Bearer " + a.good}).want(403)
			continue
		}
		if got := a.send(t, e, []string{"Bearer " + a.good}); got.Status >= 300 {
			t.Errorf("%s by an admin: %d %s", e.pattern, got.Status, got.Body)
		}
	}
	for _, e := range operations {
		switch {
		case e.op.OperationID == "DeleteResource": // still in use by the other admins
			a.send(t, e, []string{"Bearer " + a.good}).want(409)
		case e.method == "DELETE":
			a.send(t, e, []string{"Bearer " + a.good}).want(204)
		}
	}
	for _, e := range operations {
		if e.op.OperationID == "RevokeAllKeys" {
			a.send(t, e, []string{"Bearer " + a.good}).want(200)
			a.send(t, e, []string{"Bearer " + a.good}).want(401) // its own token is void with the others
		}
	}
	for _, entry := range a.entries()[len(before):] {
		if entry.Actor != (audit.Actor{Kind: audit.ActorClient, ID: "ops"}) && entry.Actor.Kind != audit.ActorSystem {
			t.Errorf("audit: %+v", entry)
		}
	}
	t.Logf("%d operations × %d callers who are refused = %d requests", len(operations), len(a.cases), len(operations)*len(a.cases))
}

// A revoked key takes every token that it signed with it, the caller's too.
func TestAdmin_RevokedKey(t *testing.T) {
	a := newAdmins(t)
	head, _, _ := strings.Cut(a.good, ".")
	var h struct{ KID string }
	decodeSegment(t, head, &h)
	s := a.with(a.good)
	s.do("POST", "/admin/v1/keys/"+h.KID+"/revoke", nil).want(200)
	s.do("GET", "/admin/v1/keys", nil).want(401)
}

// An admin who disables itself is out with the answer.
func TestAdmin_DisablesItself(t *testing.T) {
	a := newAdmins(t)
	s := a.with(a.good)
	s.do("POST", "/admin/v1/clients/ops/disable", nil).want(200)
	s.do("POST", "/admin/v1/clients/ops/enable", nil).want(401)
	if e := a.lastEntry("client.disable"); e.Actor.String() != "client:ops" {
		t.Errorf("audit: %+v", e)
	}
}

// What cannot be judged is 503, whoever asks: a store that is away must neither let in nor send away.
func TestAdmin_StoreAway(t *testing.T) {
	a := newAdmins(t)
	a.db.Close()
	for _, e := range a.doc.endpoints() {
		if got := a.send(t, e, []string{"Bearer " + a.good}); got.Status != 503 || got.Header.Get("Retry-After") == "" || got.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %v", e.pattern, got.Status, got.Header)
		}
	}
}

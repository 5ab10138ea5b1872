package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// withdraw is step 5: the admin takes a token back, and whoever asks learns of it at once.
func (d *demo) withdraw(ctx context.Context) error {
	d.chapter("The admin takes the token back", "the API gets an identity of its own, and asks about tokens by introspection (RFC 7662)")
	var api client.RegisteredClient
	if err := d.admin(ctx, &api, "client", "create", "--name", "Fulfilment API", "--serves", demoAPI); err != nil {
		return err
	}
	d.apiID, d.apiSecret = api.ClientID, text(api.ClientSecret)
	if err := d.askEveryTime(ctx); err != nil {
		return err
	}
	if err := d.active(ctx, "the token is active", d.token, true); err != nil {
		return err
	}
	if err := d.served(ctx, "the API serves the call", d.asking, d.token); err != nil {
		return err
	}
	if err := d.revokeToken(ctx, d.token, "the partner's laptop was stolen"); err != nil {
		return err
	}
	if err := d.active(ctx, "introspection says inactive, and nothing else", d.token, false); err != nil {
		return err
	}
	if err := d.refusedBy(ctx, d.asking, "the token", d.token, token.ReasonInactive); err != nil {
		return err
	}
	d.fact("for comparison", "the service of step 4 asks nobody: it takes the token until its exp, which is why tokens live for minutes")
	return d.served(ctx, "a service that asks nobody does not know", d.service, d.token)
}

// askEveryTime starts the API once more, with a verifier that asks the issuer about every token.
func (d *demo) askEveryTime(ctx context.Context) (err error) {
	d.asking, err = startService(ctx, d.server.Issuer(), http.DefaultTransport, d.guard, func(c *verifier.Config) {
		c.Introspect = &verifier.Introspection{ClientID: d.apiID, Secret: verifier.Secret(d.apiSecret)}
	})
	return err
}

// revokeToken is the command, with the token on its standard input.
func (d *demo) revokeToken(ctx context.Context, compact, reason string) error {
	_, claims, err := decodeToken(compact)
	if err != nil {
		return err
	}
	var said struct{ Jti string }
	if err := json.Unmarshal(claims, &said); err != nil {
		return err
	}
	var revoked client.Revocation
	d.input = compact
	defer func() { d.input = "" }()
	if err := d.admin(ctx, &revoked, "token", "revoke", "--reason", reason); err != nil {
		return err
	}
	return d.check("it is withdrawn by its jti", text(revoked.Value) == said.Jti && said.Jti != "", "%q is", text(revoked.Value))
}

// active asks the introspection endpoint as the API, and checks what it says.
func (d *demo) active(ctx context.Context, what, asked string, want bool) error {
	form := url.Values{"token": {asked}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.server.Issuer()+"/oauth2/introspect", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.SetBasicAuth(url.QueryEscape(d.apiID), url.QueryEscape(d.apiSecret))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, body, err := send(d.fully(), r)
	if err != nil {
		return err
	}
	var said struct{ Active *bool }
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		return err
	}
	held := resp.StatusCode == http.StatusOK && said.Active != nil && *said.Active == want
	if !want {
		held = held && strings.TrimSpace(body) == `{"active":false}`
	}
	return d.check(what, held, "status %d: %s", resp.StatusCode, body)
}

// served checks that a service takes a token.
func (d *demo) served(ctx context.Context, what string, s *demoService, good string) error {
	status, body, err := d.call(ctx, d.briefly(), s.url+"/orders", good)
	if err != nil {
		return err
	}
	return d.check(what, status == http.StatusOK, "status %d: %s", status, body)
}

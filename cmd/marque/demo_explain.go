package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/token"
)

// explain is step 8: a refusal explains itself, to the right person.
func (d *demo) explain(ctx context.Context) error {
	d.chapter("The partner mistypes its secret", "the partner is told what everybody is told; the admin sees why")
	status, requestID, body, err := d.ask(ctx, mistyped(d.clientSecret))
	if err != nil {
		return err
	}
	if err := d.check("the partner sees invalid_client", status == http.StatusUnauthorized && strings.Contains(body, `"invalid_client"`), "status %d: %s", status, body); err != nil {
		return err
	}
	if err := d.check("and the id of its request, for the admin", requestID != "", "there is none"); err != nil {
		return err
	}
	var refusals []client.Refusal
	if err := d.admin(ctx, &refusals, "client", "refusals", d.clientID); err != nil {
		return err
	}
	held := len(refusals) > 0 && refusals[0].RequestID == requestID && refusals[0].Cause == string(authz.CauseSecretTypo)
	return d.check("the admin finds it by that id, with its cause: a typing error", held, "%+v", refusals)
}

// mistyped changes one character of a secret.
func mistyped(secret string) string {
	b := []byte(secret)
	i := len(b) / 2
	if b[i] == 'x' {
		b[i] = 'y'
	} else {
		b[i] = 'x'
	}
	return string(b)
}

// ask sends a token request by hand, to see what a library would make an error of.
func (d *demo) ask(ctx context.Context, secret string) (status int, requestID, body string, err error) {
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {demoAPI}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.server.Issuer()+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", "", err
	}
	r.SetBasicAuth(url.QueryEscape(d.clientID), url.QueryEscape(secret))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	way := wire{d.narrator, []string{"X-Request-Id", "WWW-Authenticate"}, true}
	resp, body, err := send(way, r)
	if err != nil {
		return 0, "", "", err
	}
	return resp.StatusCode, resp.Header.Get("X-Request-Id"), body, nil
}

// disable is step 9: a partner is stopped.
func (d *demo) disable(ctx context.Context) error {
	d.chapter("The admin stops the partner", "its tokens are void, and it gets no new ones")
	last, err := d.fetch(ctx, d.briefly(), d.clientID, d.clientSecret, demoAPI)
	if err != nil {
		return err
	}
	if err := d.active(ctx, "its latest token is active", last.AccessToken, true); err != nil {
		return err
	}
	var stopped client.RegisteredClient
	if err := d.admin(ctx, &stopped, "client", "disable", d.clientID, "--reason", "the contract has ended"); err != nil {
		return err
	}
	if err := d.active(ctx, "that token is void", last.AccessToken, false); err != nil {
		return err
	}
	if err := d.refusedBy(ctx, d.asking, "the token", last.AccessToken, token.ReasonInactive); err != nil {
		return err
	}
	status, _, body, err := d.ask(ctx, d.clientSecret)
	if err != nil {
		return err
	}
	if err := d.check("and it gets no new one", status == http.StatusUnauthorized && strings.Contains(body, `"invalid_client"`), "status %d: %s", status, body); err != nil {
		return err
	}
	var log []client.AuditEntry
	if err := d.admin(ctx, &log, "audit", "list", "--target", d.clientID); err != nil {
		return err
	}
	held := len(log) > 0 && log[0].Action == "client.disable" && text(log[0].Reason) == "the contract has ended"
	return d.check("who stopped it, and why, is in the audit log", held, "%+v", log)
}

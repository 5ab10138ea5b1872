package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// protect is step 4, the good call: the service verifies the token by itself.
func (d *demo) protect(ctx context.Context) error {
	d.chapter("The API verifies tokens by itself", "an ordinary net/http service with authz/verifier: discovery, JWKS, RFC 9068")
	var err error
	fetches := &discovery{narrator: d.narrator}
	if d.service, err = startService(ctx, d.server.Issuer(), fetches, d.guard, func(*verifier.Config) {}); err != nil {
		return err
	}
	if err := d.discovered(fetches.end()); err != nil {
		return err
	}
	status, body, err := d.call(ctx, d.fully(), d.service.url+"/orders", d.token)
	if err != nil {
		return err
	}
	return d.check("it serves the call, and knows the caller", status == http.StatusOK && strings.Contains(body, d.clientID), "status %d", status)
}

// discovered checks what the service found out about the issuer at its start.
func (d *demo) discovered(issuer string, kids []string) error {
	if err := d.check("the metadata is that of the issuer", issuer == d.server.Issuer(), "it is that of %q", issuer); err != nil {
		return err
	}
	header, _, err := decodeToken(d.token)
	if err != nil {
		return err
	}
	var key struct{ Kid string }
	if err := json.Unmarshal(header, &key); err != nil {
		return err
	}
	return d.check("the key that signed the partner's token is in the set", key.Kid != "" && slices.Contains(kids, key.Kid), "%q is not among %q", key.Kid, kids)
}

// refuse is step 4, the bad calls: each is refused with one answer, and for its own reason.
func (d *demo) refuse(ctx context.Context) error {
	d.section("and refuses what is not good: its callers get one answer for every defect, its log has the reason")
	tampered, err := tamper(d.token)
	if err != nil {
		return err
	}
	d.fact("the token says", "scope orders:read orders:write, under the signature of another")
	if err := d.refused(ctx, "a token whose scope was changed", tampered, token.ReasonSignature); err != nil {
		return err
	}
	foreign, err := d.foreignToken(ctx)
	if err != nil {
		return err
	}
	if err := d.refused(ctx, "a token for another API", foreign, token.ReasonAudience); err != nil {
		return err
	}
	expired, err := d.expiredToken(ctx)
	if err != nil {
		return err
	}
	return d.refused(ctx, "a token that has expired", expired, token.ReasonExpired)
}

func (d *demo) refused(ctx context.Context, what, bad string, want token.Reason) error {
	return d.refusedBy(ctx, d.service, what, bad, want)
}

func (d *demo) refusedBy(ctx context.Context, s *demoService, what, bad string, want token.Reason) error {
	s.log.take()
	status, _, err := d.call(ctx, d.briefly(), s.url+"/orders", bad)
	if err != nil {
		return err
	}
	reason := s.log.take()
	d.fact("the API's log says", string(reason))
	return d.check(what+" is refused", status == http.StatusUnauthorized && reason == want, "status %d, reason %q", status, reason)
}

// tamper grants itself another scope, and keeps the signature.
func tamper(good string) (string, error) {
	parts := strings.Split(good, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	changed := strings.Replace(string(claims), `"orders:read"`, `"orders:read orders:write"`, 1)
	if changed == string(claims) {
		return "", errors.New("the token has no scope to change")
	}
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(changed))
	return strings.Join(parts, "."), nil
}

// foreignToken is a good token for another API of the same issuer.
func (d *demo) foreignToken(ctx context.Context) (string, error) {
	var made client.Resource
	if err := d.quietly(ctx, &made, "resource", "create", demoOther, "--scope", "accounts:create"); err != nil {
		return "", err
	}
	return d.another(ctx, "Acme accounts", demoOther, "--scope", "accounts:create", "--default-scope", "accounts:create")
}

// expiredToken is a token of one second's life, after that second.
func (d *demo) expiredToken(ctx context.Context) (string, error) {
	short, err := d.another(ctx, "Acme short", demoAPI, "--scope", "orders:read", "--default-scope", "orders:read", "--token-lifetime", "1s")
	if err != nil {
		return "", err
	}
	_, claims, err := decodeToken(short)
	if err != nil {
		return "", err
	}
	exp, ok := dateOf(claims, "exp")
	if !ok {
		return "", errors.New("the token has no exp")
	}
	return short, d.wait(ctx, "until its exp", exp)
}

// another registers a client and returns a token of its.
func (d *demo) another(ctx context.Context, name, resource string, flags ...string) (string, error) {
	var c client.RegisteredClient
	if err := d.quietly(ctx, &c, append([]string{"client", "create", "--name", name, "--resource", resource}, flags...)...); err != nil {
		return "", err
	}
	t, err := d.fetch(ctx, d.briefly(), c.ClientID, text(c.ClientSecret), resource)
	if err != nil {
		return "", err
	}
	_, claims, err := decodeToken(t.AccessToken)
	if err != nil {
		return "", err
	}
	var said struct{ Aud string }
	if err := json.Unmarshal(claims, &said); err != nil {
		return "", err
	}
	exp, _ := dateOf(claims, "exp")
	d.fact("the token says", "aud "+said.Aud+", exp "+instant(&exp))
	return t.AccessToken, nil
}

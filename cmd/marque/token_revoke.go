package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
)

func (a *app) tokenRevoke() *cobra.Command {
	var p *printer
	var conn *connection
	cmd := verb("revoke", "Void the token on stdin: as an admin, or with --issuer and --client-id as the client that it was issued to", func(cmd *cobra.Command, _ []string) error {
		asClient := !conn.remote.given() && (conn.remote.issuer != "" || conn.remote.clientID != "")
		if asClient {
			return a.revokeAsClient(cmd, p, conn)
		}
		api, err := conn.open()
		if err != nil {
			return err
		}
		compact, err := a.readToken(cmd.Context())
		if err != nil {
			return err
		}
		r, err := api.RevokeTokenWithResponse(cmd.Context(), nil, client.TokenRevocation{Token: compact})
		if err != nil {
			return conn.failed(err)
		}
		if r.JSON200 == nil {
			return refusedBy(r.ApplicationProblemJSONDefault, r.StatusCode(), subject{
				missing: "this is no token of this server, or it has expired: there is nothing to revoke",
			})
		}
		if at := r.JSON200.CreatedAt; olderAnswer(at, r.HTTPResponse.Header) {
			a.note("It was void already, since %s; nothing has changed.", instant(&at))
		}
		return p.print(r.JSON200, func(w io.Writer) { revocationCard(w, r.JSON200) })
	})
	cmd.Long = "Voids the token on stdin. Through the admin socket, or --admin, any token of this server. With\n" +
		"--issuer and --client-id and without --admin, as that client at the revocation endpoint (RFC 7009),\n" +
		"which revokes what was issued to it; what is unknown or expired there counts as revoked."
	p, conn = a.printing(cmd), a.changing(cmd)
	return cmd
}

// olderAnswer reports whether what an answer shows was made before the request, by the server's clock. Both
// times are cut to seconds, so what was made within the last one passes for new.
func olderAnswer(made time.Time, answer http.Header) bool {
	now, err := http.ParseTime(answer.Get("Date"))
	return err == nil && now.Sub(made) > time.Second
}

// revokeAsClient does what any OAuth client does: RFC 7009, Section 2.1.
func (a *app) revokeAsClient(cmd *cobra.Command, p *printer, conn *connection) error {
	r := &conn.remote
	switch {
	case r.issuer == "" || r.clientID == "":
		return usagef("--issuer and --client-id go together")
	case conn.data != "" || conn.reason != "":
		return usagef("--data and --reason are for admins; a client has neither")
	}
	if _, err := plainHTTP("--issuer", r.issuer); err != nil {
		return err
	}
	secret, err := a.clientSecret(r.secretFile, r.fileFlag)
	if err != nil {
		return err
	}
	compact, err := a.readToken(cmd.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), callTimeout)
	defer cancel()
	served, err := discover(ctx, r.issuer)
	if err != nil {
		return err
	}
	endpoint, err := served.endpoint("revocation endpoint", served.RevocationEndpoint)
	if err != nil {
		return err
	}
	if err := revokeAt(ctx, endpoint, r.clientID, secret, compact); err != nil {
		return err
	}
	return p.print(struct {
		Revoked bool `json:"revoked"`
	}{true}, func(w io.Writer) { fmt.Fprintln(w, revokedText(compact, r.issuer, r.clientID)) })
}

// revokedText says what the answer means. The endpoint answers alike for what is no token, and for one
// that has expired (RFC 7009, Section 2.2).
func revokedText(compact, issuer, clientID string) string {
	var says struct {
		Issuer   string `json:"iss"`
		ClientID string `json:"client_id"`
	}
	if _, claims, err := decodeToken(compact); err == nil && json.Unmarshal(claims, &says) == nil && says.Issuer == issuer && says.ClientID == clientID {
		return "revoked"
	}
	return "revoked, or never a token of this client"
}

// revokeAt sends one revocation request. Name and secret are form-encoded before they are joined: RFC
// 6749, Section 2.3.1.
func revokeAt(ctx context.Context, endpoint, clientID string, secret configs.Secret, compact string) error {
	form := url.Values{"token": {compact}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(secret.Reveal()))
	resp, err := (&repeating{outward()}).Do(req)
	if err != nil {
		return fmt.Errorf("ask the revocation endpoint: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var refusal struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenInput))
	if err != nil || json.Unmarshal(body, &refusal) != nil || refusal.Error == "" {
		return errors.New("the revocation endpoint answered " + clean(resp.Status) + requestOf(resp))
	}
	message := "refused: " + refusal.Error
	if refusal.Description != "" {
		message += ": " + refusal.Description
	}
	return errors.New(clean(message + requestOf(resp)))
}

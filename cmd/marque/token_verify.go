package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// verified is what a good token says, in the names of its claims.
type verified struct {
	Issuer       string   `json:"iss"`
	Subject      string   `json:"sub"`
	Audience     []string `json:"aud"`
	ClientID     string   `json:"client_id"`
	CredentialID string   `json:"credential_id,omitempty"`
	Scope        string   `json:"scope,omitempty"`
	IssuedAt     int64    `json:"iat"`
	Expiry       int64    `json:"exp"`
	JTI          string   `json:"jti"`
}

func (a *app) tokenVerify() *cobra.Command {
	var p *printer
	var issuer, audience string
	cmd := verb("verify", "Verify a token on stdin as a service would, by the issuer's published keys", func(cmd *cobra.Command, _ []string) error {
		insecure, err := plainHTTP("--issuer", issuer)
		if err != nil {
			return err
		}
		compact, err := a.readToken(cmd.Context())
		if err != nil {
			return err
		}
		v, err := verify(cmd.Context(), compact, verifier.Config{
			Issuer: issuer, Audience: audience, InsecureHTTP: insecure, InsecureTypJWT: true,
			Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return err
		}
		return p.print(v, func(w io.Writer) {
			fmt.Fprintln(w, "valid by the issuer's keys; whether it was revoked was not asked")
			card(w,
				"iss", v.Issuer,
				"sub", v.Subject,
				"aud", strings.Join(v.Audience, " "),
				"client_id", v.ClientID,
				"credential_id", v.CredentialID,
				"scope", v.Scope,
				"iat", dated(time.Unix(v.IssuedAt, 0)),
				"exp", dated(time.Unix(v.Expiry, 0)),
				"jti", v.JTI,
			)
		})
	})
	cmd.Flags().StringVar(&issuer, "issuer", "", "the issuer that the token must come from")
	cmd.Flags().StringVar(&audience, "audience", "", "the API that the token must be for")
	_ = cmd.MarkFlagRequired("issuer")
	_ = cmd.MarkFlagRequired("audience")
	p = a.printing(cmd)
	return cmd
}

// verify checks one token with the library that services use. Both types of token are taken: the
// resource decides which one it gets, and the person at the terminal need not know.
func verify(ctx context.Context, compact string, c verifier.Config) (verified, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	v, err := verifier.New(ctx, c)
	if err != nil {
		return verified{}, err
	}
	defer v.Close()
	t, err := v.Verify(ctx, compact)
	var refusal *token.Error
	if errors.As(err, &refusal) {
		return verified{}, refusalOf(refusal, compact, c)
	}
	if err != nil {
		return verified{}, fmt.Errorf("the token could not be judged: %w", err)
	}
	return verified{
		Issuer: t.Issuer(), Subject: t.Subject(), Audience: t.Audience(), ClientID: t.ClientID(), CredentialID: t.CredentialID(),
		Scope: strings.Join(t.Scopes(), " "), IssuedAt: t.IssuedAt().Unix(), Expiry: t.Expiry().Unix(), JTI: t.JTI(),
	}, nil
}

// refusalOf says why a token is refused. Services tell their callers nothing of it; the person at
// this terminal holds the token and asks for the reason.
func refusalOf(e *token.Error, compact string, c verifier.Config) error {
	message := "the token is refused: " + string(e.Reason)
	if e.Err != nil {
		message += ": " + e.Err.Error()
	}
	if more := comparison(e.Reason, compact, c); more != "" {
		message += "; " + more
	}
	return errors.New(clean(message))
}

// comparison sets what the token says beside what was wanted, where that is what differs. The caller
// brought both.
func comparison(reason token.Reason, compact string, c verifier.Config) string {
	_, claims, err := decodeToken(compact)
	if err != nil {
		return ""
	}
	says := func(name string) string {
		var all map[string]json.RawMessage
		if json.Unmarshal(claims, &all) != nil || all[name] == nil {
			return "nothing"
		}
		return string(all[name])
	}
	switch reason {
	case token.ReasonAudience:
		return fmt.Sprintf("its aud is %s, and --audience is %q", says("aud"), c.Audience)
	case token.ReasonIssuer:
		return fmt.Sprintf("its iss is %s, and --issuer is %q", says("iss"), c.Issuer)
	case token.ReasonExpired:
		if t, ok := dateOf(claims, "exp"); ok {
			return "its exp is " + dated(t)
		}
	case token.ReasonNotYetValid:
		for _, name := range []string{"nbf", "iat"} {
			if t, ok := dateOf(claims, name); ok && t.After(time.Now()) {
				return "its " + name + " is " + dated(t)
			}
		}
	default:
	}
	return ""
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/marque-auth/marque/configs"
)

// issued is a token response: RFC 6749, Section 5.1.
type issued struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope,omitempty"`
}

func (a *app) tokenGet() *cobra.Command {
	var (
		p                      *printer
		issuer, id, secretFile string
		scopes, resources      []string
	)
	cmd := verb("get", "Get an access token with a client's credentials", func(cmd *cobra.Command, _ []string) error {
		a.noteCommas(scopes...)
		if _, err := plainHTTP("--issuer", issuer); err != nil {
			return err
		}
		secret, err := a.clientSecret(secretFile, "secret-file")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithValue(cmd.Context(), oauth2.HTTPClient, outward()), callTimeout)
		defer cancel()
		served, err := discover(ctx, issuer)
		if err != nil {
			return err
		}
		endpoint, err := served.endpoint("token endpoint", served.TokenEndpoint)
		if err != nil {
			return err
		}
		t, err := getToken(ctx, clientcredentials.Config{
			ClientID: id, ClientSecret: secret.Reveal(), TokenURL: endpoint, AuthStyle: oauth2.AuthStyleInHeader,
			Scopes: scopes, EndpointParams: url.Values{"resource": resources},
		})
		if err != nil {
			return err
		}
		return p.print(t, func(w io.Writer) { fmt.Fprintln(w, t.AccessToken) })
	})
	f := cmd.Flags()
	f.StringVar(&issuer, "issuer", "", "the server's issuer identifier")
	f.StringVar(&id, "client-id", "", "the client's identifier; its secret comes in $"+configs.VariableClientSecret+" or by --secret-file")
	f.StringVar(&secretFile, "secret-file", "", "the file with the client's secret")
	f.StringArrayVar(&scopes, "scope", nil, "what to ask for; repeats, and takes several with spaces between")
	f.StringArrayVar(&resources, "resource", nil, "the API that the token is for; repeats")
	_ = cmd.MarkFlagRequired("issuer")
	_ = cmd.MarkFlagRequired("client-id")
	p = a.printing(cmd)
	return cmd
}

// clientSecret reads the secret from the file, or else from the environment. One line end after it
// is not part of it.
func (a *app) clientSecret(file, flag string) (configs.Secret, error) {
	text := ""
	for _, kv := range a.environ {
		if v, ok := strings.CutPrefix(kv, configs.VariableClientSecret+"="); ok {
			text = v
		}
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return configs.Secret{}, fmt.Errorf("read the client's secret: %w", unreadable(file, err))
		}
		text = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	}
	if text == "" {
		return configs.Secret{}, usagef("the client's secret is missing: set %s, or name a file with --%s", configs.VariableClientSecret, flag)
	}
	return configs.NewSecret(text), nil
}

// askForToken asks again when the server says after how long that helps (503 and 429 with Retry-After).
func askForToken(ctx context.Context, c clientcredentials.Config) (*oauth2.Token, error) {
	for attempt := 1; ; attempt++ {
		t, err := c.Token(ctx)
		var refusal *oauth2.RetrieveError
		if !errors.As(err, &refusal) || refusal.Response.Header.Get("Retry-After") == "" || attempt == maxAttempts {
			return t, err
		}
		pause, again := pauseAfter(refusal.Response, nil)
		if !again {
			return t, err
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}

// tokenRefusal is what the token endpoint said no with.
type tokenRefusal struct{ code, message string }

func (e *tokenRefusal) Error() string { return e.message }

// getToken asks for a token, and explains a refusal by what the server said of it.
func getToken(ctx context.Context, c clientcredentials.Config) (issued, error) {
	t, err := askForToken(ctx, c)
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) && refusal.ErrorCode != "" {
		message := "refused: " + refusal.ErrorCode
		if refusal.ErrorDescription != "" {
			message += ": " + refusal.ErrorDescription
		}
		return issued{}, &tokenRefusal{refusal.ErrorCode, clean(message + requestOf(refusal.Response))}
	}
	if errors.As(err, &refusal) {
		return issued{}, errors.New("the token endpoint answered " + refusal.Response.Status + requestOf(refusal.Response))
	}
	if err != nil {
		return issued{}, fmt.Errorf("ask the token endpoint: %w", err)
	}
	scope, _ := t.Extra("scope").(string)
	expires := t.ExpiresIn
	if expires == 0 && !t.Expiry.IsZero() {
		expires = int64(time.Until(t.Expiry).Round(time.Second) / time.Second)
	}
	return issued{AccessToken: t.AccessToken, TokenType: t.TokenType, ExpiresIn: expires, Scope: scope}, nil
}

// requestOf names the request for whoever reads the server's log.
func requestOf(r *http.Response) string {
	if id := r.Header.Get("X-Request-Id"); id != "" {
		return " (request " + id + ")"
	}
	return ""
}

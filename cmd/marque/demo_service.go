package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// demoService is the fulfilment API: an ordinary net/http service behind a verifier.
type demoService struct {
	verifier *verifier.Verifier
	server   *http.Server
	url      string
	log      *lastRefusal
	done     chan error
}

func startService(ctx context.Context, issuer string) (*demoService, error) {
	s := &demoService{log: &lastRefusal{}, done: make(chan error, 1)}
	var err error
	s.verifier, err = verifier.New(ctx, verifier.Config{
		Issuer:       issuer,
		Audience:     demoAPI,
		Leeway:       verifier.NoLeeway, // one machine, one clock
		InsecureHTTP: true,              // the story runs on loopback
		Log:          slog.New(s.log),
	})
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	routes.Handle("GET /orders", s.verifier.Require("orders:read")(http.HandlerFunc(orders)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.verifier.Close()
		return nil, err
	}
	s.url = "http://" + listener.Addr().String()
	s.server = &http.Server{Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	go func() { s.done <- s.server.Serve(listener) }()
	return s, nil
}

func orders(w http.ResponseWriter, r *http.Request) {
	caller, _ := verifier.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"caller": caller.ClientID(), "orders": []string{"A-1", "A-2"}})
}

// Close ends the service and waits until it has ended.
func (s *demoService) Close() error {
	err := s.server.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	s.verifier.Close()
	return err
}

// lastRefusal is a log that remembers why the last token was refused: the caller is not told.
type lastRefusal struct {
	mu     sync.Mutex
	reason token.Reason
}

func (l *lastRefusal) Enabled(context.Context, slog.Level) bool { return true }
func (l *lastRefusal) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lastRefusal) WithGroup(string) slog.Handler            { return l }

func (l *lastRefusal) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		var refusal *token.Error
		if err, ok := a.Value.Any().(error); ok && errors.As(err, &refusal) {
			l.mu.Lock()
			l.reason = refusal.Reason
			l.mu.Unlock()
		}
		return true
	})
	return nil
}

func (l *lastRefusal) take() token.Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	reason := l.reason
	l.reason = ""
	return reason
}

// protect is step 4, the good call: the service verifies the token by itself.
func (d *demo) protect(ctx context.Context) error {
	d.chapter("The API verifies tokens by itself", "an ordinary net/http service with authz/verifier: discovery, JWKS, RFC 9068")
	var err error
	if d.service, err = startService(ctx, d.server.Issuer()); err != nil {
		return err
	}
	d.fact("API", d.service.url+"/orders, audience "+demoAPI+", leeway 0")
	status, body, err := d.call(ctx, d.service.url+"/orders", d.token)
	if err != nil {
		return err
	}
	return d.check("it serves the call, and knows the caller", status == http.StatusOK && strings.Contains(body, d.clientID), "status %d", status)
}

// refuse is step 4, the bad calls: each is refused with one answer, and for its own reason.
func (d *demo) refuse(ctx context.Context) error {
	d.section("and refuses what is not good: its callers get one answer for every defect, its log has the reason")
	tampered, err := tamper(d.token)
	if err != nil {
		return err
	}
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
	d.service.log.take()
	status, _, err := d.call(ctx, d.service.url+"/orders", bad)
	if err != nil {
		return err
	}
	reason := d.service.log.take()
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
	var made struct{ Resource string }
	if err := d.admin(ctx, &made, "resource", "create", demoOther, "--scope", "accounts:create"); err != nil {
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
	wait := max(0, time.Until(exp))
	d.fact("waiting", fmt.Sprintf("%d ms, until its exp", wait.Milliseconds()))
	select {
	case <-time.After(wait):
		return short, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// another registers a client and returns a token of its.
func (d *demo) another(ctx context.Context, name, resource string, flags ...string) (string, error) {
	var c struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := d.admin(ctx, &c, append([]string{"client", "create", "--name", name, "--resource", resource}, flags...)...); err != nil {
		return "", err
	}
	t, err := d.fetch(ctx, c.ID, c.Secret, resource)
	if err != nil {
		return "", err
	}
	return t.AccessToken, nil
}

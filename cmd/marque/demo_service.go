package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
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

// guard stands before the service's handler.
type guard func(*verifier.Verifier) func(http.Handler) http.Handler

func requireOrders(v *verifier.Verifier) func(http.Handler) http.Handler {
	return v.Require("orders:read")
}

// startService starts the service. Its verifier fetches what it needs to know through fetches; edit adds how it
// learns of revocations.
func startService(ctx context.Context, issuer string, fetches http.RoundTripper, g guard, edit func(*verifier.Config)) (*demoService, error) {
	s := &demoService{log: &lastRefusal{}, done: make(chan error, 1)}
	c := verifier.Config{
		Issuer:       issuer,
		Audience:     demoAPI,
		Leeway:       verifier.NoLeeway, // one machine, one clock
		InsecureHTTP: true,              // the story runs on loopback
		HTTPClient:   &http.Client{Transport: fetches},
		Log:          slog.New(s.log),
	}
	edit(&c)
	var err error
	s.verifier, err = verifier.New(ctx, c)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	routes.Handle("GET /orders", g(s.verifier)(http.HandlerFunc(orders)))
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/authz/gate"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/configs"
)

// gateServer is a running gate. startGate makes it, Close ends it.
type gateServer struct {
	config   configs.Gate
	log      *slog.Logger
	listener net.Listener // for proxies
	status   net.Listener // nil if there is none
	verifier *verifier.Verifier
	metrics  *gateMetrics
	live     atomic.Bool
	failed   chan error // of a listener that ended by itself; one place for each

	closing sync.Once
	closers []closer // in order of start
	closed  error    // what closing met; set by closing
}

const (
	gateStart  = 10 * time.Second // how long the start waits for the issuer's metadata and keys
	gateSettle = 2 * time.Second  // and how long, once requests are answered, for what was revoked
)

// startGate brings up a gate. An issuer that does not answer does not keep it from starting: it answers 503 until
// there are keys, and until it is known what was revoked.
func startGate(ctx context.Context, c configs.Gate, log *slog.Logger) (*gateServer, error) {
	g := &gateServer{config: c, log: log, failed: make(chan error, 2), metrics: newGateMetrics(c.Mode, log)}
	for _, step := range []func(context.Context) error{g.listen, g.verify, g.serveStatus, g.serveProxies} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	g.live.Store(true)
	state := "ready"
	if err := g.settled(ctx); err != nil {
		state = "started, and not ready: callers are answered 503: " + err.Error()
	}
	log.InfoContext(ctx, state, "issuer", c.Issuer, "audience", c.Audience, "mode", c.Mode, "listen", g.listener.Addr().String(), "status", g.StatusAddress())
	return g, nil
}

// settled returns once the gate is ready, or with the reason why it is not. Requests are answered meanwhile.
func (g *gateServer) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gateSettle)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		st := g.verifier.Status()
		if st.Ready {
			return nil
		}
		if err := errors.Join(st.Err, g.verifier.FeedStatus().Err); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("what was revoked is not known yet")
		case <-tick.C:
		}
	}
}

// whyNot says in one line why the gate is not ready. It holds no token and no secret.
func (g *gateServer) whyNot() string {
	if !g.live.Load() {
		return "it starts or stops"
	}
	if err := errors.Join(g.verifier.Status().Err, g.verifier.FeedStatus().Err); err != nil {
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return "it does not know yet what it needs from the issuer"
}

// Close stops the gate: no new requests, then the running ones get their grace, then what serves them ends.
func (g *gateServer) Close() error {
	g.closing.Do(func() {
		g.live.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(g.config.Shutdown.Grace))
		defer cancel()
		for _, c := range slices.Backward(g.closers) {
			if err := c.end(ctx); err != nil {
				g.closed = errors.Join(g.closed, fmt.Errorf("stop %s: %w", c.name, err))
			}
		}
	})
	return g.closed
}

func (g *gateServer) onClose(name string, end func(context.Context) error) {
	g.closers = append(g.closers, closer{name, end})
}

// Address is where proxies ask: host:port, or the path of a socket.
func (g *gateServer) Address() string { return g.listener.Addr().String() }

// StatusAddress is where the status is asked for, host:port; empty if there is no such listener.
func (g *gateServer) StatusAddress() string {
	if g.status == nil {
		return ""
	}
	return g.status.Addr().String()
}

func (g *gateServer) listen(ctx context.Context) error {
	var err error
	if path, ok := configs.SocketPath(g.config.Listen); ok {
		g.listener, err = gateSocket(ctx, path)
	} else {
		g.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", g.config.Listen)
	}
	if err != nil {
		return fmt.Errorf("cannot listen for proxies (listen): %w", err)
	}
	g.onClose("a listener", func(context.Context) error { return ignoreClosed(g.listener.Close()) })
	if g.config.StatusListen == "" {
		return nil
	}
	if g.status, err = new(net.ListenConfig).Listen(ctx, "tcp", g.config.StatusListen); err != nil {
		return fmt.Errorf("cannot listen for the status (status_listen): %w", err)
	}
	g.onClose("a listener", func(context.Context) error { return ignoreClosed(g.status.Close()) })
	return nil
}

// gateSocketMode lets the gate's user and group in.
const gateSocketMode = 0o660

// gateSocket listens on a socket at path. What another gate left there is replaced, and what one listens on is not.
func gateSocket(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > admin.MaxSocketPath {
		return nil, fmt.Errorf("the path of the socket has %d bytes and can have at most %d: %q", len(path), admin.MaxSocketPath, path)
	}
	// Nobody is there if the system says so. A gate that has no time for another connection (EAGAIN), or lets nobody in
	// who is not of its group, is one that lives.
	switch c, err := new(net.Dialer).DialContext(ctx, "unix", path); {
	case err == nil:
		_ = c.Close()
		return nil, fmt.Errorf("%q is in use by another program", path)
	case !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%q may be in use by another program: %w", path, err)
	}
	l, err := admin.ListenUnix(path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, gateSocketMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (g *gateServer) verify(ctx context.Context) error {
	secret, err := gateSecret(g.config)
	if err != nil {
		return err
	}
	c := gateVerifier(g.config, secret)
	c.Log, c.OnVerdict = g.log, g.metrics.Judged
	ctx, cancel := context.WithTimeout(ctx, gateStart)
	defer cancel()
	if g.verifier, err = verifier.New(ctx, c); err != nil {
		return err
	}
	g.metrics.Watch(g.verifier)
	g.onClose("the verifier", func(context.Context) error { g.verifier.Close(); return nil })
	return nil
}

// gateSecret is the secret of the gate's client; empty where none is needed.
func gateSecret(c configs.Gate) (verifier.Secret, error) {
	if c.ClientSecretFile == "" {
		return verifier.Secret(c.ClientSecret.Reveal()), nil
	}
	secret, err := readSecretFile("secret", c.ClientSecretFile, false)
	if err != nil {
		return "", at(c.Places, "client_secret_file", err)
	}
	return verifier.Secret(secret), nil
}

// gateVerifier translates the settings.
func gateVerifier(c configs.Gate, secret verifier.Secret) verifier.Config {
	v := verifier.Config{
		Issuer: c.Issuer, Audience: c.Audience, Scopes: c.Scopes, Realm: c.Realm,
		Leeway: time.Duration(c.Leeway), Remember: c.Remember, KeepKeysFor: time.Duration(c.KeepKeysFor),
		InsecureHTTP: c.InsecureHTTP, InsecureTypJWT: c.InsecureTypJWT,
		StartUnready: true,
	}
	if c.Leeway == 0 {
		v.Leeway = verifier.NoLeeway
	}
	if c.Remember == 0 {
		v.Remember = verifier.NoMemory
	}
	if c.Mode == "feed" {
		v.Follow = &verifier.Feed{
			ClientID: c.ClientID, Secret: secret, WhenSilent: verifier.WhenSilent(c.Feed.WhenSilent), OpenFor: time.Duration(c.Feed.OpenFor),
			MaxAge: time.Duration(c.Feed.MaxAge), MaxRevocations: c.Feed.MaxRevocations,
		}
	}
	if c.Mode == "introspection" || v.Follow != nil && v.Follow.WhenSilent == verifier.SilentIntrospect {
		v.Introspect = &verifier.Introspection{
			ClientID: c.ClientID, Secret: secret, Timeout: time.Duration(c.Introspection.Timeout), CacheFor: time.Duration(c.Introspection.CacheFor),
		}
	}
	return v
}

func (g *gateServer) serveProxies(context.Context) error {
	h, err := gate.New(gate.Config{Verifier: g.verifier, Log: g.log, OnCheck: g.metrics.Checked})
	if err != nil {
		return err
	}
	g.serve("the listener for proxies", h, g.listener)
	return nil
}

func (g *gateServer) serveStatus(context.Context) error {
	if g.status == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !g.live.Load() || !g.verifier.Status().Ready {
			http.Error(w, "not ready: "+g.whyNot(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
	mux.Handle("/metrics", g.metrics)
	g.serve("the status listener", mux, g.status)
	return nil
}

// serve runs an HTTP server until Close, which first lets running requests end.
func (g *gateServer) serve(name string, h http.Handler, l net.Listener) {
	server, done := endpoint.NewServer(h, g.log), make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			g.failed <- fmt.Errorf("%s: %w", name, err)
		}
	}()
	g.onClose(name, func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		<-done
		return ignoreClosed(err)
	})
}

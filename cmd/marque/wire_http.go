package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// What is served, as closers are named.
const (
	publicServer = "the public listener"
	adminServer  = "the admin listener"
	socketServer = "the admin socket"
)

// listen takes every address. Requests wait there, unanswered, until they are served.
func (s *server) listen(ctx context.Context) error {
	var err error
	if s.listener, err = s.take(ctx, "listen", s.config.Listen); err != nil {
		return err
	}
	if s.config.Admin.Listen != "" {
		if s.admin, err = s.take(ctx, "admin.listen", s.config.Admin.Listen); err != nil {
			return err
		}
	}
	if s.local, err = admin.ListenUnix(s.Socket()); err != nil {
		return err
	}
	s.closeLater(s.local)
	return nil
}

// take listens on the address of a setting.
func (s *server) take(ctx context.Context, setting, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, at(s.config.Places, setting, fmt.Errorf("%s is in use by another program; choose another with --%s", address, strings.ReplaceAll(setting, ".", "-")))
	}
	if err != nil {
		return nil, at(s.config.Places, setting, fmt.Errorf("cannot listen on %s; choose another with --%s: %w", address, strings.ReplaceAll(setting, ".", "-"), err))
	}
	s.closeLater(l)
	return l, nil
}

func (s *server) closeLater(l net.Listener) {
	s.onClose("a listener", func(context.Context) error { return ignoreClosed(l.Close()) })
}

func (s *server) servePublic(context.Context) error {
	h, err := s.publicHandler()
	if err != nil {
		return err
	}
	s.serveTCP(publicServer, h, s.listener)
	return nil
}

// serveTCP runs an HTTP server that strangers can reach: with a certificate it speaks TLS.
func (s *server) serveTCP(name string, h http.Handler, l net.Listener) {
	if s.takesOver(l, h) {
		return
	}
	server := endpoint.NewServer(h, s.log)
	if s.certificate != nil {
		server.TLSConfig.Certificates = []tls.Certificate{*s.certificate}
		l = tls.NewListener(l, server.TLSConfig)
	}
	s.serve(name, server, l)
}

func (s *server) loadCertificate(context.Context) error {
	if s.config.TLS.CertFile == "" {
		return nil
	}
	certificate, err := readCertificate(s.config)
	s.certificate = &certificate
	return err
}

func readCertificate(c configs.Config) (tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
	if err != nil {
		return certificate, at(c.Places, "tls.cert_file", fmt.Errorf("read the certificate (tls.cert_file, tls.key_file): %w", err))
	}
	return certificate, nil
}

// serveAdmin answers local commands on the socket in the data folder.
func (s *server) serveAdmin(context.Context) error {
	h, err := admin.New(s.adminConfig())
	if err != nil {
		return err
	}
	s.serveLocal(h)
	return nil
}

// serveLocal runs the HTTP server of the admin socket.
func (s *server) serveLocal(h http.Handler) {
	if s.takesOver(s.local, h) {
		return
	}
	local := endpoint.NewServer(h, s.log)
	local.ConnContext = admin.ConnContext
	s.serve(socketServer, local, s.local)
}

// adminConfig is what the management API is made of, whichever way it is reached.
func (s *server) adminConfig() admin.Config {
	return admin.Config{
		Registry: s.registry, Tokens: s.tokens, Keys: adminKeys{s.ring, s.db, s.indexKeys}, Refusals: s.refusals, Log: s.log,
		Status: s.status, Passes: s.passes,
		Doctor: func(ctx context.Context) ([]admin.Finding, error) {
			var all []admin.Finding
			for _, f := range s.examine(ctx) {
				all = append(all, admin.Finding(f))
			}
			return all, nil
		},
		Backup: s.backup,
	}
}

// passes reports whether a fault may be over when the request is said again: the store is away, or full, or went
// back in time, or has not confirmed what was written. What somebody has to mend, as a damaged record, does not.
func (s *server) passes(err error) bool {
	for _, damage := range []error{store.ErrDamaged, authz.ErrDamaged, keys.ErrDamaged, store.ErrNewerFormat, keys.ErrNewerFormat} {
		if errors.Is(err, damage) {
			return false
		}
	}
	for _, unknown := range []error{errRevocationLost, keys.ErrRegressed, keys.ErrNotReady, keys.ErrStale, context.DeadlineExceeded} {
		if errors.Is(err, unknown) {
			return true
		}
	}
	return s.backend.passes(err)
}

// serveAdminTCP answers on the admin address, unless there is none.
func (s *server) serveAdminTCP(context.Context) error {
	if s.admin == nil {
		return nil
	}
	proxies, err := networks(s.config.TrustedProxies)
	if err != nil {
		return err
	}
	h, err := admin.NewTCP(s.adminConfig(), admin.TCPConfig{
		Hosts:        adminHosts(s.config.Admin, s.issuer),
		Authenticate: s.tokens.Admin,
		Failures:     s.config.Limits.Failures,
		Refused: func(r authz.Refusal) {
			s.refusals.Add(r)
			s.metrics.AdminRefused(r.Cause)
		},
		Metrics:     s.metrics,
		OpenMetrics: isLoopback(s.admin),
		Address:     func(r *http.Request) netip.Addr { return endpoint.CallerAddress(r, proxies) },
		Now:         s.now,
	})
	if err != nil {
		return err
	}
	s.serveTCP(adminServer, h, s.admin)
	return nil
}

// isLoopback reports whether nobody on another machine can reach a listener.
func isLoopback(l net.Listener) bool {
	at, err := netip.ParseAddrPort(l.Addr().String())
	return err == nil && at.Addr().IsLoopback()
}

// adminHosts are the names that the admin listener goes by: those that are set, the issuer's, which is
// what the certificate says, and the address that it listens on if that is one.
func adminHosts(c configs.AdminConfig, issuer string) []string {
	hosts := slices.Clone(c.Hosts)
	if u, err := url.Parse(issuer); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil {
		if a, err := netip.ParseAddr(host); (err == nil && !a.IsUnspecified()) || (err != nil && host != "") {
			hosts = append([]string{host}, hosts...)
		}
	}
	return hosts
}

// serve runs an HTTP server until Close, which first lets running requests end.
func (s *server) serve(name string, h *http.Server, l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("%s: %w", name, err)
		}
	}()
	s.onClose(name, func(ctx context.Context) error {
		err := h.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			s.log.WarnContext(ctx, "requests were cut off: they ran longer than shutdown.grace", "listener", name)
			err = h.Close()
		}
		<-done
		return ignoreClosed(err)
	})
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func networks(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list {
		p, err := configs.ParseNetwork(s)
		if err != nil {
			return nil, fmt.Errorf("trusted_proxies: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

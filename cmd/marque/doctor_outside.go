package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	soonExpired = 21 * 24 * time.Hour // a certificate with less left should have been renewed
	issuerWait  = 5 * time.Second     // for what the issuer serves
)

// lookAtCertificate checks the certificate on the disk, which the next start uses, against the clock,
// the issuer and the one in use.
func (d *doctor) lookAtCertificate() {
	const check = "tls"
	file := d.config.TLS.CertFile
	if file == "" {
		return
	}
	if info, err := os.Stat(d.config.TLS.KeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		d.error(check, d.config.TLS.KeyFile, "chmod o= "+shellWord(d.config.TLS.KeyFile), "everyone can get at the certificate's private key: mode %04o", info.Mode().Perm())
	}
	pair, err := readCertificate(d.config)
	if err != nil {
		d.error(check, file, "put a certificate and its key in place; the next start needs them", "%v", err)
		return
	}
	leaf := leafOf(pair)
	if leaf == nil {
		d.error(check, file, "put a certificate in place", "holds no certificate that can be read")
		return
	}
	d.lookAtDates(check, file, leaf)
	if u, err := url.Parse(d.issuer); err == nil && u.Scheme == "https" {
		if err := leaf.VerifyHostname(u.Hostname()); err != nil {
			d.warning(check, file, "get a certificate for "+u.Hostname()+", unless a proxy has one",
				"is not for %s, the host of the issuer: clients that come here directly refuse it", u.Hostname())
		}
	}
	if d.server != nil && d.server.certificate != nil {
		if used := leafOf(*d.server.certificate); used != nil && !used.Equal(leaf) {
			d.warning(check, file, "restart the server", "was renewed, and the server still uses the one that ends at %s", instant(&used.NotAfter))
			if d.now().After(used.NotAfter) {
				d.error(check, file, "restart the server", "the certificate in use has expired")
			}
		}
	}
}

func (d *doctor) lookAtDates(check, file string, leaf *x509.Certificate) {
	const fix = "renew the certificate, and restart the server"
	switch left := leaf.NotAfter.Sub(d.now()); {
	case left <= 0:
		d.error(check, file, fix, "expired at %s", instant(&leaf.NotAfter))
	case d.now().Before(leaf.NotBefore):
		d.error(check, file, "check the clock", "is not valid before %s", instant(&leaf.NotBefore))
	case left < soonExpired && left < leaf.NotAfter.Sub(leaf.NotBefore)/3: // short-lived ones are renewed late
		d.warning(check, file, fix, "expires at %s", instant(&leaf.NotAfter))
	default:
		d.ok(check, file, "is valid until %s", instant(&leaf.NotAfter))
	}
}

func leafOf(pair tls.Certificate) *x509.Certificate {
	if pair.Leaf != nil || len(pair.Certificate) == 0 {
		return pair.Leaf
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}

// lookAtListeners judges where the server listens, and how.
func (d *doctor) lookAtListeners(ctx context.Context) {
	const check = "listeners"
	c := d.config
	plain := c.TLS.CertFile == ""
	if c.InsecureHTTP {
		d.warning(check, "", "use https, and drop insecure_http", "insecure_http is on: tokens and secrets may be read on their way%s", d.asConfigured())
	}
	if strings.HasPrefix(d.issuer, "https://") && plain && len(c.TrustedProxies) == 0 {
		d.warning(check, c.Listen, "name the proxies that end TLS in trusted_proxies",
			"speaks plain http while the issuer is https, and no proxy is trusted: every partner seems to come from the proxy's address%s", d.asConfigured())
	}
	for _, l := range []struct {
		name, address string
		taken         net.Listener
	}{
		{"public", c.Listen, d.listener(func(s *server) net.Listener { return s.listener })},
		{"admin", c.Admin.Listen, d.listener(func(s *server) net.Listener { return s.admin })},
	} {
		how := map[bool]string{true: "plain http", false: "https"}[plain]
		switch {
		case l.address == "":
			d.ok(check, l.name, "none")
		case d.server != nil && l.taken != nil:
			d.ok(check, l.name, "%s, %s", l.taken.Addr(), how)
		default:
			d.lookAtPort(ctx, l.name, l.address)
		}
		if l.name == "admin" && l.address != "" && plain && !configs.Loopback(l.address) {
			d.warning(check, l.name, "name a certificate (tls.cert_file, tls.key_file), or listen on loopback",
				"%s is beyond loopback without TLS of its own: admins' tokens pass in the clear as far as the proxy%s", l.address, d.asConfigured())
		}
	}
}

// asConfigured marks what a flag of serve may have decided otherwise.
func (d *doctor) asConfigured() string {
	if d.server != nil {
		return ""
	}
	return " (as configured here; flags that serve gets are not known while it does not run)"
}

func (d *doctor) listener(of func(*server) net.Listener) net.Listener {
	if d.server == nil {
		return nil
	}
	return of(d.server)
}

// lookAtPort tries to listen where the next start would.
func (d *doctor) lookAtPort(ctx context.Context, name, address string) {
	const check = "listeners"
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		d.warning(check, name, "stop that program, or choose another address", "%s is in use by another program", address)
	case err != nil:
		d.error(check, name, "choose another address", "cannot listen on %s: %v", address, err)
	default:
		d.ok(check, name, "%s is free", address)
		_ = l.Close()
	}
}

// lookAtIssuer compares what the world gets at the issuer with what this server serves. It asks only
// when a server runs: nothing can be expected of an issuer whose server is stopped.
func (d *doctor) lookAtIssuer(ctx context.Context) {
	const check = "issuer"
	if d.server == nil {
		d.ok(check, d.issuer, "not asked, because no server runs on this folder")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, issuerWait)
	defer cancel()
	served, err := discover(ctx, d.issuer)
	var unknown x509.UnknownAuthorityError
	var network net.Error
	switch {
	case errors.As(err, &unknown):
		d.warning(check, d.issuer, "if partners trust the certificate's authority, make this machine trust it too", "this machine does not trust its certificate: %v", err)
		return
	case errors.As(err, &network):
		d.warning(check, d.issuer, "check the name, the firewall and the proxy; try curl from a partner's network", "cannot be reached from this machine: %v", err)
		return
	case err != nil:
		d.error(check, d.issuer, "let the issuer's host and path lead to this server, unchanged", "%v", err)
		return
	}
	d.ok(check, d.issuer, "serves its own metadata")
	// What answers there may be somebody else, and must not choose what this server asks for next.
	if u, err := url.Parse(served.JWKSURI); err != nil || u.Scheme != served.from.Scheme || u.Host != served.from.Host {
		d.error(check, d.issuer, "let the issuer's host and path lead to this server, unchanged", "its metadata names keys on another host: %q", served.JWKSURI)
		return
	}
	d.lookAtServedKeys(ctx, served.JWKSURI)
}

// lookAtServedKeys wants every key that this server publishes to be in the document that services get.
func (d *doctor) lookAtServedKeys(ctx context.Context, address string) {
	const check = "issuer"
	body, status, err := document(ctx, address)
	if err != nil || status != "" {
		d.error(check, address, "let it lead to this server, unchanged", "the JWKS cannot be had: %s", firstOf(status, err))
		return
	}
	set, err := jose.ParseSet(body)
	if err != nil {
		d.error(check, address, "let it lead to this server, unchanged", "is no JWKS: %v", err)
		return
	}
	var served []string
	for _, k := range set.Keys() {
		served = append(served, k.KeyID())
	}
	missing := 0
	for _, k := range d.server.ring.List() {
		published := k.State == keys.StateNext || k.State == keys.StateActive || k.State == keys.StateRetiring
		if published && !slices.Contains(served, k.KeyID) {
			missing++
			d.error(check, k.KeyID, "let "+address+" lead to this server, and let no cache keep it longer than keys.jwks_max_age",
				"this key is %s, and services do not get it: %s lacks it", k.State, address)
		}
		if k.State == keys.StateRevoked && slices.Contains(served, k.KeyID) {
			d.error(check, k.KeyID, "purge the cache in front of "+address, "this key is revoked, and %s still has it", address)
		}
	}
	if missing == 0 {
		d.ok(check, address, "has every published key")
	}
}

func firstOf(status string, err error) string {
	if err != nil {
		return err.Error()
	}
	return status
}

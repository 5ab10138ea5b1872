package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Get, read, verify and revoke access tokens", a.tokenGet(), a.tokenInspect(), a.tokenVerify(), a.tokenRevoke())
}

// callTimeout bounds what is asked of an issuer.
const callTimeout = 30 * time.Second

// outward returns the HTTP client of commands that talk to an issuer. It follows no redirects: what
// it sends is for the issuer alone.
func outward() *http.Client {
	return &http.Client{
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// plainHTTP reports whether a URL is http, and refuses one that leaves this machine: what goes there
// is a secret, and what comes back are keys to be trusted.
func plainHTTP(flag, address string) (bool, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return false, usagef("%s: %q is not a URL such as https://as.example", flag, address)
	}
	if u.Scheme == "https" {
		return false, nil
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || (err == nil && ip.Unmap().IsLoopback()) {
		return true, nil
	}
	return false, fmt.Errorf("%s is plain http to another machine, where anyone on the way can read and change what is said; use https", net.JoinHostPort(u.Hostname(), portOf(u)))
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return "80"
}

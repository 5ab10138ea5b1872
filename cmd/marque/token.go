package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Get, read and verify access tokens", a.tokenGet(), a.tokenInspect(), a.tokenVerify())
}

// Limits of what is read from elsewhere.
const (
	maxTokenInput = 64 << 10 // bytes of stdin
	callTimeout   = 30 * time.Second
)

// readToken reads one token from stdin; white space around it is dropped.
func (a *app) readToken() (string, error) {
	if f, ok := a.stdin.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			a.note("Reading a token from the terminal; end it with Ctrl-D.")
		}
	}
	b, err := io.ReadAll(io.LimitReader(a.stdin, maxTokenInput+1))
	if err != nil {
		return "", fmt.Errorf("read the token from stdin: %w", err)
	}
	token := strings.TrimSpace(string(b))
	switch {
	case len(b) > maxTokenInput:
		return "", fmt.Errorf("what came on stdin is no token: it is larger than %d bytes", maxTokenInput)
	case token == "":
		return "", errors.New("no token came on stdin")
	}
	return token, nil
}

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
func plainHTTP(issuer string) (bool, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return false, usagef("--issuer: %q is not a URL such as https://as.example", issuer)
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

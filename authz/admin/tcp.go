package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
)

// TCPConfig is what the TCP listener needs beside Config. Only Authenticate is required.
type TCPConfig struct {
	// Hosts are the names under which the listener may be called, beside localhost and the loopback
	// addresses: host names or IP addresses, without a port. Default none.
	Hosts []string

	// Authenticate returns who bears an access token for the management API: the Admin method of an
	// authz.Server, with its errors. Any other error means that the token could not be judged.
	Authenticate func(ctx context.Context, token string) (audit.Actor, error)

	// Failures is how many refused tokens a minute one address may send before they are answered 429
	// instead of 401. A good token is never refused for it. 0 is no limit.
	Failures int

	// Address returns who sent a request, as the proxies that are trusted tell. Nil: whoever is at the
	// other end of the connection.
	Address func(r *http.Request) netip.Addr

	// Refused is told of every caller that was not let in. Nil: nobody is. It must not block.
	Refused func(r authz.Refusal)

	// Metrics answers GET and HEAD of /metrics. Nil: there is no such path.
	Metrics http.Handler

	// OpenMetrics lets callers on this machine read the metrics without a token. Set it where the
	// listener cannot be reached from elsewhere.
	OpenMetrics bool

	Now func() time.Time // nil means time.Now
}

// NewTCP returns the handler of the management API for callers over TCP, who bring an access token.
func NewTCP(c Config, over TCPConfig) (http.Handler, error) {
	h, err := newHandler(c)
	t, tcpErr := newTCP(over)
	if err := errors.Join(err, tcpErr); err != nil {
		return nil, err
	}
	t.log = c.Log
	h.caller = t.caller
	return h, nil
}

func newTCP(c TCPConfig) (*tcp, error) {
	var errs []error
	hosts := make([]string, 0, len(c.Hosts))
	for _, host := range c.Hosts {
		name, ok := hostName(host)
		if _, _, err := net.SplitHostPort(host); !ok || err == nil {
			errs = append(errs, fmt.Errorf("admin: TCPConfig.Hosts: %q is no host name or address without a port", host))
		}
		hosts = append(hosts, name)
	}
	if c.Authenticate == nil {
		errs = append(errs, errors.New("admin: TCPConfig.Authenticate is missing"))
	}
	if c.Failures < 0 {
		errs = append(errs, errors.New("admin: TCPConfig.Failures is negative"))
	}
	if c.Address == nil {
		c.Address = peerAddress
	}
	if c.Refused == nil {
		c.Refused = func(authz.Refusal) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	failures, err := newFailures(c.Failures, c.Now)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return &tcp{TCPConfig: c, hosts: hosts, failures: failures}, nil
}

// caller decides who calls over TCP. Until somebody is let in, nothing of the request is looked at but
// Host, Authorization and the query's access_token, and the answer depends on nothing else: whoever is
// not authenticated learns neither which paths exist nor what a body must look like.
func (t *tcp) caller(w *reply, r *http.Request) (audit.Actor, bool) {
	if !t.known(r.Host) {
		problem(w, http.StatusMisdirectedRequest, "this listener is called by another name")
		return audit.Actor{}, false
	}
	scrape := t.Metrics != nil && r.URL.EscapedPath() == metricsPath
	if scrape && t.OpenMetrics && t.onThisMachine(r) {
		t.metrics(w, r)
		return audit.Actor{}, false
	}
	actor, ok := t.authenticate(w, r)
	if ok && scrape {
		t.metrics(w, r)
		return audit.Actor{}, false
	}
	return actor, ok
}

const metricsPath = "/metrics"

func (t *tcp) metrics(w *reply, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "this path has other methods: see Allow")
		return
	}
	t.Metrics.ServeHTTP(w, r)
}

// onThisMachine reports whether a request comes from this machine and was not passed on by a proxy on
// it, which would lend everybody its loopback address.
func (t *tcp) onThisMachine(r *http.Request) bool {
	for _, passedOn := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if len(r.Header.Values(passedOn)) > 0 {
			return false
		}
	}
	return peerAddress(r).IsLoopback() && t.Address(r).IsLoopback()
}

// peerAddress returns the address at the other end of the connection; invalid when there is none.
func peerAddress(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// known reports whether the Host field names this listener. DNS rebinding: a page at a name that its
// owner points to 127.0.0.1 is same-origin with us in the browser of whoever visits it, but sends its
// own name here.
func (t *tcp) known(host string) bool {
	name, ok := hostName(host)
	if !ok {
		return false
	}
	if addr, err := netip.ParseAddr(name); err == nil && addr.IsLoopback() {
		return true
	}
	return name == "localhost" || slices.Contains(t.hosts, name)
}

// hostName returns the host of a Host field in one form: lower case, an address as netip writes it,
// without port and brackets.
func hostName(host string) (string, bool) {
	if name, port, err := net.SplitHostPort(host); err == nil && isPort(port) {
		host = name
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		return addr.Unmap().String(), true
	}
	return strings.ToLower(host), host != "" && !strings.ContainsAny(host, " :/@[]%")
}

func isPort(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

package admin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// TCPConfig is what the handler of the TCP listener needs.
type TCPConfig struct {
	// Hosts are the names under which the listener may be called, beside localhost and the loopback
	// addresses: host names or IP addresses, without a port. Default none.
	Hosts []string
}

// NewTCP returns the handler of the management API for callers over TCP. Nobody can authenticate there,
// so every request is answered 401; one for another host, 421.
func NewTCP(c TCPConfig) (http.Handler, error) {
	hosts := make([]string, 0, len(c.Hosts))
	var errs []error
	for _, host := range c.Hosts {
		name, ok := hostName(host)
		if _, _, err := net.SplitHostPort(host); !ok || err == nil {
			errs = append(errs, fmt.Errorf("admin: TCPConfig.Hosts: %q is no host name or address without a port", host))
		}
		hosts = append(hosts, name)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &tcp{hosts}, nil
}

// tcp refuses; its fields do not change.
type tcp struct{ hosts []string }

func (t *tcp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin(w, rand.Text())
	if !t.known(r.Host) {
		problem(w, http.StatusMisdirectedRequest, "this listener is called by another name")
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="marque-admin"`) // RFC 6750, Section 3
	problem(w, http.StatusUnauthorized, "over TCP nobody is let in; use the server's unix socket")
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

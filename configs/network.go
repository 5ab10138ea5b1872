package configs

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// checkIssuer wants what RFC 8414, Section 2 wants of an issuer, and no trailing slash: everybody
// compares issuers as strings, and one slash is the commonest difference.
func (l *serverLoader) checkIssuer() {
	c := &l.loaded.Config
	if c.Issuer == "" || !l.readable("issuer") {
		return
	}
	if problem := IssuerProblem(c.Issuer, c.Dev || c.InsecureHTTP, l.advice("insecure_http")); problem != "" {
		l.wrong("issuer", "%q %s", c.Issuer, problem)
	}
}

// IssuerProblem says why a text cannot be an issuer, or returns nothing if it can. admits is what the
// reader would have to say for an issuer that is not https, such as "insecure_http".
func IssuerProblem(issuer string, insecure bool, admits string) string {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "is not an absolute URL such as https://as.example"
	case u.Scheme == "http" && !insecure:
		return "is not https; " + admits + " admits it"
	case u.Scheme != "https" && u.Scheme != "http":
		return "is not an https URL"
	case u.User != nil || strings.ContainsAny(issuer, "?#"):
		return "must have no user, query or fragment"
	case strings.HasSuffix(issuer, "/"):
		return "must not end in a slash"
	case u.String() != issuer || strings.ToLower(u.Host) != u.Host || strings.Contains(issuer, "%") || !cleanPath(u.Path):
		return "is not written in its plainest form (lower-case host; no escapes, empty or dot segments)"
	}
	return ""
}

func cleanPath(path string) bool {
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if path != "" && (segment == "" || segment == "." || segment == "..") {
			return false
		}
	}
	return true
}

// checkListeners wants host:port, and no plain HTTP that strangers can overhear without a word that
// says so (architecture: tls, trusted_proxies or insecure_http; with --dev only insecure_http). Both
// listeners carry credentials, so both obey one rule.
func (l *serverLoader) checkListeners() {
	c := &l.loaded.Config
	l.checkListener("listen", c.Listen, `, such as 127.0.0.1:8080`)
	if c.Admin.Listen != "" {
		l.checkListener("admin.listen", c.Admin.Listen, `, such as 127.0.0.1:8081, nor empty`)
	}
	for _, h := range c.Admin.Hosts {
		if strings.ContainsAny(h, "/@:* ") && !isIP(h) {
			l.wrong("admin.hosts", "%q is not a host name without port", h)
		}
	}
}

func (l *serverLoader) checkListener(path, address, such string) {
	c := &l.loaded.Config
	if !l.readable(path) {
		return
	}
	if !validAddress(address) {
		l.wrong(path, "%q is not host:port%s", address, such)
		return
	}
	if Loopback(address) || c.InsecureHTTP || !l.readable("insecure_http", "trusted_proxies", "tls.cert_file") {
		return
	}
	switch {
	case c.Dev:
		l.wrong(path, "%q is beyond loopback, which --dev does only with %s: its keys and its sample client are for trying out",
			address, l.advice("insecure_http"))
	case c.TLS.CertFile == "" && len(c.TrustedProxies) == 0:
		l.wrong(path, "%q is beyond loopback; it needs %s and %s, or trusted_proxies, or %s",
			address, l.advice("tls.cert_file"), l.advice("tls.key_file"), l.advice("insecure_http"))
	}
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// validAddress reports whether s is host:port; an empty host means every interface.
func validAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || !digits(port) || strings.ContainsAny(host, "/@ %") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// Loopback reports whether an address host:port can be reached from this machine alone. Of names,
// only localhost is believed: any other resolves to what someone else says.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (l *serverLoader) checkProxies() {
	for _, p := range l.loaded.TrustedProxies {
		prefix, err := ParseNetwork(p)
		switch {
		case err != nil:
			l.wrong("trusted_proxies", "%q is neither an address nor a network such as 10.0.0.0/8", p)
		case prefix.Bits() == 0:
			l.wrong("trusted_proxies", "%q is everyone, who could then claim any address", p)
		}
	}
}

// ParseNetwork reads an address, or a network in CIDR form, as a network.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

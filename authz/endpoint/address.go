package endpoint

import (
	"net/http"
	"net/netip"
	"strings"
)

// peer returns the address that the connection comes from; invalid for a unix socket.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// CallerAddress returns who sent a request, as the networks of trusted proxies tell it; invalid for a
// unix socket.
func CallerAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	return callerAddress(r, peer(r), trusted)
}

// callerAddress returns who sent the request: the peer, or behind trusted proxies the last address
// in X-Forwarded-For that is not one of theirs. What stands to the left of that address was written
// by a stranger and is never looked at; nor is the field when the peer is not trusted (TOK-53).
//
// An element that is no address ends the walk at the hop that reported it.
func callerAddress(r *http.Request, from netip.Addr, trusted []netip.Prefix) netip.Addr {
	if !contains(trusted, from) {
		return from
	}
	fields := r.Header["X-Forwarded-For"]
	for i := len(fields) - 1; i >= 0; i-- {
		rest := fields[i]
		for more := true; more; {
			var element string
			comma := strings.LastIndexByte(rest, ',')
			element, more = rest[comma+1:], comma >= 0
			rest = rest[:max(comma, 0)]
			hop, ok := parseHop(strings.TrimSpace(element))
			if !ok {
				return from
			}
			if from = hop; !contains(trusted, from) {
				return from
			}
		}
	}
	return from
}

// parseHop reads an address, or an address with a port, as some proxies write.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		var ap netip.AddrPort
		if ap, err = netip.ParseAddrPort(s); err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

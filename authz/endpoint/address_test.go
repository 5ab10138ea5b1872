package endpoint

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestTOK53_ForwardedAddressOnlyFromTrustedPeers(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct {
		peer   string
		fields []string
		want   string
	}{
		"no proxy":                          {"203.0.113.9:1", nil, "203.0.113.9"},
		"forged by a stranger":              {"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		"one proxy":                         {"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"proxy says nothing":                {"10.0.0.1:1", nil, "10.0.0.1"},
		"forged left of the truth":          {"10.0.0.1:1", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1"},
		"forged in a field of its own":      {"10.0.0.1:1", []string{"127.0.0.1", "198.51.100.1"}, "198.51.100.1"},
		"a chain of proxies":                {"10.0.0.1:1", []string{"6.6.6.6, 198.51.100.1, 10.0.0.2", "10.0.0.3"}, "198.51.100.1"},
		"all trusted":                       {"10.0.0.1:1", []string{"10.0.0.4, 10.0.0.2"}, "10.0.0.4"},
		"garbage ends the walk":             {"10.0.0.1:1", []string{"198.51.100.1, evil, 10.0.0.2"}, "10.0.0.2"},
		"an empty element ends it too":      {"10.0.0.1:1", []string{"198.51.100.1,"}, "10.0.0.1"},
		"with a port":                       {"10.0.0.1:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		"IPv6":                              {"[fd00::1]:1", []string{"2001:db8::7"}, "2001:db8::7"},
		"IPv6 with a port":                  {"[fd00::1]:1", []string{"[2001:db8::7]:80"}, "2001:db8::7"},
		"IPv4 inside IPv6, peer":            {"[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"IPv4 inside IPv6, element":         {"10.0.0.1:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"a unix socket is nobody's address": {"@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.fields}}
			if got := callerAddress(r, peer(r), trusted).String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

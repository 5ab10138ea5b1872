package endpoint

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

func TestParseIssuer(t *testing.T) {
	for s, want := range map[string]issuer{
		"https://as.example":         {"https://as.example", "https://as.example", "", true},
		"https://as.example/":        {"https://as.example/", "https://as.example", "", true},
		"https://as.example:8443/t1": {"https://as.example:8443/t1", "https://as.example:8443", "/t1", true},
		"https://as.example/a/b/":    {"https://as.example/a/b/", "https://as.example", "/a/b", true},
		"http://127.0.0.1:8080":      {"http://127.0.0.1:8080", "http://127.0.0.1:8080", "", false},
	} {
		if got, err := parseIssuer(s, true); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
}

func TestMET03_IssuerIsHTTPSWithoutQueryAndFragment(t *testing.T) {
	for _, s := range []string{
		"", "as.example", "http://as.example", "ftp://as.example", "HTTPS://as.example", "https:as.example", "https://", "https://:443",
		"https://as.example?", "https://as.example?a=b", "https://as.example#", "https://as.example#f", "https://user@as.example",
		"https://as.example//", "https://as.example/a//b", "https://as.example/a/../b", "https://as.example/./a", "https://as.example/%61",
		"https://as.example/a b", "https://as.example/\x00", "https://as.example:port",
	} {
		if got, err := parseIssuer(s, false); err == nil {
			t.Errorf("%q: accepted as %+v", s, got)
		}
	}
}

func TestNew_NamesEveryProblem(t *testing.T) {
	_, err := New(Config{
		Issuer: "http://as.example", BodyLimit: -1, Realm: `a"b`, MetadataMaxAge: time.Millisecond,
		TrustedProxies: []netip.Prefix{{}}, SigningAlgorithms: []jose.Algorithm{"none"},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"Issuer", "Tokens", "Keys", "Log", "BodyLimit", "Realm", "MetadataMaxAge", "TrustedProxies", "SigningAlgorithms"} {
		if !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
}

func TestNew_KeepsItsOwnCopies(t *testing.T) {
	c := testConfig(t)
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.TrustedProxies[0] = netip.MustParsePrefix("0.0.0.0/0")
	if contains(h.config.TrustedProxies, netip.MustParseAddr("203.0.113.1")) {
		t.Error("the caller can still change whom the handler trusts")
	}
}

// testConfig is a configuration that works, with a Tokens that refuses everything as a fault.
func testConfig(t testing.TB) Config {
	t.Helper()
	return Config{Issuer: "https://as.example", Tokens: tokensFunc(nil), Keys: fixedKeys{}, Log: slog.New(slog.DiscardHandler)}
}

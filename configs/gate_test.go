package configs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func gatePaths() []string {
	var g Gate
	var paths []string
	for _, s := range settings(&g) {
		paths = append(paths, s.path)
	}
	return paths
}

func loadGate(t *testing.T, text string, environ ...string) (*LoadedGate, error) {
	t.Helper()
	return LoadGate(Options{File: write(t, text), Environ: environ})
}

// TestGateSampleIsTheDefaults: but for what has none; and it mentions every setting.
func TestGateSampleIsTheDefaults(t *testing.T) {
	got, err := LoadGate(Options{File: "gate.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	want := GateDefaults()
	want.Issuer, want.Audience, want.Mode, want.Feed.WhenSilent = "https://as.example", "https://orders.example", "feed", "closed"
	want.ClientID, want.ClientSecretFile = "orders-gate", "/etc/marque/gate-secret"
	if d := cmp.Diff(want, got.Gate, compareConfig, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("sample differs from the defaults (-want +got):\n%s", d)
	}
	all, err := loadGate(t, uncommented(t, "gate.yaml"))
	if err != nil {
		t.Fatalf("sample with every line in force: %v", err)
	}
	for _, path := range gatePaths() {
		if all.Source(path) == "default" {
			t.Errorf("the sample does not mention %s", path)
		}
	}
}

const minimal = "issuer: https://as.example\naudience: https://api.example\nmode: expiry\n"

const following = "issuer: https://as.example\naudience: https://api.example\nmode: feed\nclient_id: gate\nclient_secret_file: /s\n"

func TestGateRefused(t *testing.T) {
	for _, c := range []struct {
		name, yaml, environ string
		want                []string
	}{
		{"nothing", "{}\n", "", []string{
			"issuer: is missing: the authorization server's identifier, such as https://as.example; set it in m.yaml or by MARQUE_GATE_ISSUER",
			"audience: is missing: the API behind the proxy, such as https://api.example; set it in m.yaml or by MARQUE_GATE_AUDIENCE",
			"mode: is missing: how the gate learns of revoked tokens: feed, introspection or expiry; set it in m.yaml or by MARQUE_GATE_MODE",
		}},
		{"typing error", minimal + "lisetn: x\n", "", []string{"m.yaml:4: lisetn: is not a setting; did you mean listen?"}},
		{"typing error in a section", following + "feed: {when_silnet: closed}\n", "", []string{
			"m.yaml:6: feed.when_silnet: is not a setting; did you mean feed.when_silent?",
			"feed.when_silent: is missing: what becomes of calls when the issuer is not heard any more: closed, open or introspect; set it in m.yaml or by MARQUE_GATE_FEED_WHEN_SILENT",
		}},
		{"unknown variable", minimal, "MARQUE_GATE_ISUER=x", []string{"MARQUE_GATE_ISUER: is not a setting; did you mean MARQUE_GATE_ISSUER?"}},
		{"secret in the file", following + "feed: {when_silent: closed}\nclient_secret: hunter2\n", "", []string{
			"m.yaml:7: client_secret: a secret is not written here: name its file in client_secret_file, or set MARQUE_GATE_CLIENT_SECRET",
		}},
		{"two secrets", following + "feed: {when_silent: closed}\n", "MARQUE_GATE_CLIENT_SECRET=hunter2", []string{
			"m.yaml:5: client_secret_file: is given beside MARQUE_GATE_CLIENT_SECRET; give one of them",
		}},
		{"mode", strings.Replace(minimal, "expiry", "none", 1), "", []string{`m.yaml:3: mode: "none" is not feed, introspection, expiry`}},
		{"no word on silence", following, "", []string{"feed.when_silent: is missing: what becomes of calls when the issuer is not heard any more: closed, open or introspect; set it in m.yaml or by MARQUE_GATE_FEED_WHEN_SILENT"}},
		{"another word on silence", following + "feed: {when_silent: pass}\n", "", []string{`m.yaml:6: feed.when_silent: "pass" is not closed, open, introspect`}},
		{"open without a time", following + "feed: {when_silent: open}\n", "", []string{"feed.open_for: 0s is not between 1s and 1h; set it in m.yaml or by MARQUE_GATE_FEED_OPEN_FOR"}},
		{"open for long", following + "feed: {when_silent: open, open_for: 2h}\n", "", []string{"m.yaml:6: feed.open_for: 2h is not between 1s and 1h"}},
		{"a time, and closed", following + "feed: {when_silent: closed, open_for: 1m}\n", "", []string{"m.yaml:6: feed.open_for: is for feed.when_silent open alone"}},
		{"no client", "issuer: https://as.example\naudience: https://api.example\nmode: introspection\n", "", []string{
			"client_id: is missing: the gate's own client, which serves the audience; set it in m.yaml or by MARQUE_GATE_CLIENT_ID",
			"client_secret_file: is missing: the file with the secret of client_id, or set MARQUE_GATE_CLIENT_SECRET; set it in m.yaml or by MARQUE_GATE_CLIENT_SECRET_FILE",
		}},
		{"a client for nothing", minimal + "client_id: gate\n", "MARQUE_GATE_CLIENT_SECRET=hunter2", []string{
			"m.yaml:4: client_id: needs mode feed or introspection",
			"MARQUE_GATE_CLIENT_SECRET: client_secret: needs mode feed or introspection",
		}},
		{"a feed for nothing", minimal + "feed: {when_silent: closed}\n", "", []string{"m.yaml:4: feed.when_silent: needs mode feed"}},
		{"an introspection for nothing", following + "feed: {when_silent: closed}\nintrospection: {cache_for: 5s}\n", "", []string{
			"m.yaml:7: introspection.cache_for: needs mode introspection, or feed.when_silent introspect",
		}},
		{"issuer", strings.Replace(minimal, "https://as", "http://as", 1), "", []string{`m.yaml:1: issuer: "http://as.example" is not https; insecure_http admits it`}},
		{"beyond loopback", minimal + "listen: ':9180'\n", "", []string{`m.yaml:4: listen: ":9180" is beyond loopback, where what passes can be read; it needs insecure_http`}},
		{"metrics beyond loopback", minimal + "status_listen: '10.0.0.1:9181'\n", "", []string{`m.yaml:4: status_listen: "10.0.0.1:9181" is beyond loopback, where what passes can be read; it needs insecure_http`}},
		{"one address", minimal + "status_listen: 127.0.0.1:9180\n", "", []string{`m.yaml:4: status_listen: "127.0.0.1:9180" is where proxies ask already`}},
		{"socket", minimal + "listen: unix:gate.sock\n", "", []string{`m.yaml:4: listen: "unix:gate.sock" does not name the absolute path of a socket, such as unix:/run/marque/gate.sock`}},
		{"no address", minimal + "listen: 9180h\n", "", []string{`m.yaml:4: listen: "9180h" is not host:port, such as 127.0.0.1:9180, nor unix: and a path`}},
		{"scope", minimal + "scopes: ['a b']\n", "", []string{`m.yaml:4: scopes: "a b" is not a scope`}},
		{"realm", minimal + "realm: 'a\"b'\n", "", []string{`m.yaml:4: realm: "a\"b" is not printable ASCII without quotes and backslashes`}},
		{"leeway", minimal + "leeway: 6m\n", "", []string{"m.yaml:4: leeway: 6m is not between 0s and 5m"}},
	} {
		_, err := loadGate(t, c.yaml, c.environ)
		if d := cmp.Diff(c.want, problems(t, err)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the secret shows: %v", c.name, err)
		}
	}
}

func TestGateAccepted(t *testing.T) {
	for _, c := range []struct {
		name, yaml, environ string
		check               func(*LoadedGate) bool
	}{
		{"expiry", minimal, "", func(l *LoadedGate) bool { return l.Listen == "127.0.0.1:9180" && l.StatusListen == "127.0.0.1:9181" }},
		{"asks when silent", following + "feed: {when_silent: introspect}\nintrospection: {cache_for: 5s}\n", "", func(l *LoadedGate) bool {
			return l.Introspection.CacheFor == Duration(5*time.Second)
		}},
		{"open when silent", following + "feed: {when_silent: open, open_for: 5m}\n", "", func(l *LoadedGate) bool { return l.Feed.OpenFor == Duration(5*time.Minute) }},
		{"variables", minimal, "MARQUE_GATE_SCOPES=a,b", func(l *LoadedGate) bool {
			return slices.Equal(l.Scopes, []string{"a", "b"}) && l.Source("scopes") == "MARQUE_GATE_SCOPES"
		}},
		{"a socket", minimal, "MARQUE_GATE_LISTEN=unix:/run/gate.sock", func(l *LoadedGate) bool {
			path, ok := SocketPath(l.Listen)
			return ok && path == "/run/gate.sock"
		}},
		{"no metrics", minimal + "status_listen: ''\n", "", func(l *LoadedGate) bool { return l.StatusListen == "" }},
		{"in a container", minimal + "listen: ':9180'\ninsecure_http: true\n", "MARQUE_GATE_PORT_9180_TCP_ADDR=10.0.0.1", func(*LoadedGate) bool { return true }},
		{"the server's variables", minimal, "MARQUE_LISTEN=127.0.0.1:1", func(l *LoadedGate) bool { return l.Listen == "127.0.0.1:9180" }},
	} {
		l, err := loadGate(t, c.yaml, c.environ)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !c.check(l) {
			t.Errorf("%s: %+v", c.name, l.Gate)
		}
	}
	if _, err := Load(Options{Environ: append(home, "MARQUE_GATE_ISSUER=x")}); err != nil {
		t.Errorf("a server beside a gate: %v", err)
	}
}

// TestGatePrintedFileLoads: and the secret is not in it.
func TestGatePrintedFileLoads(t *testing.T) {
	environ := "MARQUE_GATE_CLIENT_SECRET=hunter2"
	first, err := loadGate(t, strings.Replace(following, "client_secret_file: /s\n", "", 1)+"feed: {when_silent: open, open_for: 5m}\nscopes: [a, 'b:c']\n", environ)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := first.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hunter2") || !strings.Contains(b.String(), "# client_secret: [redacted] from MARQUE_GATE_CLIENT_SECRET") {
		t.Errorf("printed:\n%s", b.String())
	}
	second, err := loadGate(t, b.String(), environ)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if d := cmp.Diff(first.Gate, second.Gate, compareConfig, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-first +second):\n%s", d)
	}
}

// TestGateVariables: each is read, and none is taken for what an orchestrator put there.
func TestGateVariables(t *testing.T) {
	for _, path := range append(gatePaths(), "client_secret") {
		if v := variable(gateVariablePrefix, path); orchestrated.MatchString(v) {
			t.Errorf("%s would not be read", v)
		}
	}
}

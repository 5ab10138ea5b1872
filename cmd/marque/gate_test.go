package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/gate"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
)

// startGateTest runs a gate until the test ends, and returns once it is ready.
func startGateTest(t *testing.T, c configs.Gate) *gateServer {
	t.Helper()
	g := startUnready(t, c)
	waitFor(t, func() bool { time.Sleep(time.Millisecond); return g.verifier.Status().Ready })
	return g
}

// startUnready runs a gate until the test ends.
func startUnready(t *testing.T, c configs.Gate) *gateServer {
	t.Helper()
	c.Listen, c.StatusListen, c.Shutdown.Grace = "127.0.0.1:0", "127.0.0.1:0", configs.Duration(time.Minute)
	g, err := startGate(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// gateConfig is that of a gate that follows a server's feed as the client of an API.
func gateConfig(s *server, p partner) configs.Gate {
	c := configs.GateDefaults()
	c.Issuer, c.Audience, c.InsecureHTTP = s.Issuer(), sampleResource, true
	c.Mode, c.Feed.WhenSilent, c.ClientID, c.ClientSecret = "feed", "closed", p.id, configs.NewSecret(p.secret)
	return c
}

// asks asks a gate as a proxy does.
func (g *gateServer) asks(t *testing.T, path, compact string) *http.Response {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, g.listener.Addr().Network(), g.Address())
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://gate"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if compact != "" {
		r.Header.Set("Authorization", "Bearer "+compact)
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res
}

func scraped(t *testing.T, g *gateServer) string {
	t.Helper()
	r, err := http.Get("http://" + g.StatusAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestGate_Modes: what each mode makes of a token that was revoked, and what the metrics say of it.
func TestGate_Modes_STR01_STR03_STR04(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	api := newAPI(t, s, "gate")
	compact := getSample(t, s)
	modes := map[string]struct {
		change  func(*configs.Gate)
		after   int
		metrics []string
	}{
		"expiry": {
			func(c *configs.Gate) { c.Mode, c.ClientID, c.ClientSecret = "expiry", "", configs.Secret{} }, 200,
			[]string{`marque_gate_mode{mode="expiry"} 1`, `marque_gate_ready 1`, `marque_gate_checks_total{status="200"} 2`},
		},
		"feed": {func(*configs.Gate) {}, 401, []string{
			`marque_gate_mode{mode="following"} 1`, "marque_gate_revocations 1\n", "marque_gate_feed_connected 1", `marque_gate_refusals_total{cause="revoked"} 1`,
			`marque_gate_feed_calls_total{decision="refused"} 1`, "marque_gate_revocations_age_seconds ", `marque_gate_checks_total{status="401"} 1`,
		}},
		"introspection": {func(c *configs.Gate) { c.Mode = "introspection" }, 401, []string{
			`marque_gate_mode{mode="introspection"} 1`, `marque_gate_refusals_total{cause="inactive"} 1`,
		}},
	}
	gates := map[string]*gateServer{}
	for name, tt := range modes {
		c := gateConfig(s, api)
		tt.change(&c)
		gates[name] = startGateTest(t, c)
		if r := gates[name].asks(t, "/require/orders:read/-/", compact); r.StatusCode != http.StatusOK || r.Header.Get(gate.HeaderClientID) != sampleClient {
			t.Fatalf("%s: %d %v", name, r.StatusCode, r.Header)
		}
	}
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, compact)}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return gates["feed"].verifier.FeedStatus().Revocations == 1 })
	for name, tt := range modes {
		if r := gates[name].asks(t, "/require/orders:read/-/", compact); r.StatusCode != tt.after {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
		text := scraped(t, gates[name])
		for _, want := range tt.metrics {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", name, want, text)
			}
		}
		if strings.Contains(text, compact) || strings.Contains(text, sampleClient) {
			t.Errorf("%s: the metrics hold a token or a client", name)
		}
		if got := status(t, http.DefaultClient, "http://"+gates[name].StatusAddress()+"/readyz"); got != http.StatusOK {
			t.Errorf("%s: /readyz: %d", name, got)
		}
	}
}

// TestGate_LogAndAnswersHoldNoTokenAndNoSecret (RST-11): of good and bad tokens, and when nothing works.
func TestRST11_GateLogsNoTokenAndNoSecret(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	api := newAPI(t, s, "gate")
	log := &logBuffer{}
	compact := getSample(t, s)
	parts := strings.Split(compact, ".")[1:]
	for _, scopes := range [][]string{nil, {"orders:read", "orders:write"}} {
		c := gateConfig(s, api)
		c.Listen, c.StatusListen, c.Log.Level, c.Scopes = "127.0.0.1:0", "127.0.0.1:0", "debug", scopes
		g, err := startGate(t.Context(), c, newLog(log, c.Log))
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { time.Sleep(time.Millisecond); return g.verifier.Status().Ready })
		for _, path := range []string{
			"/require/orders:read/-/", "/require/orders:write/-/", "/auth_request/-/", "/nothing/" + compact, "/require/" + compact + "/", "/require/-/?access_token=" + compact,
			"/require/" + compact + "/-/", "/require/" + parts[0] + "/-/", "/auth_request/orders:read/" + parts[1] + "/-/", "/require/raed/-/",
		} {
			for _, presented := range []string{compact, compact + "x", "x" + compact, ""} {
				g.asks(t, path, presented)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range append(parts, api.secret) {
		if strings.Contains(log.String(), part) {
			t.Errorf("the log holds %.10s…:\n%s", part, log)
		}
	}
	for _, want := range []string{"a proxy asks for what the gate does not know", `does not define \"raed\"`, "scope=raed"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}
}

// TestGate_StopsWhole: nothing is left of it, and running requests end first.
func TestGate_StopsWhole(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	http.DefaultClient.CloseIdleConnections()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := gateConfig(s, newAPI(t, s, "gate"))
	c.Listen, c.StatusListen = "127.0.0.1:0", "127.0.0.1:0"
	g, err := startGate(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { time.Sleep(time.Millisecond); return g.verifier.Status().Ready })
	if r := g.asks(t, "/require/-/", getSample(t, s)); r.StatusCode != http.StatusOK {
		t.Errorf("%d", r.StatusCode)
	}
	if err := errors.Join(g.Close(), g.Close()); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	if _, err := net.Dial("tcp", g.Address()); err == nil {
		t.Error("it listens still")
	}
}

// TestGate_Socket: it lets in the user and the group, replaces what a gate has left, and takes no other's place.
func TestGate_Socket(t *testing.T) {
	dir, err := os.MkdirTemp("", "mq") // short: the path of a socket has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "gate.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()

	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	c := gateConfig(s, partner{})
	c.Mode, c.Listen, c.StatusListen = "expiry", "unix:"+path, ""
	g, err := startGate(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if r := g.asks(t, "/require/orders:read/-/", getSample(t, s)); r.StatusCode != http.StatusOK {
		t.Errorf("%d", r.StatusCode)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := startGate(t.Context(), c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one: %v", err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left")
	}
}

// TestGate_SecretFile: which others cannot read.
func TestGate_SecretFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	c := configs.GateDefaults()
	c.ClientSecretFile = file
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string
	}{{"hunter2\n", 0o600, ""}, {"hunter2", 0o640, "others can read the secret"}, {"", 0o600, "empty"}, {"a\nb\n", 0o600, "no secret"}} {
		if err := os.WriteFile(file, []byte(tt.text), tt.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, tt.mode); err != nil {
			t.Fatal(err)
		}
		got, err := gateSecret(c)
		if tt.want == "" && (err != nil || string(got) != "hunter2") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("%q, %o: %v", tt.text, tt.mode, err)
		}
	}
}

// TestGateVerifier_TakesEverySetting, zeros for what they say among them.
func TestGateVerifier_TakesEverySetting(t *testing.T) {
	c := configs.GateDefaults()
	c.Leeway, c.Remember, c.Mode, c.Feed.WhenSilent, c.Feed.OpenFor = 0, 0, "feed", "introspect", configs.Duration(time.Minute)
	c.Introspection.CacheFor = configs.Duration(time.Second)
	v := gateVerifier(c, "hunter2")
	if v.Leeway >= 0 || v.Remember >= 0 || v.Follow == nil || v.Introspect == nil || v.Follow.OpenFor != time.Minute || v.Introspect.CacheFor != time.Second || !v.StartUnready {
		t.Errorf("%+v", v)
	}
	c.Mode = "expiry"
	if v := gateVerifier(c, ""); v.Follow != nil || v.Introspect != nil {
		t.Errorf("%+v", v)
	}
}

// TestGate_OpenByRoute_RST07: a gate that is open while nothing is heard of the issuer is so where the proxy's
// configuration says it, and 503 elsewhere.
func TestGate_OpenByRoute_RST07(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	compact := getSample(t, s)
	c := gateConfig(s, newAPI(t, s, "gate"))
	c.Feed.WhenSilent, c.Feed.OpenFor, c.Feed.MaxAge = "open", configs.Duration(time.Hour), configs.Duration(5*time.Second)
	g := startGateTest(t, c)
	want := func(path string, status int) {
		t.Helper()
		if r := g.asks(t, path, compact); r.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, r.StatusCode, status)
		}
	}
	want("/require/-/", 200)
	want("/require/+/", 200)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		time.Sleep(50 * time.Millisecond)
		return strings.Contains(scraped(t, g), `marque_gate_mode{mode="open"} 1`)
	})
	want("/require/+/", 200)
	want("/require/-/", 503)
	want("/require/-/+/", 503)
	want("/auth_request/+/", 200)
	want("/auth_request/-/", 403)
}

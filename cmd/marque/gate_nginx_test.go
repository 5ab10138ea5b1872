//go:build linux

package main

import (
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"sync"
	"testing"
)

// nginxOuter is what stands around the sample in configurations that people have: at the level of http, of the server.
var nginxOuter = map[string]struct{ http, server string }{
	"nothing":                          {"", ""},
	"a page for all failures":          {"error_page 500 502 503 504 = /m.html;", "location = /m.html { return 200 m; }"},
	"a page with 200":                  {"", "error_page 502 504 =200 /m.html; location = /m.html { return 200 m; }"},
	"a page":                           {"", "error_page 502 504 /m.html; location = /m.html { return 200 m; }"},
	"another server for failures":      {"error_page 502 = @b;", "location @b { proxy_pass http://orders; }"},
	"a login":                          {"", "proxy_intercept_errors on; error_page 401 403 =200 /login.html; location = /login.html { return 200 login; }"},
	"a login, again and again":         {"", "recursive_error_pages on; proxy_intercept_errors on; error_page 401 403 503 =200 /login.html; location = /login.html { return 200 login; }"},
	"a login elsewhere":                {"proxy_intercept_errors on;", "error_page 401 = @login; location @login { return 302 https://login.example/; }"},
	"whoever is near needs no token":   {"", "satisfy any; allow 127.0.0.0/8; deny all;"},
	"a 403 is for the next of several": {"proxy_next_upstream error http_403;", ""},
	"a page in another place":          {"", "rewrite ^/_marque/ /m.html; location = /m.html { return 200 m; }"},
}

// nginxInside puts the outer levels around the sample.
func nginxInside(outer struct{ http, server string }) map[string]string {
	return map[string]string{
		"upstream marque_gate {":    outer.http + "\nupstream marque_gate {",
		"include marque-gate.conf;": outer.server + "\ninclude marque-gate.conf;",
	}
}

// TestRST07_NginxOuterLevels: nginx inherits error pages into the request that asks the gate, and a page that comes
// with 200 is a yes there. Nobody gets in by one, whether the gate is away or says no, and what the API says itself is
// not replaced.
func TestRST07_NginxOuterLevels(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := startGateTest(t, gateConfig(s, newAPI(t, s, "gate")))
	bearer := "Authorization: Bearer " + getSample(t, s)
	for name, outer := range nginxOuter {
		t.Run(name, func(t *testing.T) {
			api := newEcho(t)
			up := proxied{g, startNginxWith(t, g.Address(), api.address(), nginxInside(outer)), api}
			away := proxied{g, startNginxWith(t, freePort(t), api.address(), nginxInside(outer)), api}
			good, none, lacking := 200, 401, 403
			if strings.Contains(outer.server, "rewrite") { // nobody asks the gate, and then nobody gets in
				good, none, lacking = 503, 503, 503
			}
			for _, tt := range []struct {
				proxy  proxied
				method string
				lines  []string
				status int
			}{
				{up, "GET", nil, none},
				{up, "GET", []string{"Authorization: Bearer x.y.z"}, none},
				{up, "DELETE", []string{bearer}, lacking},
				{away, "GET", []string{bearer}, 503},
				{away, "GET", nil, 503},
				{away, "DELETE", []string{"Authorization: Bearer x.y.z"}, 503},
			} {
				r := tt.proxy.send(t, tt.method, "/orders", tt.lines...)
				if r.StatusCode != tt.status || (r.Header.Get("WWW-Authenticate") != "") != (tt.status < 500) {
					t.Errorf("%s with %.30q, gate away: %v: %d %v", tt.method, tt.lines, tt.proxy == away, r.StatusCode, r.Header)
				}
			}
			if calls, _, _ := api.seen(); calls > 0 {
				t.Errorf("the API was called %d times", calls)
			}
			if r := up.get(t, "/orders", bearer); r.StatusCode != good {
				t.Errorf("with a good token: %d", r.StatusCode)
			}
			for _, own := range []string{"401", "403", "500"} {
				if r := up.get(t, "/orders?answer="+own, bearer); good == 200 && (r.Status[:3] != own || r.Header.Get("WWW-Authenticate") != "Own") {
					t.Errorf("the API's own %s: %d %v", own, r.StatusCode, r.Header)
				}
			}
		})
	}
}

// TestRST07_NginxWantsTheGatesWord: a 2xx that is not the gate's is no yes, however nginx came by it, and a location
// that was forgotten is not open. Each of these has lost one of the sample's lines.
func TestRST07_NginxWantsTheGatesWord(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	bearer := "Authorization: Bearer " + getSample(t, s)
	const reports = "set $marque_require orders:read/reports:read/-;"
	for name, lost := range map[string]string{
		"error page":  "error_page 599 = @marque_refused;",
		"requirement": reports + "\n            include marque-require.conf;",
		"question":    "auth_request /_marque/check;",
	} {
		t.Run(name, func(t *testing.T) {
			api := newEcho(t)
			replace := nginxInside(nginxOuter["a page for all failures"])
			replace[lost] = ""
			p := proxied{nil, startNginxWith(t, freePort(t), api.address(), replace), api}
			if r := p.get(t, "/reports/1", bearer); r.StatusCode == 401 {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			if calls, _, _ := api.seen(); calls > 0 {
				t.Errorf("the API was called %d times", calls)
			}
		})
	}
}

// TestGate_NginxFastCGI: an application behind fastcgi_pass gets who calls from the gate, and not from the caller.
func TestGate_NginxFastCGI(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := startGateTest(t, gateConfig(s, newAPI(t, s, "gate")))
	app := startFastCGI(t)
	p := proxied{g, startNginxWith(t, g.Address(), app.address, map[string]string{
		"proxy_pass http://$orders_admitted;": `include marque-params.conf; fastcgi_pass $orders_admitted;
			fastcgi_param REQUEST_METHOD $request_method; fastcgi_param SERVER_PROTOCOL $server_protocol; fastcgi_param REQUEST_URI $request_uri;`,
	}), nil}
	compact := getSample(t, s)
	lines := []string{"Authorization: Bearer " + compact}
	for _, name := range []string{"Client-Id", "Subject", "Scope", "Token-Id", "Status", "Answer"} {
		for _, spelled := range []string{"Marque-" + name, "MARQUE-" + strings.ToUpper(name), "Marque_" + name, "Marque." + name, "marque_" + strings.ReplaceAll(name, "-", "_")} {
			lines = append(lines, spelled+": root", spelled+":")
		}
	}
	if r := p.get(t, "/orders", lines...); r.StatusCode != 200 {
		t.Fatalf("%d %v", r.StatusCode, r.Header)
	}
	calls, header := app.seen()
	want := map[string]string{
		"Marque-Client-Id": sampleClient, "Marque-Subject": sampleClient, "Marque-Scope": sampleDefaultScope, "Marque-Token-Id": jtiOf(t, compact),
	}
	for name, values := range header {
		if value, ok := want[name]; strings.HasPrefix(name, "Marque") && (!ok || len(values) != 1 || values[0] != value) {
			t.Errorf("the application got %s: %q", name, values)
		}
		delete(want, name)
	}
	if len(want) > 0 || calls != 1 {
		t.Errorf("after %d calls, the application did not get %v", calls, want)
	}
	for status, r := range map[int]*http.Response{401: p.get(t, "/orders", lines[1:]...), 403: p.send(t, "DELETE", "/orders", lines...)} {
		if r.StatusCode != status {
			t.Errorf("%d, not %d", r.StatusCode, status)
		}
	}
	if calls, _ := app.seen(); calls != 1 {
		t.Errorf("the application was called %d times", calls)
	}
}

// application is a program that speaks FastCGI and keeps the header of the last request.
type application struct {
	address string
	mu      sync.Mutex
	calls   int
	header  http.Header
}

func (a *application) seen() (calls int, header http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls, a.header
}

func startFastCGI(t *testing.T) *application {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, done := &application{address: l.Addr().String()}, make(chan struct{})
	go func() {
		defer close(done)
		_ = fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.mu.Lock()
			a.calls, a.header = a.calls+1, r.Header.Clone()
			a.mu.Unlock()
			w.WriteHeader(http.StatusOK)
		}))
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return a
}

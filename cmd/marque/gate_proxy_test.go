//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
)

// eachProxy runs a test behind each kind of proxy, all of them in front of one gate, and of one server.
func eachProxy(t *testing.T, test func(t *testing.T, s *server, p proxied)) {
	t.Helper()
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := startGateTest(t, gateConfig(s, newAPI(t, s, "gate")))
	for name, start := range proxies {
		t.Run(name, func(t *testing.T) {
			api := newEcho(t)
			test(t, s, proxied{g, start(t, g.Address(), api.address()), api})
		})
	}
}

// get sends a GET with these lines in its header.
func (p proxied) get(t testing.TB, target string, lines ...string) *http.Response {
	t.Helper()
	return p.send(t, "GET", target, lines...)
}

func (p proxied) send(t testing.TB, method, target string, lines ...string) *http.Response {
	t.Helper()
	return raw(t, p.url, method+" "+target+" HTTP/1.1\nHost: api.example\nConnection: close\n"+strings.Join(append(lines, ""), "\n")+"\n")
}

// TestRSV04_RSV05_RSV06_RSV08_RSV09_RST07_GateBehindProxies: what callers get through a proxy is what verifier.Require
// would have answered, of each status.
func TestRSV04_RSV05_RSV06_RSV08_RSV09_RST07_GateBehindProxies(t *testing.T) {
	eachProxy(t, func(t *testing.T, s *server, p proxied) {
		good := getSample(t, s)
		bearer := "Authorization: Bearer " + good
		realm := `Bearer realm="` + sampleResource + `"`
		for _, tt := range []struct {
			name, method, target string
			lines                []string
			status               int
			challenge, code      string
		}{
			{"good", "GET", "/orders/1?x=y", []string{bearer}, 200, "", ""},
			{"good, HEAD", "HEAD", "/orders/1", []string{bearer}, 200, "", ""},
			{"a token in the query only", "GET", "/orders?access_token=" + good, nil, 401, realm, ""},
			{"header and query", "GET", "/orders?access_token=" + good, []string{bearer}, 400, `error="invalid_request"`, "invalid_request"},
			{"no token68", "GET", "/orders", []string{`Authorization: Bearer "x"`}, 400, `error="invalid_request"`, "invalid_request"},
			{"a list", "GET", "/orders", []string{bearer + ", Bearer x"}, 400, `error="invalid_request"`, "invalid_request"},
			{"none", "GET", "/orders", nil, 401, realm, ""},
			{"another scheme", "GET", "/orders", []string{"Authorization: Basic Yzpz"}, 401, realm, ""},
			{"nonsense", "GET", "/orders", []string{"Authorization: Bearer x.y.z"}, 401, `error="invalid_token"`, "invalid_token"},
			{"without the scope", "DELETE", "/orders/1", []string{bearer}, 403, `scope="orders:write"`, "insufficient_scope"},
			{"without the scope, HEAD", "HEAD", "/orders?access_token=" + good, []string{bearer}, 400, `error="invalid_request"`, ""},
		} {
			before, _, _ := p.api.seen()
			r := p.send(t, tt.method, tt.target, tt.lines...)
			calls, _, uri := p.api.seen()
			b, _ := io.ReadAll(r.Body)
			if r.StatusCode != tt.status {
				t.Errorf("%s: status %d, %v", tt.name, r.StatusCode, r.Header)
				continue
			}
			if tt.status == 200 {
				if calls != before+1 || uri != tt.target {
					t.Errorf("%s: %d calls, %s", tt.name, calls-before, uri)
				}
				continue
			}
			if calls != before {
				t.Errorf("%s: the API was called", tt.name)
			}
			if c := r.Header["Www-Authenticate"]; len(c) != 1 || !strings.Contains(c[0], tt.challenge) || (tt.code == "") && tt.method == "GET" && strings.Contains(c[0], "error") {
				t.Errorf("%s: %q", tt.name, c)
			}
			if c := r.Header["Cache-Control"]; len(c) != 1 || c[0] != "no-store" {
				t.Errorf("%s: %q", tt.name, c)
			}
			if !strings.Contains(string(b), `"error":"`+tt.code+`"`) && tt.code != "" || tt.code == "" && len(b) > 0 {
				t.Errorf("%s: %q", tt.name, b)
			}
			if media := r.Header["Content-Type"]; tt.code != "" && (len(media) != 1 || media[0] != "application/json") {
				t.Errorf("%s: %q", tt.name, media)
			}
			for name := range r.Header {
				if strings.HasPrefix(name, "Marque-") {
					t.Errorf("%s: the caller sees %s", tt.name, name)
				}
			}
		}

		// A query that is odd, or long, is the API's to judge.
		for _, target := range []string{"/orders?%zz", "/orders?a=b&&=?/-/", "/orders?a;b", "/orders?" + strings.Repeat("x", 6000), "/orders?", "/%C3%A9", "/a%2Fb//c/./d"} {
			if r := p.get(t, target, bearer); r.StatusCode != 200 {
				t.Errorf("%.40q: %d", target, r.StatusCode)
			} else if _, _, uri := p.api.seen(); uri != target {
				t.Errorf("%.40q reached the API as %.40q", target, uri)
			}
		}

		// What the API itself answers stays as it is.
		for _, own := range []string{"401", "403", "500", "503"} {
			r := p.get(t, "/orders?answer="+own, bearer)
			if b, _ := io.ReadAll(r.Body); fmt.Sprint(r.StatusCode) != own || r.Header.Get("WWW-Authenticate") != "Own" || string(b) != "GET 0" {
				t.Errorf("the API's own %s: %d %v %q", own, r.StatusCode, r.Header, b)
			}
		}

		// RSV-14: the body goes to the API and not to the gate, and of who may not, nowhere.
		r := raw(t, p.url, "POST /orders HTTP/1.1\nHost: a\nConnection: close\nContent-Length: 1000000\n\n")
		if r.StatusCode != 401 {
			t.Errorf("an upload that has not begun: %d", r.StatusCode)
		}
	})
}

// TestGate_BodiesGoToTheAPI: all of them. The gate is told of none: a server waits for one that it was told of.
func TestGate_BodiesGoToTheAPI(t *testing.T) {
	eachProxy(t, func(t *testing.T, s *server, p proxied) {
		bearer := "Authorization: Bearer " + getSampleFor(t, s, "orders:write") + "\n"
		for _, size := range []int{1, 4000, 300_000} {
			body := strings.Repeat("x", size)
			for how, rest := range map[string]string{
				"length":  fmt.Sprintf("Content-Length: %d\n\n%s", size, body),
				"chunked": fmt.Sprintf("Transfer-Encoding: chunked\n\n%x\n%s\n0\n\n", size, body),
			} {
				r := raw(t, p.url, "POST /orders HTTP/1.1\nHost: a\nConnection: close\n"+bearer+rest)
				if b, _ := io.ReadAll(r.Body); r.StatusCode != 200 || string(b) != fmt.Sprintf("POST %d", size) {
					t.Errorf("%d octets by %s: %d %.200q", size, how, r.StatusCode, b)
				}
			}
		}
	})
}

// TestRSV05_TwoAuthorizationFieldsBehindProxies: whatever a proxy makes of them, nobody gets in by the second.
func TestRSV05_TwoAuthorizationFieldsBehindProxies(t *testing.T) {
	eachProxy(t, func(t *testing.T, s *server, p proxied) {
		good := "Authorization: Bearer " + getSample(t, s)
		for _, lines := range [][]string{{good, good}, {"Authorization: Basic Yzpz", good}, {good, "authorization: Bearer x"}, {"AUTHORIZATION:", good}, {good, "Authorization:"}} {
			r := p.get(t, "/orders", lines...)
			t.Logf("%d for %.40q", r.StatusCode, lines)
			if r.StatusCode != 400 {
				t.Errorf("%d for %.40q", r.StatusCode, lines)
			}
		}
		if calls, _, _ := p.api.seen(); calls > 0 {
			t.Errorf("the API was called %d times", calls)
		}
	})
}

// TestGate_ForgedIdentityDoesNotReachTheAPI: in no spelling that a server could take for the same, with a token and
// without a scope or a subject that would replace it.
func TestGate_ForgedIdentityDoesNotReachTheAPI(t *testing.T) {
	eachProxy(t, func(t *testing.T, s *server, p proxied) {
		compact := getSample(t, s)
		bearer := "Authorization: Bearer " + compact
		for _, name := range []string{"Client-Id", "Subject", "Scope", "Token-Id", "Status", "Answer", "Roles"} {
			forged := []string{"Marque_" + name + ": root", "Connection: Marque-Client-Id", "X-Forwarded-Uri: /require/-/", "X-Original-Uri: /auth_request/-/"}
			for _, spelled := range []string{"Marque-" + name, "marque-" + strings.ToLower(name), "MARQUE-" + strings.ToUpper(name), "mArQuE-" + name} {
				forged = append(forged, spelled+": root", spelled+":", spelled+": root", strings.ReplaceAll(spelled, "-", "_")+": root", strings.ReplaceAll(spelled, "-", ".")+": root")
			}
			for _, lines := range [][]string{append(forged, bearer), append([]string{bearer}, forged...)} {
				before, _, _ := p.api.seen()
				if r := p.get(t, "/orders/1", lines...); r.StatusCode != 200 {
					t.Fatalf("%d %v", r.StatusCode, r.Header)
				}
				calls, header, _ := p.api.seen()
				if calls != before+1 {
					t.Fatalf("%d calls", calls-before)
				}
				want := map[string]string{
					"Marque-Client-Id": sampleClient, "Marque-Subject": sampleClient, "Marque-Scope": sampleDefaultScope, "Marque-Token-Id": jtiOf(t, compact),
				}
				for name, values := range header {
					if !strings.HasPrefix(strings.ToLower(name), "marque") || name == "Marque-Roles" && strings.Contains(t.Name(), "nginx") {
						continue // nginx removes what it is told the names of
					}
					if len(values) != 1 || values[0] != want[name] {
						t.Errorf("the API got %s: %q", name, values)
					}
					delete(want, name)
				}
				if len(want) > 0 {
					t.Errorf("the API did not get %v", want)
				}
			}
			before, _, _ := p.api.seen()
			for _, method := range []string{"GET", "DELETE", "OPTIONS", "FROB"} {
				if r := p.send(t, method, "/orders/1", forged...); r.StatusCode != 401 {
					t.Errorf("without a token, %s: %d", method, r.StatusCode)
				}
			}
			if r := p.send(t, "DELETE", "/orders/1", append(forged, bearer)...); r.StatusCode != 403 {
				t.Errorf("without the scope: %d", r.StatusCode)
			}
			if calls, _, _ := p.api.seen(); calls != before {
				t.Error("the API was called")
			}
		}
	})
}

// TestGate_NothingPassesBesideTheHeader: a caller who was let through cannot have the next hop take away who he is, add to
// it behind the body, or go on in a protocol that nobody looks into.
func TestGate_NothingPassesBesideTheHeader(t *testing.T) {
	eachProxy(t, func(t *testing.T, s *server, p proxied) {
		bearer := "Authorization: Bearer " + getSample(t, s)
		for name, request := range map[string]string{
			"Connection":  "Connection: close, Marque-Client-Id, Marque-Scope\n\n",
			"Trailer":     "Connection: close\nTransfer-Encoding: chunked\nTrailer: Marque-Client-Id\n\n1\nx\n0\nMarque-Client-Id: root\n\n",
			"unannounced": "Connection: close\nTransfer-Encoding: chunked\n\n1\nx\n0\nMarque-Client-Id: root\n\n",
			"h2c":         "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\n\n",
			"websocket":   "Connection: Upgrade, Marque-Client-Id\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n",
		} {
			r := raw(t, p.url, "GET /orders HTTP/1.1\nHost: a\n"+bearer+"\n"+request)
			_, header, _ := p.api.seen()
			if r.StatusCode != 200 || header.Get("Marque-Client-Id") != sampleClient {
				t.Errorf("%s: %d, %q", name, r.StatusCode, header["Marque-Client-Id"])
			}
			p.api.mu.Lock()
			trailer := p.api.trailer
			p.api.mu.Unlock()
			if strings.Contains(t.Name(), "haproxy") {
				trailer = nil // HAProxy 2.6 cannot be told to drop them: authz/gate/README.md says what the API must not do
			}
			if len(trailer) > 0 || header.Get("Upgrade") != "" || strings.Contains(strings.ToLower(strings.Join(header["Connection"], ",")), "marque") {
				t.Errorf("%s: the API got %v, behind the body %v", name, header, trailer)
			}
		}
	})
}

// TestGate_TheRequirementIsNotTheCallers: it is what the proxy's configuration says, whatever is in the request.
func TestGate_TheRequirementIsNotTheCallers(t *testing.T) {
	eachProxy(t, func(t *testing.T, s *server, p proxied) {
		bearer := "Authorization: Bearer " + getSample(t, s)
		for _, target := range []string{
			"/../../require/-/", "/../auth_request/-/", "/%2e%2e/%2e%2e/auth_request/-/", "//-/", "/-/", "/require/-/", "/auth_request/-/",
			"/?/../../-/", "/?marque_require=-&marque_asked=-", "/orders?x=1#/-/", "/orders?/require/-/", "/_marque/check", "/_marque/check/", "/%5fmarque/check",
			"/orders?marque_status=200", "/orders;/../-/", "/orders\t/-/", "http://gate/require/-/", "*", "/\xff", "/%zz", "/%00",
		} {
			for _, lines := range [][]string{{bearer}, nil} {
				r := p.send(t, "DELETE", target, append(lines, "X-Forwarded-Uri: /require/-/", "X-Original-Method: GET", "X-HTTP-Method-Override: GET")...)
				if r.StatusCode < 400 {
					t.Errorf("%q: %d", target, r.StatusCode)
				}
			}
		}
		for _, uri := range []string{"/healthz", "/readyz", "/metrics"} {
			if r := p.get(t, uri); r.StatusCode != 401 {
				t.Errorf("%s: %d", uri, r.StatusCode)
			}
		}
		if calls, _, uri := p.api.seen(); calls > 0 {
			t.Errorf("the API was called %d times, the last time for %q", calls, uri)
		}
	})
}

// TestEVT14_STR03_RevokedTokensAreRefusedBehindProxies: from the answer at the server to the refusal at the proxy.
func TestEVT14_STR03_RevokedTokensAreRefusedBehindProxies(t *testing.T) {
	eachProxy(t, func(t *testing.T, s *server, p proxied) {
		var took delays
		for i := range 10 {
			partner := newPartner(t, s, strings.ReplaceAll(t.Name(), "/", "-")+fmt.Sprint("-", i))
			_, compact := partner.asksFor(t, s)
			bearer := "Authorization: Bearer " + compact
			for range 3 { // so that it is remembered
				if r := p.get(t, "/orders", bearer); r.StatusCode != 200 {
					t.Fatalf("%d %v", r.StatusCode, r.Header)
				}
			}
			subject := token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, compact)}
			if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: subject}); err != nil {
				t.Fatal(err)
			}
			since := time.Now()
			waitFor(t, func() bool { return p.get(t, "/orders", bearer).StatusCode == 401 })
			took = append(took, time.Since(since))
			calls, _, _ := p.api.seen()
			if r := p.get(t, "/orders", bearer); r.StatusCode != 401 || !strings.Contains(r.Header.Get("WWW-Authenticate"), "invalid_token") {
				t.Errorf("%d %v", r.StatusCode, r.Header)
			}
			if after, _, _ := p.api.seen(); after != calls {
				t.Error("the API was called")
			}
		}
		t.Logf("from the server's answer to the refusal: %v", took)
		for _, d := range took {
			if d > propagation {
				t.Errorf("a revoked token worked for %v", d)
			}
		}
	})
}

// TestRST07_GateIsAwayOrDoesNotKnow: 503, and never a yes; with a gate that is there again it goes on.
func TestRST07_GateIsAwayOrDoesNotKnow(t *testing.T) {
	for name, start := range proxies {
		t.Run(name, func(t *testing.T) {
			s := startTest(t, devConfig(t), options{})
			t.Cleanup(http.DefaultClient.CloseIdleConnections)
			bearer := "Authorization: Bearer " + getSample(t, s)
			api := newEcho(t)

			// An issuer that nobody hears: it cannot be known what was revoked.
			c := gateConfig(s, partner{"nobody", "wrong"})
			p := proxied{startUnready(t, c), "", api}
			p.url = start(t, p.gate.Address(), api.address())
			r := p.get(t, "/orders", bearer)
			b, _ := io.ReadAll(r.Body)
			if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || r.Header.Get("WWW-Authenticate") != "" || !strings.Contains(string(b), "temporarily_unavailable") {
				t.Errorf("without its word: %d %v %q", r.StatusCode, r.Header, b)
			}
			if r := p.get(t, "/orders"); r.StatusCode != 401 {
				t.Errorf("no token: %d", r.StatusCode)
			}
			waitFor(t, func() bool { return p.gate.verifier.FeedStatus().Err != nil })
			unready, err := http.Get("http://" + p.gate.StatusAddress() + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			why, _ := io.ReadAll(unready.Body)
			unready.Body.Close()
			if unready.StatusCode != 503 || strings.Count(string(why), "\n") != 1 || !strings.Contains(string(why), "marque client refusals ID") {
				t.Errorf("/readyz: %d %q", unready.StatusCode, why)
			}

			// A gate that has gone, is silent, or is somebody else.
			if err := p.gate.Close(); err != nil {
				t.Fatal(err)
			}
			if r := p.get(t, "/orders", bearer); r.StatusCode != 503 || r.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("without a gate: %d %v", r.StatusCode, r.Header)
			}
			for _, said := range []string{
				"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
				"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "nonsense\r\n\r\n", "", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
			} {
				if got := askImpostor(t, start, said, bearer, api); got != 503 {
					t.Errorf("a gate that says %.20q: %d", said, got)
				}
			}
			if calls, _, _ := api.seen(); calls > 0 {
				t.Errorf("the API was called %d times", calls)
			}
		})
	}
}

// askImpostor puts a proxy before something that is no gate, and returns what the caller gets.
func askImpostor(t *testing.T, start func(t testing.TB, gate, api string) string, said, bearer string, api *echo) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 16<<10))
			_, _ = io.WriteString(c, said)
			_ = c.Close()
		}
	}()
	p := proxied{nil, start(t, l.Addr().String(), api.address()), api}
	return p.get(t, "/orders", bearer).StatusCode
}

// TestGate_HAProxyGoesOnWhenLuaFails: and the sample does not, nor where no rule fits, nor on a connection whose last
// request was let through. Without the rule that ends both, the API is called.
func TestGate_HAProxyGoesOnWhenLuaFails(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := startGateTest(t, gateConfig(s, newAPI(t, s, "gate")))
	bearer := "Authorization: Bearer " + getSample(t, s)
	const ends = "http-request deny deny_status 503 unless"
	for name, tt := range map[string]struct {
		replace map[string]string
		status  int
	}{
		"as shipped":             {map[string]string{}, 200},
		"Lua fails":              {map[string]string{"core.httpclient()": "nothing()"}, 503},
		"Lua fails, unprotected": {map[string]string{"core.httpclient()": "nothing()", ends: "#"}, 200},
		"no rule fits":           {map[string]string{"acl reads method GET HEAD": "acl reads method HEAD", "orders:write/- unless reads": "orders:write/- if { method POST }"}, 503},
		"a requirement is lost":  {map[string]string{"lua.marque_require orders:read/-": "lua.marque_require orders:read"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			api := newEcho(t)
			at := strings.TrimPrefix(startHAProxyWith(t, g.Address(), api.address(), tt.replace), "http://")
			conn, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			answers := bufio.NewReader(conn)
			for _, step := range []struct {
				lines  string
				status int
			}{{bearer + "\r\n", tt.status}, {"", 401}, {bearer + "\r\n", tt.status}} {
				_, _ = io.WriteString(conn, "GET /orders HTTP/1.1\r\nHost: a\r\n"+step.lines+"\r\n")
				r, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, r.Body)
				if tt.status == 503 || strings.Contains(name, "unprotected") {
					step.status = tt.status
				}
				if r.StatusCode != step.status {
					t.Fatalf("with %.30q: %d, not %d", step.lines, r.StatusCode, step.status)
				}
				if r.Close {
					break
				}
			}
			if calls, _, _ := api.seen(); (calls > 0) != (tt.status == 200) {
				t.Errorf("the API was called %d times", calls)
			}
		})
	}
}

// TestGate_NginxOuterRequirement: what is set for a whole server is set again while nginx asks the gate, and must not
// replace what the location has; and a requirement that is lost is none that anybody meets.
func TestGate_NginxOuterRequirement(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	g := startGateTest(t, gateConfig(s, newAPI(t, s, "gate")))
	bearer := "Authorization: Bearer " + getSample(t, s)
	for name, tt := range map[string]struct {
		old, now string
		get      int
		remove   int
	}{
		"as shipped":                  {"include marque-gate.conf;", "include marque-gate.conf;", 200, 403},
		"any token, unless otherwise": {"include marque-gate.conf;", `set $marque_require "-"; include marque-gate.conf;`, 200, 403},
		"nothing":                     {"set $marque_require $orders_needs;", `set $marque_require "";`, 503, 503},
		"no end":                      {"orders:read/-;", "orders:read;", 503, 403},
	} {
		t.Run(name, func(t *testing.T) {
			api := newEcho(t)
			p := proxied{g, startNginxWith(t, g.Address(), api.address(), map[string]string{tt.old: tt.now}), api}
			if r := p.get(t, "/orders", bearer); r.StatusCode != tt.get {
				t.Errorf("GET: %d", r.StatusCode)
			}
			if r := p.send(t, "DELETE", "/orders", bearer); r.StatusCode != tt.remove {
				t.Errorf("DELETE: %d", r.StatusCode)
			}
			if r := p.get(t, "/reports/1", bearer); r.StatusCode == 200 {
				t.Errorf("a report: %d", r.StatusCode)
			}
		})
	}
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
)

// gatekeeper judges the tokens of tests by their names.
func gatekeeper(_ context.Context, token string) (audit.Actor, error) {
	switch token {
	case "good":
		return audit.Actor{Kind: audit.ActorClient, ID: "ops"}, nil
	case "nobody":
		return audit.Actor{}, nil
	case "scope":
		return audit.Actor{}, &authz.InvalidTokenError{Cause: "scope", Scope: authz.ScopeAdmin, Client: "ops"}
	case "throttled":
		return audit.Actor{}, &authz.ThrottledError{Cause: authz.CauseRateLimited, RetryAfter: 3 * time.Second}
	case "away":
		return audit.Actor{}, fmt.Errorf("read: %w", &authz.UnavailableError{Cause: authz.CauseStoreUnavailable, RetryAfter: 2 * time.Second})
	case "fault":
		return audit.Actor{}, errors.New("disk on fire at fault")
	}
	return audit.Actor{}, &authz.InvalidTokenError{Cause: "signature", Err: errors.New("no key for " + token)}
}

// overTCP is a handler whose requests come from 192.0.2.1.
func overTCP(t *testing.T, options ...func(*TCPConfig)) (http.Handler, *world) {
	t.Helper()
	w := newWorld(t)
	c := TCPConfig{Hosts: []string{"admin.example"}, Authenticate: gatekeeper, Now: w.now}
	for _, o := range options {
		o(&c)
	}
	h, err := NewTCP(w.config, c)
	if err != nil {
		t.Fatal(err)
	}
	return h, w
}

func ask(t *testing.T, h http.Handler, method, target string, change func(*http.Request)) answer {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Host = "localhost"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a := answer{t, w.Code, w.Header(), w.Body.Bytes()}
	if w.Header().Get("X-Request-Id") != "" && !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		a.checkManners()
	}
	loadDocument(t).check(t, r, nil, a)
	return a
}

func bearing(fields ...string) func(*http.Request) {
	return func(r *http.Request) {
		for _, f := range fields {
			r.Header.Add("Authorization", f)
		}
	}
}

func TestTCP_Hosts(t *testing.T) {
	h, err := NewTCP(newWorld(t).config, TCPConfig{
		Hosts: []string{"admin.example", "192.0.2.7", "2001:db8::7", "UPPER.example"}, Authenticate: gatekeeper,
	})
	if err != nil {
		t.Fatal(err)
	}
	for host, status := range map[string]int{
		"localhost": 200, "LOCALHOST:8081": 200, "127.0.0.1:8081": 200, "127.8.9.10": 200, "[::1]:8081": 200, "[::1]": 200, "::1": 200,
		"[::ffff:127.0.0.1]:1": 200, "admin.example": 200, "Admin.Example:8081": 200, "192.0.2.7:8081": 200, "[2001:db8::7]:8081": 200, "upper.example": 200,
		"": 421, "evil.example": 421, "evil.example:8081": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "192.0.2.8": 421,
		"admin.example.": 421, "localhost:x": 421, "localhost:": 421, "a@localhost": 421, "localhost/": 421, "[::1": 421, "[]": 421, "[::1%lo]": 421,
		"0.0.0.0": 421, "[::]": 421, "2130706433": 421, "0177.0.0.1": 421,
	} {
		for _, authorization := range []string{"Bearer good", "Bearer bad", ""} {
			a := ask(t, h, "GET", "/admin/v1/clients", func(r *http.Request) {
				r.Host = host
				r.Header.Set("Authorization", authorization)
			})
			want := status
			if status == 200 && authorization != "Bearer good" {
				want = 401
			}
			if a.Status != want {
				t.Errorf("Host %q, %q: status = %d, want %d", host, authorization, a.Status, want)
			}
			if got := a.Header.Get("WWW-Authenticate"); (got != "") != (want == 401) {
				t.Errorf("Host %q: WWW-Authenticate = %q", host, got)
			}
		}
	}
}

func TestTCP_Config(t *testing.T) {
	config := newWorld(t).config
	for _, bad := range []string{"", "a:80", "https://a.example", "a/b", "a b@c", "[::1]:80"} {
		if _, err := NewTCP(config, TCPConfig{Hosts: []string{"ok.example", bad}, Authenticate: gatekeeper}); err == nil || !strings.Contains(err.Error(), "TCPConfig.Hosts") {
			t.Errorf("Hosts %q: %v", bad, err)
		}
	}
	_, err := NewTCP(Config{}, TCPConfig{Failures: -1})
	for _, field := range []string{"Config.Registry", "Config.Doctor", "TCPConfig.Authenticate", "TCPConfig.Failures"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

// RFC 6750, Section 3: what is said depends on the credentials alone, never on the path or the method.
func TestTCP_Credentials(t *testing.T) {
	const realm = `Bearer realm="marque-admin"`
	invalid := realm + `, error="invalid_token"`
	request := realm + `, error="invalid_request"`
	for name, c := range map[string]struct {
		change     func(*http.Request)
		status     int
		challenge  string
		retryAfter string
	}{
		"none":            {nil, 401, realm, ""},
		"basic":           {bearing("Basic b3BzOnNlY3JldA=="), 401, realm, ""},
		"unknown scheme":  {bearing("Token good"), 401, realm, ""},
		"scheme alone":    {bearing("Bearer"), 400, request, ""},
		"no token":        {bearing("Bearer "), 400, request, ""},
		"two words":       {bearing("Bearer good good"), 400, request, ""},
		"list":            {bearing("Bearer good, Bearer good"), 400, request, ""},
		"quoted":          {bearing(`Bearer "good"`), 400, request, ""},
		"control":         {bearing("Bearer go\tod"), 400, request, ""},
		"no space":        {bearing("Bearergood"), 401, realm, ""},
		"twice":           {bearing("Bearer good", "Bearer good"), 400, request, ""},
		"bearer and more": {bearing("Bearer good", "Basic x"), 400, request, ""},
		"bad":             {bearing("Bearer bad"), 401, invalid, ""},
		"other case":      {bearing("bearer bad"), 401, invalid, ""},
		"no scope":        {bearing("Bearer scope"), 403, realm + `, error="insufficient_scope", scope="marque:admin"`, ""},
		"of nobody":       {bearing("Bearer nobody"), 503, "", "1"},
		"throttled":       {bearing("Bearer throttled"), 429, "", "3"},
		"store away":      {bearing("Bearer away"), 503, "", "2"},
		"fault":           {bearing("Bearer fault"), 503, "", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			h, w := overTCP(t)
			var bodies []string
			for _, at := range []string{"GET /admin/v1/keys", "POST /admin/v1/clients", "BREW /admin/v1/clients", "GET /", "GET /metrics", "GET //x/../y", "GET /admin/v1/clients?limit=x", "DELETE /admin/v1/clients/ops"} {
				method, target, _ := strings.Cut(at, " ")
				a := ask(t, h, method, target, c.change).want(c.status)
				if got := a.Header.Get("WWW-Authenticate"); got != c.challenge {
					t.Errorf("%s: WWW-Authenticate = %s, want %s", at, got, c.challenge)
				}
				if got := a.Header.Get("Retry-After"); got != c.retryAfter {
					t.Errorf("%s: Retry-After = %q, want %q", at, got, c.retryAfter)
				}
				bodies = append(bodies, strings.ReplaceAll(string(a.Body), a.Header.Get("X-Request-Id"), ""))
				a.Header.Del("X-Request-Id")
			}
			for _, b := range bodies {
				if b != bodies[0] {
					t.Errorf("answers differ by path:\n%s\n%s", bodies[0], b)
				}
			}
			if log := w.log.String(); strings.Contains(log, `"admin request"`) || strings.Contains(log, "no key for bad") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// A token in the query is refused whatever else is there, and whatever it is.
func TestTCP_TokenInURL(t *testing.T) {
	h, w := overTCP(t)
	for _, query := range []string{"access_token=good", "access_token=", "limit=1&access_token=good", "%zz&access_token=good", "access%5Ftoken=good"} {
		for _, change := range []func(*http.Request){nil, bearing("Bearer good")} {
			a := ask(t, h, "GET", "/admin/v1/clients?"+query, change).want(400)
			if got := a.Header.Get("WWW-Authenticate"); got != `Bearer realm="marque-admin", error="invalid_request"` {
				t.Errorf("%s: WWW-Authenticate = %s", query, got)
			}
		}
	}
	if log := w.log.String(); strings.Contains(log, "good") {
		t.Errorf("the token is in the log: %s", log)
	}
}

// Nothing of a body is read before its sender is known.
func TestTCP_BodyOfAStranger(t *testing.T) {
	h, _ := overTCP(t)
	for _, change := range []func(*http.Request){nil, bearing("Bearer bad"), bearing("a", "b")} {
		ask(t, h, "POST", "/admin/v1/clients", func(r *http.Request) {
			r.Body = untouchable{t}
			r.ContentLength = 1 << 40
			if change != nil {
				change(r)
			}
		})
	}
}

type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the body of a stranger was read")
	return 0, errors.New("no")
}
func (u untouchable) Close() error { return nil }

// The actor reaches the audit log, and the socket's rules hold here too.
func TestTCP_Actor(t *testing.T) {
	h, w := overTCP(t)
	a := ask(t, h, "POST", "/admin/v1/clients/x/disable", bearing("Bearer good")).want(404)
	if log := w.log.String(); !strings.Contains(log, `"actor":"client:ops"`) || !strings.Contains(log, a.Header.Get("X-Request-Id")) {
		t.Errorf("log: %s", log)
	}
	w.register(authz.ClientSpec{ID: "acme", Name: "Acme"})
	ask(t, h, "POST", "/admin/v1/clients/acme/disable", bearing("Bearer good")).want(200)
	last := w.entries()[len(w.entries())-1]
	if last.Action != "client.disable" || last.Actor.String() != "client:ops" {
		t.Errorf("audit: %+v", last)
	}
}

// What looks at the header alone cannot be told apart from outside, however often it is tried.
func TestTCP_FailuresAreLimited(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	var told []authz.Refusal
	h, _ := overTCP(t, func(c *TCPConfig) {
		c.Failures = 3
		c.Now = func() time.Time { return at }
		c.Refused = func(r authz.Refusal) { told = append(told, r) }
	})
	from := func(address string, fields ...string) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = address; bearing(fields...)(r) }
	}
	for range 3 {
		ask(t, h, "GET", "/", from("192.0.2.1:1", "Bearer bad")).want(401)
	}
	for range 3 {
		a := ask(t, h, "GET", "/", from("192.0.2.1:2", "Bearer bad")).want(429)
		if got := a.Header.Get("Retry-After"); got != "20" || a.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("Retry-After = %q", got)
		}
		ask(t, h, "GET", "/", from("[::ffff:192.0.2.1]:2", "Bearer ")).want(429)
	}
	ask(t, h, "GET", "/", from("192.0.2.1:3")).want(401) // brings nothing to be guessed
	ask(t, h, "GET", "/admin/v1/clients", from("192.0.2.1:3", "Bearer good")).want(200)
	ask(t, h, "GET", "/admin/v1/clients", from("192.0.2.1:3", "Bearer scope")).want(403) // a good token, and no guess
	ask(t, h, "GET", "/", from("192.0.2.2:1", "Bearer bad")).want(401)
	for i := range 3 { // of one /64
		ask(t, h, "GET", "/", from(fmt.Sprintf("[2001:db8::%d]:1", i+1), "Bearer bad")).want(401)
	}
	ask(t, h, "GET", "/", from("[2001:db8::ffff]:1", "Bearer bad")).want(429)
	ask(t, h, "GET", "/", from("[2001:db8:0:1::1]:1", "Bearer bad")).want(401)
	at = at.Add(20 * time.Second)
	ask(t, h, "GET", "/", from("192.0.2.1:1", "Bearer bad")).want(401)
	ask(t, h, "GET", "/", from("192.0.2.1:1", "Bearer bad")).want(429)

	first := told[0]
	if first.Cause != "signature" || first.Route != "admin" || first.RequestID == "" || first.Address != netip.MustParseAddr("192.0.2.1") || !first.Time.Equal(at.Add(-20*time.Second)) {
		t.Errorf("told %+v", first)
	}
	if limited := told[3]; limited.Cause != authz.CauseFailuresLimited || limited.Detail != "signature" {
		t.Errorf("told %+v", limited)
	}
	if len(told) != 19 {
		t.Errorf("told of %d refusals", len(told))
	}
}

// A stranger's address is what the trusted proxies say, not the proxy's.
func TestTCP_AddressOfACaller(t *testing.T) {
	h, _ := overTCP(t, func(c *TCPConfig) {
		c.Failures = 1
		c.Address = func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("X-Forwarded-For")) }
	})
	for _, address := range []string{"198.51.100.1", "198.51.100.2"} {
		change := func(r *http.Request) { r.Header.Set("X-Forwarded-For", address); bearing("Bearer bad")(r) }
		ask(t, h, "GET", "/", change).want(401)
		ask(t, h, "GET", "/", change).want(429)
	}
}

func TestTCP_Metrics(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("marque_up 1\n"))
	})
	local := func(r *http.Request) { r.RemoteAddr = "127.0.0.1:5" }
	with := func(changes ...func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			for _, c := range changes {
				c(r)
			}
		}
	}
	field := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, "203.0.113.9") }
	}
	open := func(c *TCPConfig) { c.Metrics, c.OpenMetrics = metrics, true }
	closed := func(c *TCPConfig) { c.Metrics = metrics }
	proxied := func(c *TCPConfig) {
		open(c)
		c.Address = func(*http.Request) netip.Addr { return netip.MustParseAddr("203.0.113.9") }
	}
	for name, c := range map[string]struct {
		option func(*TCPConfig)
		method string
		change func(*http.Request)
		status int
	}{
		"open, local":                   {open, "GET", local, 200},
		"open, local, IPv6":             {open, "GET", func(r *http.Request) { r.RemoteAddr = "[::1]:5" }, 200},
		"open, local, HEAD":             {open, "HEAD", local, 200},
		"open, local, POST":             {open, "POST", local, 405},
		"open, local, bad token":        {open, "GET", with(local, bearing("Bearer bad")), 200},
		"open, local, other host":       {open, "GET", with(local, func(r *http.Request) { r.Host = "evil.example" }), 421},
		"open, from elsewhere":          {open, "GET", nil, 401},
		"open, no address":              {open, "GET", func(r *http.Request) { r.RemoteAddr = "@" }, 401},
		"open, passed on":               {open, "GET", with(local, field("X-Forwarded-For")), 401},
		"open, passed on, standard":     {open, "GET", with(local, field("Forwarded")), 401},
		"open, passed on, via":          {open, "GET", with(local, field("Via")), 401},
		"open, by a trusted proxy":      {proxied, "GET", local, 401},
		"open, from elsewhere, token":   {open, "GET", bearing("Bearer good"), 200},
		"open, from elsewhere, scope":   {open, "GET", bearing("Bearer scope"), 403},
		"closed, local":                 {closed, "GET", local, 401},
		"closed, local, token":          {closed, "GET", with(local, bearing("Bearer good")), 200},
		"closed, token, POST":           {closed, "POST", bearing("Bearer good"), 405},
		"none, local, token":            {func(c *TCPConfig) { c.OpenMetrics = true }, "GET", with(local, bearing("Bearer good")), 404},
		"none, local":                   {func(c *TCPConfig) { c.OpenMetrics = true }, "GET", local, 401},
		"open, local, but another path": {func(c *TCPConfig) { open(c); c.Hosts = nil }, "GET", with(local, func(r *http.Request) { r.URL.Path = "/metrics/" }), 401},
		"open, local, encoded":          {open, "GET", with(local, func(r *http.Request) { r.URL.RawPath = "/metric%73" }), 401},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := overTCP(t, c.option)
			a := ask(t, h, c.method, "/metrics", c.change).want(c.status)
			if served := strings.Contains(string(a.Body), "marque_up"); served != (c.status == 200) {
				t.Errorf("served = %v: %s", served, a.Body)
			}
		})
	}
}

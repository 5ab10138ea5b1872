package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/keys"
)

type tokensFunc func(context.Context, authz.Request) (authz.Issued, error)

func (f tokensFunc) Token(ctx context.Context, r authz.Request) (authz.Issued, error) {
	if f == nil {
		return authz.Issued{}, errors.New("no tokens here")
	}
	return f(ctx, r)
}

type fixedKeys struct {
	set keys.Document
	err error
}

func (k fixedKeys) JWKS() (keys.Document, error) { return k.set, k.err }

var someToken = authz.Issued{AccessToken: "aaa.bbb.ccc", TokenType: "Bearer", ExpiresIn: 10 * time.Minute, Scope: "read"}

// serveOne sends one request to a handler made from testConfig and edit.
func serveOne(t testing.TB, r *http.Request, edit func(*Config)) *httptest.ResponseRecorder {
	t.Helper()
	c := testConfig(t)
	edit(&c)
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func (tokensFunc) Introspect(context.Context, authz.IntrospectRequest) (authz.Introspection, error) {
	return authz.Introspection{}, errors.New("no introspection here")
}

func (tokensFunc) Revoke(context.Context, authz.RevokeRequest) (authz.Revoked, error) {
	return authz.Revoked{}, errors.New("no revocation here")
}

func answering(f tokensFunc) func(*Config) { return func(c *Config) { c.Tokens = f } }

// tokenPost is B0 of the matrix, with Basic credentials c1:s1.
func tokenPost(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, tokenPath, strings.NewReader(body))
	r.Header.Set("Content-Type", mediaForm)
	r.Header.Set("Authorization", basicField("c1", "s1"))
	r.RemoteAddr = "127.0.0.1:4711"
	return r
}

const b0 = "grant_type=client_credentials&scope=read&resource=https%3A%2F%2Fapi.example"

func TestToken_HandsOnWhatWasSent(t *testing.T) {
	var got authz.Request
	var id string
	w := serveOne(t, tokenPost(b0+"&resource=b&authorization_details=%5B%5D&foo=bar"), answering(func(ctx context.Context, r authz.Request) (authz.Issued, error) {
		got, id = r, RequestID(ctx)
		return someToken, nil
	}))
	want := authz.Request{
		GrantType: "client_credentials", Scope: "read", Resources: []string{"https://api.example", "b"}, AuthorizationDetails: true,
		Client: authz.Presented{Method: authz.PresentedBasic, ID: "c1", Secret: "s1"}, Address: got.Address,
	}
	if got.Client.Secret.Reveal() != "s1" || got.Address.String() != "127.0.0.1" {
		t.Errorf("secret %q, address %s", got.Client.Secret.Reveal(), got.Address)
	}
	if d := cmp.Diff(fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want)); d != "" {
		t.Error(d)
	}
	if id == "" || w.Header().Get("X-Request-Id") != id {
		t.Errorf("context has request id %q, answer %q", id, w.Header().Get("X-Request-Id"))
	}
}

func TestToken_Success(t *testing.T) {
	w := serveOne(t, tokenPost(b0), answering(func(context.Context, authz.Request) (authz.Issued, error) { return someToken, nil }))
	want := `{"access_token":"aaa.bbb.ccc","token_type":"Bearer","expires_in":600,"scope":"read"}`
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if d := cmp.Diff(w.Header(), http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {fmt.Sprint(len(want))}, "Cache-Control": {"no-store"}, "Pragma": {"no-cache"},
		"X-Request-Id": w.Header()["X-Request-Id"],
	}); d != "" {
		t.Error(d)
	}
}

func TestTOK33_NoScopeMemberWithoutScope(t *testing.T) {
	w := serveOne(t, tokenPost(b0), answering(func(context.Context, authz.Request) (authz.Issued, error) {
		return authz.Issued{AccessToken: "a.b.c", TokenType: "Bearer", ExpiresIn: time.Second}, nil
	}))
	if got, want := w.Body.String(), `{"access_token":"a.b.c","token_type":"Bearer","expires_in":1}`; got != want {
		t.Errorf("got %s", got)
	}
}

// A header field that the handler shares between answers must survive a middleware that adds to it.
func TestReply_SharedFieldsCannotBeChangedByAppending(t *testing.T) {
	c := testConfig(t)
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, tokenPost(""))
	w.Header().Add("Cache-Control", "private")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, tokenPost(""))
	if got := w.Header()["Cache-Control"]; len(got) != 1 || got[0] != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
}

func TestFail_EveryKindOfError(t *testing.T) {
	fault := errors.New("disk on fire")
	for name, c := range map[string]struct {
		err        error
		status     int
		body       string
		retryAfter string
	}{
		"a refusal":                             {&authz.Error{Code: authz.InvalidScope, Description: "what to do"}, 400, `{"error":"invalid_scope","error_description":"what to do"}`, ""},
		"invalid_client":                        {&authz.Error{Code: authz.InvalidClient, Description: "who"}, 401, `{"error":"invalid_client","error_description":"who"}`, ""},
		"a wrapped refusal":                     {fmt.Errorf("x: %w", &authz.Error{Code: authz.InvalidTarget}), 400, `{"error":"invalid_target"}`, ""},
		"TOK-37 a description that may not be":  {&authz.Error{Code: authz.InvalidScope, Description: `a "quoted" é`}, 400, `{"error":"invalid_scope"}`, ""},
		"TOK-41 a code that is none of ours":    {&authz.Error{Code: "server_error", Description: "x"}, 500, "", ""},
		"TKE-64 throttled":                      {&authz.ThrottledError{RetryAfter: 1500 * time.Millisecond}, 429, "", "2"},
		"TKE-64 at least a second":              {&authz.ThrottledError{}, 429, "", "1"},
		"TKE-65 unavailable":                    {&authz.UnavailableError{RetryAfter: 3 * time.Second, Err: fault}, 503, "", "3"},
		"TKE-65 an outage that wraps a refusal": {&authz.UnavailableError{Err: &authz.Error{Code: authz.InvalidClient}}, 503, "", "1"},
		"TKE-66 a fault":                        {fault, 500, "", ""},
		"TKE-66 joined errors are a fault":      {errors.Join(fault, &authz.Error{Code: authz.InvalidScope}), 500, "", ""},
		"TKE-66 someone else's deadline":        {context.DeadlineExceeded, 500, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := serveOne(t, tokenPost(b0), answering(func(context.Context, authz.Request) (authz.Issued, error) { return someToken, c.err }))
			if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("Retry-After") != c.retryAfter {
				t.Errorf("%d %q Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: %q", got)
			}
			if has := w.Header().Get("WWW-Authenticate") != ""; has != (c.status == 401) {
				t.Errorf("a challenge: %v", has)
			}
		})
	}
}

func TestFail_ACallerThatLeftIsNoFault(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	w := serveOne(t, tokenPost(b0).WithContext(ctx), func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Tokens = tokensFunc(func(ctx context.Context, _ authz.Request) (authz.Issued, error) {
			cancel()
			return authz.Issued{}, ctx.Err()
		})
	})
	if w.Code != 503 || strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "cause=caller_gone") {
		t.Errorf("%d, log %s", w.Code, log.String())
	}
}

func TestTKE66_PanicIsABare500(t *testing.T) {
	var log bytes.Buffer
	const secret = "hunter2hunter2"
	w := serveOne(t, tokenPost(b0), func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Tokens = tokensFunc(func(context.Context, authz.Request) (authz.Issued, error) { panic("with " + secret) })
	})
	if w.Code != 500 || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "cause=panic") || !strings.Contains(log.String(), "handler_test.go") {
		t.Errorf("the log does not say where: %s", log.String())
	}
	if strings.Contains(log.String(), secret) {
		t.Error("the value of the panic reached the log")
	}
}

func TestRefusal_IsLoggedOnceWithFixedKeys(t *testing.T) {
	var log bytes.Buffer
	w := serveOne(t, tokenPost(b0), func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Tokens = tokensFunc(func(context.Context, authz.Request) (authz.Issued, error) {
			return authz.Issued{}, &authz.Error{
				Code: authz.InvalidClient, Cause: authz.CauseSecretExpired, Client: "c1", Credential: "k1",
				Err: errors.New("saw mrq_abcdefghijklmnop"),
			}
		})
	})
	line := log.String()
	if strings.Count(line, "\n") != 1 {
		t.Fatalf("logged %s", line)
	}
	for _, want := range []string{
		"request_id=" + w.Header().Get("X-Request-Id"), "cause=secret_expired", "client_id=c1", "credential_id=k1", "address=127.0.0.1",
		"code=invalid_client", "status=401", "[redacted]",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is missing in %s", want, line)
		}
	}
}

func TestTOK44_WhatIsNoClientIDIsNotLogged(t *testing.T) {
	for _, sent := range []string{"a password, really", "x@y", "mrq_abcdefghijklmnop", strings.Repeat("x", 65)} {
		var log bytes.Buffer
		serveOne(t, tokenPost(b0), func(c *Config) {
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
			c.Tokens = tokensFunc(func(context.Context, authz.Request) (authz.Issued, error) {
				return authz.Issued{}, &authz.Error{Code: authz.InvalidClient, Client: authz.ClientID(sent)}
			})
		})
		if strings.Contains(log.String(), sent) || !strings.Contains(log.String(), `client_id=""`) {
			t.Errorf("%q: %s", sent, log.String())
		}
	}
}

func TestTOK13_OneSpellingOfEachPath(t *testing.T) {
	c := testConfig(t)
	c.Tokens = tokensFunc(func(context.Context, authz.Request) (authz.Issued, error) { return someToken, nil })
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{
		"//oauth2/token", "/oauth2/token/", "/oauth2//token", "/OAUTH2/TOKEN", "/oauth2/%74oken", "/oauth2%2Ftoken", "/oauth2/./token",
		"/x/../oauth2/token", "/oauth2/token;x", "/", "/token", "/.well-known/", "/.well-known/jwks.json/",
	} {
		r := tokenPost(b0)
		r.URL.Path, r.URL.RawPath = "", ""
		parsed, err := r.URL.Parse("https://as.example")
		if err != nil {
			t.Fatal(err)
		}
		r = httptest.NewRequest(http.MethodPost, parsed.String()+target, strings.NewReader(b0))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 404 || w.Body.Len() != 0 || w.Header().Get("Location") != "" || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %q %v", target, w.Code, w.Body, w.Header())
		}
	}
}

func TestRequestID_IsOursAndNew(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Header.Set("X-Request-Id", "forged")
		id := serveOne(t, r, func(*Config) {}).Header().Get("X-Request-Id")
		if len(id) != 26 || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
	if got := RequestID(t.Context()); got != "" {
		t.Errorf("outside a request: %q", got)
	}
}

func TestHealthAndReady(t *testing.T) {
	failing := func(c *Config) { c.Ready = func(context.Context) error { return errors.New("no keys") } }
	for _, c := range []struct {
		method, path string
		edit         func(*Config)
		status       int
	}{
		{"GET", "/healthz", func(*Config) {}, 200},
		{"HEAD", "/healthz", func(*Config) {}, 200},
		{"GET", "/healthz", failing, 200},
		{"POST", "/healthz", func(*Config) {}, 405},
		{"GET", "/readyz", func(*Config) {}, 200},
		{"GET", "/readyz", failing, 503},
		{"HEAD", "/readyz", failing, 503},
		{"DELETE", "/readyz", failing, 405},
	} {
		w := serveOne(t, httptest.NewRequest(c.method, c.path, nil), c.edit)
		if w.Code != c.status || w.Header().Get("Cache-Control") != "no-store" || strings.Contains(w.Body.String(), "keys") {
			t.Errorf("%s %s: %d %q", c.method, c.path, w.Code, w.Body)
		}
		if c.method == "HEAD" && w.Body.Len() != 0 {
			t.Errorf("HEAD %s has a body", c.path)
		}
		if c.status == 503 && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c.path)
		}
	}
	for want, err := range map[string]error{
		"not ready\n":               errors.New("dial tcp 10.0.0.7:6379: refused"),
		"not ready: no key signs\n": fmt.Errorf("for the log: %w", NotReady("no key signs")),
	} {
		w := serveOne(t, httptest.NewRequest("GET", "/readyz", nil), func(c *Config) { c.Ready = func(context.Context) error { return err } })
		if got := w.Body.String(); got != want || w.Header().Get("Content-Type") != mediaText {
			t.Errorf("/readyz says %q, want %q: %v", got, want, w.Header())
		}
	}
}

func TestTOK01_CredentialsInClearAreNotRead(t *testing.T) {
	for name, c := range map[string]struct {
		peer string
		edit func(*Config)
		want int
	}{
		"another machine":      {"203.0.113.9:1", func(*Config) {}, 400},
		"loopback":             {"127.0.0.1:1", func(*Config) {}, 200},
		"loopback, IPv6":       {"[::1]:1", func(*Config) {}, 200},
		"a unix socket":        {"@", func(*Config) {}, 200},
		"a trusted proxy":      {"10.0.0.1:1", func(c *Config) { c.TrustedProxies = prefixes("10.0.0.0/8") }, 200},
		"beside that proxy":    {"11.0.0.1:1", func(c *Config) { c.TrustedProxies = prefixes("10.0.0.0/8") }, 400},
		"http was chosen":      {"203.0.113.9:1", func(c *Config) { c.InsecureHTTP = true }, 200},
		"http is the issuer's": {"203.0.113.9:1", func(c *Config) { c.InsecureHTTP, c.Issuer = true, "http://as.example" }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := tokenPost(b0)
			r.RemoteAddr, r.TLS = c.peer, nil
			body := &countingReader{r: strings.NewReader(b0)}
			r.Body = body
			w := serveOne(t, r, func(config *Config) {
				config.Tokens = tokensFunc(func(context.Context, authz.Request) (authz.Issued, error) { return someToken, nil })
				c.edit(config)
			})
			if w.Code != c.want || w.Header().Get("Location") != "" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if c.want == 400 && (body.n != 0 || w.Header().Get("Connection") != "close") {
				t.Errorf("%d octets were read", body.n)
			}
		})
	}
}

// Not one octet more is read of a body that nobody wanted than it takes to see that it is too large, and
// nothing of it is left in the buffer that the next request gets.
func TestDrain_ReadsWithinTheLimit(t *testing.T) {
	for limit, sent := range map[int]int{1: 100, 10: 10_000, 1023: 5000, 1024: 5000, 1025: 5000, 4096: 1 << 20, 5000: 5000} {
		body := &countingReader{r: strings.NewReader(strings.Repeat("s", sent))}
		r := httptest.NewRequest(http.MethodPost, "/nothing", nil)
		r.ProtoMajor, r.Body, r.ContentLength = 2, body, -1
		c := &call{r: r, in: make([]byte, 0, 1<<10)}
		h := &Handler{config: Config{BodyLimit: limit}}
		h.drain(c, &answer{status: 404})
		if want := min(sent, limit+1); body.n != want {
			t.Errorf("limit %d: %d octets were read of %d", limit, body.n, sent)
		}
		in := c.in
		h.release(c)
		if bytes.IndexByte(in[:cap(in)], 's') >= 0 {
			t.Errorf("limit %d: the body is still in the buffer", limit)
		}
	}
}

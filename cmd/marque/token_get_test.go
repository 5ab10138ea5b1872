package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

const testSecret = "mrq_abcdefghijklmnop_0123456789"

// liar is an issuer that answers what a test wants, and counts the secrets that reach it.
type liar struct {
	*httptest.Server
	metadata func(self string) (status int, body string)
	token    func(w http.ResponseWriter)
	secrets  atomic.Int32
}

func newLiar(t *testing.T) *liar {
	l := &liar{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, secret, _ := r.BasicAuth(); secret == testSecret {
			l.secrets.Add(1)
		}
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			status, body := l.metadata(l.URL)
			if status >= 300 && status < 400 {
				w.Header().Set("Location", body)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return
		}
		l.token(w)
	}))
	t.Cleanup(l.Close)
	return l
}

func honest(self string) (int, string) {
	return 200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, self, self+"/token")
}

// TestTokenGet_MET04 keeps the secret from whoever only claims to be the issuer, and explains the rest.
func TestTokenGet_MET04(t *testing.T) {
	granted := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"a.b.c","token_type":"Bearer","expires_in":60}`)
	}
	for _, c := range []struct {
		name     string
		metadata func(self string) (int, string)
		token    func(w http.ResponseWriter)
		code     int
		stderr   string
		secrets  int32
	}{
		{"good", honest, granted, 0, "", 1},
		{"another issuer", func(self string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":"https://other.example","token_endpoint":%q}`, self+"/token")
		}, granted, 1, "another issuer", 0},
		{"a slash more", func(self string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, self+"/", self+"/token")
		}, granted, 1, "another issuer", 0},
		{"issuer twice", func(self string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":"https://other.example","issuer":%q,"token_endpoint":%q}`, self, self+"/token")
		}, granted, 1, "no metadata document", 0},
		{"no endpoint", func(self string) (int, string) { return 200, fmt.Sprintf(`{"issuer":%q}`, self) }, granted, 1, "no usable token endpoint", 0},
		{"odd endpoint", func(self string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":"file:///etc/passwd"}`, self)
		}, granted, 1, "no usable token endpoint", 0},
		{"redirected metadata", func(self string) (int, string) { return 302, self + "/elsewhere" }, granted, 1, "302", 0},
		{"not found", func(string) (int, string) { return 404, "" }, granted, 1, "is \"http", 0},
		{"redirected token", honest, func(w http.ResponseWriter) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, 1, "307", 1},
		{"refused", honest, func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Request-Id", "R1")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"no \u001b[2J"}`)
		}, 1, "invalid_client: no \ufffd[2J (request R1)", 1},
		{"down for a moment", honest, func() func(http.ResponseWriter) {
			first := true
			return func(w http.ResponseWriter) {
				if first {
					first = false
					w.Header().Set("Retry-After", "0")
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				granted(w)
			}
		}(), 0, "", 2},
		{"down", honest, func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, 1, "503", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLiar(t)
			l.metadata, l.token = c.metadata, c.token
			var stdout, stderr bytes.Buffer
			a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, environ: []string{"MARQUE_CLIENT_SECRET=" + testSecret}}
			code := a.run(t.Context(), []string{"token", "get", "--issuer", l.URL, "--client-id", "acme"})
			if code != c.code || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("exit %d, %q", code, stderr.String())
			}
			if got := l.secrets.Load(); got != c.secrets {
				t.Errorf("the secret was sent %d times, want %d", got, c.secrets)
			}
			if want := map[int]string{0: "a.b.c\n"}[c.code]; stdout.String() != want {
				t.Errorf("stdout %q, want %q", stdout.String(), want)
			}
			if strings.Contains(stderr.String(), testSecret) || strings.Contains(stderr.String(), "\x1b") {
				t.Errorf("stderr %q", stderr.String())
			}
		})
	}
}

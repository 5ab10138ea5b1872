package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// eavesdropper is an admin listener of somebody else's, and what it saw.
type eavesdropper struct {
	*httptest.Server
	answer func(w http.ResponseWriter)

	mu   sync.Mutex
	seen []string
}

func newEavesdropper(t *testing.T, answer func(w http.ResponseWriter)) *eavesdropper {
	t.Helper()
	e := &eavesdropper{answer: answer}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		if err := errors.Join(r.Header.Write(&b), copyBody(&b, r)); err != nil {
			t.Error(err)
		}
		e.mu.Lock()
		e.seen = append(e.seen, r.Method+" "+r.URL.Path+"\n"+b.String())
		e.mu.Unlock()
		e.answer(w)
	}))
	t.Cleanup(e.Close)
	return e
}

func copyBody(b *bytes.Buffer, r *http.Request) error {
	_, err := io.Copy(b, r.Body)
	return err
}

// TestRemote_KeepsTheSecretFromTheAdminListener: a listener that is not the server's sees a token that is
// good for nothing else, never the client's secret, and cannot send the token on.
func TestRemote_KeepsTheSecretFromTheAdminListener(t *testing.T) {
	elsewhere := newEavesdropper(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) })
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		stderr string
	}{
		"redirect": {func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL+"/admin/v1/clients/acme/disable")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "status 307"},
		"nonsense": {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, "status 200"},
		"problem": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"no \u001b[2J","request_id":"R"}`)
		}, "no \ufffd[2J"},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := newLiar(t)
			issuer.metadata = honest
			issuer.token = func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"access_token":"a.b.c","token_type":"Bearer","expires_in":60}`)
			}
			listener := newEavesdropper(t, c.answer)
			var stdout, stderr bytes.Buffer
			a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, environ: []string{"MARQUE_CLIENT_SECRET=" + testSecret}}
			code := a.run(t.Context(), []string{
				"client", "disable", "acme", "--reason", "a test",
				"--admin", listener.URL, "--issuer", issuer.URL, "--client-id", "ops",
			})
			if code != exitFailed || !strings.Contains(stderr.String(), c.stderr) || stdout.Len() > 0 {
				t.Errorf("exit %d, %q, %q", code, stdout.String(), stderr.String())
			}
			if len(listener.seen) != 2 || !strings.HasPrefix(listener.seen[0], "GET ") || !strings.HasPrefix(listener.seen[1], "POST ") {
				t.Errorf("the listener saw %q", listener.seen) // how it is, and the change
			}
			for _, seen := range listener.seen {
				if !strings.Contains(seen, "Bearer a.b.c") || !strings.Contains(seen, "X-Marque-Reason: a test") {
					t.Errorf("the listener saw %q", seen)
				}
			}
			if strings.Contains(strings.Join(listener.seen, ""), testSecret) || strings.Contains(stderr.String(), testSecret) {
				t.Error("the secret went to the admin listener, or to stderr")
			}
			if got := issuer.secrets.Load(); got != 1 {
				t.Errorf("the secret was sent to the issuer %d times", got)
			}
		})
	}
	if len(elsewhere.seen) > 0 {
		t.Errorf("a redirect was followed: %q", elsewhere.seen)
	}
}

// TestRemote_NoTokenNoRequest: what went wrong at the issuer is said, and the listener hears nothing.
func TestRemote_NoTokenNoRequest(t *testing.T) {
	issuer := newLiar(t)
	issuer.metadata = func(self string) (int, string) {
		return 200, fmt.Sprintf(`{"issuer":"https://other.example","token_endpoint":%q}`, self+"/token")
	}
	listener := newEavesdropper(t, func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) })
	var stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: &stderr, environ: []string{"MARQUE_CLIENT_SECRET=" + testSecret}}
	code := a.run(t.Context(), []string{"client", "list", "--admin", listener.URL, "--issuer", issuer.URL, "--client-id", "ops"})
	if code != exitFailed || !strings.Contains(stderr.String(), "another issuer") || len(listener.seen) > 0 || issuer.secrets.Load() > 0 {
		t.Errorf("exit %d, %q, %q", code, stderr.String(), listener.seen)
	}
}

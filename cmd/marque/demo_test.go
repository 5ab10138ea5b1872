package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/marque-auth/marque/authz/verifier"
)

func TestDemo_TheWholeStoryHolds(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	if code := a.run(t.Context(), []string{"demo"}); code != exitDone {
		t.Fatalf("exit code %d\n%s\n%s", code, errs.String(), out.String())
	}
	for _, want := range []string{
		"1. A server starts", "4. The API verifies tokens by itself", "The story held: 9 steps, 39 outcomes checked.",
		"→ POST http://127.0.0.1:", "← 401 Unauthorized", "WWW-Authenticate: Bearer", `"aud": "` + demoAPI + `"`,
		"→ GET http://127.0.0.1:", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json",
		"the token says  aud " + demoOther + ", exp 2", "the token says  aud " + demoAPI + ", exp 2",
		"(shown this once)", "   token_lifetime  10m\n", // as the commands print for people
		"the API's log says  signature", "the API's log says  inactive", "the API's log says  revoked", "from the admin's command to the refusal  ", " ms, with what", "✓ with no request from the API to the server", "secret_typo", "client.disable", "(with the token on its standard input)", "the API's log says  audience", "the API's log says  expired",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q", want)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours where nobody watches")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemo_AServiceThatRefusesNobodyEndsIt: the story finds out when what it tells of does not hold.
func TestDemo_AServiceThatRefusesNobodyEndsIt(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	letThrough := func(v *verifier.Verifier) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				judged := httptest.NewRecorder()
				v.Require("orders:read")(next).ServeHTTP(judged, r)
				_, _ = judged.Body.WriteTo(w) // and never its status
			})
		}
	}
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	cmd := group("marque", "", verb("demo", "", func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), storeBolt, letThrough) }))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if code := a.execute(t.Context(), cmd, []string{"demo"}); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if want := "the story ends at step 4: not so: a token whose scope was changed is refused: status 200"; !strings.Contains(errs.String(), want) {
		t.Errorf("got %q, want %q", errs.String(), want)
	}
	if !strings.Contains(out.String(), "✗ a token whose scope was changed is refused") || strings.Contains(out.String(), "The story held") {
		t.Errorf("the story says\n%s", out.String())
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemo_DiscoveryIsChecked(t *testing.T) {
	for _, c := range []struct {
		name, issuer string
		kids         []string
		holds        bool
	}{
		{"as it is", "http://127.0.0.1:1", []string{"other", "k"}, true},
		{"another issuer", "http://127.0.0.1:2", []string{"k"}, false},
		{"nothing fetched", "", nil, false},
		{"another key", "http://127.0.0.1:1", []string{"other"}, false},
	} {
		d := &demo{
			narrator: newNarrator(io.Discard, nil), server: &server{issuer: "http://127.0.0.1:1"},
			token: base64.RawURLEncoding.EncodeToString([]byte(`{"kid":"k"}`)) + ".e30.AAAA",
		}
		if err := d.discovered(c.issuer, c.kids); (err == nil) != c.holds {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDemo_AnOutcomeThatDoesNotHoldEndsIt(t *testing.T) {
	var out bytes.Buffer
	n := newNarrator(&out, nil)
	if err := n.check("the moon is cheese", false, "it is %s", "rock"); err == nil || !strings.Contains(err.Error(), "it is rock") || n.checks != 0 {
		t.Errorf("got %v, %d checks", err, n.checks)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out}
	if code := a.run(ctx, []string{"demo"}); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
}

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestStatus_ExitCodeIsReadiness: who watches by the exit code takes a degraded server for one that serves, and
// nothing that it does not know for good.
func TestStatus_ExitCodeIsReadiness(t *testing.T) {
	for state, want := range map[string]int{"ok": exitDone, "degraded": exitDone, "unavailable": exitFailed, "unheard-of": exitFailed, "": exitFailed} {
		issuer := newLiar(t)
		issuer.metadata = honest
		issuer.token = func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"a.b.c","token_type":"Bearer","expires_in":60}`)
		}
		listener := newEavesdropper(t, func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"state":%q,"store":{"clock_offset_ms":-3},"reasons":[{"code":"store_refuses_writes","message":"full \u001b[2J"}]}`, state)
		})
		var stdout, stderr bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, environ: []string{"MARQUE_CLIENT_SECRET=" + testSecret}}
		got := a.run(t.Context(), []string{"status", "--admin", listener.URL, "--issuer", issuer.URL, "--client-id", "ops"})
		if got != want {
			t.Errorf("%q: exit code %d, want %d: %s", state, got, want, stderr.String())
		}
		for _, s := range []string{"clock ahead of the store's  -3 ms\n", "store_refuses_writes: full \ufffd[2J\n"} {
			if !strings.Contains(stdout.String(), s) {
				t.Errorf("%q: it does not say %q: %s", state, s, stdout.String())
			}
		}
	}
}

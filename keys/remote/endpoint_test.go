package remote_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/marque-auth/marque/keys/remote"
)

// An endpoint is found under the rules for keys: by the issuer's own document, https, no other host.
func TestRKY01_MET04_Endpoint(t *testing.T) {
	is := newIssuer(t, true)
	elsewhere := newIssuer(t, true)
	good := `{"issuer":"%[1]s","introspection_endpoint":"%[1]s/introspect"}`
	for name, tt := range map[string]struct {
		answer    http.HandlerFunc
		found     bool
		permanent bool
	}{
		"good":           {saying(is, good), true, false},
		"another issuer": {saying(elsewhere, good), false, true},
		"not there":      {saying(is, `{"issuer":"%[1]s","jwks_uri":"%[1]s/jwks"}`), false, true},
		"null":           {saying(is, `{"issuer":"%[1]s","introspection_endpoint":null}`), false, true},
		"another case":   {saying(is, `{"issuer":"%[1]s","Introspection_endpoint":"%[1]s/introspect"}`), false, true},
		"twice":          {saying(is, `{"issuer":"%[1]s","introspection_endpoint":"%[1]s/a","introspection_endpoint":"%[1]s/b"}`), false, true},
		"http":           {saying(is, `{"issuer":"%[1]s","introspection_endpoint":"http://127.0.0.1/introspect"}`), false, true},
		"relative":       {saying(is, `{"issuer":"%[1]s","introspection_endpoint":"/introspect"}`), false, true},
		"password":       {saying(is, `{"issuer":"%[1]s","introspection_endpoint":"https://a:b@127.0.0.1/"}`), false, true},
		"HTML":           {saying(is, `<html>`), false, true},
		"503":            {status(http.StatusServiceUnavailable), false, false},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
		}, false, false},
	} {
		is.set(func() { is.metadata = tt.answer })
		c := config(is, newClock())
		c.InsecureHTTP = true // does not weaken an https issuer
		got, err := remote.Endpoint(t.Context(), c, "introspection_endpoint")
		if (err == nil) != tt.found || errors.Is(err, remote.ErrDocument) != tt.permanent || tt.found != (got == is.URL+"/introspect") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := remote.Endpoint(t.Context(), remote.Config{Issuer: "http://as.example"}, "introspection_endpoint"); err == nil {
		t.Error("an issuer that is plain http was asked")
	}
}

func saying(is *issuer, format string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, format, is.URL) }
}

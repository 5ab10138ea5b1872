package remote

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzFreshness: whatever an issuer says, keys are fresh for a second to an hour.
func FuzzFreshness(f *testing.F) {
	for _, s := range []string{"max-age=300", `max-age="1"`, "no-store, max-age=-1", "max-age=99999999999999999999999", ",,=", ""} {
		f.Add(s, "10")
	}
	f.Fuzz(func(t *testing.T, cacheControl, age string) {
		d := freshness(http.Header{"Cache-Control": {cacheControl}, "Age": {age}})
		if d < minFresh || d > maxFresh {
			t.Fatalf("%q, Age %q: %v", cacheControl, age, d)
		}
	})
}

// FuzzMetadata: no document sends us anywhere but to an https URL, and none speaks for another issuer.
func FuzzMetadata(f *testing.F) {
	const identifier = "https://as.example"
	issuer := &url.URL{Scheme: "https", Host: "as.example"}
	for _, s := range []string{
		`{"issuer":"https://as.example","jwks_uri":"https://as.example/jwks"}`,
		`{"issuer":"https://as.example","jwks_uri":"http://as.example/jwks"}`,
		`{"issuer":"https://evil.example","jwks_uri":"https://as.example/jwks"}`, `{}`, `null`, ``,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, document string) {
		uri, err := jwksURI([]byte(document), issuer, identifier)
		if err != nil {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			t.Fatalf("%q leads to %q", document, uri)
		}
		if !strings.Contains(document, "as.example") && !strings.Contains(document, `\u`) {
			t.Fatalf("%q was taken", document)
		}
	})
}

package endpoint

import (
	"net/http"
	"strings"
	"testing"
)

func TestINT15_PrefersJWT(t *testing.T) {
	const jwt = mediaIntrospection
	for accept, want := range map[string]bool{
		"":                                    false,
		"application/json":                    false,
		"*/*":                                 false,
		"application/*":                       false,
		"application/jwt":                     false,
		"text/html":                           false,
		jwt:                                   true,
		"Application/Token-Introspection+JWT": true,
		" " + jwt + " ":                       true,
		jwt + ";q=1":                          true,
		jwt + "; q=1.000":                     true,
		jwt + ";Q=0.5":                        true,
		jwt + ";q=0.001":                      true,
		jwt + ";x=y":                          true,
		jwt + ";q=0":                          false,
		jwt + ";q=0.000":                      false,
		jwt + ";q=":                           false,
		jwt + ";q=x":                          false,
		jwt + ";q=2":                          false,
		jwt + ";q=1.001":                      false,
		jwt + ";q=0.0001":                     false,
		jwt + ";q=-1":                         false,
		jwt + ";q=.5":                         false,
		jwt + ";q=NaN":                        false,
		jwt + ";q=1;q=0":                      false,
		jwt + "x":                             false,
		"x" + jwt:                             false,
		jwt + " x":                            false,

		// Both by name: the better one, and JSON when they are equal, in any order.
		jwt + ", application/json":             false,
		"application/json, " + jwt:             false,
		"application/json;q=0.9," + jwt:        true,
		"application/json;q=0.5,," + jwt + ",": true,
		"application/json," + jwt + ";q=0.9":   false,
		"application/json;q=0, " + jwt:         true,
		"application/json;q=0":                 false,

		// JSON as part of a range: a named type wins a tie, and loses to a better range.
		jwt + ", */*":             true,
		"*/*, " + jwt:             true,
		jwt + ", application/*":   true,
		jwt + ";q=0.5, */*":       false,
		jwt + ";q=0.5, */*;q=0.1": true,
		jwt + ";q=0.5, application/*;q=0.1, */*;q=1":      true,
		jwt + ", application/json;q=1, */*;q=0.1":         false,
		"text/html, " + jwt + ";q=0.8, application/*;q=0": true,

		// What is inside of quotes is a parameter, and separates nothing.
		`application/json;x="a,` + jwt + `"`:                  false,
		`application/json;x="\",` + jwt + `"`:                 false,
		`application/json;x="a\\",` + jwt + `;q=0.9`:          false,
		`text/html;x="a\\",` + jwt:                            true,
		`text/html;x="` + jwt:                                 false,
		"text/html;=," + jwt:                                  true, // what cannot be read says nothing
		strings.Repeat("text/html;q=0.1,", maxRanges-2) + jwt: true,
		strings.Repeat("text/html,", maxRanges) + jwt:         false, // too many to be read
		jwt + ";q=0.1," + jwt + ";q=0.9,*/*;q=0.5":            true,
		"application/json;q=0.1, application/json, " + jwt:    false,
	} {
		if got := prefersJWT([]string{accept}); got != want {
			t.Errorf("%.80q: %v", accept, got)
		}
		if got := prefersJWT([]string{"text/html", accept}); got != want && accept != "text/html" {
			t.Errorf("%.80q, in a second field: %v", accept, got)
		}
	}
	if prefersJWT(nil) {
		t.Error("no field asks for nothing")
	}
	if !prefersJWT([]string{"application/json;q=0.5", jwt}) || prefersJWT([]string{"application/json", jwt}) {
		t.Error("fields are one list")
	}
}

// FuzzAccept compares what is preferred with the same list in other spellings.
func FuzzAccept(f *testing.F) {
	for _, seed := range []string{
		"", mediaIntrospection, "application/json, " + mediaIntrospection + ";q=0.9", `a/b;x="\",";q=0,` + mediaIntrospection, "*/*;q=0.1", ",,", `"`, `\`,
		"application/*;q=0.5," + mediaIntrospection + ";q=0.500",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		got := prefersJWT([]string{accept})
		if got && !strings.Contains(strings.ToLower(accept), mediaIntrospection) {
			t.Fatalf("%q does not name the type", accept)
		}
		var fields []string
		for element, rest := "", accept; rest != ""; {
			element, rest = cutElement(rest)
			fields = append(fields, element)
		}
		if len(fields) > maxRanges-3 {
			return
		}
		if strings.Join(fields, ",") != strings.TrimSuffix(accept, ",") && strings.Join(fields, ",") != accept {
			t.Fatalf("%q was cut into %q", accept, fields)
		}
		if prefersJWT(fields) != got {
			t.Fatalf("%q: one field %v, in fields %q otherwise", accept, got, fields)
		}
		// An unknown type before and after changes nothing, and JSON by name, as good as can be, wins.
		if prefersJWT(append([]string{"image/png"}, append(fields, "image/png;q=0.3")...)) != got {
			t.Fatalf("%q: an unknown type matters", accept)
		}
		if prefersJWT(append(fields, mediaJSON)) {
			t.Fatalf("%q: preferred to JSON", accept)
		}
	})
}

func TestAccept_IsReadAtIntrospectionAlone(t *testing.T) {
	for _, path := range []string{tokenPath, revocationPath, jwksPath, metadataPath} {
		r := tokenPost(b0 + "&token=x")
		if path == jwksPath || path == metadataPath {
			r.Method = http.MethodGet
		}
		r.URL.Path = path
		r.Header.Set("Accept", mediaIntrospection)
		w := serveOne(t, r, func(*Config) {})
		if media := w.Header().Get("Content-Type"); media == mediaIntrospection || w.Header().Get("Vary") != "" {
			t.Errorf("%s: %s, Vary %q", path, media, w.Header().Get("Vary"))
		}
	}
}

func TestFeed_PrefersStream(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                                       false,
		"*/*":                                    false,
		"text/*":                                 false,
		"application/json":                       false,
		"text/html":                              false,
		mediaEvents:                              true,
		"Text/Event-Stream":                      true,
		mediaEvents + ";q=0.1":                   true,
		mediaEvents + ";q=0":                     false,
		mediaEvents + ";q=x":                     false,
		mediaEvents + "x":                        false,
		"x=\"" + mediaEvents + "\"":              false,
		"*/*, " + mediaEvents + ";q=0.1":         true,
		mediaEvents + ", application/json":       false,
		"application/json, " + mediaEvents:       false,
		"application/json;q=0.9, " + mediaEvents: true,
		"application/json, " + mediaEvents + ";q=0.9":      false,
		"application/json;q=0, " + mediaEvents + ";q=0.01": true,
		strings.Repeat("a/b,", maxRanges) + mediaEvents:    false,
	} {
		if got := prefersStream([]string{accept}); got != want {
			t.Errorf("%.60q: %t", accept, got)
		}
	}
	if !prefersStream([]string{"text/html", mediaEvents}) || prefersStream(nil) {
		t.Error("two fields, or none")
	}
}

package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/remote"
)

// RKY-01, MET-04: the document is the issuer's own, found in one place, or there is no start.
func TestRKY01_MET04_LyingDocument(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	for name, format := range map[string]string{
		"another issuer":       `{"issuer":"https://evil.example","jwks_uri":"%[1]s/jwks"}`,
		"slash":                `{"issuer":"%[1]s/","jwks_uri":"%[1]s/jwks"}`,
		"long issuer":          `{"issuer":"https://` + strings.Repeat("x", 10_000) + `.example","jwks_uri":"%[1]s/jwks"}`,
		"no issuer":            `{"jwks_uri":"%[1]s/jwks"}`,
		"issuer of odd case":   `{"Issuer":"%[1]s","jwks_uri":"%[1]s/jwks"}`,
		"issuer twice":         `{"issuer":"%[1]s","issuer":"%[1]s","jwks_uri":"%[1]s/jwks"}`,
		"issuer null":          `{"issuer":null,"jwks_uri":"%[1]s/jwks"}`,
		"no jwks_uri":          `{"issuer":"%[1]s"}`,
		"http jwks_uri":        `{"issuer":"%[1]s","jwks_uri":"http://127.0.0.1/jwks"}`,
		"file jwks_uri":        `{"issuer":"%[1]s","jwks_uri":"file:///etc/passwd"}`,
		"relative jwks_uri":    `{"issuer":"%[1]s","jwks_uri":"/jwks"}`,
		"password in jwks_uri": `{"issuer":"%[1]s","jwks_uri":"https://u:p@127.0.0.1/jwks"}`,
		"fragment in jwks_uri": `{"issuer":"%[1]s","jwks_uri":"%[1]s/jwks#a"}`,
		"not an object":        `["%[1]s"]`,
		"trailing data":        `{"issuer":"%[1]s","jwks_uri":"%[1]s/jwks"}{}`,
		"nothing":              ``,
		"HTML":                 `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			is.set(func() {
				is.metadata = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, format, is.URL) }
			})
			c := config(is, newClock())
			c.InsecureHTTP, c.StartUnready = true, true // neither helps: waiting does not mend a lie
			k, err := remote.Discover(t.Context(), c)
			if err == nil {
				k.Close()
				t.Fatal("started")
			}
			// Who has written the wrong issuer into his configuration is told the right one.
			if want := `the issuer in it is "https://evil.example", not "` + is.URL; name == "another issuer" && !strings.Contains(err.Error(), want) {
				t.Error(err)
			}
			if strings.Contains(err.Error(), "xxxxx") {
				t.Error("a document of somebody else fills the log")
			}
		})
	}
	if n := is.fetches.Load(); n > 0 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

// MET-01 for consumers: the well-known part goes between host and path; nothing else is asked for.
func TestRKY01_MET01_Insertion(t *testing.T) {
	key := document(newKey(t, "a"))
	for path, want := range map[string]string{
		"":         "/.well-known/oauth-authorization-server",
		"/":        "/.well-known/oauth-authorization-server",
		"/t1":      "/.well-known/oauth-authorization-server/t1",
		"/t1/":     "/.well-known/oauth-authorization-server/t1",
		"/t%2F1/b": "/.well-known/oauth-authorization-server/t%2F1/b",
	} {
		var asked []string
		var srv *httptest.Server
		srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.EscapedPath())
			if r.URL.Path == "/k" {
				io.WriteString(w, key)
				return
			}
			io.WriteString(w, `{"issuer":"`+srv.URL+path+`","jwks_uri":"`+srv.URL+`/k"}`)
		}))
		k, err := remote.Discover(t.Context(), remote.Config{Issuer: srv.URL + path, Client: srv.Client()})
		if err != nil {
			t.Errorf("%q: %v", path, err)
		} else {
			k.Close()
		}
		srv.Close()
		if len(asked) != 2 || asked[0] != want {
			t.Errorf("%q: asked for %q, want %q", path, asked, want)
		}
	}
}

func TestDiscover_NoFallback(t *testing.T) {
	is := newIssuer(t, true)
	is.metadata = status(http.StatusNotFound)
	if k, err := remote.Discover(t.Context(), config(is, newClock())); err == nil {
		k.Close()
		t.Error("started")
	}
}

func TestRKY02_IssuerURLs(t *testing.T) {
	for _, iss := range []string{
		"", "as.example", "https://", "https:///x", "ftp://as.example", "https://as.example?x=1", "https://as.example?", "https://as.example#",
		"https://as.example#x", "https://user:hunter2@as.example", "http://as.example", "https://as.example\n", "https://hunter2\x7f@x", "https://:443",
	} {
		_, err := remote.Discover(t.Context(), remote.Config{Issuer: iss})
		if err == nil {
			t.Errorf("%q: started", iss)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", iss, err)
		}
	}
	if _, err := remote.Discover(t.Context(), remote.Config{Issuer: "x", KeepFor: -1}); err == nil ||
		!strings.Contains(err.Error(), "Issuer") || !strings.Contains(err.Error(), "KeepFor") {
		t.Errorf("not every problem is named: %v", err)
	}
}

// RKY-02: https with certificate checks; http where it is asked for.
func TestRKY02_Transport(t *testing.T) {
	secure := newIssuer(t, true, newKey(t, "a"))
	c := config(secure, newClock())
	c.Client = nil
	if k, err := remote.Discover(t.Context(), c); err == nil {
		k.Close()
		t.Error("an unknown certificate was taken")
	}
	plain := newIssuer(t, false, newKey(t, "a"))
	c = config(plain, newClock())
	c.Client = nil
	if k, err := remote.Discover(t.Context(), c); err == nil {
		k.Close()
		t.Error("http was taken")
	}
	c.InsecureHTTP = true
	k, err := remote.Discover(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
}

// RKY-02: redirects stay on the host, and are few.
func TestRKY02_Redirects(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	elsewhere := newIssuer(t, true, newKey(t, "evil"))
	hops := 0
	for name, tt := range map[string]struct {
		to string
		ok bool
	}{
		"same host":  {is.URL + "/jwks?moved", true},
		"relative":   {"/jwks?moved", true},
		"other host": {elsewhere.URL + "/jwks", false},
		"http":       {"http://" + strings.TrimPrefix(is.URL, "https://") + "/jwks?moved", false},
		"loop":       {"/jwks", false},
	} {
		is.set(func() {
			hops = 0
			is.jwks = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery == "moved" {
					io.WriteString(w, document(newKey(t, "a")))
					return
				}
				hops++
				http.Redirect(w, r, tt.to, http.StatusFound)
			}
		})
		c := config(is, newClock())
		c.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return nil } // a lax client does not weaken us
		k, err := remote.Discover(t.Context(), c)
		if err == nil {
			k.Close()
		}
		if (err == nil) != tt.ok || hops > 4 {
			t.Errorf("%s: %v, %d hops", name, err, hops)
		}
	}
	if n := elsewhere.fetches.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// RKY-02: a large body and a slow one are errors, and the old keys stay.
func TestRKY02_RKY08_LimitsKeepOldKeys(t *testing.T) {
	a := newKey(t, "a")
	padding := strings.Repeat(" ", 10<<20)
	for name, handler := range map[string]http.HandlerFunc{
		"10 MB": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, document(newKey(t, "b"))[:10]+padding)
		},
		"10 MB of good JSON": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, document(newKey(t, "b"))+padding) },
		"500":                status(http.StatusInternalServerError),
		"204":                status(http.StatusNoContent),
		"not JSON":           func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"RKY-11 empty set":   func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"keys":[]}`) },
		"RKY-11 unusable keys": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"keys":[{"kty":"oct","k":"AA","kid":"x"}]}`)
		},
		"RKY-12 one kid, twice": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, document(newKey(t, "b"), newKey(t, "b")))
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			io.WriteString(w, `{"keys":[`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := newIssuer(t, true, a)
			f := discover(t, is)
			is.set(func() { is.jwks = handler })
			f.clock.advance(4 * time.Minute)
			f.want(t, "a", nil)
			if e := f.next(t); e.Err == nil {
				t.Fatalf("%+v", e)
			}
			f.clock.advance(10 * time.Hour)
			f.want(t, "a", nil)
			if st := f.Status(); !st.Ready || st.Err == nil || st.Keys != 1 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// RKY-02: the metadata is bounded too. What follows the limit is white space, so that cutting it off
// would leave a good document.
func TestRKY02_LargeMetadata(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	is.metadata = func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"issuer":"`+is.URL+`","jwks_uri":"`+is.URL+`/jwks"}`+strings.Repeat(" ", 1<<20))
	}
	if k, err := remote.Discover(t.Context(), config(is, newClock())); err == nil {
		k.Close()
		t.Error("started")
	}
}

// RKY-02: the caller's own deadline comes before the five seconds; slow_test.go has those.
func TestRKY02_CallersDeadline(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	is.jwks = func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"keys":[`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	k, err := remote.Discover(ctx, config(is, newClock()))
	if err == nil {
		k.Close()
		t.Error("started")
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestRKY02_NoCookies(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	is.jwks = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
			t.Error("credentials were sent")
		}
		io.WriteString(w, document(newKey(t, "a")))
	}
	is.metadata = func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
		io.WriteString(w, `{"issuer":"`+is.URL+`","jwks_uri":"`+is.URL+`/jwks"}`)
	}
	c := config(is, newClock())
	c.Client.Jar = jar{}
	k, err := remote.Discover(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
}

package verifier_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// RST-07, STR-05: while it is not known what was revoked, a service that chose to be open is so to requests that
// change nothing, unless a route says otherwise; to none for longer than it said; and never to what is known to be
// revoked.
func TestRST07_STR05_OpenByRoute(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, []token.Subject{client("c2")}, func(c *verifier.Config) {
		c.Follow.WhenSilent, c.Follow.OpenFor = verifier.SilentOpen, 30*time.Second
	})
	long := map[string]any{"exp": epoch.Unix() + 3600}
	good, revoked := is.token(t, long), is.token(t, map[string]any{"exp": epoch.Unix() + 3600, "client_id": "c2"})
	safe := []string{"GET", "HEAD", "OPTIONS", "TRACE"}
	others := []string{"POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", "BREW", ""}
	for round, tt := range []struct {
		after      time.Duration
		open       bool // to whom it may be
		everything bool // nothing is unknown
	}{{10 * time.Second, true, true}, {40 * time.Second, true, false}, {41 * time.Second, false, false}} {
		is.now.Store(epoch.Add(tt.after).Unix())
		for _, route := range []struct {
			openTo           verifier.OpenTo
			toSafe, toOthers bool
		}{{verifier.OpenToSafe, true, false}, {verifier.OpenToAll, true, true}, {verifier.OpenToNone, false, false}} {
			h := f.RequireRoute(verifier.Route{OpenTo: route.openTo})(api(t))
			ask := func(method, compact string, open bool) {
				t.Helper()
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Method = method
				r.Header.Set("Authorization", "Bearer "+compact)
				// What a caller says of its method counts for nothing.
				r.Header["X-Http-Method-Override"], r.Header["X-Forwarded-Method"] = []string{"GET"}, []string{"GET"}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				status := http.StatusServiceUnavailable
				switch {
				case compact == revoked:
					status = http.StatusUnauthorized
				case tt.everything || tt.open && open:
					status = http.StatusOK
				}
				if w.Code != status || (w.Header().Get("Retry-After") != "") != (status == 503) {
					t.Errorf("round %d, open to %q, %s: %d %v, want %d", round, route.openTo, method, w.Code, w.Header(), status)
				}
			}
			for _, m := range safe {
				ask(m, good, route.toSafe)
				ask(m, revoked, false)
			}
			for _, m := range others {
				ask(m, good, route.toOthers)
				ask(m, revoked, false)
			}
		}
	}
	if st := f.FeedStatus(); st.Open == 0 || st.Closed == 0 {
		t.Errorf("counted %+v", st)
	}
}

// RST-07: what an outer route let through because it is open, an inner one that is not judges once more.
func TestRST07_NestedRoutesAreAsClosedAsTheInnerOne(t *testing.T) {
	is := newFeed(t, jose.ES256)
	f := follow(t, is, nil, func(c *verifier.Config) {
		c.Follow.WhenSilent, c.Follow.OpenFor = verifier.SilentOpen, 30*time.Second
	})
	good := is.token(t, nil)
	all, none := f.RequireRoute(verifier.Route{OpenTo: verifier.OpenToAll}), f.RequireRoute(verifier.Route{OpenTo: verifier.OpenToNone})
	is.now.Add(20)
	for name, tt := range map[string]struct {
		h      http.Handler
		status int
	}{
		"open in open":     {all(all(api(t))), http.StatusOK},
		"closed in open":   {all(none(api(t))), http.StatusServiceUnavailable},
		"open in closed":   {none(all(api(t))), http.StatusServiceUnavailable},
		"closed in closed": {none(none(api(t))), http.StatusServiceUnavailable},
	} {
		want(t, name, call(tt.h, "/", "Bearer "+good), tt.status, "")
	}
	f.heard()
	want(t, "heard again", call(all(none(api(t))), "/", "Bearer "+good), http.StatusOK, "")
}

func TestRoute_NoOpenTo(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	defer func() {
		if recover() == nil {
			t.Error("a route that nobody can understand is taken")
		}
	}()
	v.RequireRoute(verifier.Route{OpenTo: "writes"})
}

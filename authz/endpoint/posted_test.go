package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz"
)

// domain is a Tokens made of functions. What has none is a fault.
type domain struct {
	tokensFunc
	introspect func(context.Context, authz.IntrospectRequest) (authz.Introspection, error)
	revoke     func(context.Context, authz.RevokeRequest) (authz.Revoked, error)
}

func (d domain) Introspect(ctx context.Context, r authz.IntrospectRequest) (authz.Introspection, error) {
	if d.introspect == nil {
		return d.tokensFunc.Introspect(ctx, r)
	}
	return d.introspect(ctx, r)
}

func (d domain) Revoke(ctx context.Context, r authz.RevokeRequest) (authz.Revoked, error) {
	if d.revoke == nil {
		return d.tokensFunc.Revoke(ctx, r)
	}
	return d.revoke(ctx, r)
}

// failing is a domain in which everything ends in err.
func failing(err error) func(*Config) {
	return func(c *Config) {
		c.Tokens = domain{
			func(context.Context, authz.Request) (authz.Issued, error) { return authz.Issued{}, err },
			func(context.Context, authz.IntrospectRequest) (authz.Introspection, error) {
				return authz.Introspection{}, err
			},
			func(context.Context, authz.RevokeRequest) (authz.Revoked, error) { return authz.Revoked{}, err },
		}
	}
}

// succeeding is a domain in which everything succeeds.
func succeeding(c *Config) {
	c.Tokens = domain{
		func(context.Context, authz.Request) (authz.Issued, error) { return someToken, nil },
		func(_ context.Context, r authz.IntrospectRequest) (authz.Introspection, error) {
			if r.Signed {
				return authz.Introspection{JWT: "aaa.bbb.ccc", Active: true}, nil
			}
			return authz.Introspection{Body: []byte(`{"active":true}`), Active: true}, nil
		},
		func(context.Context, authz.RevokeRequest) (authz.Revoked, error) {
			return authz.Revoked{Client: "c1", JTI: "j1", Changed: true}, nil
		},
	}
}

var posts = []string{tokenPath, introspectionPath, revocationPath}

// about asks an endpoint, with Basic credentials c1:s1.
func about(path, body string) *http.Request {
	r := tokenPost(body)
	r.URL.Path = path
	return r
}

const b1 = "token=eyJ.eyJ.sig"

func TestIntrospection_HandsOnWhatWasSent(t *testing.T) {
	for name, c := range map[string]struct {
		field, body, accept string
		want                authz.IntrospectRequest
	}{
		"Basic":                  {basicField("c1", "s1"), b1, "", authz.IntrospectRequest{Client: authz.Presented{Method: authz.PresentedBasic, ID: "c1", Secret: "s1"}}},
		"post":                   {"", b1 + "&client_id=c1&client_secret=s1", "", authz.IntrospectRequest{Client: authz.Presented{Method: authz.PresentedPost, ID: "c1", Secret: "s1"}}},
		"nobody":                 {"", b1, "", authz.IntrospectRequest{}},
		"Bearer":                 {"Bearer a.b.c", b1, "", authz.IntrospectRequest{Bearer: "a.b.c"}},
		"Bearer has no case":     {"bEARER   a-._~+/1==", b1 + "&client_secret=", "", authz.IntrospectRequest{Bearer: "a-._~+/1=="}},
		"another scheme":         {"Digest x", b1, "", authz.IntrospectRequest{Client: authz.Presented{Unusable: authz.CauseUnsupportedScheme}}},
		"INT-15 signed":          {"Bearer a", b1, mediaIntrospection, authz.IntrospectRequest{Bearer: "a", Signed: true}},
		"INT-15 not signed":      {"Bearer a", b1, "application/json", authz.IntrospectRequest{Bearer: "a"}},
		"INT-11 a hint":          {"Bearer a", b1 + "&token_type_hint=refresh_token&foo=bar", "", authz.IntrospectRequest{Bearer: "a"}},
		"INT-11 an unknown hint": {"Bearer a", "token_type_hint=foo&" + b1, "", authz.IntrospectRequest{Bearer: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got authz.IntrospectRequest
			var id string
			r := about(introspectionPath, c.body)
			r.Header.Del("Authorization")
			if c.field != "" {
				r.Header.Set("Authorization", c.field)
			}
			if c.accept != "" {
				r.Header.Set("Accept", c.accept)
			}
			w := serveOne(t, r, func(config *Config) {
				config.Tokens = domain{introspect: func(ctx context.Context, r authz.IntrospectRequest) (authz.Introspection, error) {
					got, id = r, RequestID(ctx)
					return authz.Introspection{Body: []byte("{}"), JWT: "a.b.c"}, nil
				}}
			})
			c.want.Token, c.want.Address = "eyJ.eyJ.sig", netip.MustParseAddr("127.0.0.1")
			if got != c.want || w.Code != 200 || id == "" || id != w.Header().Get("X-Request-Id") {
				t.Errorf("%d %s, request %s: %+v with secret %q", w.Code, w.Body, id, got, got.Client.Secret.Reveal())
			}
		})
	}
}

func TestRevocation_HandsOnWhatWasSent(t *testing.T) {
	for _, body := range []string{b1, b1 + "&token_type_hint=access_token", "token_type_hint=foo&" + b1 + "&foo=bar&callback=f"} {
		var got authz.RevokeRequest
		w := serveOne(t, about(revocationPath, body), func(c *Config) {
			c.Tokens = domain{revoke: func(_ context.Context, r authz.RevokeRequest) (authz.Revoked, error) {
				got = r
				return authz.Revoked{}, nil
			}}
		})
		want := authz.RevokeRequest{
			Token: "eyJ.eyJ.sig", Client: authz.Presented{Method: authz.PresentedBasic, ID: "c1", Secret: "s1"},
			Address: netip.MustParseAddr("127.0.0.1"), RequestID: w.Header().Get("X-Request-Id"),
		}
		if got != want || w.Code != 200 || want.RequestID == "" {
			t.Errorf("%d, %+v", w.Code, got)
		}
	}
}

func TestRVK04_Success(t *testing.T) {
	for _, done := range []authz.Revoked{{}, {Client: "c1", JTI: "j", Changed: true}, {Client: "c1", JTI: "j", Changed: true, Collapsed: true}} {
		w := serveOne(t, about(revocationPath, b1), func(c *Config) {
			c.Tokens = domain{revoke: func(context.Context, authz.RevokeRequest) (authz.Revoked, error) { return done, nil }}
		})
		if w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		if d := cmp.Diff(w.Header(), http.Header{
			"Content-Length": {"0"}, "Cache-Control": {"no-store"}, "X-Request-Id": w.Header()["X-Request-Id"],
		}); d != "" {
			t.Error(d)
		}
	}
}

func TestINT10_INT15_Success(t *testing.T) {
	for accept, want := range map[string]struct{ media, body string }{
		"":                 {"application/json", `{"active":true}`},
		mediaIntrospection: {mediaIntrospection, "aaa.bbb.ccc"},
	} {
		r := about(introspectionPath, b1)
		r.Header.Set("Accept", accept)
		w := serveOne(t, r, succeeding)
		if w.Code != 200 || w.Body.String() != want.body {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		if d := cmp.Diff(w.Header(), http.Header{
			"Content-Type": {want.media}, "Content-Length": {fmt.Sprint(len(want.body))}, "Cache-Control": {"no-store"}, "Vary": {"Accept"},
			"X-Request-Id": w.Header()["X-Request-Id"],
		}); d != "" {
			t.Error(d)
		}
	}
}

// A body may be the same for everybody, as that of every inactive token is: wiping what was sent must not
// change it.
func TestIntrospection_ABodyThatIsSharedStaysWhole(t *testing.T) {
	inactive := []byte(`{"active":false}`)
	c := testConfig(t)
	c.Tokens = domain{introspect: func(context.Context, authz.IntrospectRequest) (authz.Introspection, error) {
		return authz.Introspection{Body: inactive}, nil
	}}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, about(introspectionPath, b1))
		if w.Body.String() != `{"active":false}` || string(inactive) != `{"active":false}` {
			t.Fatalf("%d %q, of %q", w.Code, w.Body, inactive)
		}
	}
}

func TestIntrospection_NoAnswerIsAFault(t *testing.T) {
	for accept, got := range map[string]authz.Introspection{
		"":                 {JWT: "a.b.c", Active: true},
		mediaIntrospection: {Body: []byte(`{"active":true}`), Active: true},
	} {
		r := about(introspectionPath, b1)
		r.Header.Set("Accept", accept)
		w := serveOne(t, r, func(c *Config) {
			c.Tokens = domain{introspect: func(context.Context, authz.IntrospectRequest) (authz.Introspection, error) { return got, nil }}
		})
		if w.Code != 500 || w.Body.Len() != 0 {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	}
}

func TestRVK02_INT03_TheTokenIsInTheBodyOnce(t *testing.T) {
	for _, path := range []string{introspectionPath, revocationPath} {
		for name, c := range map[string]struct {
			body, query string
			refused     *refusal
		}{
			"missing":                       {"", "", missingToken},
			"missing beside others":         {"token_type_hint=access_token", "", missingToken},
			"empty":                         {"token=", "", missingToken},
			"under another name":            {"Token=x&access_token=y", "", missingToken},
			"twice":                         {b1 + "&" + b1, "", repeatedOnce},
			"twice, once empty":             {b1 + "&token=", "", repeatedOnce},
			"in the URL":                    {"", "token=x", tokenInURL},
			"in both":                       {b1, "token=x", tokenInURL},
			"in the URL, empty":             {b1, "token", tokenInURL},
			"the caller's token in the URL": {b1, "access_token=x", tokenInURL},
			"credentials in the URL":        {b1, "client_secret=x", credentialsInURL},
			"a hint twice":                  {b1 + "&token_type_hint=a&token_type_hint=a", "", repeatedOnce},
			"resource twice":                {b1 + "&resource=a&resource=a", "", repeatedOnce},
			"an unknown one twice":          {b1 + "&x=1&x=2", "", repeatedOnce},
			"a name that is empty, twice":   {b1 + "&=1&=2", "", repeatedOnce},
			"several methods":               {b1 + "&client_id=c1&client_secret=s1", "", severalMethods},
			"another client_id":             {b1 + "&client_id=c2", "", contradictingClientID},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				var log bytes.Buffer
				r := about(path, c.body)
				r.URL.RawQuery = c.query
				w := serveOne(t, r, func(config *Config) {
					succeeding(config)
					config.Log = slog.New(slog.NewTextHandler(&log, nil))
				})
				want := errorAnswer(nil, c.refused.status, c.refused.code, c.refused.description)
				if w.Code != c.refused.status || w.Body.String() != string(want.body) || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				if strings.Contains(log.String(), "=x") || strings.Count(log.String(), "\n") != 1 {
					t.Errorf("logged %s", log.String())
				}
			})
		}
	}
}

func TestRVK01_INT01_POSTOnly(t *testing.T) {
	for path, refused := range map[string]*refusal{introspectionPath: wrongMethodIntrospection, revocationPath: wrongMethodRevocation} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW", "post"} {
			for query, cause := range map[string]string{"": "bad_request", "token=s3cr3t": "credentials_in_url", "client_id=s3cr3t": "credentials_in_url"} {
				var log bytes.Buffer
				r := about(path, b1)
				r.Method, r.URL.RawQuery = method, query
				w := serveOne(t, r, func(c *Config) {
					succeeding(c)
					c.Log = slog.New(slog.NewTextHandler(&log, nil))
				})
				want := string(errorAnswer(nil, 405, refused.code, refused.description).body)
				if method == "HEAD" {
					want = ""
				}
				if w.Code != 405 || w.Header().Get("Allow") != "POST" || w.Body.String() != want || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%s %s: %d %s %v", method, path, w.Code, w.Body, w.Header())
				}
				if !strings.Contains(log.String(), "cause="+cause+" ") || strings.Contains(log.String(), "token=s3cr3t") {
					t.Errorf("logged %s", log.String())
				}
			}
		}
	}
}

const (
	basicChallenge  = `Basic realm="marque", charset="UTF-8"`
	bearerAlone     = `Bearer realm="marque"`
	invalidBearer   = `Bearer realm="marque", error="invalid_token", error_description="` + invalidTokenDescription + `"`
	tooLittleBearer = `Bearer realm="marque", error="insufficient_scope", error_description="` + insufficientScopeDescription + `"`
)

// What the domain says becomes the same answer at every endpoint, but for codes that are not its own.
func TestFail_AtEveryEndpoint(t *testing.T) {
	fault := errors.New("disk on fire")
	invalid := &authz.InvalidTokenError{Cause: "bearer", Err: fault}
	scope := &authz.InvalidTokenError{Cause: "bearer", Scope: "marque:admin", Client: "c1"}
	const unauthorized, refused, grant = `{"error":"invalid_client"}`, `{"error":"invalid_request"}`, `{"error":"invalid_grant"}`
	for name, c := range map[string]struct {
		err    error
		status [3]int // of token, introspection, revocation
		body   string // unless it is a 5xx
		retry  string
	}{
		"INT-02 RVK-18 invalid_client":            {&authz.Error{Code: authz.InvalidClient}, [3]int{401, 401, 401}, unauthorized, ""},
		"invalid_request":                         {&authz.Error{Code: authz.InvalidRequest}, [3]int{400, 400, 400}, refused, ""},
		"RVK-07 invalid_grant":                    {&authz.Error{Code: authz.InvalidGrant}, [3]int{500, 500, 400}, grant, ""},
		"TOK-41 invalid_scope":                    {&authz.Error{Code: authz.InvalidScope}, [3]int{400, 500, 500}, `{"error":"invalid_scope"}`, ""},
		"RVK-11 unsupported_token_type":           {&authz.Error{Code: "unsupported_token_type"}, [3]int{500, 500, 500}, "", ""},
		"a code of a challenge":                   {&authz.Error{Code: invalidToken}, [3]int{500, 500, 500}, "", ""},
		"INT-02 invalid_token":                    {invalid, [3]int{500, 401, 500}, `{"error":"invalid_token","error_description":"` + invalidTokenDescription + `"}`, ""},
		"INT-02 insufficient_scope":               {scope, [3]int{500, 403, 500}, `{"error":"insufficient_scope","error_description":"` + insufficientScopeDescription + `"}`, ""},
		"throttled":                               {&authz.ThrottledError{RetryAfter: 1500 * time.Millisecond}, [3]int{429, 429, 429}, "", "2"},
		"RVK-13 INT-13 unavailable":               {&authz.UnavailableError{Err: fault}, [3]int{503, 503, 503}, "", "1"},
		"RVK-13 INT-13 an outage around a 401":    {&authz.UnavailableError{Err: &authz.Error{Code: authz.InvalidClient}}, [3]int{503, 503, 503}, "", "1"},
		"RVK-13 INT-13 an outage around a Bearer": {&authz.UnavailableError{Err: invalid}, [3]int{503, 503, 503}, "", "1"},
		"a wrapped refusal":                       {fmt.Errorf("x: %w", &authz.Error{Code: authz.InvalidClient}), [3]int{401, 401, 401}, unauthorized, ""},
		"a fault":                                 {fault, [3]int{500, 500, 500}, "", ""},
		"errors that are joined":                  {errors.Join(&authz.Error{Code: authz.InvalidRequest}, fault), [3]int{500, 500, 500}, "", ""},
		"someone else's deadline":                 {context.DeadlineExceeded, [3]int{500, 500, 500}, "", ""},
	} {
		for i, path := range posts {
			t.Run(name+" "+path, func(t *testing.T) {
				w := serveOne(t, about(path, b0+"&"+b1), failing(c.err))
				want := c.body
				if c.status[i] >= 500 {
					want = ""
				}
				if w.Code != c.status[i] || w.Body.String() != want || w.Header().Get("Retry-After") != c.retry || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%d %q Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
				}
				if challenged := len(w.Header()["Www-Authenticate"]) > 0; challenged != (w.Code == 401 || w.Code == 403) {
					t.Errorf("%d with %q", w.Code, w.Header()["Www-Authenticate"])
				}
			})
		}
	}
}

func TestINT02_Challenges(t *testing.T) {
	invalidClient := &authz.Error{Code: authz.InvalidClient}
	for name, c := range map[string]struct {
		field, body string
		err         error
		status      int
		want        []string
	}{
		"nothing":                        {"", b1, invalidClient, 401, []string{basicChallenge, bearerAlone}},
		"client_id alone":                {"", b1 + "&client_id=c1", invalidClient, 401, []string{basicChallenge, bearerAlone}},
		"another scheme":                 {"Digest x", b1, invalidClient, 401, []string{basicChallenge, bearerAlone}},
		"malformed Basic":                {"Basic !", b1, invalidClient, 401, []string{basicChallenge, bearerAlone}},
		"wrong secret, Basic":            {basicField("c1", "x"), b1, invalidClient, 401, []string{basicChallenge}},
		"wrong secret, post":             {"", b1 + "&client_id=c1&client_secret=x", invalidClient, 401, []string{basicChallenge}},
		"a Bearer token that is no good": {"Bearer x", b1, &authz.InvalidTokenError{}, 401, []string{invalidBearer}},
		"a Bearer token without the scope": {
			"Bearer x", b1, &authz.InvalidTokenError{Scope: "marque:admin"}, 403, []string{tooLittleBearer + `, scope="marque:admin"`},
		},
		"a scope that cannot be quoted": {"Bearer x", b1, &authz.InvalidTokenError{Scope: `a", b="`}, 403, []string{tooLittleBearer}},

		// The domain is not asked: these would succeed.
		"an empty Bearer token":           {"Bearer ", b1, nil, 401, []string{invalidBearer}},
		"Bearer and nothing":              {"Bearer", b1, nil, 401, []string{invalidBearer}},
		"a malformed Bearer token":        {"Bearer a b", b1, nil, 401, []string{invalidBearer}},
		"a Bearer token of padding":       {"Bearer ==", b1, nil, 401, []string{invalidBearer}},
		"a Bearer token in quotes":        {`Bearer "a"`, b1, nil, 401, []string{invalidBearer}},
		"Bearer and a client secret":      {"Bearer a", b1 + "&client_id=c1&client_secret=s1", nil, 400, nil},
		"Bearer and client_secret alone":  {"Bearer a", b1 + "&client_secret=s1", nil, 400, nil},
		"Bearer and client_id":            {"Bearer a", b1 + "&client_id=c1", nil, 400, nil},
		"Bearer and an assertion":         {"Bearer a", b1 + "&" + assertionPair, nil, 400, nil},
		"Bearer and another Bearer token": {"Bearer a", b1 + "&access_token=b", nil, 400, nil},
		"empty Bearer and a secret":       {"Bearer ", b1 + "&client_id=c1&client_secret=s1", nil, 400, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := about(introspectionPath, c.body)
			r.Header.Del("Authorization")
			if c.field != "" {
				r.Header["Authorization"] = []string{c.field}
			}
			edit := failing(c.err)
			if c.err == nil {
				edit = succeeding
			}
			w := serveOne(t, r, edit)
			if d := cmp.Diff(w.Header()["Www-Authenticate"], c.want); w.Code != c.status || d != "" {
				t.Errorf("%d %s: %s", w.Code, w.Body, d)
			}
			if c.status == 400 && !strings.Contains(w.Body.String(), severalMethods.description) {
				t.Errorf("%s", w.Body)
			}
		})
	}
}

// Elsewhere a Bearer token is no way to authenticate, whatever it is.
func TestBearer_IsForIntrospectionAlone(t *testing.T) {
	for _, path := range []string{tokenPath, revocationPath} {
		var got authz.Presented
		r := about(path, b0+"&"+b1)
		r.Header.Set("Authorization", "Bearer a.b.c")
		w := serveOne(t, r, func(c *Config) {
			c.Tokens = domain{
				tokensFunc: func(_ context.Context, r authz.Request) (authz.Issued, error) {
					got = r.Client
					return authz.Issued{}, &authz.Error{Code: authz.InvalidClient}
				},
				revoke: func(_ context.Context, r authz.RevokeRequest) (authz.Revoked, error) {
					got = r.Client
					return authz.Revoked{}, &authz.Error{Code: authz.InvalidClient}
				},
			}
		})
		if got != (authz.Presented{Unusable: authz.CauseUnsupportedScheme}) || w.Code != 401 || w.Header().Get("WWW-Authenticate") != basicChallenge {
			t.Errorf("%s: %+v, %d %v", path, got, w.Code, w.Header())
		}
	}
}

func TestTOK01_InClearAtEveryEndpoint(t *testing.T) {
	for _, path := range posts {
		r := about(path, b0+"&"+b1)
		r.RemoteAddr = "203.0.113.9:1"
		body := &countingReader{r: strings.NewReader(b1)}
		r.Body = body
		if w := serveOne(t, r, succeeding); w.Code != 400 || body.n != 0 || w.Header().Get("Connection") != "close" {
			t.Errorf("%s: %d %s after %d octets", path, w.Code, w.Body, body.n)
		}
	}
}

func TestRVK17_NoCORSAndNoJSONP(t *testing.T) {
	for _, path := range []string{introspectionPath, revocationPath} {
		for _, method := range []string{http.MethodPost, http.MethodOptions, http.MethodGet} {
			r := about(path, b1+"&callback=f")
			r.Method = method
			r.Header.Set("Origin", "https://evil.example")
			r.Header.Set("Access-Control-Request-Method", "POST")
			w := serveOne(t, r, succeeding)
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s answers %s", method, path, name)
				}
			}
			if strings.Contains(w.Body.String(), "f(") || strings.Contains(w.Header().Get("Content-Type"), "javascript") {
				t.Errorf("%s %s: %s", method, path, w.Body)
			}
		}
	}
}

func TestPanic_AtEveryEndpoint(t *testing.T) {
	for _, path := range posts {
		var log bytes.Buffer
		w := serveOne(t, about(path, b0+"&"+b1), func(c *Config) {
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
			c.Tokens = domain{
				func(context.Context, authz.Request) (authz.Issued, error) { panic("token") },
				func(context.Context, authz.IntrospectRequest) (authz.Introspection, error) { panic("token") },
				func(context.Context, authz.RevokeRequest) (authz.Revoked, error) { panic("token") },
			}
		})
		if w.Code != 500 || w.Body.Len() != 0 || !strings.Contains(log.String(), "cause=panic") {
			t.Errorf("%s: %d %s, logged %s", path, w.Code, w.Body, log.String())
		}
	}
}

func TestRevocation_IsLogged(t *testing.T) {
	var log bytes.Buffer
	w := serveOne(t, about(revocationPath, b1), func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Tokens = domain{revoke: func(context.Context, authz.RevokeRequest) (authz.Revoked, error) {
			return authz.Revoked{Client: "c1", JTI: "j1", Changed: true, Collapsed: true}, nil
		}}
	})
	want := `level=INFO msg="token revoked" request_id=` + w.Header().Get("X-Request-Id") + " client_id=c1 jti=j1 changed=true collapsed=true\n"
	if !strings.HasSuffix(log.String(), want) || strings.Count(log.String(), "\n") != 1 || strings.Contains(log.String(), "eyJ") {
		t.Errorf("logged %s", log.String())
	}
}

// Introspection is silent unless somebody debugs, and then says why: to the log alone.
func TestIntrospection_IsExplainedToTheLogOnly(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		var log bytes.Buffer
		w := serveOne(t, about(introspectionPath, b1), func(c *Config) {
			c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
			c.Tokens = domain{introspect: func(context.Context, authz.IntrospectRequest) (authz.Introspection, error) {
				return authz.Introspection{Body: []byte(`{"active":false}`), Caller: "c1", Client: "c2", JTI: "j1", Cause: "revoked"}, nil
			}}
		})
		line := `msg="token introspected" request_id=` + w.Header().Get("X-Request-Id") + " caller=c1 active=false cause=revoked client_id=c2 jti=j1\n"
		if strings.HasSuffix(log.String(), line) != want || !want && log.Len() > 0 || w.Body.String() != `{"active":false}` {
			t.Errorf("%s: logged %s", level, log.String())
		}
	}
}

// meter and memory keep what they are told.
type meter struct {
	mu  sync.Mutex
	got []Answered
}

func (m *meter) Answered(a Answered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, a)
}

type memory []authz.Refusal

func (m *memory) Add(r authz.Refusal) { *m = append(*m, r) }

// ticking is a clock that moves by a second whenever it is read.
func ticking() func() time.Time {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(time.Second)
		return at
	}
}

func TestMeter_EveryRequestOnceInWordsFromClosedLists(t *testing.T) {
	post := func(path string) *http.Request { return about(path, b0+"&"+b1) }
	get := func(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }
	method := func(r *http.Request, m string) *http.Request { r.Method = m; return r }
	compressed := post(revocationPath)
	compressed.Header.Set("Content-Encoding", "gzip")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		r    *http.Request
		edit func(*Config)
		want Answered
	}{
		"a token":            {post(tokenPath), succeeding, Answered{Route: "token", Method: "POST", Status: 200}},
		"an introspection":   {post(introspectionPath), succeeding, Answered{Route: "introspect", Method: "POST", Status: 200}},
		"a revocation":       {post(revocationPath), succeeding, Answered{Route: "revoke", Method: "POST", Status: 200}},
		"the keys":           {get(jwksPath), succeeding, Answered{Route: "jwks", Method: "GET", Status: 503, Cause: "no_jwks"}},
		"the metadata":       {get(metadataPath), succeeding, Answered{Route: "metadata", Method: "GET", Status: 200}},
		"its alias":          {method(get(aliasPath), "HEAD"), succeeding, Answered{Route: "metadata", Method: "HEAD", Status: 200}},
		"health":             {get("/healthz"), succeeding, Answered{Route: "healthz", Method: "GET", Status: 200}},
		"readiness":          {get("/readyz"), succeeding, Answered{Route: "readyz", Method: "GET", Status: 200}},
		"not ready":          {get("/readyz"), func(c *Config) { c.Ready = func(context.Context) error { return errors.New("no") } }, Answered{Route: "readyz", Method: "GET", Status: 503, Cause: "not_ready"}},
		"no such path":       {get("/x/hunter2hunter2"), succeeding, Answered{Route: "other", Method: "other", Status: 404, Cause: "not_found"}},
		"a method unheard":   {method(get("/healthz"), "HUNTER2"), succeeding, Answered{Route: "healthz", Method: "other", Status: 405, Cause: "method_not_allowed"}},
		"GET for a token":    {method(post(tokenPath), "GET"), succeeding, Answered{Route: "token", Method: "other", Status: 405, Cause: "bad_request"}},
		"bad syntax":         {about(revocationPath, "a;b"), succeeding, Answered{Route: "revoke", Method: "POST", Status: 400, Cause: "bad_request"}},
		"compressed":         {compressed, succeeding, Answered{Route: "revoke", Method: "POST", Status: 415, Cause: "bad_request"}},
		"a refusal":          {post(introspectionPath), failing(&authz.Error{Code: authz.InvalidClient, Cause: authz.CauseWrongSecret}), Answered{Route: "introspect", Method: "POST", Status: 401, Cause: "wrong_secret"}},
		"a Bearer token":     {post(introspectionPath), failing(&authz.InvalidTokenError{Cause: "bad_bearer"}), Answered{Route: "introspect", Method: "POST", Status: 401, Cause: "bad_bearer"}},
		"throttled":          {post(revocationPath), failing(&authz.ThrottledError{Cause: authz.CauseRateLimited}), Answered{Route: "revoke", Method: "POST", Status: 429, Cause: "rate_limited"}},
		"unavailable":        {post(tokenPath), failing(&authz.UnavailableError{Cause: authz.CauseStoreUnavailable}), Answered{Route: "token", Method: "POST", Status: 503, Cause: "store_unavailable"}},
		"a fault":            {post(tokenPath), failing(errors.New("x")), Answered{Route: "token", Method: "POST", Status: 500, Cause: "fault"}},
		"a caller that left": {post(tokenPath).WithContext(gone), failing(context.Canceled), Answered{Route: "token", Method: "POST", Status: 503, Cause: "caller_gone"}},
		"a panic": {post(tokenPath), func(c *Config) {
			c.Tokens = domain{tokensFunc: func(context.Context, authz.Request) (authz.Issued, error) { panic(1) }}
		}, Answered{Route: "token", Method: "POST", Status: 500, Cause: "panic"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &meter{}
			w := serveOne(t, c.r, func(config *Config) {
				c.edit(config)
				config.Meter, config.Now = m, ticking()
			})
			c.want.Took = time.Second
			if d := cmp.Diff(m.got, []Answered{c.want}); d != "" || w.Code != c.want.Status {
				t.Errorf("%d, %s", w.Code, d)
			}
		})
	}
}

// What a reused call carries must not be counted, or remembered, for the next request.
func TestMeter_NothingIsLeftOfTheLastRequest(t *testing.T) {
	m := &meter{}
	c := testConfig(t)
	succeeding(&c)
	c.Meter = m
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	bad := about(introspectionPath, "a;b")
	for range 50 {
		h.ServeHTTP(httptest.NewRecorder(), bad)
		h.ServeHTTP(httptest.NewRecorder(), about(introspectionPath, b1))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/nothing", nil))
	}
	for i, got := range m.got {
		got.Took = 0
		want := []Answered{
			{Route: "introspect", Method: "POST", Status: 400, Cause: "bad_request"},
			{Route: "introspect", Method: "POST", Status: 200},
			{Route: "other", Method: "other", Status: 404, Cause: "not_found"},
		}[i%3]
		if got != want {
			t.Fatalf("%d: %+v", i, got)
		}
	}
	if len(m.got) != 150 {
		t.Errorf("counted %d", len(m.got))
	}
}

// One caller must not be taken for the last one, although the memory is the same.
func TestBearer_NothingIsLeftOfTheLastCaller(t *testing.T) {
	var got authz.IntrospectRequest
	c := testConfig(t)
	c.Tokens = domain{introspect: func(_ context.Context, r authz.IntrospectRequest) (authz.Introspection, error) {
		got = r
		return authz.Introspection{Body: []byte("{}")}, nil
	}}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		for _, field := range []string{"Bearer a.b.c", "", basicField("c1", "s1"), ""} {
			r := about(introspectionPath, b1)
			r.Header.Del("Authorization")
			want := authz.IntrospectRequest{Token: "eyJ.eyJ.sig", Address: netip.MustParseAddr("127.0.0.1")}
			switch {
			case strings.HasPrefix(field, "Bearer"):
				want.Bearer = "a.b.c"
			case field != "":
				want.Client = authz.Presented{Method: authz.PresentedBasic, ID: "c1", Secret: "s1"}
			}
			if field != "" {
				r.Header.Set("Authorization", field)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != want {
				t.Fatalf("%q: %+v", field, got)
			}
		}
	}
}

func TestRefusals_RememberWhatTheLogSays(t *testing.T) {
	from := netip.MustParseAddr("127.0.0.1")
	fault := errors.New("x")
	for name, c := range map[string]struct {
		r    *http.Request
		edit func(*Config)
		want []authz.Refusal
	}{
		"a success":        {about(revocationPath, b1), succeeding, nil},
		"no such path":     {about("/nothing", b1), succeeding, nil},
		"no keys":          {httptest.NewRequest(http.MethodGet, jwksPath, nil), succeeding, nil},
		"syntax":           {about(introspectionPath, "x"), succeeding, []authz.Refusal{{Route: "introspect", Cause: "bad_request", Detail: missingToken.description}}},
		"another method":   {httptest.NewRequest(http.MethodGet, "/oauth2/token", nil), succeeding, []authz.Refusal{{Route: "token", Cause: "bad_request", Detail: wrongMethodToken.description}}},
		"a wrong secret":   {about(tokenPath, b0), failing(&authz.Error{Code: authz.InvalidClient, Cause: authz.CauseWrongSecret, Client: "c1", Credential: "k1", Err: fault}), []authz.Refusal{{Route: "token", Cause: "wrong_secret", Client: "c1", Credential: "k1"}}},
		"a foreign token":  {about(revocationPath, b1), failing(&authz.Error{Code: authz.InvalidGrant, Cause: "not_yours", Client: "c1"}), []authz.Refusal{{Route: "revoke", Cause: "not_yours", Client: "c1"}}},
		"a Bearer token":   {about(introspectionPath, b1), failing(&authz.InvalidTokenError{Cause: "bad", Client: "c9"}), []authz.Refusal{{Route: "introspect", Cause: "bad", Client: "c9"}}},
		"throttled":        {about(introspectionPath, b1), failing(&authz.ThrottledError{Cause: authz.CauseFailuresLimited, Failure: authz.CauseWrongSecret, Client: "c1", Credential: "k1"}), []authz.Refusal{{Route: "introspect", Cause: "failures_limited", Detail: "wrong_secret", Client: "c1", Credential: "k1"}}},
		"unavailable":      {about(revocationPath, b1), failing(&authz.UnavailableError{Cause: authz.CauseStoreUnavailable, Client: "c1", Err: fault}), []authz.Refusal{{Route: "revoke", Cause: "store_unavailable", Client: "c1"}}},
		"a fault":          {about(revocationPath, b1), failing(fault), []authz.Refusal{{Route: "revoke", Cause: "fault"}}},
		"TOK-44 no client": {about(tokenPath, b0), failing(&authz.Error{Code: authz.InvalidClient, Cause: "x", Client: "my passphrase"}), []authz.Refusal{{Route: "token", Cause: "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.r.RemoteAddr == "192.0.2.1:1234" { // httptest's
				c.r.RemoteAddr = "127.0.0.1:1"
			}
			var got memory
			w := serveOne(t, c.r, func(config *Config) {
				c.edit(config)
				config.Refusals, config.Now = &got, func() time.Time { return time.Unix(1, 0) }
			})
			for i := range c.want {
				c.want[i].Time, c.want[i].RequestID, c.want[i].Address = time.Unix(1, 0), w.Header().Get("X-Request-Id"), from
			}
			if d := cmp.Diff([]authz.Refusal(got), c.want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Error(d)
			}
		})
	}
}

// A level that is not logged is remembered all the same.
func TestRefusals_DoNotDependOnTheLog(t *testing.T) {
	var got memory
	serveOne(t, about(revocationPath, "x"), func(c *Config) {
		succeeding(c)
		c.Refusals, c.Log = &got, slog.New(slog.NewTextHandler(&bytes.Buffer{}, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	})
	if len(got) != 1 {
		t.Errorf("remembered %d", len(got))
	}
}

// Whatever a caller sends, wherever, and whatever the domain makes of it: no secret and no token is
// logged, remembered or counted.
func TestTOK44_SecretsInEveryFieldGoNowhere(t *testing.T) {
	const marker = "s3cr3t.T0ken_w1th-no+shape/4t~all" // b64token, no form of ours, too odd for a client_id
	escaped := url.QueryEscape(marker)
	ends := []error{
		errors.New("a fault"),
		&authz.Error{Code: authz.InvalidClient, Cause: authz.CauseWrongSecret, Client: marker},
		&authz.InvalidTokenError{Cause: authz.CauseMalformedCredentials, Client: marker},
		&authz.UnavailableError{Cause: authz.CauseStoreUnavailable, Client: marker},
		&authz.ThrottledError{Cause: authz.CauseRateLimited, Client: marker},
		nil,
	}
	requests := 0
	for _, path := range append(posts, "/nothing", jwksPath, metadataPath, "/healthz") {
		for _, err := range ends {
			for name, edit := range map[string]func(*http.Request){
				"Basic":             func(r *http.Request) { r.Header.Set("Authorization", basicField("c1", marker)) },
				"Basic, as id":      func(r *http.Request) { r.Header.Set("Authorization", basicField(marker, marker)) },
				"Bearer":            func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+marker) },
				"Bearer, malformed": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+marker+" "+marker) },
				"another scheme":    func(r *http.Request) { r.Header.Set("Authorization", marker+" "+marker) },
				"query":             func(r *http.Request) { r.URL.RawQuery = "token=" + escaped },
				"query of everything": func(r *http.Request) {
					r.URL.RawQuery = "token=" + escaped + "&client_id=" + escaped + "&client_secret=" + escaped
				},
				"query, no parameter": func(r *http.Request) { r.URL.RawQuery = escaped },
				"method":              func(r *http.Request) { r.Method = marker },
				"path":                func(r *http.Request) { r.URL.Path += "/" + marker },
				"media type":          func(r *http.Request) { r.Header.Set("Content-Type", marker) },
				"coding":              func(r *http.Request) { r.Header.Set("Content-Encoding", marker) },
				"Accept":              func(r *http.Request) { r.Header.Set("Accept", marker) },
				"X-Request-Id":        func(r *http.Request) { r.Header.Set("X-Request-Id", marker) },
				"DPoP":                func(r *http.Request) { r.Header.Set("Dpop", marker) },
				"cookie":              func(r *http.Request) { r.Header.Set("Cookie", "a="+marker) },
			} {
				for _, body := range []string{
					"token=" + escaped, b1 + "&client_id=" + escaped, "token=" + escaped + "&client_secret=" + escaped + "&client_id=c1", marker, marker + "=%zz",
					"grant_type=" + escaped + "&scope=" + escaped + "&resource=" + escaped, "token=" + escaped + "&token=" + escaped,
					"token=a&token_type_hint=" + escaped, "client_assertion=" + escaped, "access_token=" + escaped + "&token=" + escaped,
				} {
					r := about(path, body)
					edit(r)
					var log bytes.Buffer
					var remembered memory
					m := &meter{}
					serveOne(t, r, func(c *Config) {
						failing(err)(c)
						if err == nil {
							succeeding(c)
						}
						c.Log, c.Refusals, c.Meter = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), &remembered, m
					})
					kept, jsonErr := json.Marshal([]any{remembered, m.got})
					if jsonErr != nil {
						t.Fatal(jsonErr)
					}
					said := log.String() + string(kept)
					if strings.Contains(said, marker) || strings.Contains(said, escaped) {
						t.Fatalf("%s %s, %q, %v: %s", path, name, body, err, said)
					}
					requests++
				}
			}
		}
	}
	if requests < 5000 {
		t.Errorf("only %d requests", requests)
	}
}

// A domain that repeats what it was given, in an error or as the identifier of a token, does not bring it
// into the log.
func TestTOK44_TheLogHidesWhatTheDomainRepeats(t *testing.T) {
	const token, secret, bearer = "eyJhbGciOi.eyJzdWIi.c2ln", "a-secret-of-no-shape", "eyJh.another.token"
	repeated := errors.New("saw " + token + ", " + secret + " and " + bearer + ", and mrq_abcdefghijklmnop")
	wrap := func(err error) func(*Config) {
		return func(c *Config) {
			failing(err)(c)
			if err == nil {
				c.Tokens = domain{
					introspect: func(context.Context, authz.IntrospectRequest) (authz.Introspection, error) {
						return authz.Introspection{Body: []byte("{}"), JTI: token}, nil
					},
					revoke: func(context.Context, authz.RevokeRequest) (authz.Revoked, error) {
						return authz.Revoked{JTI: token}, nil
					},
				}
			}
		}
	}
	for _, path := range []string{introspectionPath, revocationPath} {
		for name, credentials := range map[string]string{"Basic": basicField("c1", secret), "Bearer": "Bearer " + bearer} {
			for _, err := range []error{
				repeated, &authz.UnavailableError{Err: repeated}, &authz.Error{Code: authz.InvalidClient, Err: repeated}, &authz.InvalidTokenError{Err: repeated}, nil,
			} {
				r := about(path, "token="+token)
				r.Header.Set("Authorization", credentials)
				var log bytes.Buffer
				var remembered memory
				serveOne(t, r, func(c *Config) {
					wrap(err)(c)
					c.Log, c.Refusals = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), &remembered
				})
				said := log.String() + fmt.Sprintf("%+v", remembered)
				mine := map[string]string{"Basic": secret, "Bearer": bearer}[name]
				if path == revocationPath && name == "Bearer" {
					mine = token // it is no way to authenticate there, and nobody's secret to us
				}
				if strings.Contains(said, token) || strings.Contains(said, mine) || strings.Contains(said, "mrq_a") || !strings.Contains(said, "[redacted]") {
					t.Errorf("%s %s %v: %s", path, name, err, said)
				}
			}
		}
	}
}

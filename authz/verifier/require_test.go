package verifier_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

func TestRSV01_BearerScheme(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	h := newVerifier(t, is).Require()(api(t))
	good := is.token(t, nil)
	for _, field := range []string{"Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer  ", "Bearer      "} {
		r := call(h, "/", field+good)
		want(t, field, r, http.StatusOK, "")
		if got := body(r); got != "c1" {
			t.Errorf("%s: the handler said %q", field, got)
		}
	}
}

// RSV-02 to RSV-06: where a token may be, and what is said when it is not there.
func TestRSV02_RSV03_RSV04_RSV05_RSV06_Presentation(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	h := newVerifier(t, is).Require()(api(t))
	good := is.token(t, nil)
	for name, tt := range map[string]struct {
		target string
		fields []string
		status int
		code   string
	}{
		"RSV-02 query only":            {"/?access_token=" + good, nil, 401, ""},
		"RSV-02 query, other scheme":   {"/?access_token=" + good, []string{"Basic Yzpz"}, 401, ""},
		"RSV-04 header and query":      {"/?access_token=" + good, []string{"Bearer " + good}, 400, "invalid_request"},
		"RSV-04 empty in query":        {"/?access_token=", []string{"Bearer " + good}, 400, "invalid_request"},
		"RSV-04 escaped name":          {"/?a=1&access%5ftoken=x", []string{"Bearer " + good}, 400, "invalid_request"},
		"RSV-04 behind a bad pair":     {"/?%zz=1&a;b&access_token=x", []string{"Bearer " + good}, 400, "invalid_request"},
		"RSV-04 not that name":         {"/?ACCESS_TOKEN=x&token=y", []string{"Bearer " + good}, 200, ""},
		"RSV-05 two fields":            {"/", []string{"Bearer " + good, "Bearer " + good}, 400, "invalid_request"},
		"RSV-05 two schemes":           {"/", []string{"Basic Yzpz", "Bearer " + good}, 400, "invalid_request"},
		"RSV-05 empty field":           {"/", []string{""}, 400, "invalid_request"},
		"RSV-05 scheme alone":          {"/", []string{"Bearer"}, 400, "invalid_request"},
		"RSV-05 scheme and space":      {"/", []string{"Bearer "}, 400, "invalid_request"},
		"RSV-05 two tokens":            {"/", []string{"Bearer " + good + " " + good}, 400, "invalid_request"},
		"RSV-05 list":                  {"/", []string{"Bearer " + good + ", Bearer " + good}, 400, "invalid_request"},
		"RSV-05 parameter":             {"/", []string{`Bearer token="` + good + `"`}, 400, "invalid_request"},
		"RSV-05 tab":                   {"/", []string{"Bearer\t" + good}, 400, "invalid_request"},
		"RSV-05 tab after space":       {"/", []string{"Bearer \t" + good}, 400, "invalid_request"},
		"RSV-05 trailing space":        {"/", []string{"Bearer " + good + " "}, 400, "invalid_request"},
		"RSV-05 quotes":                {"/", []string{`Bearer "` + good + `"`}, 400, "invalid_request"},
		"RSV-05 not ASCII":             {"/", []string{"Bearer é"}, 400, "invalid_request"},
		"RSV-05 padding alone":         {"/", []string{"Bearer ==="}, 400, "invalid_request"},
		"RSV-05 padding inside":        {"/", []string{"Bearer a=b"}, 400, "invalid_request"},
		"RSV-05 leading space":         {"/", []string{" Bearer " + good}, 400, "invalid_request"},
		"RSV-05 bare token":            {"/", []string{good}, 401, ""},
		"RSV-05 token68, but no token": {"/", []string{"Bearer a+/b=="}, 401, "invalid_token"},
		"RSV-06 nothing":               {"/", nil, 401, ""},
		"RSV-06 Basic":                 {"/", []string{"Basic Yzpz"}, 401, ""},
		"RSV-06 DPoP":                  {"/", []string{"DPoP " + good}, 401, ""},
		"RSV-06 Bearers":               {"/", []string{"Bearers " + good}, 401, ""},
	} {
		want(t, name, call(h, tt.target, tt.fields...), tt.status, tt.code)
	}

	form := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(url.Values{"access_token": {good}}.Encode()))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, form)
	want(t, "RSV-03 body only", w.Result(), http.StatusUnauthorized, "")
}

// RSV-05: octet by octet, what may stand in a token68 (RFC 9110, Section 11.2) goes on to be judged, and nothing else.
func TestRSV05_Token68(t *testing.T) {
	h := newVerifier(t, newIssuer(t, jose.ES256)).Require()(api(t))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	for c := range 256 {
		status, code := http.StatusBadRequest, "invalid_request"
		if strings.IndexByte(alphabet, byte(c)) >= 0 {
			status, code = http.StatusUnauthorized, "invalid_token"
		}
		want(t, fmt.Sprintf("octet %d", c), call(h, "/", "Bearer a"+string([]byte{byte(c)})+"b"), status, code)
	}
}

// RSV-08, RSV-20 to RSV-36, JWT-52, RST-12: every defect gives the same answer, octet for octet.
func TestRSV08_JWT52_RST12_OneAnswer(t *testing.T) {
	is, other := newIssuer(t, jose.ES256), newIssuer(t, jose.ES256)
	var log logBuffer
	v := newVerifier(t, is, func(c *verifier.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	h := v.Require("orders:read")(api(t))
	good := is.token(t, nil)
	sign := func(typ string) string {
		s, err := is.signers[0].Sign(typ, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var first string
	for name, compact := range map[string]string{
		"RSV-20 form":                  "x",
		"RSV-20 two parts":             good[:strings.LastIndex(good, ".")],
		"RSV-20 dots":                  strings.Repeat(".", 1_000_000),
		"RSV-20 padding":               good + "=",
		"RSV-37 five parts":            good + ".a.a",
		"RSV-21 type JWT":              sign("JWT"),
		"RSV-21 other type":            sign("secevent+jwt"),
		"RSV-25 signature":             good[:len(good)-10] + "AAAAAAAAAA",
		"RSV-24 issuer":                is.token(t, map[string]any{"iss": is.URL + "/"}),
		"RSV-24 other issuer's":        other.token(t, nil),
		"RSV-24 other issuer's, named": other.token(t, map[string]any{"iss": is.URL}),
		"RSV-26 audience":              is.token(t, map[string]any{"aud": "https://other.example"}),
		"RSV-27 expired":               is.token(t, map[string]any{"exp": epoch.Unix() - 30}),
		"RSV-27 no exp":                is.token(t, map[string]any{"exp": nil}),
		"RSV-28 nbf":                   is.token(t, map[string]any{"nbf": epoch.Unix() + 31}),
		"RSV-29 iat":                   is.token(t, map[string]any{"iat": epoch.Unix() + 61}),
		"RSV-30 no jti":                is.token(t, map[string]any{"jti": nil}),
		"RSV-30 sub of another type":   is.token(t, map[string]any{"sub": 7}),
		"RSV-31 case variant":          is.token(t, map[string]any{"EXP": 9999999999}),
		"RSV-32 scope array":           is.token(t, map[string]any{"scope": []string{"orders:read"}}),
		"RSV-36 cnf":                   is.token(t, map[string]any{"cnf": map[string]any{"x": 1}}),
	} {
		r := call(h, "/", "Bearer "+compact)
		want(t, name, r, http.StatusUnauthorized, "invalid_token")
		r.Header.Del("Date")
		answer := fmt.Sprint(r.StatusCode, r.Header, body(r))
		if first == "" {
			first = answer
		}
		if answer != first {
			t.Errorf("%s: %s\nwant %s", name, answer, first)
		}
	}
	for _, part := range strings.Split(good, ".")[1:] {
		if strings.Contains(log.String(), part) {
			t.Error("RST-11: a token is in the log")
		}
	}
	for _, reason := range []string{"malformed", "type", "signature", "issuer", "unknown_key", "audience", "expired", "not_yet_valid", "claims", "confirmation"} {
		if !strings.Contains(log.String(), "refusal.reason="+reason+" ") {
			t.Errorf("RST-11: no %q in the log:\n%s", reason, log.String())
		}
	}
	if !strings.Contains(log.String(), "refusal.jti=j1 refusal.client_id=c1") {
		t.Errorf("RST-11: no jti, client_id in the log:\n%s", log.String())
	}
}

func TestRSV07_RSV10_RST12_Challenges(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	h := newVerifier(t, is, func(c *verifier.Config) { c.Realm = "the API, v1" }).Require("orders:write", "orders:read")(api(t))
	for name, r := range map[string]*http.Response{
		"none":      call(h, "/"),
		"malformed": call(h, "/\"\\", "Bearer a\"b\r\nSet-Cookie: x=y"),
		"invalid":   call(h, "/", "Bearer evil-token"),
		"scope":     call(h, "/", "Bearer "+is.token(t, nil)),
	} {
		ch := challenge(t, r)
		if ch["realm"] != "the API, v1" {
			t.Errorf("%s: %v", name, ch)
		}
		if s := fmt.Sprint(r.Header, body(r)); strings.Contains(s, "evil") || strings.Contains(s, "Set-Cookie") {
			t.Errorf("%s: echoes: %s", name, s)
		}
		if _, has := ch["scope"]; has != (name == "scope") {
			t.Errorf("%s: %v", name, ch)
		}
		if (ch["error_description"] != "") != (name != "none") {
			t.Errorf("%s: %v", name, ch)
		}
	}
	for _, realm := range []string{`a"b`, `a\b`, "a\nb", "é"} {
		c := config(is)
		c.Realm = realm
		if v, err := verifier.New(t.Context(), c); err == nil {
			v.Close()
			t.Errorf("realm %q was taken", realm)
		}
	}
}

// RSV-09, RSV-32, RSV-33: scope is matched whole, with its case, and for this API.
func TestRSV09_RSV32_Scope(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	for _, tt := range []struct {
		has   any
		needs []string
		ok    bool
	}{
		{"write", []string{"write"}, true},
		{"read write", []string{"write", "read"}, true},
		{"read write", nil, true},
		{nil, nil, true},
		{"", nil, true},
		{nil, []string{"write"}, false},
		{"read", []string{"write"}, false},
		{"read", []string{"read:all"}, false},
		{"read:all", []string{"read"}, false},
		{"read", []string{"read", "write"}, false},
		{"WRITE", []string{"write"}, false},
		{"write:x", []string{"write"}, false},
		{"rewrite", []string{"write"}, false},
	} {
		r := call(v.Require(tt.needs...)(api(t)), "/", "Bearer "+is.token(t, map[string]any{"scope": tt.has}))
		if tt.ok {
			want(t, fmt.Sprint(tt), r, http.StatusOK, "")
			continue
		}
		want(t, fmt.Sprint(tt), r, http.StatusForbidden, "insufficient_scope")
		if got := challenge(t, r)["scope"]; got != strings.Join(tt.needs, " ") {
			t.Errorf("%v: scope %q", tt, got)
		}
	}
}

func TestRSV33_ForeignScope(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	shared := map[string]any{"aud": []string{audience, "https://b.example"}, "scope": "orders:read b:admin"}
	undeclared := newVerifier(t, is)
	declared := newVerifier(t, is, func(c *verifier.Config) { c.Scopes = []string{"orders:read", "orders:write"} })
	for name, tt := range map[string]struct {
		v    *verifier.Verifier
		set  map[string]any
		want string
	}{
		"one audience":                    {undeclared, map[string]any{"scope": "orders:read b:admin"}, "[orders:read b:admin]"},
		"two audiences":                   {declared, shared, "[orders:read]"},
		"two audiences, nothing declared": {undeclared, shared, "[]"},
	} {
		tok, err := tt.v.Verify(t.Context(), is.token(t, tt.set))
		if err != nil || fmt.Sprint(tok.Scopes()) != tt.want {
			t.Errorf("%s: %v, %v, want %s", name, tok.Scopes(), err, tt.want)
		}
	}
	want(t, "foreign", call(undeclared.Require("b:admin")(api(t)), "/", "Bearer "+is.token(t, shared)), http.StatusForbidden, "insufficient_scope")
}

func TestRequire_PanicsOnImpossibleScope(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is, func(c *verifier.Config) { c.Scopes = []string{"orders:read"} })
	for _, scope := range []string{"", "a b", `a"b`, "é", "orders:write"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", scope)
				}
			}()
			v.Require(scope)
		}()
		if v.CanRequire("orders:read", scope) == nil {
			t.Errorf("%q can be required", scope)
		}
	}
}

func TestRSV13_CacheControl(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	require := newVerifier(t, is).Require()
	auth := "Bearer " + is.token(t, nil)
	if got := call(require(api(t)), "/", auth).Header.Get("Cache-Control"); got != "private" {
		t.Errorf("Cache-Control %q", got)
	}
	own := require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "no-store") }))
	if got := call(own, "/", auth).Header.Values("Cache-Control"); len(got) != 1 || got[0] != "no-store" {
		t.Errorf("the handler's Cache-Control became %q", got)
	}
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		require(api(t)).ServeHTTP(w, r)
	})
	if got := call(outer, "/", auth).Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("the outer Cache-Control became %q", got)
	}
}

// RSV-14: a gigabyte with a bad token is refused before a byte of it was sent.
func TestRSV14_RefusedBeforeTheBody(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	h := newVerifier(t, is).Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
	srv := httptest.NewServer(h)
	defer srv.Close()
	for _, framing := range []string{"Content-Length: 1073741824", "Transfer-Encoding: chunked"} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bad\r\n%s\r\n\r\n", framing)
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", framing, err)
		}
		want(t, framing, r, http.StatusUnauthorized, "invalid_token")
		conn.Close()
	}
}

// Nested Requires verify once, and a token that was put in between is verified anew.
func TestRequire_Nested(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	good := is.token(t, nil)
	inner := v.Require("orders:read")(api(t))
	want(t, "nested", call(v.Require()(inner), "/", "Bearer "+good), http.StatusOK, "")
	swap := v.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+good+"x")
		inner.ServeHTTP(w, r)
	}))
	want(t, "swapped", call(swap, "/", "Bearer "+good), http.StatusUnauthorized, "invalid_token")
	other := newVerifier(t, is, func(c *verifier.Config) { c.Audience = "https://other.example" })
	want(t, "another verifier", call(v.Require()(other.Require()(api(t))), "/", "Bearer "+good), http.StatusUnauthorized, "invalid_token")
	if _, ok := verifier.FromContext(t.Context()); ok {
		t.Error("a token out of nowhere")
	}
}

// RKY-09, RST-07: no keys is an outage, and an outage is 503, never 401.
func TestRKY09_RST07_OutageIs503(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	is.down.Store(true)
	if v, err := verifier.New(t.Context(), config(is)); err == nil {
		v.Close()
		t.Fatal("started without keys, unasked")
	}
	v := newVerifier(t, is, func(c *verifier.Config) { c.StartUnready = true })
	h := v.Require()(api(t))
	good := is.token(t, nil)
	r := call(h, "/", "Bearer "+good)
	want(t, "no keys", r, http.StatusServiceUnavailable, "")
	if r.Header.Get("Retry-After") == "" || v.Status().Ready {
		t.Errorf("Retry-After %q, ready %v", r.Header.Get("Retry-After"), v.Status().Ready)
	}
	want(t, "no keys, no token", call(h, "/"), http.StatusUnauthorized, "")
	want(t, "no keys, bad token", call(h, "/", "Bearer x"), http.StatusUnauthorized, "invalid_token")

	is.down.Store(false)
	is.now.Add(2)
	want(t, "keys again", call(h, "/", "Bearer "+good), http.StatusOK, "")
	if !v.Status().Ready {
		t.Error("not ready with keys")
	}
	// An unknown key while nobody can be asked about it.
	is.down.Store(true)
	stranger := newIssuer(t, jose.ES256)
	want(t, "unknown key in an outage", call(h, "/", "Bearer "+stranger.token(t, map[string]any{"iss": is.URL})), http.StatusServiceUnavailable, "")
	want(t, "known key in an outage", call(h, "/", "Bearer "+good), http.StatusOK, "")
}

func FuzzAuthorization(f *testing.F) {
	is := newIssuer(f, jose.ES256)
	v, err := verifier.New(f.Context(), config(is))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(v.Close)
	h := v.Require("orders:read")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	good := is.token(f, nil)
	for _, s := range []string{"Bearer " + good, "bearer  " + good, "Bearer", "", "Basic x", "Bearer a b", "Bearer " + good + "="} {
		f.Add(s, "a=1")
	}
	f.Add("Bearer "+good, "access_token=x")
	f.Fuzz(func(t *testing.T, field, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.URL.RawQuery = query
		r.Header["Authorization"] = []string{field}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		res := w.Result()
		switch res.StatusCode {
		case http.StatusNoContent:
			// The signature may be written in another way; what it signs may not.
			if !strings.HasPrefix(strings.TrimLeft(field[len("bearer"):], " "), good[:strings.LastIndex(good, ".")]) {
				t.Fatalf("%q opened the route", field)
			}
		case 400, 401, 403:
			challenge(t, res)
		default:
			t.Fatalf("%q: status %d", field, res.StatusCode)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	})
}

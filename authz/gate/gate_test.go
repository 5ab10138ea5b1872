package gate_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz/gate"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// withdrawn knows everything to be revoked, once it is loaded.
type withdrawn struct{ token.Known }

func (withdrawn) Loaded() bool { return false }

// TestRSV02_RSV05_RSV06_RSV08_RSV09_RST07_TheAnswersAreThoseOfRequire, in both dialects: the true status as it is, or
// beside one that nginx understands.
func TestRSV02_RSV05_RSV06_RSV08_RSV09_RST07_TheAnswersAreThoseOfRequire(t *testing.T) {
	l := newLab(t, nil)
	away := newLab(t, func(c *verifier.Config) { c.Revoked = withdrawn{} })
	good := "Bearer " + l.token(t, nil)
	for name, tt := range map[string]struct {
		lab           *lab
		query         string
		authorization []string
		status, nginx int
		challenge     string
		code          string
		outcome       verifier.Outcome
	}{
		"RSV-01 good":              {l, "", []string{good}, 200, 200, "", "", verifier.OutcomeAccepted},
		"RSV-01 another scheme":    {l, "", []string{"Basic Yzpz"}, 401, 401, `Bearer realm="https://api.example"`, "", verifier.OutcomeNoToken},
		"RSV-02 in the query":      {l, "?access_token=" + good[7:], nil, 401, 401, `Bearer realm="https://api.example"`, "", verifier.OutcomeNoToken},
		"RSV-04 header and query":  {l, "?access_token=" + good[7:], []string{good}, 400, 403, `error="invalid_request"`, "invalid_request", verifier.OutcomeMalformed},
		"RSV-05 two fields":        {l, "", []string{good, good}, 400, 403, `error="invalid_request"`, "invalid_request", verifier.OutcomeMalformed},
		"RSV-06 none":              {l, "", nil, 401, 401, `Bearer realm="https://api.example"`, "", verifier.OutcomeNoToken},
		"RSV-08 nonsense":          {l, "", []string{"Bearer x.y.z"}, 401, 401, `error="invalid_token"`, "invalid_token", verifier.OutcomeRefused},
		"RSV-09 without the scope": {l, "", []string{"Bearer " + l.token(t, map[string]any{"scope": "orders"})}, 403, 403, `error="insufficient_scope"`, "insufficient_scope", verifier.OutcomeLacksScope},
		"RST-07 not to be judged":  {away, "", []string{"Bearer " + away.token(t, nil)}, 503, 403, "", "temporarily_unavailable", verifier.OutcomeUnavailable},
	} {
		for _, dialect := range []string{"require", "auth_request"} {
			tt.lab.verdicts, tt.lab.statuses = nil, nil
			r := tt.lab.ask("/"+dialect+"/orders:read/-/orders/1"+tt.query, tt.authorization...)
			status := tt.status
			if dialect == "auth_request" {
				status = tt.nginx
			}
			got := body(t, r)
			if r.StatusCode != status || !strings.Contains(r.Header.Get("WWW-Authenticate"), tt.challenge) || (tt.challenge == "") != (r.Header.Get("WWW-Authenticate") == "") {
				t.Errorf("%s, %s: %d %v", name, dialect, r.StatusCode, r.Header)
			}
			if !strings.Contains(got, tt.code) || (tt.code == "") != (got == "") {
				t.Errorf("%s, %s: %q", name, dialect, got)
			}
			if (r.Header.Get("Retry-After") != "") != (tt.status == 503) || (tt.status != 200) != (r.Header.Get("Cache-Control") == "no-store") {
				t.Errorf("%s, %s: %v", name, dialect, r.Header)
			}
			if !slices.Equal(tt.lab.statuses, []int{tt.status}) || len(tt.lab.verdicts) != 1 || tt.lab.verdicts[0].Outcome != tt.outcome {
				t.Errorf("%s, %s: counted as %v, %v", name, dialect, tt.lab.statuses, tt.lab.verdicts)
			}
			switch said, line := r.Header[gate.HeaderStatus], r.Header.Get(gate.HeaderAnswer); {
			case dialect == "require" && (said != nil || line != ""):
				t.Errorf("%s: %v", name, r.Header)
			case dialect == "auth_request" && (!slices.Equal(said, []string{itoa(tt.status)}) || line != strings.TrimSpace(got) || strings.Contains(line, "\n")):
				t.Errorf("%s: %v", name, r.Header)
			}
			for _, h := range gate.IdentityHeaders() {
				if values, said := r.Header[h]; said != (tt.status == 200) || said && len(values) != 1 {
					t.Errorf("%s, %s: %s: %q", name, dialect, h, values)
				}
			}
		}
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

// TestServe_NothingElseIsBelieved: the requirement is the path's, whatever the caller wrote into what a proxy passes on.
func TestServe_NothingElseIsBelieved(t *testing.T) {
	l := newLab(t, nil)
	for _, tail := range []string{
		"", "/require/-/", "/../../require/-/", "?scope=orders:read&require=-", "%2e%2e/%2e%2e/-/", "//-/", "-/",
	} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PATCH", "BREW"} {
			r := httptest.NewRequest(method, "/", strings.NewReader("scope=orders:read"))
			r.RequestURI = "/require/orders:write/-/" + tail
			r.Header = http.Header{
				"Authorization":   {"Bearer " + l.token(t, nil)},
				"X-Forwarded-Uri": {"/require/-/"}, "X-Original-Uri": {"/require/-/"}, "X-Original-Url": {"/require/-/"}, "X-Rewrite-Url": {"/require/-/"},
				"X-Forwarded-Method": {"GET"}, "X-Http-Method-Override": {"GET"}, "X-Envoy-Original-Path": {"/require/-/"}, "X-Forwarded-Prefix": {"/require/-"},
				"Marque-Scope": {"orders:write"}, "Marque-Status": {"200"}, "Marque-Client-Id": {"root"}, "X-Forwarded-For": {"127.0.0.1"},
			}
			got := l.serve(r)
			if got.StatusCode != http.StatusForbidden || !strings.Contains(got.Header.Get("WWW-Authenticate"), `scope="orders:write"`) {
				t.Errorf("%s %s: %d %v", method, tail, got.StatusCode, got.Header)
			}
		}
	}
}

// TestServe_UnknownPathsAreTheProxysFault: 500, or 403 for nginx, and with a good token all the same.
func TestServe_UnknownPathsAreTheProxysFault(t *testing.T) {
	l := newLab(t, func(c *verifier.Config) { c.Scopes = []string{"orders:read"} })
	good := "Bearer " + l.token(t, nil)
	for target, status := range map[string]int{
		"/": 500, "*": 500, "/require/orders:read": 500, "/require/orders:raed/-/": 500, "/require//-/": 500,
		"/require/orders:read/%2D/orders": 500, "/auth_request/": 403, "/auth_request/orders:raed/-/": 403, "/auth_request//-/": 403,
		"/require/orders:read/-/": 200,
	} {
		r := l.ask(target, good)
		if r.StatusCode != status {
			t.Errorf("%s: %d", target, r.StatusCode)
		}
		if status == 403 && r.Header.Get(gate.HeaderStatus) != "500" {
			t.Errorf("%s: %v", target, r.Header)
		}
		if status != 200 && r.Header.Get(gate.HeaderClientID) != "" {
			t.Errorf("%s: %v", target, r.Header)
		}
	}
}

// TestServe_ManyRequirements: whoever reaches the gate can ask for any, and is answered; it keeps some.
func TestServe_ManyRequirements(t *testing.T) {
	l := newLab(t, nil)
	for i := range 300 {
		scope := "s" + itoa(i)
		if r := l.ask("/require/"+scope+"/-/", "Bearer "+l.token(t, map[string]any{"scope": scope})); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d", scope, r.StatusCode)
		}
		if r := l.ask("/require/"+scope+"/-/", "Bearer "+l.token(t, nil)); r.StatusCode != http.StatusForbidden {
			t.Fatalf("%s: %d", scope, r.StatusCode)
		}
	}
}

// TestServe_WhoTheCallerIs: whatever an issuer puts into a token, a header holds it, and it means no other caller.
func TestServe_WhoTheCallerIs(t *testing.T) {
	l := newLab(t, nil)
	for name, tt := range map[string]struct {
		claims map[string]any
		want   [4]string // client, subject, scope, token
	}{
		"ordinary":          {nil, [4]string{"c1", "c1", "orders:read", "j1"}},
		"several scopes":    {map[string]any{"scope": "a orders:read b"}, [4]string{"c1", "c1", "a orders:read b", "j1"}},
		"a URL":             {map[string]any{"client_id": "https://c.example/a?b=c&d"}, [4]string{"https://c.example/a?b=c&d", "c1", "orders:read", "j1"}},
		"line breaks":       {map[string]any{"sub": "x\r\nMarque-Client-Id: root"}, [4]string{"c1", "x%0D%0AMarque-Client-Id:%20root", "orders:read", "j1"}},
		"not ASCII":         {map[string]any{"sub": "é\u2028\x7f"}, [4]string{"c1", "%C3%A9%E2%80%A8%7F", "orders:read", "j1"}},
		"escapes":           {map[string]any{"sub": "a%20b"}, [4]string{"c1", "a%2520b", "orders:read", "j1"}},
		"a list":            {map[string]any{"jti": "a, b"}, [4]string{"c1", "c1", "orders:read", "a%2C%20b"}},
		"scope with list":   {map[string]any{"scope": "a,b orders:read"}, [4]string{"c1", "c1", "a%2Cb orders:read", "j1"}},
		"as long as may be": {map[string]any{"sub": strings.Repeat("x", 512)}, [4]string{"c1", strings.Repeat("x", 512), "orders:read", "j1"}},
	} {
		r := l.ask("/require/orders:read/-/", "Bearer "+l.token(t, tt.claims))
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, r.StatusCode, body(t, r))
			continue
		}
		for i, h := range gate.IdentityHeaders() {
			if got := r.Header[h]; len(got) != 1 || got[0] != tt.want[i] {
				t.Errorf("%s: %s: %q, not %q", name, h, got, tt.want[i])
			}
		}
	}
	if r := l.ask("/require/-/", "Bearer "+l.token(t, map[string]any{"scope": nil})); r.StatusCode != 200 || !slices.Equal(r.Header[gate.HeaderScope], []string{""}) {
		t.Errorf("without scope: %d %v", r.StatusCode, r.Header)
	}
	for name, claims := range map[string]map[string]any{
		"too long a subject":       {"sub": strings.Repeat("x", 513)},
		"escaped, too long":        {"sub": strings.Repeat("é", 100)},
		"too long a scope":         {"scope": strings.TrimSpace(strings.Repeat("orders:read ", 200))},
		"too long a client's name": {"client_id": strings.Repeat("x", 513)},
	} {
		r := l.ask("/require/orders:read/-/", "Bearer "+l.token(t, claims))
		if r.StatusCode == http.StatusOK || r.Header.Get(gate.HeaderClientID) == "root" {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
	}
}

func TestNew_WantsAVerifier(t *testing.T) {
	if _, err := gate.New(gate.Config{}); err == nil {
		t.Error("there is no Verifier")
	}
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys/jose"
)

// One answer names what is wrong with the form of a request and what the domain finds wrong with the
// rest, and nothing is done.
func TestJudge_NamesEverythingAtOnce(t *testing.T) {
	s := startWithBoth(t)
	before := len(s.entries())
	milliseconds := `"client_secret_expires_at":1767225600000`
	for name, c := range map[string]struct {
		method, path, body string
		headers            header
		fields             []string
	}{
		"an empty name": {
			"PUT", "/admin/v1/clients/acme", `{"client_name":"","token_lifetime":0,"scope":"a\"b","resources":["urn:none"],"claims":{"x":1},"introspection_signed_response_alg":"none"}`, ifMatch("*"),
			[]string{"client_name", "token_lifetime", "scope", "resources", "claims", "introspection_signed_response_alg"},
		},
		"a wrong type": {
			"POST", "/admin/v1/clients", `{"client_name":1,"client_id":"user:x","token_lifetime":3601,"client_secret":"short"}`, nil,
			[]string{"client_name", "client_id", "token_lifetime", "client_secret"},
		},
		"null": {"POST", "/admin/v1/clients", `{"client_name":"","scope":null,"serves":["urn:none"]}`, nil, []string{"client_name", "scope", "serves"}},
		"an unknown member": {
			"POST", "/admin/v1/resources", `{"resource":"relative","scope":"a","algorithm":"HS256","token_type":"x","token_lifetime":-1}`, nil,
			[]string{"scope", "resource", "algorithm", "token_type", "token_lifetime"},
		},
		"a member that is missing":  {"POST", "/admin/v1/clients", `{"scope":"a\"b"}`, nil, []string{"client_name", "scope"}},
		"an item of the wrong type": {"PUT", fulfilmentPath, `{"scopes":["a",1],"algorithm":"x"}`, ifMatch("*"), []string{"scopes/1", "algorithm"}},
		"an empty optional member":  {"POST", "/admin/v1/keys/rotate", `{"algorithm":"x","x":""}`, nil, []string{"x", "algorithm"}},
		"the query":                 {"PUT", fulfilmentPath + "?x=1", `{"algorithm":"x"}`, ifMatch("*"), []string{"x", "algorithm"}},
		"revoke_tokens":             {"PUT", fulfilmentPath + "?revoke_tokens=x", `{"algorithm":"x"}`, ifMatch("*"), []string{"revoke_tokens", "algorithm"}},
		"no If-Match":               {"PUT", fulfilmentPath, `{"algorithm":"x"}`, nil, []string{"If-Match", "algorithm"}},
		"a bad If-Match":            {"PUT", "/admin/v1/clients/acme", `{"client_name":""}`, ifMatch("x"), []string{"If-Match", "client_name"}},
		"the reason": {
			"POST", "/admin/v1/clients/acme/secrets", `{"client_secret":"short",` + milliseconds + `}`,
			header{"X-Marque-Reason": "\x80", "Idempotency-Key": "short"},
			[]string{"X-Marque-Reason", "client_secret", "client_secret_expires_at", "Idempotency-Key"},
		},
		"of a secret":             {"POST", "/admin/v1/clients/acme/secrets", `{"client_secret":"short",` + milliseconds + `}`, nil, []string{"client_secret", "client_secret_expires_at"}},
		"without a body":          {"POST", "/admin/v1/clients/acme/secrets?x=1", ``, header{"Idempotency-Key": "short"}, []string{"x", "Idempotency-Key"}},
		"of a revocation":         {"POST", "/admin/v1/revocations", `{"kind":"","value":"v","before":"2020-01-01T00:00:00Z"}`, nil, []string{"kind", "before"}},
		"a revocation, mistyped":  {"POST", "/admin/v1/revocations", `{"kind":"client","value":"nobody","before":"2020-01-01T00:00:00Z","x":1}`, nil, []string{"x", "value", "before"}},
		"of a revoked secret":     {"POST", "/admin/v1/clients/acme/secrets/x/revoke", `{"since":"2999-01-01T00:00:00Z","x":1}`, nil, []string{"x", "since", "since"}},
		"nothing but the form":    {"POST", "/admin/v1/tokens/revoke", `{"token":"x","x":1}`, nil, []string{"x"}},
		"compared with the wrong": {"POST", "/admin/v1/clients", `{"client_name":"N","scope":1,"default_scope":"a","resources":2,"default_resource":"urn:x","serves":"3","introspection_signed_response_alg":"ES256"}`, nil, []string{"scope", "resources", "serves"}},
		"compared, and wrong":     {"POST", "/admin/v1/clients", `{"client_name":"N","scope":1,"default_scope":"a\"b"}`, nil, []string{"scope", "default_scope"}},
		"since with what":         {"POST", "/admin/v1/clients/acme/secrets/x/revoke", `{"since":"2020-01-01T00:00:00Z","compromised":"yes"}`, nil, []string{"compromised"}},
		"no such client":          {"PUT", "/admin/v1/clients/nobody", `{"client_name":"","x":1}`, ifMatch("*"), []string{"x"}},
		"one rule, once":          {"POST", "/admin/v1/clients", `{"client_name":"N","claims":{"a":1,"b":2,"c":3}}`, nil, []string{"claims"}},
		"a repeated member":       {"POST", "/admin/v1/clients", `{"x":1,"client_name":"","client_name":"N"}`, nil, []string{"x", "client_name"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			a := s.do(c.method, c.path, c.body, c.headers)
			a.wantFields(c.fields...)
			for _, secret := range []string{"short", "urn:none", "nobody"} {
				if strings.Contains(string(a.Body), `"`+secret) {
					t.Errorf("echoed: %s", a.Body)
				}
			}
		})
	}
	if n := len(s.entries()); n != before {
		t.Errorf("%d changes were recorded", n-before)
	}
}

// A key that is sent twice is no key, and the rest is judged without it.
func TestJudge_RepeatedKey(t *testing.T) {
	s := startWithBoth(t)
	for _, path := range []string{"/admin/v1/clients", "/admin/v1/clients/acme/secrets"} {
		body := `{"client_name":"N","client_secret":"short"}`
		if strings.HasSuffix(path, "secrets") {
			body = `{"client_secret":"short"}`
		}
		req := s.request("POST", path, body)
		req.Header["Idempotency-Key"] = []string{"0123456789abcdef", "0123456789abcdeg"}
		s.send(req, []byte(body)).wantFields("Idempotency-Key", "client_secret")
	}
}

// Claims are counted in octets as they were written, also in what is left of a body.
func TestJudge_LeavesValuesAsTheyAre(t *testing.T) {
	s := start(t)
	claim := strings.Repeat("<", 1000) // escaped, it would be six times as long
	s.do("POST", "/admin/v1/clients", `{"client_name":"N","x":1,"claims":{"https://claims.example/a":"`+claim+`"}}`).wantFields("x")
}

// What is right but for its form is not done, whatever is wrong with the form.
func TestJudge_DoesNothing(t *testing.T) {
	s := startWithBoth(t)
	secret := s.secrets("acme")[0].CredentialID
	before, all := len(s.entries()), 0
	for pattern, body := range map[string]string{
		"POST /admin/v1/resources":                                         `{"resource":"urn:new","x":1}`,
		"PUT /admin/v1/resources/https:%2F%2Ffulfilment.example":           `{"scopes":["new"],"x":1}`,
		"POST /admin/v1/clients":                                           `{"client_id":"new","client_name":"N","x":1}`,
		"PUT /admin/v1/clients/acme":                                       `{"client_name":"New","x":1}`,
		"POST /admin/v1/clients/acme/secrets":                              `{"x":1}`,
		"POST /admin/v1/clients/acme/secrets/" + secret + "/revoke":        `{"compromised":true,"x":1}`,
		"POST /admin/v1/keys/rotate":                                       `{"x":1}`,
		"POST /admin/v1/revocations":                                       `{"kind":"all","x":1}`,
		"POST /admin/v1/tokens/revoke":                                     `{"token":"x","x":1}`,
		"DELETE /admin/v1/clients/acme":                                    `{"x":1}`,
		"POST /admin/v1/clients/acme/disable":                              `{"x":1}`,
		"PUT /admin/v1/clients/acme?revoke_tokens=true":                    `{"client_name":"New","x":1}`,
		"PUT /admin/v1/resources/https:%2F%2Ffulfilment.example?a&b=":      `{"scopes":["new"]}`,
		"POST /admin/v1/clients/acme/secrets/" + secret + "/revoke?x=1":    ``,
		"POST /admin/v1/keys/rotate?algorithm=RS256":                       ``,
		"POST /admin/v1/keys/import":                                       marshalled(map[string]any{"key": pemOf(jose.ES256), "x": 1}),
		"POST /admin/v1/keys/revoke-all":                                   ``,
		"POST /admin/v1/keys/rewrap":                                       `{"x":1}`,
		"POST /admin/v1/clients/acme/secrets?client_secret=AAAAAAAAAAAAAA": ``,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		s.do(method, path, body, ifMatch("*")).want(http.StatusBadRequest)
		all++
	}
	if n := len(s.entries()); n != before || all != 19 {
		t.Errorf("%d of %d requests were recorded", n-before, all)
	}
	s.do("PUT", "/admin/v1/clients/acme", `{"client_name":"New"}`).want(http.StatusPreconditionRequired) // alone it keeps its status
	if log := s.log.String(); strings.Contains(log, `"target":"new"`) || strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("log: %s", log)
	}
}

// brokenChecks cannot judge.
type brokenChecks struct {
	Registry
	err error
}

func (b brokenChecks) CheckClient(context.Context, audit.Origin, authz.ClientSpec) error {
	if b.err == nil {
		panic("out of order")
	}
	return b.err
}

// What cannot be judged is not said to be judged.
func TestJudge_Unavailable(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{&authz.UnavailableError{Cause: authz.CauseStoreUnavailable}, 503},
		{errors.New("disk on fire"), 500},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), 500},
		{nil, 500},
	} {
		s := start(t, func(cfg *Config) { cfg.Registry = brokenChecks{cfg.Registry, c.err} })
		s.do("POST", "/admin/v1/clients", `{"client_name":1}`).want(c.status)
		if log := s.log.String(); strings.Count(log, `"level":"ERROR"`) != 1 || !strings.Contains(log, "POST /admin/v1/clients") {
			t.Errorf("log: %s", log)
		}
	}
}

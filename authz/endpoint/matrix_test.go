package endpoint_test

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/store"
)

// row is one row of the error matrix: what is changed in B0, and what comes back.
type row struct {
	name    string // starts with the row's identifier
	change  change
	status  int
	code    authz.Code // empty: a bare answer
	cause   authz.Cause
	headers map[string]string // beside those that every refusal has
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

var assertion = all(with("client_assertion", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"), with("client_assertion_type", assertionType))

var allowPOST = map[string]string{"Allow": "POST"}

func repeat(name, value string) change {
	return all(with(name, value), raw(name+"="+value))
}

// syntaxRows are the rows that are decided before the client is known.
func syntaxRows(s *stack) []row {
	bad := func(name string, c change) row {
		return row{name: name, change: c, status: 400, code: authz.InvalidRequest, cause: authz.CauseBadRequest}
	}
	inURL := func(name string, c change) row {
		return row{name: name, change: c, status: 400, code: authz.InvalidRequest, cause: authz.CauseCredentialsInURL}
	}
	several := func(name string, c change) row {
		return row{name: name, change: c, status: 400, code: authz.InvalidRequest, cause: authz.CauseSeveralMethods}
	}
	not405 := func(name, m string) row {
		r := row{name: name, change: method(m), status: 405, code: authz.InvalidRequest, cause: authz.CauseBadRequest, headers: allowPOST}
		if m == http.MethodHead {
			r.code = ""
		}
		return r
	}
	not404 := func(name, p string) row { return row{name: name, change: path(p), status: 404} }
	many := func(r *wireRequest) {
		for i := range 62 {
			r.params = append(r.params, "p"+strconv.Itoa(i)+"=x")
		}
	}
	return []row{
		{
			name: "TKE-01 GET with everything in the query", status: 405, code: authz.InvalidRequest, cause: authz.CauseCredentialsInURL, headers: allowPOST,
			change: all(method("GET"), body(""), anonymous, query("grant_type=client_credentials&client_id=c1&client_secret="+s.secret)),
		},
		not405("TKE-02 PUT", "PUT"), not405("TKE-02 DELETE", "DELETE"), not405("TKE-02 PATCH", "PATCH"), not405("TKE-02 HEAD", "HEAD"),
		{
			name: "TKE-03 OPTIONS preflight", status: 405, code: authz.InvalidRequest, cause: authz.CauseBadRequest, headers: allowPOST,
			change: all(method("OPTIONS"), field("Origin", "https://evil.example"), field("Access-Control-Request-Method", "POST"), body("")),
		},
		not404("TKE-04 final slash", "/oauth2/token/"), not404("TKE-04 double slash", "//oauth2/token"), not404("TKE-04 capitals", "/OAUTH2/TOKEN"),
		bad("TKE-05 empty body", body("")),
		bad("TKE-05 empty body without Content-Type", all(body(""), field("Content-Type"))),
		bad("TKE-06 no Content-Type", field("Content-Type")),
		bad("TKE-07 JSON", all(field("Content-Type", "application/json"), body(`{"grant_type":"client_credentials"}`))),
		bad("TKE-08 multipart", all(
			field("Content-Type", "multipart/form-data; boundary=b"),
			body("--b\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--b--\r\n"),
		)),
		bad("TKE-09 UTF-16", field("Content-Type", "application/x-www-form-urlencoded; charset=utf-16")),
		bad("TKE-09 ISO-8859-1 outside ASCII", all(field("Content-Type", "application/x-www-form-urlencoded; charset=iso-8859-1"), raw("x=%E9"))),
		bad("TKE-10 two Content-Type fields", field("Content-Type", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded")),
		{
			name: "TKE-11 compressed", status: 415, code: authz.InvalidRequest, cause: authz.CauseBadRequest,
			change: field("Content-Encoding", "gzip"), headers: map[string]string{"Accept-Encoding": "identity"},
		},
		bad("TKE-13 not UTF-8", all(without("scope"), raw("scope=%FF"))),
		bad("TKE-14 bad escape", all(without("scope"), raw("scope=%zz"))),
		bad("TKE-14 ends in a percent sign", raw("x=%")),
		bad("TKE-15 semicolon", body("grant_type=client_credentials;scope=read")),
		bad("TKE-16 NUL", all(anonymous, raw("client_id=a%00"))),
		bad("TKE-16 control character", all(without("scope"), raw("scope=read%0A"))),
		bad("TKE-17 grant_type", raw("grant_type=client_credentials")),
		bad("TKE-17 scope", raw("scope=read")),
		bad("TKE-17 scope, once empty", raw("scope=")),
		bad("TKE-17 client_id", repeat("client_id", "c1")),
		bad("TKE-17 client_secret", all(anonymous, with("client_id", "c1"), repeat("client_secret", s.secret))),
		bad("TKE-17 client_assertion", all(anonymous, assertion, raw("client_assertion=x"))),
		bad("TKE-17 client_assertion_type", all(anonymous, assertion, raw("client_assertion_type=x"))),
		bad("TKE-17 authorization_details", repeat("authorization_details", "%5B%5D")),
		bad("TKE-18 too many parameters", many),
		bad("TKE-19 no grant_type", without("grant_type")),
		bad("TKE-20 empty grant_type", with("grant_type", "")),
		bad("TOK-09 Grant_Type is another name", all(without("grant_type"), with("Grant_Type", "client_credentials"))),
		bad("TOK-03 everything in the query, nothing in the body", all(body(""), query("grant_type=client_credentials"))),
		inURL("TKE-25 client_id", query("client_id=c1")),
		inURL("TKE-25 client_secret", query("client_secret="+s.secret)),
		inURL("TKE-25 client_assertion", query("client_assertion=x")),
		inURL("TKE-25 without good credentials elsewhere", all(anonymous, query("client_id=c1&client_secret="+s.secret))),
		bad("TKE-37 two Authorization fields", field("Authorization", basic("c1", s.secret), basic("c1", s.secret))),
		several("TKE-38 Basic and client_secret", with("client_secret", s.secret)),
		several("TKE-39 Basic and client_assertion", assertion),
		several("TKE-40 client_secret and client_assertion", all(post("c1", s.secret), assertion)),
		bad("TKE-41 Basic and another client_id", with("client_id", "c2")),
		bad("TKE-42 assertion without its type", all(anonymous, with("client_assertion", "x"))),
		bad("TKE-42 type without an assertion", all(anonymous, with("client_assertion_type", assertionType))),
		bad("CLA-05 client_id outside ASCII", post("é", "x")),
		bad("CLA-05 client_id with NUL", post("a\x00", "x")),
		bad("CLA-05 client_id too long", post(strings.Repeat("x", 256), "x")),
		bad("CLA-05 client_secret too long", post("c1", strings.Repeat("x", 256))),
	}
}

// clientRows are the rows that are about who asks.
func clientRows(s *stack) []row {
	bad := func(name string, cause authz.Cause, c change) row {
		return row{name: name, change: c, status: 401, code: authz.InvalidClient, cause: cause}
	}
	return []row{
		bad("TKE-26 no credentials", authz.CauseNoCredentials, anonymous),
		bad("TKE-27 client_id alone", authz.CauseNoCredentials, all(anonymous, with("client_id", "c1"))),
		bad("TKE-28 unknown client, Basic", authz.CauseUnknownClient, as("nobody", "x")),
		bad("TKE-28 unknown client, body", authz.CauseUnknownClient, post("nobody", "x")),
		bad("TKE-28 unknown client, client_id alone", authz.CauseUnknownClient, all(anonymous, with("client_id", "nobody"))),
		bad("TKE-29 wrong secret, Basic", authz.CauseWrongSecret, as("c1", "wrong")),
		bad("TKE-29 wrong secret, body", authz.CauseWrongSecret, post("c1", "wrong")),
		bad("TKE-29 typo", authz.CauseSecretTypo, as("c1", typo(s.secret))),
		bad("TKE-29 trailing whitespace", authz.CauseTrailingWhitespace, as("c1", s.secret+" ")),
		bad("TKE-29 the secret of another client", authz.CauseSecretOfAnotherClient, as("c1", s.client(authz.ClientSpec{ID: "another"}))),
		bad("TKE-30 expired secret", authz.CauseSecretExpired, as("expired", "expired-secret")),
		bad("TKE-31 disabled client, Basic", authz.CauseDisabled, as("disabled", "disabled-secret")),
		bad("TKE-31 disabled client, body", authz.CauseDisabled, post("disabled", "disabled-secret")),
		bad("TKE-32 empty secret, Basic", authz.CauseEmptySecret, as("c1", "")),
		bad("TKE-32 empty secret, body", authz.CauseNoCredentials, post("c1", "")),
		bad("TKE-35 not base64", authz.CauseMalformedCredentials, field("Authorization", "Basic !")),
		bad("TKE-35 no colon", authz.CauseMalformedCredentials, field("Authorization", "Basic YWI=")),
		bad("TKE-35 bad escape inside", authz.CauseMalformedCredentials, field("Authorization", "Basic YSV6ejpi")),
		bad("TKE-36 Bearer", authz.CauseUnsupportedScheme, field("Authorization", "Bearer x")),
		bad("TKE-36 Digest", authz.CauseUnsupportedScheme, field("Authorization", `Digest username="c1"`)),
		bad("TKE-36 unknown scheme", authz.CauseUnsupportedScheme, field("Authorization", "Foo bar")),
		bad("TKE-43 unknown client_assertion_type", authz.CauseUnsupportedMethod, all(anonymous, with("client_assertion", "x"), with("client_assertion_type", "urn:x"))),
		bad("TKE-44 assertion", authz.CauseWrongMethod, all(anonymous, assertion)),
		bad("TKE-44 malformed assertion", authz.CauseWrongMethod, all(anonymous, assertion, with("client_assertion", "x"))),
		bad("TKE-44 assertion and client_id", authz.CauseWrongMethod, all(anonymous, assertion, with("client_id", "c1"))),
		bad("CLA-01 a secret for a client of another method", authz.CauseWrongMethod, as("asymmetric", "old-secret")),
		bad("CLA-18 no stored secret, empty one sent", authz.CauseEmptySecret, as("secretless", "")),
		bad("CLA-18 no stored secret", authz.CauseWrongSecret, as("secretless", "x")),
		bad("TOK-44 a secret as client_id", authz.CauseSecretInClientID, post(s.secret, s.secret)),
		bad("TOK-14 wrong secret before bad scope", authz.CauseWrongSecret, all(as("c1", "wrong"), with("scope", "\""))),
		bad("TOK-14 wrong secret before unknown grant", authz.CauseWrongSecret, all(as("c1", "wrong"), with("grant_type", "foo"))),
		bad("TOK-14 wrong secret before authorization_details", authz.CauseWrongSecret, all(as("c1", "wrong"), with("authorization_details", "[]"))),
		bad("TOK-14 wrong secret before DPoP", authz.CauseWrongSecret, all(as("c1", "wrong"), field("DPoP", "x"))),
	}
}

// policyRows are the rows that are about what a known client asks for.
func policyRows() []row {
	no := func(code authz.Code) func(string, authz.Cause, ...change) row {
		return func(name string, cause authz.Cause, c ...change) row {
			return row{name: name, change: all(c...), status: 400, code: code, cause: cause}
		}
	}
	grant, scope, target := no(authz.UnsupportedGrantType), no(authz.InvalidScope), no(authz.InvalidTarget)
	unauthorized := no(authz.UnauthorizedClient)
	two := as("two", "two-secret")
	noResource := without("resource")
	rows := []row{
		grant("TKE-21 the grant has case", authz.CauseGrantUnsupported, with("grant_type", "Client_Credentials")),
		grant("TKE-22 unknown grant", authz.CauseGrantUnsupported, with("grant_type", "foo")),
		grant("TKE-22 unknown URN", authz.CauseGrantUnsupported, with("grant_type", "urn:example:grant")),
		unauthorized("TKE-24 grant not registered", authz.CauseGrantNotRegistered, as("grantless", "grantless-secret")),
		unauthorized("TKE-34 public client", authz.CausePublicClient, anonymous, with("client_id", "public")),
		scope("TKE-45 quotation mark", authz.CauseScopeMalformed, with("scope", `re"ad`)),
		scope("TKE-45 backslash", authz.CauseScopeMalformed, with("scope", `re\ad`)),
		scope("TKE-45 outside ASCII", authz.CauseScopeMalformed, with("scope", "é")),
		scope("TKE-45 leading space", authz.CauseScopeMalformed, with("scope", " read")),
		scope("TKE-45 trailing space", authz.CauseScopeMalformed, with("scope", "read ")),
		scope("TKE-45 double space", authz.CauseScopeMalformed, with("scope", "read  write")),
		scope("TKE-46 unknown scope", authz.CauseScopeNotAllowed, with("scope", "unheard")),
		scope("TKE-47 scope of another API, alone", authz.CauseScopeNotAllowed, with("scope", "other:read")),
		scope("TKE-47 scope not allowed, beside a good one", authz.CauseScopeNotAllowed, with("scope", "read other:read")),
		scope("TOK-18 scopes have case", authz.CauseScopeNotAllowed, with("scope", "READ")),
		scope("TKE-48 no scope and no default", authz.CauseScopeMissing, without("scope"), two, noResource),
		target("TKE-49 relative", authz.CauseResourceMalformed, with("resource", "/api")),
		target("TKE-49 fragment", authz.CauseResourceMalformed, with("resource", api+"#x")),
		target("TKE-49 empty fragment", authz.CauseResourceMalformed, with("resource", api+"#")),
		target("TKE-49 empty host", authz.CauseResourceMalformed, with("resource", "https:///x")),
		target("TKE-49 not a URI", authz.CauseResourceMalformed, with("resource", "%")),
		target("TKE-50 unknown resource", authz.CauseResourceNotAllowed, with("resource", "https://nowhere.example")),
		target("TKE-50 resource of others", authz.CauseResourceNotAllowed, with("resource", other)),
		target("TOK-22 identifiers compare as strings", authz.CauseResourceNotAllowed, with("resource", api+"/")),
		target("TKE-51 no resource and no default", authz.CauseResourceMissing, as("homeless", "homeless-secret"), without("scope"), noResource),
		target("TKE-51 several could be meant", authz.CauseResourceAmbiguous, as("ambiguous", "ambiguous-secret"), with("scope", "shared"), noResource),
		target("TKE-52 one of several is bad", authz.CauseResourceNotAllowed, raw("resource=https%3A%2F%2Fnowhere.example")),
		target("TKE-52 two that share a scope", authz.CauseResourceAmbiguous, as("ambiguous", "ambiguous-secret"), with("scope", "shared"),
			with("resource", "https://left.example"), raw("resource=https%3A%2F%2Fright.example")),
		scope("TKE-53 scopes of two APIs, no resource", authz.CauseScopeOfSeveralAPIs, two, with("scope", "read other:read"), noResource),
		scope("TKE-54 scope without meaning there", authz.CauseScopeNotOfResource, two, with("scope", "read"), with("resource", other)),
		no(authz.InvalidAuthorizationDetails)("authorization_details", authz.CauseDetailsUnsupported, with("authorization_details", `[{"type":"x"}]`)),
		no(authz.InvalidDPoPProof)("DPoP", authz.CauseDPoPUnsupported, field("DPoP", "eyJ.e30.AA")),
		no(authz.InvalidDPoPProof)("two DPoP fields", authz.CauseDPoPUnsupported, field("DPoP", "a", "b")),
	}
	for _, g := range []string{
		"password", "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
		"urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer",
	} {
		rows = append(rows, grant("TKE-23 "+g, authz.CauseGrantUnsupported, with("grant_type", g)))
	}
	return rows
}

// typo changes one character inside a secret.
func typo(secret string) string {
	b := []byte(secret)
	i := len(b) - 20
	if b[i] == 'x' {
		b[i] = 'y'
	} else {
		b[i] = 'x'
	}
	return string(b)
}

// cast registers the clients that the rows need.
func (s *stack) cast() {
	s.t.Helper()
	scopes := func(text string) authz.ScopeSet {
		set, err := authz.ParseScope(text)
		check(s.t, err)
		return set
	}
	for _, id := range []string{"https://left.example", "https://right.example"} {
		s.resource(authz.ResourceSpec{ID: id, Scopes: []string{"shared"}})
	}
	yesterday := s.clock.Now().Add(-24 * time.Hour).Truncate(time.Second)
	for _, c := range []authz.Client{
		{ID: "expired", Credentials: []authz.Credential{{ID: "kexpired", Expires: yesterday}}},
		{ID: "disabled", Disabled: true, Credentials: []authz.Credential{{ID: "kdisabled"}}},
		{ID: "secretless"},
		{ID: "asymmetric", AuthMethod: "private_key_jwt", Credentials: []authz.Credential{{ID: "kasymmetric"}}},
		{ID: "grantless", GrantTypes: []string{"authorization_code"}, Credentials: []authz.Credential{{ID: "kgrantless"}}},
		{ID: "public", AuthMethod: authz.AuthNone},
		{ID: "two", Scopes: scopes("read other:read"), Resources: []authz.ResourceID{api, other}, Credentials: []authz.Credential{{ID: "ktwo"}}},
		{ID: "homeless", Credentials: []authz.Credential{{ID: "khomeless"}}},
		{
			ID: "ambiguous", Scopes: scopes("shared"), Resources: []authz.ResourceID{"https://left.example", "https://right.example"},
			Credentials: []authz.Credential{{ID: "kambiguous"}},
		},
	} {
		if c.AuthMethod == "" {
			c.AuthMethod = authz.AuthSecretBasic
		}
		if c.GrantTypes == nil {
			c.GrantTypes = []string{authz.GrantClientCredentials}
		}
		if c.Resources == nil && c.ID != "homeless" {
			c.Scopes, c.DefaultScopes, c.Resources = scopes("read write"), scopes("read"), []authz.ResourceID{api}
		}
		secrets := map[authz.CredentialID]string{}
		for _, k := range c.Credentials {
			secrets[k.ID] = string(c.ID) + "-secret"
			if c.ID == "asymmetric" {
				secrets[k.ID] = "old-secret"
			}
		}
		s.record(c, secrets)
	}
}

// in returns s for a subtest.
func (s *stack) in(t *testing.T) *stack {
	sub := *s
	sub.t = t
	return &sub
}

// TestErrorMatrix sends every row, checks status, code, fields and the one line in the log, and
// compares all texts with the golden table.
func TestErrorMatrix(t *testing.T) {
	s := newStack(t)
	s.cast()
	s.log.take()
	var golden strings.Builder
	rows := append(append(syntaxRows(s), clientRows(s)...), policyRows()...)
	before := s.stored()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := s.in(t)
			r := s.send(row.change)
			e := s.wantError(r, row.status, row.code)
			for name, want := range row.headers {
				if got := r.header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			s.wantLogged(r, row)
			fmt.Fprintf(&golden, "%s\n\t%d %s\n\t%s\n", row.name, r.status, e.Error, e.Description)
		})
	}
	wantGolden(t, "testdata/matrix.golden", golden.String())
	if after := s.stored(); after != before {
		t.Errorf("refusals stored something: %+v, before %+v", after, before)
	}
	s.issued()
	if after := s.stored(); after != before {
		t.Errorf("a token stored something: %+v, before %+v", after, before)
	}
}

// stored is where the store stands: every write moves the head of its change feed, or adds to its audit
// log, or both.
type stored struct {
	head    store.Cursor
	entries int
}

func (s *stack) stored() (now stored) {
	s.t.Helper()
	var err error
	now.head, err = s.gate.Head(s.t.Context())
	check(s.t, err)
	for after := ""; ; {
		entries, next, err := s.gate.Entries(s.t.Context(), after, 100)
		check(s.t, err)
		if now.entries += len(entries); len(entries) == 0 {
			break
		}
		after = next
	}
	if now.entries == 0 || now.head == "" {
		s.t.Fatalf("%+v: the resources and clients of this test are not there", now)
	}
	return now
}

// The comparison above sees every kind of write.
func TestErrorMatrix_WouldSeeAWrite(t *testing.T) {
	s := newStack(t)
	before := s.stored()
	seen := func(what string) {
		t.Helper()
		after := s.stored()
		if after == before {
			t.Errorf("%s: not seen", what)
		}
		before = after
	}
	s.client(authz.ClientSpec{ID: "c2"})
	seen("a client")
	_, err := s.registry.SetClientDisabled(t.Context(), admin, "c2", true)
	check(t, err)
	seen("a change of a client")
	s.resource(authz.ResourceSpec{ID: "urn:x"})
	seen("a resource")
	_, err = s.ring.Rotate(t.Context(), "", admin)
	check(t, err)
	seen("a rotation")
}

// wantLogged checks that the refusal was logged once, with its cause, and without what was sent.
func (s *stack) wantLogged(r reply, row row) {
	s.t.Helper()
	log := s.log.take()
	s.nothingLeaked(s.t, log)
	if row.status == 404 {
		if log != "" {
			s.t.Errorf("logged %s", log)
		}
		return
	}
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "request_id="+r.header.Get("X-Request-Id")+" ") ||
		!strings.Contains(log, "cause="+string(row.cause)+" ") || !strings.Contains(log, fmt.Sprintf("status=%d", row.status)) {
		s.t.Errorf("logged %s, want one line with cause %s", log, row.cause)
	}
}

func wantGolden(t *testing.T, file, got string) {
	t.Helper()
	if *endpoint.Update {
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	check(t, err)
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got); go test -update rewrites it:\n%s", file, d)
	}
}

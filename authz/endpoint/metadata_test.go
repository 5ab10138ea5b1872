package endpoint_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	metadataPath = "/.well-known/oauth-authorization-server"
	aliasPath    = "/.well-known/openid-configuration"
)

func issuerPath(p string) func(*settings) { return func(c *settings) { c.path = p } }

// object decodes a document that must be one JSON object.
func object(t testing.TB, r reply) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil || r.status != 200 {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return m
}

func TestMET01_WhereTheDocumentIs(t *testing.T) {
	s := newStack(t)
	object(t, s.get(metadataPath))
	s = newStack(t, issuerPath("/t1"))
	object(t, s.get(metadataPath+"/t1"))
	for _, p := range []string{"/t1" + metadataPath, metadataPath, metadataPath + "/", metadataPath + "/t1/", metadataPath + "/t2"} {
		if r := s.get(p); r.status != 404 {
			t.Errorf("%s: %d", p, r.status)
		}
	}
}

func TestMET02_GETAndHEADOnly(t *testing.T) {
	s := newStack(t)
	get := s.get(metadataPath)
	if object(t, get); get.header.Get("Content-Type") != "application/json" {
		t.Errorf("Content-Type %q", get.header.Get("Content-Type"))
	}
	head := s.request("HEAD", metadataPath)
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(get.body)) {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
	for _, m := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if r := s.request(m, metadataPath); r.status != 405 || r.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", m, r.status, r.header.Get("Allow"))
		}
	}
}

func TestMET03_IssuerIsTheSameEverywhere(t *testing.T) {
	for _, p := range []string{"", "/t1", "/a/b"} {
		s := newStack(t, issuerPath(p))
		if got := object(t, s.get(metadataPath+p))["issuer"]; got != s.issuer {
			t.Errorf("issuer %q, want %q", got, s.issuer)
		}
		_, claims := s.issued(path(p + "/oauth2/token"))
		if claims.Issuer != s.issuer {
			t.Errorf("iss %q, want %q", claims.Issuer, s.issuer)
		}
	}
}

// A verifier that asks for one issuer must not believe the document of another.
func TestMET04_ConsumersRefuseALyingDocument(t *testing.T) {
	s := newStack(t)
	lie := strings.ReplaceAll(s.get(metadataPath).body, s.issuer, "https://someone.else.example")
	liar := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, lie)
	}))
	defer liar.Close()
	if v, err := verifier.New(t.Context(), verifier.Config{Issuer: liar.URL, Audience: api, HTTPClient: liar.Client()}); err == nil {
		v.Close()
		t.Error("believed")
	}
	v, err := verifier.New(t.Context(), verifier.Config{Issuer: s.issuer, Audience: api, HTTPClient: s.ts.Client()})
	check(t, err)
	defer v.Close()
	got, _ := s.issued()
	if _, err := v.Verify(t.Context(), got.AccessToken); err != nil {
		t.Errorf("the true document: %v", err)
	}
}

func TestMET05_HostAndForwardedFieldsMeanNothing(t *testing.T) {
	s := newStack(t)
	want := s.get(metadataPath)
	got := s.get(metadataPath, "Host", "evil.example", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "Forwarded", "host=evil.example")
	if got.body != want.body || strings.Contains(got.body, "evil") {
		t.Errorf("%s", got.body)
	}
}

func TestMET06_MET09_MET10_MET11_GoldenDocuments(t *testing.T) {
	s := newStack(t, issuerPath("/t1"))
	plain := strings.ReplaceAll(s.get(metadataPath+"/t1").body, s.issuer, "https://as.example/t1")
	alias := strings.ReplaceAll(s.get("/t1"+aliasPath).body, s.issuer, "https://as.example/t1")
	wantGolden(t, "testdata/metadata.golden", plain+"\n"+alias+"\n")
	for _, absent := range []string{"authorization_endpoint", "response_modes_supported", "code_challenge_methods_supported", "registration", "encryption"} {
		if strings.Contains(plain+alias, absent) {
			t.Errorf("%s is there", absent)
		}
	}
}

func TestMET07_TokenEndpointWorks(t *testing.T) {
	s := newStack(t, issuerPath("/t1"))
	u, err := url.Parse(object(t, s.get(metadataPath+"/t1"))["token_endpoint"].(string))
	check(t, err)
	if u.Scheme != "https" || u.Fragment != "" {
		t.Errorf("%s", u)
	}
	s.issued(path(u.Path))
	if r := s.send(); r.status != 404 { // not at the root
		t.Errorf("%d", r.status)
	}
}

func TestMET08_JWKSURIWorks(t *testing.T) {
	s := newStack(t, issuerPath("/t1"))
	u, err := url.Parse(object(t, s.get(metadataPath+"/t1"))["jwks_uri"].(string))
	check(t, err)
	set, err := jose.ParseSet([]byte(s.get(u.Path).body))
	if err != nil || set.Len() == 0 || u.Scheme != "https" {
		t.Errorf("%s: %v", u, err)
	}
}

func TestMET09_GrantTypesAreExplicitAndTrue(t *testing.T) {
	s := newStack(t)
	grants := object(t, s.get(metadataPath))["grant_types_supported"].([]any)
	if d := cmp.Diff(grants, []any{"client_credentials"}); d != "" {
		t.Error(d)
	}
}

func TestMET10_ResponseTypesOnlyByASwitch(t *testing.T) {
	s := newStack(t)
	if v, ok := object(t, s.get(metadataPath))["response_types_supported"]; ok {
		t.Errorf("%v", v)
	}
	s = newStack(t, func(c *settings) { c.endpoint.PlaceholderResponseTypes = true })
	if v, ok := object(t, s.get(metadataPath))["response_types_supported"].([]any); !ok || len(v) == 0 {
		t.Errorf("%v", v)
	}
}

func TestMET11_AuthMethodsAreExplicitAndTrue(t *testing.T) {
	s := newStack(t)
	works := map[string]change{"client_secret_basic": as("c1", s.secret), "client_secret_post": post("c1", s.secret)}
	listed := object(t, s.get(metadataPath))["token_endpoint_auth_methods_supported"].([]any)
	if len(listed) != len(works) {
		t.Errorf("listed %v", listed)
	}
	for _, m := range listed {
		s.issued(works[m.(string)])
	}
	s.refused(401, authz.InvalidClient, anonymous, assertion) // private_key_jwt is not listed
	s.refused(401, authz.InvalidClient, anonymous, with("client_id", "c1"))
}

// What the document lists works at the endpoint that it names, and what it does not list fails there.
func TestMET13_MET14_EndpointsAndMethodsAreTrue(t *testing.T) {
	for _, p := range []string{"", "/t1"} {
		s := newStack(t, issuerPath(p))
		m := object(t, s.get(metadataPath+p))
		if m["introspection_endpoint"] != s.issuer+"/oauth2/introspect" || m["revocation_endpoint"] != s.issuer+"/oauth2/revoke" {
			t.Errorf("%v", m)
		}
		both := []any{"client_secret_basic", "client_secret_post"}
		if d := cmp.Diff(m["revocation_endpoint_auth_methods_supported"], any(both)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(m["introspection_endpoint_auth_methods_supported"], any(append(both, "Bearer"))); d != "" {
			t.Error(d)
		}
		s.wantMethods(m)
	}
}

func TestMET21_INT20_WhatSignsIntrospections(t *testing.T) {
	s := newStack(t)
	m := object(t, s.get(metadataPath))
	if d := cmp.Diff(m["introspection_signing_alg_values_supported"], any([]any{"ES256", "ES384", "RS256", "PS256", "EdDSA"})); d != "" {
		t.Error(d)
	}
	for _, absent := range []string{"introspection_encryption_alg_values_supported", "introspection_encryption_enc_values_supported"} {
		if _, ok := m[absent]; ok { // answers are never encrypted
			t.Errorf("%s is there", absent)
		}
	}
	s.wantSignedAnswers(agreement{ed25519: jose.EdDSA, algorithms: []jose.Algorithm{jose.Ed25519}}, m, all())
}

func TestMET26_NoEmptyMembers(t *testing.T) {
	s := newStack(t)
	for _, p := range []string{metadataPath, aliasPath} {
		for name, v := range object(t, s.get(p)) {
			if list, isList := v.([]any); v == nil || v == "" || isList && len(list) == 0 {
				t.Errorf("%s: %s is %v", p, name, v)
			}
		}
	}
	// Consumers ignore members that they do not know.
	extra := strings.Replace(s.get(metadataPath).body, "{", `{"x_unheard":{"of":null},`, 1)
	mux := httptest.NewUnstartedServer(nil)
	issuer := "https://" + mux.Listener.Addr().String()
	mux.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "jwks.json") {
			fmt.Fprint(w, s.get(s.jwksPath()).body)
			return
		}
		fmt.Fprint(w, strings.ReplaceAll(extra, s.issuer, issuer))
	})
	mux.StartTLS()
	defer mux.Close()
	v, err := verifier.New(t.Context(), verifier.Config{Issuer: issuer, Audience: api, HTTPClient: mux.Client()})
	check(t, err)
	v.Close()
}

func TestMET28_CachedByETag(t *testing.T) {
	s := newStack(t)
	for _, p := range []string{metadataPath, aliasPath} {
		s.wantCacheable(s.get(p), p, "public, max-age=300")
	}
}

// wantCacheable checks r, the answer to a plain GET of path, and that it can be asked for again.
func (s *stack) wantCacheable(r reply, path, caching string) {
	s.t.Helper()
	tag := r.header.Get("ETag")
	if r.status != 200 || r.header.Get("Cache-Control") != caching || len(tag) < 10 || r.header.Get("Location") != "" || r.header.Get("Set-Cookie") != "" {
		s.t.Errorf("%s: %d %v", path, r.status, r.header)
	}
	for sent, want := range map[string]int{
		tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, strings.Trim(tag, `"`): 200, "": 200, "W/": 200,
	} {
		again := s.get(path, "If-None-Match", sent)
		if again.status != want || again.header.Get("ETag") != tag || again.header.Get("Cache-Control") != caching || (want == 304 && again.body != "") {
			s.t.Errorf("%s, If-None-Match %q: %d %v", path, sent, again.status, again.header)
		}
	}
	if two := s.get(path, "If-None-Match", `"x"`, "If-None-Match", tag); two.status != 304 {
		s.t.Errorf("%s, two fields: %d", path, two.status)
	}
}

func TestMET29_OpenIDAlias(t *testing.T) {
	for _, p := range []string{"", "/t1"} {
		s := newStack(t, issuerPath(p))
		provider, err := oidc.NewProvider(oidc.ClientContext(t.Context(), s.ts.Client()), s.issuer)
		check(t, err)
		got, _ := s.issued(path(p + "/oauth2/token"))
		verified, err := provider.Verifier(&oidc.Config{ClientID: api}).Verify(oidc.ClientContext(t.Context(), s.ts.Client()), got.AccessToken)
		if err != nil || verified.Subject != "c1" {
			t.Errorf("%q: %v", p, err)
		}
		plain, alias := object(t, s.get(metadataPath+p)), object(t, s.get(p+aliasPath))
		for name, v := range plain {
			if d := cmp.Diff(alias[name], v); d != "" {
				t.Errorf("%s differs: %s", name, d)
			}
			delete(alias, name)
		}
		names := slices.Sorted(maps.Keys(alias))
		if d := cmp.Diff(names, []string{"id_token_signing_alg_values_supported", "response_types_supported", "subject_types_supported"}); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(alias["subject_types_supported"], []any{"public"}); d != "" {
			t.Error(d)
		}
	}
}

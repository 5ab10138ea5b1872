package endpoint_test

import (
	"encoding/json"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
)

func TestTOK16_NoRefreshToken(t *testing.T) {
	s := newStack(t)
	for _, c := range []change{with("x", "y"), with("scope", "read write"), with("access_type", "offline")} {
		if r := s.send(c); r.status != 200 || strings.Contains(r.body, "refresh") {
			t.Errorf("%d", r.status)
		}
	}
}

func TestTOK29_Success(t *testing.T) {
	s := newStack(t)
	r := s.send()
	got, _ := s.accept(r)
	media, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil || media != "application/json" || got.AccessToken == "" || got.TokenType == "" {
		t.Errorf("%s %v", media, err)
	}
}

func TestTOK30_NotCached(t *testing.T) {
	s := newStack(t)
	for _, r := range []reply{s.send(), s.send(post("c1", s.secret))} {
		if r.status != 200 || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Pragma") != "no-cache" {
			t.Errorf("%d %v", r.status, r.header)
		}
	}
}

func TestTOK31_Bearer(t *testing.T) {
	s := newStack(t)
	if got, _ := s.issued(); got.TokenType != "Bearer" {
		t.Errorf("token_type %q", got.TokenType)
	}
}

func TestTOK32_ExpiresInIsANumberAndTheTruth(t *testing.T) {
	s := newStack(t)
	r := s.send()
	got, claims := s.accept(r)
	seconds, err := strconv.Atoi(got.ExpiresIn.String())
	if err != nil || time.Duration(seconds)*time.Second != claims.Expiry.Sub(claims.IssuedAt) || !strings.Contains(r.body, `"expires_in":`+got.ExpiresIn.String()) {
		t.Errorf("expires_in %s, exp - iat = %s", got.ExpiresIn, claims.Expiry.Sub(claims.IssuedAt))
	}
}

func TestTOK33_GoldenMembers(t *testing.T) {
	s := newStack(t)
	r := s.send()
	s.accept(r)
	var members map[string]json.RawMessage
	check(t, json.Unmarshal([]byte(r.body), &members))
	names := slices.Sorted(maps.Keys(members))
	if !slices.Equal(names, []string{"access_token", "expires_in", "scope", "token_type"}) {
		t.Errorf("members %q", names)
	}
	for _, name := range names {
		if strings.Count(r.body, `"`+name+`":`) != 1 || string(members[name]) == "null" {
			t.Errorf("%s: %s", name, r.body)
		}
	}
}

func TestTOK34_Lifetimes(t *testing.T) {
	s := newStack(t)
	if _, claims := s.issued(); claims.Expiry.Sub(claims.IssuedAt) != 10*time.Minute {
		t.Errorf("the default is %s", claims.Expiry.Sub(claims.IssuedAt))
	}
	s.resource(authz.ResourceSpec{ID: "https://short.example", Scopes: []string{"s"}, TokenLifetime: time.Minute})
	secret := s.client(authz.ClientSpec{ID: "short", Scopes: []string{"s read"}, Resources: []string{api, "https://short.example"}, TokenLifetime: 5 * time.Minute})
	for resource, want := range map[string]time.Duration{"https://short.example": time.Minute, api: 5 * time.Minute} {
		scope := map[string]string{api: "read", "https://short.example": "s"}[resource]
		if _, claims := s.issued(as("short", secret), with("scope", scope), with("resource", resource)); claims.Expiry.Sub(claims.IssuedAt) != want {
			t.Errorf("%s: %s", resource, claims.Expiry.Sub(claims.IssuedAt))
		}
	}
	for _, bad := range []time.Duration{time.Hour + time.Second, -time.Second, time.Millisecond} {
		if _, _, err := s.registry.CreateResource(t.Context(), admin, authz.ResourceSpec{ID: "https://long.example", TokenLifetime: bad}); err == nil {
			t.Errorf("a lifetime of %s was registered", bad)
		}
	}
}

func TestTOK37_DescriptionsEchoNothing(t *testing.T) {
	s := newStack(t)
	const marker = "qzxwvjkp"
	for _, c := range []change{
		with("scope", `"`+marker+`é\`), with("scope", marker), with("resource", marker), with("resource", "https://"+marker), with("grant_type", marker),
		as(marker, marker), post(marker, marker), raw(marker), raw(marker + "=%zz"), raw("a=1&a=" + marker), field("Content-Type", marker+"/"+marker),
		field("Authorization", marker), query("client_id=" + marker), path("/" + marker), field("Content-Encoding", marker), method(strings.ToUpper(marker)),
		all(anonymous, with("client_assertion", marker), with("client_assertion_type", marker)), with("authorization_details", marker), field("DPoP", marker),
		field("X-Request-Id", marker), raw("x=" + strings.Repeat(marker, 10_000)),
	} {
		r := s.send(c)
		if strings.Contains(r.body, marker) {
			t.Errorf("%s", r.body)
		}
		for name, values := range r.header {
			if strings.Contains(name, marker) || strings.Contains(strings.Join(values, " "), marker) {
				t.Errorf("%s: %q", name, values)
			}
		}
	}
}

func TestTOK38_InvalidClientIs401(t *testing.T) {
	s := newStack(t)
	for _, c := range []change{as("c1", "wrong"), post("c1", "wrong"), anonymous} {
		s.refused(401, authz.InvalidClient, c)
	}
}

func TestTOK39_Challenge(t *testing.T) {
	s := newStack(t, func(c *settings) { c.endpoint.Realm = "partners of Acme" })
	for _, c := range []change{anonymous, post("c1", "wrong"), field("Authorization", "Bearer x")} {
		r := s.send(c)
		if got := r.header["Www-Authenticate"]; r.status != 401 || !slices.Equal(got, []string{`Basic realm="partners of Acme", charset="UTF-8"`}) {
			t.Errorf("%d %q", r.status, got)
		}
	}
}

func TestTOK40_ErrorsAreNotCached(t *testing.T) {
	s := newStack(t)
	for _, c := range []change{anonymous, with("scope", "x"), raw("a;b"), method("GET"), path("/x"), field("Content-Encoding", "br")} {
		if r := s.send(c); r.status < 400 || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %q", r.status, r.header.Get("Cache-Control"))
		}
	}
}

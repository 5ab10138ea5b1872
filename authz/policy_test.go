package authz

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-oauth2/oauth2/v4"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// claims decodes a token without judging it: the verifier has its own tests.
func claims(t testing.TB, access string) map[string]any {
	t.Helper()
	parts := strings.Split(access, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(payload, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// policyWorld has three resources and a client for each question.
func policyWorld(t *testing.T) (*world, func(ClientSpec, string, ...string) (Issued, error)) {
	w := newWorld(t, nil)
	w.addKey(t, jose.RS256)
	w.addKey(t, jose.Ed25519)
	w.resource(t, ResourceSpec{ID: api, Scopes: []string{"orders:read orders:write shared"}})
	w.resource(t, ResourceSpec{ID: otherAPI, Scopes: []string{"accounts:create shared"}, TokenLifetime: 2 * time.Minute})
	w.resource(t, ResourceSpec{ID: "https://rsa.example", Scopes: []string{"rsa"}, Algorithm: "RS256", TokenType: "JWT"})
	w.resource(t, ResourceSpec{ID: "urn:example:ed", Scopes: []string{"ed"}, Algorithm: "EdDSA"})
	n := 0
	return w, func(spec ClientSpec, scope string, resources ...string) (Issued, error) {
		n++
		spec.ID = "c" + strconv.Itoa(n)
		c, secret := w.client(t, spec)
		r := request(c.ID, secret)
		r.Scope, r.Resources = scope, resources
		return w.server.Token(t.Context(), r)
	}
}

func TestPolicy_GrantedScopeAndAudience(t *testing.T) {
	w, ask := policyWorld(t)
	one := ClientSpec{Scopes: []string{"orders:read", "orders:write"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api}}
	two := ClientSpec{
		Scopes: []string{"orders:read accounts:create shared"}, DefaultScopes: []string{"orders:read accounts:create"},
		Resources: []string{api, otherAPI},
	}
	sharedDefault := two
	sharedDefault.DefaultResource = otherAPI
	bare := ClientSpec{Resources: []string{api}}
	w.resource(t, ResourceSpec{ID: "https://bare.example"})
	noScopes := ClientSpec{Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api, "https://bare.example"}}
	bareTwo := ClientSpec{Resources: []string{api, otherAPI}, DefaultResource: api}
	for _, tt := range []struct {
		name      string
		spec      ClientSpec
		scope     string
		resources []string
		wantScope string
		wantAud   any
	}{
		{"TOK06 TOK17 TOK20 scope omitted: the default", one, "", nil, "orders:read", api},
		{"TOK17 no scopes at all: none", bare, "", nil, "", api},
		{"TOK18 duplicates collapse", one, "orders:write orders:read orders:read", nil, "orders:read orders:write", api},
		{"TOK22 resource named", one, "orders:write", []string{api}, "orders:write", api},
		{"TOK22 resource named twice", one, "orders:write", []string{api, api}, "orders:write", api},
		{"TOK23 inferred from scope", two, "accounts:create", nil, "accounts:create", otherAPI},
		{"TOK23 shared scope: the default resource", sharedDefault, "shared", nil, "shared", otherAPI},
		{"TOK23 no scope, several resources: the default resource", bareTwo, "", nil, "", api},
		{"TOK24 two disjoint ones", two, "orders:read accounts:create", []string{api, otherAPI}, "accounts:create orders:read", []any{api, otherAPI}},
		{"default narrows to the resource that is named", two, "", []string{otherAPI}, "accounts:create", otherAPI},
		{"a resource without scopes needs none", noScopes, "", []string{"https://bare.example"}, "", "https://bare.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ask(tt.spec, tt.scope, tt.resources...)
			if err != nil {
				t.Fatal(err)
			}
			c := claims(t, got.AccessToken)
			if got.Scope != tt.wantScope {
				t.Errorf("scope %q, want %q", got.Scope, tt.wantScope)
			}
			if s, ok := c["scope"]; ok != (tt.wantScope != "") || ok && s != tt.wantScope {
				t.Errorf("JWT-15: claim scope %v, want %q", s, tt.wantScope)
			}
			if a, b := mustJSON(c["aud"]), mustJSON(tt.wantAud); a != b {
				t.Errorf("JWT-08: aud %s, want %s", a, b)
			}
		})
	}
}

func mustJSON(v any) string { b, _ := json.Marshal(v); return string(b) }

func TestPolicy_Refusals(t *testing.T) {
	w, ask := policyWorld(t)
	one := ClientSpec{Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api}}
	noDefault := ClientSpec{Scopes: []string{"orders:read"}, Resources: []string{api}}
	two := ClientSpec{Scopes: []string{"orders:read accounts:create shared rsa"}, Resources: []string{api, otherAPI, "https://rsa.example"}}
	none := ClientSpec{}
	w.resource(t, ResourceSpec{ID: "https://jwt.example", Scopes: []string{"jwt"}, TokenType: "JWT"})
	types := ClientSpec{Scopes: []string{"orders:read jwt"}, Resources: []string{api, "https://jwt.example"}}
	var many []string
	for i := range maxTargets + 1 {
		many = append(many, "https://many.example/"+strconv.Itoa(i))
		w.resource(t, ResourceSpec{ID: many[i]})
	}
	oneOfTwo := ClientSpec{Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api, otherAPI}}
	for _, tt := range []struct {
		name      string
		spec      ClientSpec
		scope     string
		resources []string
		code      Code
		cause     Cause
	}{
		{"TKE45 malformed", one, " orders:read", nil, InvalidScope, CauseScopeMalformed},
		{"TKE46 unknown", one, "nope", nil, InvalidScope, CauseScopeNotAllowed},
		{"TKE47 TOK19 not allowed, beside a good one", one, "orders:read orders:write", nil, InvalidScope, CauseScopeNotAllowed},
		{"TOK18 another case", one, "ORDERS:READ", nil, InvalidScope, CauseScopeNotAllowed},
		{"TKE48 TOK17 TOK48 no default", noDefault, "", nil, InvalidScope, CauseScopeMissing},
		{"TKE49 TOK21 relative", one, "", []string{"/x"}, InvalidTarget, CauseResourceMalformed},
		{"TKE49 TOK21 fragment", one, "", []string{api + "#x"}, InvalidTarget, CauseResourceMalformed},
		{"TKE49 empty fragment", one, "", []string{api + "#"}, InvalidTarget, CauseResourceMalformed},
		{"TKE49 TOK21 empty host", one, "", []string{"https://"}, InvalidTarget, CauseResourceMalformed},
		{"TKE50 unknown", one, "", []string{"https://unknown.example"}, InvalidTarget, CauseResourceNotAllowed},
		{"TKE50 not the client's", one, "", []string{otherAPI}, InvalidTarget, CauseResourceNotAllowed},
		{"TKE50 TOK22 slash added", one, "", []string{api + "/"}, InvalidTarget, CauseResourceNotAllowed},
		{"TKE51 TOK23 none", none, "", nil, InvalidTarget, CauseResourceMissing},
		{"TKE52 one of several bad", two, "orders:read", []string{api, "https://bad.example"}, InvalidTarget, CauseResourceNotAllowed},
		{"TKE52 TOK24 ambiguous scope", two, "shared", []string{api, otherAPI}, InvalidTarget, CauseResourceAmbiguous},
		{"TOK24 algorithms differ", two, "orders:read rsa", []string{api, "https://rsa.example"}, InvalidTarget, CauseResourceAmbiguous},
		{"TKE53 TOK23 scopes of two APIs", two, "orders:read accounts:create", nil, InvalidScope, CauseScopeOfSeveralAPIs},
		{"TOK23 shared scope, no default", two, "shared", nil, InvalidTarget, CauseResourceAmbiguous},
		{"TKE54 JWT16 not of this resource", two, "accounts:create", []string{api}, InvalidScope, CauseScopeNotOfResource},
		{"default means nothing at the resource", oneOfTwo, "", []string{otherAPI}, InvalidScope, CauseScopeMissing},
		{"nor at the second of two", oneOfTwo, "", []string{api, otherAPI}, InvalidScope, CauseScopeMissing},
		{"TOK24 token types differ", types, "orders:read jwt", []string{api, "https://jwt.example"}, InvalidTarget, CauseResourceAmbiguous},
		{"too many resources", ClientSpec{Resources: many}, "", many, InvalidTarget, CauseResourceAmbiguous},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ask(tt.spec, tt.scope, tt.resources...)
			wantError(t, err, tt.code, tt.cause)
		})
	}
	if refusals[CauseResourceUnknown] != refusals[CauseResourceNotAllowed] {
		t.Error("TKE-50: unknown and not allowed must look alike")
	}
}

func TestTOK14_OrderOfChecks(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	bad := request("acme", "wrong")
	bad.GrantType, bad.Scope, bad.Resources, bad.DPoP, bad.AuthorizationDetails = "foo", "nope", []string{"#"}, true, true
	fix := []struct {
		cause Cause
		code  Code
		mend  func()
	}{
		{CauseWrongSecret, InvalidClient, func() { bad.Client.Secret = secret }},
		{CauseGrantUnsupported, UnsupportedGrantType, func() { bad.GrantType = GrantClientCredentials }},
		{CauseDetailsUnsupported, InvalidAuthorizationDetails, func() { bad.AuthorizationDetails = false }},
		{CauseScopeNotAllowed, InvalidScope, func() { bad.Scope = "orders:read" }},
		{CauseResourceMalformed, InvalidTarget, func() { bad.Resources = nil }},
		{CauseDPoPUnsupported, InvalidDPoPProof, func() { bad.DPoP = false }},
	}
	for _, step := range fix {
		_, err := w.server.Token(t.Context(), bad)
		wantError(t, err, step.code, step.cause)
		step.mend()
	}
	if _, err := w.server.Token(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
}

func TestTKE21_22_23_24_Grants(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	for _, grant := range []string{"Client_Credentials", "foo", "urn:x", "password", "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"} {
		r := request("acme", secret)
		r.GrantType = grant
		_, err := w.server.Token(t.Context(), r)
		wantError(t, err, UnsupportedGrantType, CauseGrantUnsupported)
	}
	w.edit(t, "acme", func(c *Client) { c.GrantTypes = nil })
	_, err := w.server.Token(t.Context(), request("acme", secret))
	wantError(t, err, UnauthorizedClient, CauseGrantNotRegistered)
}

func TestTOK34_JWT07_TheShorterLifetimeWins(t *testing.T) {
	_, ask := policyWorld(t)
	for _, tt := range []struct {
		client    time.Duration
		resources []string
		want      time.Duration
	}{
		{0, []string{api}, DefaultTokenLifetime},
		{time.Minute, []string{api}, time.Minute},
		{time.Hour, []string{api}, DefaultTokenLifetime},
		{0, []string{api, otherAPI}, 2 * time.Minute},
		{time.Second, []string{otherAPI}, time.Second},
	} {
		got, err := ask(ClientSpec{Resources: tt.resources, TokenLifetime: tt.client}, "", tt.resources...)
		if err != nil {
			t.Fatal(err)
		}
		c := claims(t, got.AccessToken)
		if d := time.Duration(c["exp"].(float64)-c["iat"].(float64)) * time.Second; d != tt.want || got.ExpiresIn != tt.want {
			t.Errorf("TOK-32: client %v, %v: exp - iat %v, expires_in %v; want %v", tt.client, tt.resources, d, got.ExpiresIn, tt.want)
		}
	}
}

func TestJWT02_JWT03_AlgorithmAndTypeFollowTheResource(t *testing.T) {
	w, ask := policyWorld(t)
	for _, tt := range []struct{ resource, alg, typ string }{
		{api, "ES256", "at+jwt"}, {"https://rsa.example", "RS256", "JWT"}, {"urn:example:ed", "Ed25519", "at+jwt"},
	} {
		got, err := ask(ClientSpec{Resources: []string{tt.resource}}, "")
		if err != nil {
			t.Fatal(err)
		}
		header, _ := base64.RawURLEncoding.DecodeString(strings.Split(got.AccessToken, ".")[0])
		var h map[string]string
		if err := json.Unmarshal(header, &h); err != nil {
			t.Fatal(err)
		}
		if len(h) != 3 || h["alg"] != tt.alg || h["typ"] != tt.typ || h["kid"] != got.KeyID {
			t.Errorf("JWT-05: header %s", header)
		}
	}
	delete(w.keys, jose.RS256)
	_, err := ask(ClientSpec{Resources: []string{"https://rsa.example"}}, "")
	var u *UnavailableError
	if !errors.As(err, &u) || u.Cause != CauseNoSigningKey {
		t.Errorf("JWT-25: without a key: %v", err)
	}
}

func TestJWT23_TheDocumentedClaimsAndNoOthers(t *testing.T) {
	w, _ := policyWorld(t)
	c, secret := w.client(t, ClientSpec{ID: "c1", Name: "Personal Name", Scopes: []string{"orders:read"}, DefaultScopes: []string{"orders:read"}, Resources: []string{api}})
	got, err := w.server.Token(t.Context(), request(c.ID, secret))
	if err != nil {
		t.Fatal(err)
	}
	m := claims(t, got.AccessToken)
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"aud", "client_id", "credential_id", "exp", "iat", "iss", "jti", "scope", "sub"}
	if !slices.Equal(names, want) { // JWT-14, JWT-17, JWT-22 with it
		t.Errorf("claims %v, want %v", names, want)
	}
	if m["iss"] != testIssuer || m["sub"] != "c1" || m["client_id"] != "c1" || m["credential_id"] != string(c.Credentials[0].ID) {
		t.Errorf("JWT-06, JWT-10, JWT-11, CLA-08: %v", m)
	}
	if iat := int64(m["iat"].(float64)); iat != w.now().Unix() {
		t.Errorf("JWT-12: iat %d, want %d", iat, w.now().Unix())
	}
}

func TestTOK35_JWT13_JTI(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	seen := map[string]bool{}
	n := 100_000
	if testing.Short() {
		n = 1_000
	}
	for range n {
		got, err := w.server.Token(t.Context(), request("acme", secret))
		if err != nil {
			t.Fatal(err)
		}
		if seen[got.JTI] || len(got.JTI)*5 < 128 {
			t.Fatalf("jti %q, seen %t", got.JTI, seen[got.JTI])
		}
		seen[got.JTI] = true
	}
}

func TestJWT24_TooLargeATokenIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	var scopes []string
	for i := range 200 {
		scopes = append(scopes, strings.Repeat("s", 20)+strconv.Itoa(i))
	}
	w.resource(t, ResourceSpec{ID: api, Scopes: scopes})
	_, secret := w.client(t, ClientSpec{ID: "big", Scopes: scopes, Resources: []string{api}})
	r := request("big", secret)
	r.Scope = strings.Join(scopes, " ")
	_, err := w.server.Token(t.Context(), r)
	wantError(t, err, InvalidScope, CauseTokenTooLarge)
	r.Scope = strings.Join(scopes[:20], " ")
	got, err := w.server.Token(t.Context(), r)
	if err != nil || len(got.AccessToken) > token.MaxSize {
		t.Errorf("%d bytes, %v", len(got.AccessToken), err)
	}
}

func TestTokenPath_NoStoreAccessOnceCached(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	for i := range 1000 {
		before := w.calls.Load()
		if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
			t.Fatal(err)
		}
		if n := w.calls.Load() - before; i > 0 && n != 0 {
			t.Fatalf("token %d: %d store calls", i, n)
		}
	}
}

// A resource that a client names and that the store no longer has looks like one it may not have.
func TestTKE50_ResourceThatIsGone(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	w.mu.Lock()
	delete(w.resources, api)
	w.mu.Unlock()
	w.server.AllChanged()
	r := request("acme", secret)
	r.Resources = []string{api}
	_, err := w.server.Token(t.Context(), r)
	wantError(t, err, InvalidTarget, CauseResourceUnknown)
	_, err = w.server.Token(t.Context(), request("acme", secret))
	wantError(t, err, InvalidScope, CauseScopeOfNoAPI)
}

func TestServer_ResourceChangesAreSeenAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.story(t)
	for i, forget := range []func(){func() { w.server.ResourceChanged(api) }, w.server.AllChanged} {
		if _, err := w.server.Token(t.Context(), request("acme", secret)); err != nil {
			t.Fatal(err)
		}
		want := time.Duration(i+1) * time.Minute
		w.mu.Lock()
		r := w.resources[api]
		r.TokenLifetime = want
		w.resources[api] = r
		w.mu.Unlock()
		forget()
		if got, err := w.server.Token(t.Context(), request("acme", secret)); err != nil || got.ExpiresIn != want {
			t.Errorf("lifetime %v, want %v; %v", got.ExpiresIn, want, err)
		}
	}
}

// lookAlike is a context key of the same shape as the one that counts.
type lookAlike struct{}

// Nobody can make the Manager sign what policy has not decided in this call.
func TestManager_IssuesNothingOutsideOfACall(t *testing.T) {
	w := newWorld(t, nil)
	w.story(t)
	c := call{issue: &issuance{decision: Decision{Client: "acme", Lifetime: time.Minute, Algorithm: jose.ES256}}}
	for name, ctx := range map[string]context.Context{
		"no call":           t.Context(),
		"another's call":    context.WithValue(t.Context(), callKey{}, call{issue: &issuance{decision: Decision{Client: "other"}}}),
		"a look at a token": context.WithValue(t.Context(), callKey{}, call{look: &look{}}),
		"a removal":         context.WithValue(t.Context(), callKey{}, call{remove: &removal{}}),
		"a look-alike":      context.WithValue(t.Context(), lookAlike{}, c),
	} {
		info, err := w.server.core.manager.GenerateAccessToken(ctx, "client_credentials", &oauth2.TokenGenerateRequest{ClientID: "acme", AccessTokenExp: time.Minute})
		if err == nil {
			t.Errorf("%s: issued %q", name, info.GetAccess())
		}
	}
	if _, _, err := (&mint{}).Token(t.Context(), nil, false); err == nil {
		t.Error("minted without a call")
	}
}

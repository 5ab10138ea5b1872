package endpoint_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	pseudo "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/keys/jose"
)

// agreement is one random configuration, and what of it can be seen from outside.
type agreement struct {
	path       string
	config     endpoint.Config // but for what a stack sets
	ed25519    jose.Algorithm
	algorithms []jose.Algorithm // of resources, beside ES256
}

func randomAgreement(random *pseudo.Rand) agreement {
	coin := func() bool { return random.IntN(2) == 0 }
	a := agreement{
		path: []string{"", "/t1", "/a/b-c", "/x_y", "/~z", "/a/b/c.d"}[random.IntN(6)],
		config: endpoint.Config{
			WithoutOpenIDAlias: coin(), PlaceholderResponseTypes: coin(),
			MetadataMaxAge: time.Duration(1+random.IntN(1000)) * time.Second, Realm: []string{"", "a realm", "x"}[random.IntN(3)],
		},
		ed25519: []jose.Algorithm{jose.EdDSA, jose.Ed25519}[random.IntN(2)],
	}
	if a.ed25519 != jose.EdDSA || coin() {
		a.config.SigningAlgorithms = []jose.Algorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, a.ed25519}
	}
	if coin() {
		a.algorithms = append(a.algorithms, jose.Ed25519)
	}
	if coin() {
		a.algorithms = append(a.algorithms, jose.ES384)
	}
	if random.IntN(5) == 0 { // making such a key takes long
		a.algorithms = append(a.algorithms, []jose.Algorithm{jose.RS256, jose.PS256}[random.IntN(2)])
	}
	return a
}

func (a agreement) stack(t *testing.T) *stack {
	t.Helper()
	return newStack(t, func(all *settings) {
		c := a.config
		c.Keys, c.Log, c.Tokens = all.endpoint.Keys, all.endpoint.Log, all.endpoint.Tokens
		all.endpoint, all.path, all.ed25519 = c, a.path, a.ed25519
	})
}

// Whatever the configuration, what the document says is what the server does, and nothing beside.
func TestMET27_DocumentAndBehaviourAgree(t *testing.T) {
	random := pseudo.New(pseudo.NewPCG(1, 2))
	for i := range 24 {
		a := randomAgreement(random)
		t.Run(fmt.Sprintf("%d %s %v %v %s %v", i, a.path, a.config.WithoutOpenIDAlias, a.config.PlaceholderResponseTypes, a.ed25519, a.algorithms), func(t *testing.T) {
			s := a.stack(t)
			r := s.get(metadataPath + a.path)
			m := object(t, r)
			s.wantMembers(a, m)
			s.wantCaching(a, r)
			tokens := path(strings.TrimPrefix(m["token_endpoint"].(string), s.ts.URL))
			s.wantMethods(m)
			s.wantGrants(m, tokens)
			s.wantAlgorithms(a, m, tokens)
			s.wantSameElsewhere(a, r)
		})
	}
}

// wantMembers wants the documents at their places alone, every URL in them below the issuer and in use,
// and each member there because of something that was configured.
func (s *stack) wantMembers(a agreement, m map[string]any) {
	s.t.Helper()
	want := []string{
		"grant_types_supported", "issuer", "jwks_uri", "token_endpoint", "token_endpoint_auth_methods_supported",
		"introspection_endpoint", "introspection_endpoint_auth_methods_supported", "introspection_signing_alg_values_supported",
		"revocation_endpoint", "revocation_endpoint_auth_methods_supported", "revocation_feed_endpoint",
	}
	if a.config.PlaceholderResponseTypes {
		want = append(want, "response_types_supported")
	}
	slices.Sort(want)
	if d := cmp.Diff(slices.Sorted(maps.Keys(m)), want); d != "" {
		s.t.Error(d)
	}
	if m["issuer"] != s.issuer {
		s.t.Errorf("issuer %v", m["issuer"])
	}
	for name, v := range m {
		text, ok := v.(string)
		if !ok || name == "issuer" {
			continue
		}
		if !strings.HasPrefix(text, s.issuer+"/") {
			s.t.Errorf("%s is %s, outside of the issuer", name, text)
		}
		if r := s.get(strings.TrimPrefix(text, s.ts.URL)); r.status == 404 {
			s.t.Errorf("nothing is at %s", name)
		}
	}
	alias := s.get(a.path + aliasPath)
	if (alias.status == 200) == a.config.WithoutOpenIDAlias {
		s.t.Errorf("alias: %d", alias.status)
	}
	if alias.status == 200 {
		for name, v := range m {
			if d := cmp.Diff(object(s.t, alias)[name], v); d != "" {
				s.t.Errorf("alias: %s: %s", name, d)
			}
		}
	}
}

func (s *stack) wantCaching(a agreement, r reply) {
	s.t.Helper()
	if got := r.header.Get("Cache-Control"); got != fmt.Sprintf("public, max-age=%d", a.config.MetadataMaxAge/time.Second) {
		s.t.Errorf("Cache-Control %q", got)
	}
	realm := a.config.Realm
	if realm == "" {
		realm = "marque"
	}
	if got := s.send(path(a.path+"/oauth2/token"), anonymous).header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Basic realm="`+realm+`"`) {
		s.t.Errorf("WWW-Authenticate %q", got)
	}
}

// wantMethods tries every registered client authentication method, and an administrator's access token, at
// every endpoint that authenticates its caller: what is listed works, and nothing else.
func (s *stack) wantMethods(m map[string]any) {
	s.t.Helper()
	tried := s.everyMethod()
	for _, endpoint := range []string{"token", "introspection", "revocation"} {
		at := path(strings.TrimPrefix(m[endpoint+"_endpoint"].(string), s.ts.URL))
		listed := m[endpoint+"_endpoint_auth_methods_supported"].([]any)
		for method, present := range tried {
			r := s.send(at, with("token", "x"), present)
			if works := r.status == 200; works != slices.Contains(listed, any(method)) {
				s.t.Errorf("%s, %s: listed %v, answer %d %s", endpoint, method, listed, r.status, r.body)
			}
			if r.status != 200 && r.status != 400 && r.status != 401 {
				s.t.Errorf("%s, %s: %d", endpoint, method, r.status)
			}
		}
		for _, name := range listed {
			if tried[name.(string)] == nil {
				s.t.Errorf("%s: %v is listed, and not tried", endpoint, name)
			}
		}
	}
}

// everyMethod registers a client for every registered authentication method, whose record asks for it, and
// returns credentials for each, made as its specification says.
func (s *stack) everyMethod() map[string]change {
	s.t.Helper()
	tried := map[string]change{}
	for _, method := range []authz.AuthMethod{
		"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none",
		"tls_client_auth", "self_signed_tls_client_auth", "attest_jwt_client_auth",
	} {
		id, secret := authz.ClientID("m-"+strings.ReplaceAll(string(method), "_", "-")), "secret-of-"+string(method)
		scope, err := authz.ParseScope("read")
		check(s.t, err)
		c := authz.Client{
			ID: id, AuthMethod: method, GrantTypes: []string{authz.GrantClientCredentials}, Scopes: scope, Resources: []authz.ResourceID{api},
		}
		secrets := map[authz.CredentialID]string{}
		if method != authz.AuthNone {
			credential := authz.CredentialID("k" + string(id))
			c.Credentials, secrets[credential] = []authz.Credential{{ID: credential}}, secret
		}
		s.record(c, secrets)
		var present change
		switch method {
		case authz.AuthSecretBasic:
			present = as(string(id), secret)
		case authz.AuthSecretPost:
			present = post(string(id), secret)
		case "client_secret_jwt", "private_key_jwt", "attest_jwt_client_auth":
			present = all(anonymous, with("client_id", string(id)), with("client_assertion_type", assertionType),
				with("client_assertion", s.assertion(string(id), secret, method == "client_secret_jwt")))
		default:
			present = all(anonymous, with("client_id", string(id)))
		}
		tried[string(method)] = present
	}
	boss := as("boss", s.client(authz.ClientSpec{ID: "boss", Admin: true}))
	tokens := path(strings.TrimPrefix(s.issuer, s.ts.URL) + "/oauth2/token")
	tried["Bearer"] = field("Authorization", "Bearer "+s.token(tokens, boss, without("scope", "resource")))
	return tried
}

// assertion makes a client assertion (RFC 7523, Section 3) that a server which knows the key would take.
func (s *stack) assertion(id, secret string, symmetric bool) string {
	now, alg := s.clock.Now().Unix(), "ES256"
	if symmetric {
		alg = "HS256"
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(
		fmt.Appendf(nil, `{"iss":%q,"sub":%q,"aud":%q,"iat":%d,"exp":%d,"jti":%q}`, id, id, s.issuer, now, now+60, rand.Text()))
	var signature []byte
	if symmetric {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(input))
		signature = mac.Sum(nil)
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(s.t, err)
		digest := sha256.Sum256([]byte(input))
		x, y, err := ecdsa.Sign(rand.Reader, key, digest[:])
		check(s.t, err)
		signature = append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// wantGrants tries every registered grant: what is listed works, and nothing else.
func (s *stack) wantGrants(m map[string]any, tokens change) {
	s.t.Helper()
	listed := m["grant_types_supported"].([]any)
	grants := []string{
		"client_credentials", "password", "authorization_code", "implicit", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
		"urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer",
		"urn:ietf:params:oauth:grant-type:saml2-bearer", "urn:openid:params:grant-type:ciba",
	}
	for _, grant := range grants {
		r := s.send(tokens, with("grant_type", grant))
		if works := r.status == 200; works != slices.Contains(listed, any(grant)) {
			s.t.Errorf("%s: listed %v, answer %d %s", grant, listed, r.status, r.body)
		}
		if r.status != 200 {
			s.wantError(r, 400, authz.UnsupportedGrantType)
		}
	}
	for _, grant := range listed {
		if !slices.Contains(grants, grant.(string)) {
			s.t.Errorf("%v is listed, and not tried above", grant)
		}
	}
}

// wantAlgorithms registers the resources, and wants each token to name a published key, under the name of
// its algorithm that the documents announce; no algorithm is published that no resource uses (JWK-13).
func (s *stack) wantAlgorithms(a agreement, m map[string]any, tokens change) {
	s.t.Helper()
	used := []string{"ES256"}
	for _, alg := range a.algorithms {
		id := "https://" + strings.ToLower(string(alg)) + ".example"
		s.resource(authz.ResourceSpec{ID: id, Scopes: []string{"s"}, Algorithm: string(alg)})
		client := "c-" + strings.ToLower(string(alg))
		secret := s.client(authz.ClientSpec{ID: client, Scopes: []string{"s"}, Resources: []string{id}})
		got, _ := s.issued(tokens, as(client, secret), with("scope", "s"), with("resource", id))
		if alg == jose.Ed25519 {
			alg = a.ed25519
		}
		used = append(used, string(alg))
		s.wantAnnounced(a, m, got.AccessToken, alg)
	}
	got, _ := s.issued(tokens)
	s.wantAnnounced(a, m, got.AccessToken, jose.ES256)
	s.wantSignedAnswers(a, m, tokens)
	published := map[string]bool{}
	for _, k := range s.listedKeys(m) {
		published[k.Algorithm] = true
	}
	slices.Sort(used)
	if d := cmp.Diff(slices.Sorted(maps.Keys(published)), used); d != "" {
		s.t.Errorf("published algorithms: %s", d)
	}
}

func (s *stack) wantAnnounced(a agreement, m map[string]any, compact string, alg jose.Algorithm) {
	s.t.Helper()
	segment, _, _ := strings.Cut(compact, ".")
	b, err := base64.RawURLEncoding.DecodeString(segment)
	check(s.t, err)
	var header listedKey
	check(s.t, json.Unmarshal(b, &header))
	if header.Algorithm != string(alg) || !slices.Contains(s.listedKeys(m), header) {
		s.t.Errorf("a token of %+v, published %+v", header, s.listedKeys(m))
	}
	if a.config.WithoutOpenIDAlias {
		return
	}
	announced := object(s.t, s.get(a.path+aliasPath))["id_token_signing_alg_values_supported"].([]any)
	if !slices.Contains(announced, any(header.Algorithm)) {
		s.t.Errorf("a token of %s, announced %v", header.Algorithm, announced)
	}
}

// wantSignedAnswers registers an API for every algorithm that the document lists for signed introspections,
// and wants an answer signed by it.
func (s *stack) wantSignedAnswers(a agreement, m map[string]any, tokens change) {
	s.t.Helper()
	at := path(strings.TrimPrefix(m["introspection_endpoint"].(string), s.ts.URL))
	compact := s.token(tokens)
	for _, listed := range m["introspection_signing_alg_values_supported"].([]any) {
		alg := jose.Algorithm(listed.(string))
		if alg == a.ed25519 {
			alg = jose.Ed25519
		}
		if alg != jose.ES256 && !slices.Contains(a.algorithms, alg) {
			continue // making such a key takes long
		}
		id := "api-" + strings.ToLower(string(alg))
		mine := as(id, s.client(authz.ClientSpec{ID: id, Serves: []string{api}, IntrospectionAlgorithm: string(alg)}))
		if header, _ := s.signedAnswer(s.introspect(compact, at, mine, wantSigned)); header["alg"] != listed {
			s.t.Errorf("%v is listed, %v signed", listed, header["alg"])
		}
	}
}

type listedKey struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
}

func (s *stack) listedKeys(m map[string]any) []listedKey {
	s.t.Helper()
	r := s.get(strings.TrimPrefix(m["jwks_uri"].(string), s.ts.URL))
	var set struct{ Keys []listedKey }
	if err := json.Unmarshal([]byte(r.body), &set); err != nil || r.status != 200 {
		s.t.Fatalf("jwks_uri: %d, %v", r.status, err)
	}
	return set.Keys
}

// wantSameElsewhere wants another node of the same configuration to say the same, octet by octet.
func (s *stack) wantSameElsewhere(a agreement, r reply) {
	s.t.Helper()
	c := a.config
	c.Issuer, c.Tokens, c.Keys, c.Feed, c.Log = s.issuer, s.server, s.ring, s.feed, slog.New(slog.DiscardHandler)
	h, err := endpoint.New(c)
	check(s.t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, metadataPath+a.path, nil))
	if w.Body.String() != r.body || w.Header().Get("ETag") != r.header.Get("ETag") {
		s.t.Errorf("another node says %s, ETag %s", w.Body, w.Header().Get("ETag"))
	}
}

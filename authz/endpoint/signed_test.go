package endpoint_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

const mediaJWT = "application/token-introspection+jwt"

var wantSigned = field("Accept", mediaJWT)

// segment decodes one part of a compact JWS.
func segment(t testing.TB, compact string, i int) []byte {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("%q has %d parts", compact, len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[i])
	check(t, err)
	return b
}

// signedAnswer verifies a signed introspection with a library, and the published keys, and returns what
// its header and its claims say.
func (s *stack) signedAnswer(r reply) (header, claims map[string]any) {
	s.t.Helper()
	if r.status != 200 || r.header.Get("Content-Type") != mediaJWT || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Vary") != "Accept" {
		s.t.Fatalf("%d %v: %s", r.status, r.header, r.body)
	}
	check(s.t, json.Unmarshal(segment(s.t, r.body, 0), &header))
	check(s.t, json.Unmarshal(segment(s.t, r.body, 1), &claims))
	if header["alg"] == "Ed25519" { // a name that the library does not know
		_, _, err := jose.Verify(r.body, jose.VerifyOptions{
			Types: []string{"token-introspection+jwt"}, Algorithms: []jose.Algorithm{jose.Ed25519}, Key: s.publishedKey,
		})
		check(s.t, err)
		return header, claims
	}
	set, err := jwk.ParseString(s.get(s.jwksPath()).body)
	check(s.t, err)
	_, err = jws.Verify([]byte(r.body), jws.WithKeySet(set, jws.WithRequireKid(true)))
	check(s.t, err)
	return header, claims
}

func TestINT15_INT16_INT17_TheSignedAnswer(t *testing.T) {
	clock := newFrozenClock()
	s := newStack(t, func(c *settings) { c.clock = clock })
	who := s.staff()
	compact := s.token()
	bossy := s.token(who.boss, without("scope", "resource"))
	both := as("both", s.client(authz.ClientSpec{ID: "both", Serves: []string{api, other}}))
	for name, c := range map[string]struct {
		asking   change
		audience any
	}{
		"the API": {who.gateway, api}, "an API of two names": {both, []any{api, other}}, "the owner": {who.c1, "c1"},
		"an administrator": {field("Authorization", "Bearer "+bossy), string(authz.AdminResource(s.issuer))},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			plain := object(t, s.introspect(compact, c.asking))
			header, claims := s.signedAnswer(s.introspect(compact, c.asking, wantSigned))
			if header["typ"] != "token-introspection+jwt" || header["alg"] != "ES256" || header["kid"] == "" {
				t.Errorf("%v", header)
			}
			if plain["active"] != true {
				t.Errorf("%v", plain)
			}
			if d := cmp.Diff(claims, map[string]any{
				"iss": s.issuer, "aud": c.audience, "iat": float64(clock.Now().Unix()), "token_introspection": plain,
			}); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestINT15_JSONStaysTheDefault(t *testing.T) {
	s := newStack(t)
	compact := s.token()
	for accept, media := range map[string]string{
		"": "application/json", "*/*": "application/json", "application/*": "application/json", "application/json, " + mediaJWT: "application/json",
		mediaJWT + ";q=0": "application/json", "text/html": "application/json", mediaJWT: mediaJWT, mediaJWT + ", */*;q=0.1": mediaJWT,
	} {
		if r := s.introspect(compact, field("Accept", accept)); r.status != 200 || r.header.Get("Content-Type") != media || r.header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: %d %v", accept, r.status, r.header)
		}
	}
	// What is no answer about a token has the form that it has elsewhere.
	s.wantError(s.introspect("x", wantSigned, as("c1", "wrong")), 401, authz.InvalidClient)
	s.wantError(s.send(path(introspectPath), wantSigned, body("")), 400, authz.InvalidRequest)
}

func TestINT18_ASignedAnswerAboutAnInactiveToken(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	revoked := s.token()
	s.revoked(revoked)
	for _, compact := range []string{"x", revoked, s.forged(revoked)} {
		_, claims := s.signedAnswer(s.introspect(compact, who.gateway, wantSigned))
		if d := cmp.Diff(claims["token_introspection"], map[string]any{"active": false}); d != "" || claims["aud"] != api || len(claims) != 4 {
			t.Errorf("%v", claims)
		}
	}
}

// A signed answer is no token: neither a service nor this server takes it for one.
func TestINT17_ASignedAnswerIsNoToken(t *testing.T) {
	s := newStack(t)
	who := s.staff()
	compact := s.token()
	signed := s.introspect(compact, who.gateway, wantSigned).body
	for name, config := range map[string]verifier.Config{
		"the API":                         {Audience: api},
		"an API that takes typ JWT":       {Audience: api, InsecureTypJWT: true},
		"an API with the greatest leeway": {Audience: api, Leeway: 5 * time.Minute},
	} {
		config.Issuer, config.HTTPClient = s.issuer, s.ts.Client()
		v, err := verifier.New(t.Context(), config)
		check(t, err)
		if _, err := v.Verify(t.Context(), compact); err != nil {
			t.Errorf("%s refuses the token itself: %v", name, err)
		}
		if got, err := v.Verify(t.Context(), signed); err == nil {
			t.Errorf("%s takes it: %+v", name, got)
		}
		v.Close()
	}
	s.wantActive(false, signed, who.gateway)
	s.revoked(signed)
	s.wantErrorWith(s.introspect(compact, field("Authorization", "Bearer "+signed)), 401, "invalid_token", bearerChallenge("invalid_token"))
}

func TestINT19_INT20_TheRegisteredAlgorithmSigns(t *testing.T) {
	s := newStack(t)
	compact := s.token()
	listed := object(t, s.get(metadataPath))["introspection_signing_alg_values_supported"].([]any)
	for _, alg := range listed {
		name := alg.(string)
		id := "api-" + strings.ToLower(name)
		wire := name
		if name == "EdDSA" {
			name = "Ed25519" // as registered, and as resources have it
		}
		mine := as(id, s.client(authz.ClientSpec{ID: id, Serves: []string{api}, IntrospectionAlgorithm: name}))
		header, _ := s.signedAnswer(s.introspect(compact, mine, wantSigned))
		if header["alg"] != wire {
			t.Errorf("%s: signed by %v", name, header["alg"])
		}
	}
	s.resource(authz.ResourceSpec{ID: "https://eddsa.example", Scopes: []string{"e"}, Algorithm: "Ed25519"})
	mine := as("eddsa-api", s.client(authz.ClientSpec{ID: "eddsa-api", Serves: []string{"https://eddsa.example"}}))
	if header, _ := s.signedAnswer(s.introspect(compact, mine, wantSigned)); header["alg"] != "EdDSA" {
		t.Errorf("without a choice: signed by %v", header["alg"])
	}
	for _, bad := range []string{"none", "HS256", "ES512"} {
		if _, _, _, err := s.registry.CreateClient(t.Context(), admin, authz.ClientSpec{Name: "x", Serves: []string{api}, IntrospectionAlgorithm: bad}); err == nil {
			t.Errorf("%s was registered", bad)
		}
	}
}

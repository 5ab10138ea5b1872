package endpoint_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

const jwksPath = "/.well-known/jwks.json"

// published returns the members of every published key.
func (s *stack) published() []map[string]string {
	s.t.Helper()
	r := s.get(jwksPath)
	var doc struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || r.status != 200 || len(doc.Keys) == 0 {
		s.t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return doc.Keys
}

// everyAlgorithm makes keys of each kind.
func (s *stack) everyAlgorithm() {
	for _, alg := range []string{"ES384", "RS256", "PS256", "Ed25519"} {
		s.resource(authz.ResourceSpec{ID: "https://" + strings.ToLower(alg) + ".example", Scopes: []string{"x"}, Algorithm: alg})
	}
}

func TestJWK01_JWK02_AnObjectOfCompleteKeys(t *testing.T) {
	s := newStack(t)
	s.everyAlgorithm()
	seen := map[string]bool{}
	for _, k := range s.published() {
		for _, member := range []string{"kty", "alg", "kid"} {
			if k[member] == "" {
				t.Errorf("%s is missing in %v", member, k)
			}
		}
		if k["use"] != "sig" || k["key_ops"] != "" {
			t.Errorf("use %q, key_ops %q", k["use"], k["key_ops"])
		}
		seen[k["alg"]] = true
	}
	for _, alg := range []string{"ES256", "ES384", "RS256", "PS256", "EdDSA"} {
		if !seen[alg] {
			t.Errorf("no key for %s", alg)
		}
	}
	// Consumers ignore members that they do not know.
	body := strings.Replace(s.get(jwksPath).body, "{", `{"x_unheard":[1],`, 1)
	if set, err := jose.ParseSet([]byte(body)); err != nil || set.Len() == 0 {
		t.Errorf("%v", err)
	}
}

func TestJWK03_NothingPrivate(t *testing.T) {
	s := newStack(t)
	s.everyAlgorithm()
	for _, k := range s.published() {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
			if _, ok := k[private]; ok {
				t.Errorf("%s is published", private)
			}
		}
		if k["kty"] == "oct" {
			t.Error("a symmetric key")
		}
	}
	for _, r := range []reply{s.request("POST", jwksPath), s.get(jwksPath + "/"), s.get("/debug/pprof/"), s.get("/debug/vars"), s.get("/metrics")} {
		if r.status < 400 || r.body != "" {
			t.Errorf("%d %q", r.status, r.body)
		}
	}
}

func TestJWK04_AKidNamesOneKeyForEver(t *testing.T) {
	s := newStack(t)
	named := map[string]string{}
	for range 10 {
		inSet := map[string]bool{}
		for _, k := range s.published() {
			kid, key := k["kid"], k["x"]+k["y"]
			if inSet[kid] || named[kid] != "" && named[kid] != key {
				t.Fatalf("%s names two keys", kid)
			}
			inSet[kid], named[kid] = true, key
		}
		s.clock.advance(25 * time.Hour)
		check(t, s.ring.Step(t.Context(), s.clock.Now()))
		_, err := s.ring.Rotate(t.Context(), jose.ES256, audit.Origin{Actor: audit.System("test")})
		check(t, err)
		check(t, s.ring.Step(t.Context(), s.clock.Now()))
	}
	if len(named) < 10 {
		t.Errorf("%d keys in ten rotations", len(named))
	}
}

func TestJWK05_KidIsTheThumbprint(t *testing.T) {
	s := newStack(t)
	s.everyAlgorithm()
	for _, k := range s.published() {
		var required string
		switch k["kty"] {
		case "EC":
			required = fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, k["crv"], k["x"], k["y"])
		case "RSA":
			required = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, k["e"], k["n"])
		case "OKP":
			required = fmt.Sprintf(`{"crv":%q,"kty":"OKP","x":%q}`, k["crv"], k["x"])
		}
		if got := thumbprint(required); got != k["kid"] {
			t.Errorf("%s: kid %s, thumbprint %s", k["kty"], k["kid"], got)
		}
	}
}

func TestJWK06_FullLength(t *testing.T) {
	s := newStack(t)
	s.everyAlgorithm()
	for _, k := range s.published() {
		switch k["kty"] {
		case "EC":
			if want := map[string]int{"P-256": 43, "P-384": 64}[k["crv"]]; len(k["x"]) != want || len(k["y"]) != want {
				t.Errorf("%s: coordinates of %d and %d characters", k["crv"], len(k["x"]), len(k["y"]))
			}
		case "RSA":
			n, err := base64.RawURLEncoding.DecodeString(k["n"])
			if err != nil || n[0] == 0 || k["e"] != "AQAB" {
				t.Errorf("n begins with %d, e is %s: %v", n[0], k["e"], err)
			}
		}
	}
}

func TestJWK07_MediaType(t *testing.T) {
	s := newStack(t)
	if got := s.get(jwksPath).header.Get("Content-Type"); got != "application/jwk-set+json" {
		t.Errorf("%q", got)
	}
}

func TestJWK08_GETAndHEADWithoutCookies(t *testing.T) {
	s := newStack(t)
	get, head := s.get(jwksPath), s.request("HEAD", jwksPath)
	if head.status != 200 || head.body != "" || head.header.Get("ETag") != get.header.Get("ETag") || get.header.Get("Set-Cookie") != "" {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
	for _, m := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if r := s.request(m, jwksPath); r.status != 405 || r.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %q", m, r.status, r.header.Get("Allow"))
		}
	}
}

func TestJWK09_CachedByETag(t *testing.T) {
	s := newStack(t)
	r := s.get(jwksPath)
	s.wantCacheable(r, jwksPath, "public, max-age=300") // JWKSMaxAge of the ring
	s.everyAlgorithm()
	if again := s.get(jwksPath, "If-None-Match", r.header.Get("ETag")); again.status != 200 {
		t.Errorf("another set under the same ETag: %d", again.status)
	}
}

// failingKeys is a ring that fails in some way.
type failingKeys struct {
	set keys.Document
	err error
}

func (k failingKeys) JWKS() (keys.Document, error) { return k.set, k.err }

func TestJWK14_NeverAnEmptySet(t *testing.T) {
	for name, k := range map[string]failingKeys{"an error": {err: errors.New("not ready")}, "nothing": {}} {
		s := newStack(t, func(c *settings) { c.endpoint.Keys = k })
		r := s.get(jwksPath)
		if r.status != 503 || r.body != "" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q", name, r.status, r.body)
		}
		s.wantRetryAfter(r)
	}
	s := newStack(t)
	want := s.get(jwksPath)
	s.gate.closed.Store(true)
	if got := s.get(jwksPath); got.status != 200 || got.body != want.body {
		t.Errorf("while the store is away: %d", got.status)
	}
	s.clock.advance(3 * time.Hour) // longer than the ring's StoreOutage
	if got := s.get(jwksPath); got.status != 503 {
		t.Errorf("long after: %d", got.status)
	}
}

// thumbprint is RFC 7638, Section 3, of the required members as they must be written.
func thumbprint(required string) string {
	sum := sha256.Sum256([]byte(required))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

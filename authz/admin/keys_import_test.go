package admin

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

const importPath = "/admin/v1/keys/import"

func (s *server) importKey(body map[string]any) (k keyBody) {
	s.t.Helper()
	s.do("POST", importPath, body).want(200).decode(&k)
	return k
}

// Every algorithm, in both forms: the key keeps its kid, is published, and signs when its turn is.
func TestImportKey(t *testing.T) {
	s := start(t)
	for _, alg := range []jose.Algorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.Ed25519} {
		key := keyFor(alg)
		if alg == jose.PS256 { // one key serves one algorithm
			key = must(rsa.GenerateKey(rand.Reader, 2048))
		}
		kid := "old server's " + string(alg) + "/1"
		got := s.importKey(map[string]any{"key": pemText(key), "algorithm": alg, "kid": kid})
		if got.KID != kid || got.Algorithm != string(alg) || got.Imported == nil || !*got.Imported || got.JWK["kid"] != kid {
			t.Errorf("imported %+v", got)
		}
		if again := s.importKey(map[string]any{"key": jwkText(key, map[string]any{"kid": kid, "alg": alg})}); again.KID != kid {
			t.Errorf("again, as a JWK: %+v", again)
		}
		listed := 0
		for _, k := range s.keys() {
			if k.KID == kid && k.Imported != nil && *k.Imported {
				listed++
			}
		}
		if e := s.lastEntry("key.import"); listed != 1 || e.Target != kid || e.Actor.Kind != "uid" {
			t.Errorf("listed %d times; entry %+v", listed, e)
		}
	}
	if k := s.importKey(map[string]any{"key": pemOf(jose.ES256)}); len(k.KID) != 43 {
		t.Errorf("without a kid: %+v", k)
	}
}

// What validators have known for long signs at once.
func TestImportKey_KnownForLong(t *testing.T) {
	s := start(t)
	since := s.now().Add(-time.Hour)
	s.importKey(map[string]any{"key": pemOf(jose.ES256), "kid": "old", "published_at": since.Format(time.RFC3339)})
	var rotated struct{ Keys []keyBody }
	s.do("POST", "/admin/v1/keys/rotate", `{"algorithm":"ES256"}`).want(200).decode(&rotated)
	if len(rotated.Keys) != 1 || rotated.Keys[0].KID != "old" || rotated.Keys[0].SignFrom.After(s.now().Add(time.Second)) {
		t.Errorf("rotated %+v", rotated)
	}
}

// A key is known once: under one identifier, in one ring, and never again when it was revoked.
func TestImportKey_Duplicate(t *testing.T) {
	s := start(t)
	key, other := keyFor(jose.ES256), keyFor(jose.ES256)
	own := s.keys()[0].KID
	s.importKey(map[string]any{"key": pemText(key), "kid": "old"})
	before := len(s.entries())
	for name, body := range map[string]map[string]any{
		"another key of the kid":  {"key": pemText(other), "kid": "old"},
		"in the JWK":              {"key": jwkText(other, map[string]any{"kid": "old"})},
		"of a key of ours":        {"key": pemText(other), "kid": own},
		"in another ring":         {"key": pemOf(jose.Ed25519), "kid": "old"},
		"the key by another name": {"key": pemText(key), "kid": "new"},
		"the key by no name":      {"key": pemText(key)},
	} {
		t.Run(name, func(t *testing.T) { s.do("POST", importPath, body).wantDetail(409, otherKey) })
	}
	if n := len(s.entries()); n != before {
		t.Errorf("%d changes were recorded", n-before)
	}
	s.do("POST", "/admin/v1/keys/old/revoke", nil).want(200)
	s.do("POST", importPath, map[string]any{"key": pemText(key), "kid": "old"}).wantDetail(409, otherKey)
	s.do("POST", importPath, map[string]any{"key": pemText(key), "kid": "again"}).wantDetail(409, otherKey)
}

// What cannot serve is refused, and the answer names the member and says what would be right.
func TestImportKey_Unfit(t *testing.T) {
	s := start(t)
	before, listed := len(s.entries()), len(s.keys())
	p256, rsaKey, ed := keyFor(jose.ES256), keyFor(jose.RS256), keyFor(jose.Ed25519)
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(p256.Public()))}))
	for name, c := range map[string]struct {
		body  map[string]any
		field string
		says  string
	}{
		"a public key":            {map[string]any{"key": public}, "key", "private"},
		"no key":                  {map[string]any{"key": "hello"}, "key", "PEM"},
		"two keys":                {map[string]any{"key": pemText(p256) + pemText(ed)}, "key", "leave one"},
		"a set":                   {map[string]any{"key": `{"keys":[` + jwkText(p256, nil) + `]}`}, "key", "JWK set"},
		"symmetric":               {map[string]any{"key": `{"kty":"oct","k":"AAAA"}`}, "key", "symmetric"},
		"for encryption":          {map[string]any{"key": jwkText(p256, map[string]any{"use": "enc"})}, "key", "use"},
		"another curve":           {map[string]any{"key": pemText(must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)))}, "key", "P-256"},
		"RSA of 1024 bits":        {map[string]any{"key": pemText(weakRSA()), "algorithm": "RS256"}, "key", "2048"},
		"RSA, and no algorithm":   {map[string]any{"key": pemText(rsaKey)}, "algorithm", "RS256 or PS256"},
		"EC for RSA":              {map[string]any{"key": pemText(p256), "algorithm": "RS256"}, "algorithm", "ES256"},
		"RSA for EC":              {map[string]any{"key": pemText(rsaKey), "algorithm": "ES256"}, "algorithm", "PS256"},
		"another curve's":         {map[string]any{"key": pemText(p256), "algorithm": "ES384"}, "algorithm", "ES256"},
		"not what alg says":       {map[string]any{"key": jwkText(rsaKey, map[string]any{"alg": "RS256"}), "algorithm": "PS256"}, "algorithm", "RS256"},
		"no algorithm":            {map[string]any{"key": pemText(p256), "algorithm": "HS256"}, "algorithm", "ES256"},
		"not the kid of the JWK":  {map[string]any{"key": jwkText(p256, map[string]any{"kid": "a"}), "kid": "b"}, "kid", "left out"},
		"kid with a line feed":    {map[string]any{"key": pemText(p256), "kid": "a\nb"}, "kid", "printable"},
		"kid with an escape":      {map[string]any{"key": pemText(p256), "kid": "a\x1b[2Jb"}, "kid", "printable"},
		"kid that turns around":   {map[string]any{"key": pemText(p256), "kid": "a\u202eb"}, "kid", "printable"},
		"kid with a quote":        {map[string]any{"key": pemText(p256), "kid": `a"b`}, "kid", "quote"},
		"kid of 257":              {map[string]any{"key": pemText(p256), "kid": strings.Repeat("k", 257)}, "kid", "256"},
		"kid .":                   {map[string]any{"key": pemText(p256), "kid": "."}, "kid", ".."},
		"kid ..":                  {map[string]any{"key": pemText(p256), "kid": ".."}, "kid", ".."},
		"kid .. in the JWK":       {map[string]any{"key": jwkText(p256, map[string]any{"kid": ".."})}, "key", "kid"},
		"kid, feed, in the JWK":   {map[string]any{"key": jwkText(p256, map[string]any{"kid": "a\nb"})}, "key", "kid"},
		"published in the future": {map[string]any{"key": pemText(p256), "published_at": s.now().Add(time.Hour).Format(time.RFC3339)}, "published_at", "past"},
		"published in the year 0": {map[string]any{"key": pemText(p256), "published_at": "0000-01-01T00:00:00+14:00"}, "published_at", "1970"},
		"published at no time":    {map[string]any{"key": pemText(p256), "published_at": "0001-01-01T00:00:00Z"}, "published_at", "1970"},
		"larger than a key":       {map[string]any{"key": pemText(p256) + strings.Repeat("\n", 16<<10)}, "key", "16384"},
	} {
		t.Run(name, func(t *testing.T) {
			sub := *s
			sub.t = t
			a := sub.do("POST", importPath, c.body)
			a.wantFields(c.field)
			if rule := a.problem().Errors[0].Rule; !strings.Contains(rule, c.says) {
				t.Errorf("says %q, and not %q", rule, c.says)
			}
		})
	}
	s.do("POST", importPath, map[string]any{"key": "x", "kid": "a\nb", "algorithm": "none"}).wantFields("key", "kid", "algorithm")
	s.do("POST", importPath, map[string]any{"key": "x", "kid": "a\nb", "z": 1}).wantFields("key", "kid", "z")
	s.do("POST", importPath, `{"key":"`+strings.Repeat("x", 64<<10)+`"}`).want(413)
	if n := len(s.entries()); n != before || len(s.keys()) != listed {
		t.Errorf("%d changes were recorded, %d keys are listed", n-before, len(s.keys()))
	}
}

// An identifier that can be imported can be revoked by it.
func TestImportKey_AnyIdentifierCanBeRevoked(t *testing.T) {
	s := start(t)
	for _, kid := range []string{"a/b", "...", "a b", "%2e", "?x=1#y", "plan", "import", "revoke-all", "~!$&'()*+,;=:@|{}[]^`<>", strings.Repeat("k", 256), " "} {
		s.importKey(map[string]any{"key": pemOf(jose.ES256), "kid": kid})
		var r struct{ KID string }
		path := "/admin/v1/keys/" + url.PathEscape(kid) + "/revoke"
		if s.do("POST", path, nil).want(200).decode(&r); r.KID != kid {
			t.Errorf("revoked %q, want %q", r.KID, kid)
		}
	}
}

// Rotations and imports at the same time end in a ring that is whole.
func TestImportKey_BesideRotations(t *testing.T) {
	s := start(t)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			body := marshalled(map[string]any{"key": pemOf(jose.ES256), "published_at": "2020-01-01T00:00:00Z"})
			for range 3 {
				path, body := importPath, body
				if i%2 == 0 {
					path, body = "/admin/v1/keys/rotate", `{"algorithm":"ES256"}`
				}
				req := s.request("POST", path, body)
				resp, err := s.http.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != 200 && resp.StatusCode != 409 {
					t.Errorf("%s: %d", path, resp.StatusCode)
				}
			}
		})
	}
	all.Wait()
	states, imported := map[string]int{}, 0
	for _, k := range s.keys() {
		states[k.State]++
		if k.Imported != nil {
			imported++
		}
	}
	if states["active"] != 1 || imported != 2 {
		t.Errorf("states %v, %d imported", states, imported)
	}
}

// ROT-10: whatever becomes of a request, and wherever in it the key is, the private part reaches no answer, no
// log, not even at debug level, and no audit entry.
func TestROT10_ImportKey_TellsNobody(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.ES384, jose.RS256, jose.Ed25519} {
		t.Run(string(alg), func(t *testing.T) {
			s := start(t)
			key := keyFor(alg)
			text, jwk, said := pemText(key), jwkText(key, map[string]any{"kid": "one", "alg": alg}), ""
			try := func(body any, status int) {
				t.Helper()
				for _, path := range []string{importPath, importPath + "?key=x"} {
					a := s.do("POST", path, body)
					if said += string(a.Body); path == importPath && a.Status != status {
						t.Errorf("%d, want %d: %s", a.Status, status, a.Body)
					}
				}
			}
			try(map[string]any{"key": jwk}, 200)
			try(map[string]any{"key": jwk}, 200)
			try(map[string]any{"key": text, "kid": "two", "algorithm": alg}, 409)
			try(map[string]any{"key": text, "algorithm": "none"}, 400)
			try(map[string]any{"key": text, "kid": text}, 400)
			try(map[string]any{"key": text, "algorithm": text}, 400)
			try(map[string]any{"key": text, "algorithm": alg, "published_at": text}, 400)
			try(map[string]any{"key": text, "algorithm": alg, "private": text}, 400)
			try(map[string]any{"key": text + text, "algorithm": alg}, 400)
			try(map[string]any{"key": text[:len(text)-30], "algorithm": alg}, 400)
			try(map[string]any{"key": strings.Replace(text, "PRIVATE", "PUBLIC", 2), "algorithm": alg}, 400)
			try(map[string]any{"key": jwk[:len(jwk)-1]}, 400)
			try(map[string]any{"key": strings.Replace(jwk, `"d"`, `"d":"x","d"`, 1)}, 400)
			try(map[string]any{"key": strings.Replace(jwk, `"d":"`, `"d":"!`, 1)}, 400)
			try(map[string]any{"key": []string{text}}, 400)
			try(marshalled(text), 400)
			try(jwk, 400) // the file itself instead of what names it
			try(text, 400)
			try(`{"key":`+marshalled(text), 400)
			try(`{"key":`+marshalled(text)+`,"key":`+marshalled(text)+`}`, 400)
			s.do("POST", "/admin/v1/keys/one/revoke", map[string]any{"key": text}).want(400)
			s.do("GET", "/admin/v1/keys", nil).want(200)
			said += string(s.do("GET", "/admin/v1/keys", nil).Body) + string(s.do("GET", "/admin/v1/audit", nil).Body)
			said += s.log.String() + marshalled(s.entries())
			for _, secret := range partsOf(key, text) {
				if strings.Contains(said, secret) {
					t.Errorf("%q was told", secret)
				}
			}
			if !strings.Contains(said, `"one"`) || !strings.Contains(s.log.String(), "POST /admin/v1/keys/import") {
				t.Error("the search finds nothing at all")
			}
		})
	}
}

// partsOf lists what must not be found: the private numbers as a JWK, hex and PEM write them, in pieces.
func partsOf(key crypto.Signer, text string) (all []string) {
	var members map[string]string
	if err := json.Unmarshal([]byte(jwkText(key, nil)), &members); err != nil {
		panic(err)
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		if v := members[name]; v != "" {
			raw := must(base64.RawURLEncoding.DecodeString(v))
			all = append(all, v[:20], hex.EncodeToString(raw)[:24], base64.StdEncoding.EncodeToString(raw)[:20])
		}
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "-") && len(line) > 20 {
			all = append(all, line[:20])
		}
	}
	return all
}

func weakRSA() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 1024)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

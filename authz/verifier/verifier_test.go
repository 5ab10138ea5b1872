package verifier_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

func TestVerify_Token(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	tok, err := v.Verify(t.Context(), is.token(t, map[string]any{
		"scope": "orders:read orders:write", "https://partner.example/tier": map[string]any{"level": 3}, "act": map[string]any{"sub": "x"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"ClientID":     tok.ClientID() == "c1",
		"Subject":      tok.Subject() == "c1",
		"Issuer":       tok.Issuer() == is.URL,
		"Audience":     fmt.Sprint(tok.Audience()) == "["+audience+"]",
		"Scopes":       fmt.Sprint(tok.Scopes()) == "[orders:read orders:write]",
		"HasScope":     tok.HasScope("orders:write") && !tok.HasScope("orders") && !tok.HasScope(""),
		"JTI":          tok.JTI() == "j1",
		"CredentialID": tok.CredentialID() == "k1",
		"IssuedAt":     tok.IssuedAt().Equal(epoch),
		"Expiry":       tok.Expiry().Equal(epoch.Add(10 * time.Minute)),
	} {
		if !ok {
			t.Errorf("%s is wrong: %+v", name, tok)
		}
	}
	if got, ok := tok.Claim("https://partner.example/tier"); !ok || string(got) != `{"level":3}` {
		t.Errorf("claim: %s, %v", got, ok)
	}
	// What is handed out is a copy.
	tok.Audience()[0], tok.Scopes()[0] = "x", "admin"
	if c, _ := tok.Claim("https://partner.example/tier"); len(c) > 0 {
		c[0] = 'x'
	}
	if c, _ := tok.Claim("https://partner.example/tier"); tok.Audience()[0] != audience || tok.HasScope("admin") || c[0] != '{' {
		t.Error("the token was changed")
	}
}

// A claim that is not exactly what was asked for gives nothing.
func TestClaimAs(t *testing.T) {
	type tier struct {
		Level int `json:"level"`
	}
	is := newIssuer(t, jose.ES256)
	tok, err := newVerifier(t, is).Verify(t.Context(), is.token(t, map[string]any{
		"roles": []string{"a", "b"}, "https://x.example/tier": map[string]any{"level": 3, "more": true}, "https://x.example/case": map[string]any{"LEVEL": 3},
		"https://x.example/text": map[string]any{"level": "s3cret"}, "https://x.example/null": nil, "https://x.example/none": json.RawMessage("null"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if roles, err := verifier.ClaimAs[[]string](tok, "roles"); err != nil || fmt.Sprint(roles) != "[a b]" {
		t.Errorf("roles %q, error %v", roles, err)
	}
	if got, err := verifier.ClaimAs[tier](tok, "https://x.example/tier"); err != nil || got.Level != 3 {
		t.Errorf("%+v, error %v", got, err)
	}
	if got, err := verifier.ClaimAs[tier](tok, "https://x.example/case"); err != nil || got.Level != 0 {
		t.Errorf("another case: %+v, error %v", got, err)
	}
	for _, name := range []string{"https://x.example/text", "https://x.example/none", "roles"} {
		got, err := verifier.ClaimAs[tier](tok, name)
		if err == nil || errors.Is(err, verifier.ErrNoClaim) || got != (tier{}) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
	for _, name := range []string{"https://x.example/null", "ROLES", "sub", "scope", ""} {
		if got, err := verifier.ClaimAs[any](tok, name); !errors.Is(err, verifier.ErrNoClaim) || got != nil {
			t.Errorf("%q: %v, error %v", name, got, err)
		}
	}
}

// RSV-15: nothing but verified data is reachable, and no reserved claim by way of Claim.
func TestRSV15_VerifiedDataOnly(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	tok, err := v.Verify(t.Context(), is.token(t, map[string]any{"act": map[string]any{"sub": "admin"}, "azp": "admin", "scp": "admin"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"iss", "sub", "scope", "act", "azp", "scp", "ACT", ""} {
		if c, ok := tok.Claim(name); ok {
			t.Errorf("%s: %s", name, c)
		}
	}
	bad, err := v.Verify(t.Context(), is.token(t, map[string]any{"exp": 1}))
	if err == nil || !reflect.DeepEqual(bad, verifier.Token{}) {
		t.Errorf("a refused token says something: %+v", bad)
	}
	var zero verifier.Token
	if zero.HasScope("") || zero.Scopes() != nil || zero.ClientID() != "" || zero.Audience() != nil {
		t.Error("the zero token says something")
	}
	typ := reflect.TypeFor[verifier.Token]()
	for i := range typ.NumField() {
		if typ.Field(i).IsExported() {
			t.Errorf("the field %s is open", typ.Field(i).Name)
		}
	}
}

// RST-13: whatever weakens the check is called Insecure; the zero value is strict.
func TestRST13_WeakerIsCalledInsecure(t *testing.T) {
	typ := reflect.TypeFor[verifier.Config]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Type.Kind() == reflect.Bool && !strings.HasPrefix(f.Name, "Insecure") && f.Name != "StartUnready" {
			t.Errorf("the switch %s", f.Name)
		}
	}
	is := newIssuer(t, jose.ES256)
	jwt, err := is.signers[0].Sign(token.TypeJWT, fmt.Appendf(nil,
		`{"iss":%q,"sub":"c1","client_id":"c1","aud":%q,"jti":"j","iat":1800000000,"exp":1800000600}`, is.URL, audience))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newVerifier(t, is).Verify(t.Context(), jwt); !errors.Is(err, verifier.ErrToken) {
		t.Errorf("RSV-21: typ JWT by default: %v", err)
	}
	if _, err := newVerifier(t, is, func(c *verifier.Config) { c.InsecureTypJWT = true }).Verify(t.Context(), jwt); err != nil {
		t.Errorf("RSV-21: typ JWT where it is asked for: %v", err)
	}
}

// RSV-27: leeway 30 s by default, none if asked, five minutes at most.
func TestRSV27_RST09_Leeway(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	compact := is.token(t, map[string]any{"exp": epoch.Unix() + 1})
	for leeway, seconds := range map[time.Duration]int64{0: 30, verifier.NoLeeway: 0, 5 * time.Minute: 300} {
		v := newVerifier(t, is, func(c *verifier.Config) { c.Leeway = leeway })
		is.now.Store(epoch.Unix() + seconds)
		if _, err := v.Verify(t.Context(), compact); err != nil {
			t.Errorf("leeway %v, a second before: %v", leeway, err)
		}
		is.now.Add(1)
		if _, err := v.Verify(t.Context(), compact); !errors.Is(err, verifier.ErrToken) {
			t.Errorf("leeway %v, at the boundary: %v", leeway, err)
		}
		is.now.Store(epoch.Unix())
	}
	c := config(is)
	c.Leeway = 5*time.Minute + 1
	if v, err := verifier.New(t.Context(), c); err == nil {
		v.Close()
		t.Error("a leeway over the ceiling was taken")
	}
}

// JWT-02, JWT-30: every algorithm by default, none but the listed ones if there is a list.
func TestJWT02_JWT30_Algorithms(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.ES384, jose.Ed25519, jose.RS256, jose.PS256} {
		is := newIssuer(t, alg)
		if _, err := newVerifier(t, is).Verify(t.Context(), is.token(t, nil)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		only := newVerifier(t, is, func(c *verifier.Config) { c.Algorithms = []jose.Algorithm{jose.ES256} })
		if _, err := only.Verify(t.Context(), is.token(t, nil)); (err == nil) != (alg == jose.ES256) {
			t.Errorf("%s against a list of ES256: %v", alg, err)
		}
	}
	is := newIssuer(t, jose.ES256)
	for _, algs := range [][]jose.Algorithm{{}, {"none"}, {"HS256"}} {
		c := config(is)
		c.Algorithms = algs
		if v, err := verifier.New(t.Context(), c); err == nil {
			v.Close()
			t.Errorf("%q was taken", algs)
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	empty, err := jose.NewSet()
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*verifier.Config){
		"no issuer":    func(c *verifier.Config) { c.Issuer = "" },
		"no audience":  func(c *verifier.Config) { c.Audience = "" },
		"http issuer":  func(c *verifier.Config) { c.Issuer = "http://127.0.0.1:1" },
		"wrong issuer": func(c *verifier.Config) { c.Issuer += "/other" },
		"no server":    func(c *verifier.Config) { c.Issuer = "https://127.0.0.1:1" },
		"quote":        func(c *verifier.Config) { c.Audience = `a"b` },
		"scope":        func(c *verifier.Config) { c.Scopes = []string{"a b"} },
		"empty keys":   func(c *verifier.Config) { c.Keys = empty },
		"lying document": func(c *verifier.Config) {
			c.Issuer = strings.Replace(c.Issuer, "127.0.0.1", "localhost", 1)
			c.StartUnready = false
		},
	} {
		c := config(is)
		spoil(&c)
		if v, err := verifier.New(t.Context(), c); err == nil {
			v.Close()
			t.Errorf("%s: started", name)
		}
	}
}

// RKY-01: static keys in place of discovery.
func TestRKY01_StaticKeys(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	set, err := jose.NewSet(is.signers[0].PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier(t, is, func(c *verifier.Config) { c.Keys = set })
	if _, err := v.Verify(t.Context(), is.token(t, nil)); err != nil {
		t.Error(err)
	}
	other := newIssuer(t, jose.ES256)
	if _, err := v.Verify(t.Context(), other.token(t, map[string]any{"iss": is.URL})); !errors.Is(err, verifier.ErrToken) {
		t.Errorf("an unknown key: %v", err)
	}
	if n := is.requests.Load(); n != 0 || !v.Status().Ready {
		t.Errorf("%d requests, ready %v", n, v.Status().Ready)
	}
}

// RST-14: in steady state no verification costs a request; RST-10: used from many goroutines.
func TestRST14_RST10_NoRequestPerVerification(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	h := v.Require("orders:read")(api(t))
	good, bad := is.token(t, nil), is.token(t, map[string]any{"aud": "x"})
	before := is.requests.Load()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if r := call(h, "/", "Bearer "+good); r.StatusCode != http.StatusOK {
					t.Errorf("status %d", r.StatusCode)
				}
				if r := call(h, "/", "Bearer "+bad); r.StatusCode != http.StatusUnauthorized {
					t.Errorf("status %d", r.StatusCode)
				}
			}
		})
	}
	wg.Wait()
	if n := is.requests.Load() - before; n != 0 {
		t.Errorf("%d requests to the issuer", n)
	}
}

// RSV-23, JWT-49: a key that the token brings along is neither fetched nor used.
func TestRSV23_JWT49_NoOutgoingCall(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	called := newIssuer(t, jose.ES256)
	before := is.requests.Load()
	for _, member := range []string{`"jku":"` + called.URL + `"`, `"x5u":"` + called.URL + `"`, `"jwk":{}`} {
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"x",` + member + `}`))
		_, rest, _ := strings.Cut(is.token(t, nil), ".")
		if _, err := v.Verify(t.Context(), header+"."+rest); !errors.Is(err, verifier.ErrToken) {
			t.Errorf("%s: %v", member, err)
		}
	}
	if n := called.requests.Load() + is.requests.Load() - before; n != 0 {
		t.Errorf("%d outgoing calls", n)
	}
}

// RSV-25: an ECDSA signature has a twin; both are the same token, which is why jti is its identity.
func TestVerify_SignatureTwin(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	p := strings.Split(is.token(t, nil), ".")
	sig, _ := base64.RawURLEncoding.DecodeString(p[2])
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	n.Sub(n, new(big.Int).SetBytes(sig[32:])).FillBytes(sig[32:])
	tok, err := v.Verify(t.Context(), p[0]+"."+p[1]+"."+base64.RawURLEncoding.EncodeToString(sig))
	if err != nil || tok.JTI() != "j1" {
		t.Errorf("%v, %v", tok.JTI(), err)
	}
}

// RKY-06, ROT-05: through a planned rotation no good token is refused.
func TestRKY06_ROT05_Rotation(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	next := newSigner(t, jose.ES256)
	old := is.token(t, nil)
	is.mu.Lock()
	is.signers = append(is.signers, next)
	is.mu.Unlock()
	for range 310 {
		is.now.Add(1)
		if _, err := v.Verify(t.Context(), old); err != nil {
			t.Fatal(err)
		}
	}
	is.mu.Lock()
	is.signers[0], is.signers[1] = is.signers[1], is.signers[0]
	is.mu.Unlock()
	for _, compact := range []string{is.token(t, nil), old} {
		if _, err := v.Verify(t.Context(), compact); err != nil {
			t.Error(err)
		}
	}
}

func TestToken_LogValue(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	tok, err := newVerifier(t, is).Verify(t.Context(), is.token(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	var log logBuffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", tok)
	if !strings.Contains(log.String(), "token.client_id=c1 token.jti=j1") {
		t.Error(log.String())
	}
}

package gate_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/gate"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	issuer   = "https://as.example"
	audience = "https://api.example"
)

var epoch = time.Unix(1_800_000_000, 0).UTC()

// lab is a gate, and the issuer whose tokens it takes.
type lab struct {
	*gate.Handler
	signer   *jose.Signer
	statuses []int
	verdicts []verifier.Verdict
}

// newLab returns a gate; change changes its Verifier.
func newLab(t testing.TB, change func(*verifier.Config)) *lab {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{}
	if l.signer, err = jose.NewSigner(key, "", jose.ES256, jose.ES256); err != nil {
		t.Fatal(err)
	}
	jwk, err := l.signer.PublicKey().JWK(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jose.ParseSet([]byte(`{"keys":[` + string(jwk) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	c := verifier.Config{
		Issuer: issuer, Audience: audience, Keys: set, Log: quiet, Now: func() time.Time { return epoch },
		OnVerdict: func(v verifier.Verdict) { l.verdicts = append(l.verdicts, v) },
	}
	if change != nil {
		change(&c)
	}
	v, err := verifier.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	l.Handler, err = gate.New(gate.Config{Verifier: v, Log: quiet, OnCheck: func(status int) { l.statuses = append(l.statuses, status) }})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// token signs a good token, changed: nil drops a member.
func (l *lab) token(t testing.TB, change map[string]any) string {
	t.Helper()
	m := map[string]any{
		"iss": issuer, "sub": "c1", "client_id": "c1", "aud": audience, "jti": "j1",
		"iat": epoch.Unix(), "exp": epoch.Unix() + 600, "scope": "orders:read",
	}
	maps.Copy(m, change)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := l.signer.Sign(token.TypeAccessToken, b)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// ask is what a proxy asks, with these Authorization fields.
func (l *lab) ask(target string, authorization ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RequestURI = target
	if u, err := r.URL.Parse(target); err == nil {
		r.URL = u
	}
	r.Header["Authorization"] = slices.Clone(authorization)
	if authorization == nil {
		delete(r.Header, "Authorization")
	}
	return l.serve(r)
}

func (l *lab) serve(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

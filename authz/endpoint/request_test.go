package endpoint_test

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// wireRequest is a token request that a row of the tables changes.
type wireRequest struct {
	method, path, query string
	header              http.Header
	params              []string // raw name=value
	body                *string  // instead of params
}

type change func(*wireRequest)

// b0 is the good request of the tables.
func (s *stack) b0() *wireRequest {
	return &wireRequest{
		method: http.MethodPost, path: "/oauth2/token",
		header: http.Header{
			"Content-Type":  {"application/x-www-form-urlencoded"},
			"Authorization": {basic("c1", s.secret)},
		},
		params: []string{"grant_type=client_credentials", "scope=read", "resource=https%3A%2F%2Fapi.example"},
	}
}

// without takes parameters out.
func without(names ...string) change {
	return func(r *wireRequest) {
		for _, name := range names {
			var kept []string
			for _, p := range r.params {
				if !strings.HasPrefix(p, name+"=") {
					kept = append(kept, p)
				}
			}
			r.params = kept
		}
	}
}

// with adds a parameter, in place of those with its name.
func with(name, value string) change {
	return func(r *wireRequest) {
		without(name)(r)
		r.params = append(r.params, name+"="+url.QueryEscape(value))
	}
}

// raw adds text to the body, as a further sequence between ampersands.
func raw(sequence string) change {
	return func(r *wireRequest) { r.params = append(r.params, sequence) }
}

func body(s string) change { return func(r *wireRequest) { r.body = &s } }

func method(m string) change { return func(r *wireRequest) { r.method = m } }

func path(p string) change { return func(r *wireRequest) { r.path = p } }

func query(q string) change { return func(r *wireRequest) { r.query = q } }

func field(name string, values ...string) change {
	return func(r *wireRequest) {
		if len(values) == 0 {
			r.header.Del(name)
			return
		}
		r.header[http.CanonicalHeaderKey(name)] = values
	}
}

// anonymous removes the Authorization field.
var anonymous = field("Authorization")

// as authenticates with other credentials, by Basic.
func as(id, secret string) change { return field("Authorization", basic(id, secret)) }

// post authenticates in the body.
func post(id, secret string) change {
	return all(anonymous, with("client_id", id), with("client_secret", secret))
}

func all(changes ...change) change {
	return func(r *wireRequest) {
		for _, c := range changes {
			c(r)
		}
	}
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

// send sends b0 with changes.
func (s *stack) send(changes ...change) reply {
	s.t.Helper()
	w := s.b0()
	all(changes...)(w)
	text := strings.Join(w.params, "&")
	if w.body != nil {
		text = *w.body
	}
	r, err := http.NewRequestWithContext(s.t.Context(), w.method, s.ts.URL, strings.NewReader(text))
	check(s.t, err)
	r.URL.Path, r.URL.RawQuery, r.Header = w.path, w.query, w.header
	if _, ok := w.header["Content-Type"]; !ok {
		r.Header["Content-Type"] = nil
	}
	return s.do(r)
}

func (s *stack) get(path string, fields ...string) reply {
	s.t.Helper()
	return s.request(http.MethodGet, path, fields...)
}

func (s *stack) request(method, path string, fields ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.ts.URL+path, nil)
	check(s.t, err)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "Host" {
			r.Host = fields[i+1]
		}
		r.Header.Add(fields[i], fields[i+1])
	}
	return s.do(r)
}

func (s *stack) do(r *http.Request) reply {
	s.t.Helper()
	res, err := s.ts.Client().Do(r)
	check(s.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(s.t, err)
	return reply{res.StatusCode, res.Header, string(b)}
}

// success is the body of a 200.
type success struct {
	AccessToken string      `json:"access_token"`
	TokenType   string      `json:"token_type"`
	ExpiresIn   json.Number `json:"expires_in"`
	Scope       *string     `json:"scope"`
}

// issued sends b0 with changes, wants a token, and returns the answer and the verified claims.
func (s *stack) issued(changes ...change) (success, token.Claims) {
	s.t.Helper()
	return s.accept(s.send(changes...))
}

// accept wants r to carry a token.
func (s *stack) accept(r reply) (success, token.Claims) {
	s.t.Helper()
	if r.status != 200 {
		s.t.Fatalf("%d %s, want a token", r.status, r.body)
	}
	var out success
	check(s.t, json.Unmarshal([]byte(r.body), &out))
	s.known[out.AccessToken] = true
	return out, s.claims(out.AccessToken)
}

// claims verifies a token's signature with the published keys, and returns what it says.
func (s *stack) claims(compact string) token.Claims {
	s.t.Helper()
	_, payload, err := jose.Verify(compact, jose.VerifyOptions{
		Types: []string{token.TypeAccessToken, token.TypeJWT}, Algorithms: []jose.Algorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.Ed25519},
		Key: s.publishedKey,
	})
	check(s.t, err)
	parsed, err := token.Parse(payload)
	check(s.t, err)
	return parsed.Claims
}

// publishedKey looks a key up in the published set.
func (s *stack) publishedKey(h jose.Header) (*jose.PublicKey, error) {
	set, err := jose.ParseSet([]byte(s.get(s.jwksPath()).body))
	if err != nil {
		return nil, err
	}
	k, ok := set.Lookup(h.KeyID)
	if !ok {
		return nil, jose.ErrUnknownKey
	}
	return k, nil
}

func (s *stack) jwksPath() string {
	u, err := url.Parse(s.issuer)
	check(s.t, err)
	return u.Path + "/.well-known/jwks.json"
}

// refused sends b0 with changes and wants the refusal.
func (s *stack) refused(status int, code authz.Code, changes ...change) reply {
	s.t.Helper()
	r := s.send(changes...)
	s.wantError(r, status, code)
	return r
}

// errorBody is the body of a refusal, and nothing else may be in it.
type errorBody struct {
	Error       authz.Code `json:"error"`
	Description string     `json:"error_description"`
}

const challenge = `Basic realm="marque", charset="UTF-8"`

// wantError checks everything that every refusal has in common.
func (s *stack) wantError(r reply, status int, code authz.Code) errorBody {
	s.t.Helper()
	if status == 401 {
		return s.wantErrorWith(r, status, code, challenge)
	}
	return s.wantErrorWith(r, status, code, "")
}

// wantErrorWith is wantError with the challenge that the answer must carry, its lines joined.
func (s *stack) wantErrorWith(r reply, status int, code authz.Code, challenge string) errorBody {
	s.t.Helper()
	var e errorBody
	if r.status != status {
		s.t.Errorf("status %d %s, want %d", r.status, r.body, status)
	}
	want := map[string]string{"Cache-Control": "no-store", "Location": "", "Access-Control-Allow-Origin": "", "Www-Authenticate": challenge, "Set-Cookie": "", "Vary": ""}
	for name, value := range want {
		if got := strings.Join(r.header[name], "|"); got != value {
			s.t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if len(r.header.Get("X-Request-Id")) != 26 {
		s.t.Errorf("X-Request-Id: %q", r.header.Get("X-Request-Id"))
	}
	if code == "" {
		if r.body != "" {
			s.t.Errorf("body %q, want a bare answer", r.body)
		}
		return e
	}
	if media, _, err := mime.ParseMediaType(r.header.Get("Content-Type")); media != "application/json" {
		s.t.Errorf("Content-Type %q: %v", media, err)
	}
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || e.Error != code {
		s.t.Errorf("body %s (%v), want error %q", r.body, err, code)
	}
	if e.Description == "" || strings.IndexFunc(e.Description, func(c rune) bool { return c < 0x20 || c > 0x7e || c == '"' || c == '\\' }) >= 0 {
		s.t.Errorf("description %q", e.Description)
	}
	return e
}

// nothingLeaked checks that no secret and no token that this stack has seen was logged.
func (s *stack) nothingLeaked(t testing.TB, log string) {
	t.Helper()
	for secret := range s.known {
		if secret != "" && (strings.Contains(log, secret) || strings.Contains(log, url.QueryEscape(secret))) {
			t.Errorf("a secret or a token was logged: %s", log)
		}
	}
}

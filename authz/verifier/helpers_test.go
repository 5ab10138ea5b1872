package verifier_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const audience = "https://api.example"

var epoch = time.Unix(1_800_000_000, 0).UTC()

// issuer is an authorization server as far as a verifier sees it.
type issuer struct {
	*httptest.Server
	requests atomic.Int32
	down     atomic.Bool
	now      atomic.Int64 // Unix seconds: the virtual clock
	asked    atomic.Int32 // introspection requests

	mu         sync.Mutex
	signers    []*jose.Signer   // the first signs; all are published
	metadata   string           // in place of the right document, where it is not empty
	jwks       http.HandlerFunc // in place of the right document, where it is not nil
	introspect http.HandlerFunc // nil: there is no such endpoint
	feed       *feed            // nil: there is none
}

func newIssuer(t testing.TB, algs ...jose.Algorithm) *issuer {
	t.Helper()
	is := &issuer{}
	is.now.Store(epoch.Unix())
	for _, alg := range algs {
		is.signers = append(is.signers, newSigner(t, alg))
	}
	is.Server = httptest.NewTLSServer(is)
	t.Cleanup(func() {
		is.Client().CloseIdleConnections()
		is.Close()
	})
	return is
}

func newSigner(t testing.TB, alg jose.Algorithm) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(key, "", alg, alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// set changes what the issuer does from now on.
func (is *issuer) set(f func()) {
	is.mu.Lock()
	defer is.mu.Unlock()
	f()
}

func (is *issuer) clock() time.Time { return time.Unix(is.now.Load(), 0).UTC() }

func (is *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	is.requests.Add(1)
	is.mu.Lock()
	introspect := is.introspect
	if r.URL.Path == "/introspect" && introspect != nil {
		is.mu.Unlock()
		is.asked.Add(1)
		introspect(w, r)
		return
	}
	if r.URL.Path == "/feed" && is.feed != nil && !is.down.Load() {
		is.mu.Unlock()
		is.feed.ServeHTTP(w, r)
		return
	}
	defer is.mu.Unlock()
	switch {
	case is.down.Load():
		w.WriteHeader(http.StatusBadGateway)
	case strings.HasPrefix(r.URL.Path, "/.well-known/"):
		switch {
		case is.metadata != "":
			io.WriteString(w, is.metadata)
		default:
			more := ""
			if introspect != nil {
				more += `,"introspection_endpoint":"` + is.URL + `/introspect"`
			}
			if is.feed != nil {
				more += `,"revocation_feed_endpoint":"` + is.URL + `/feed"`
			}
			io.WriteString(w, `{"issuer":"`+is.URL+`","jwks_uri":"`+is.URL+`/jwks"`+more+`}`)
		}
	case is.jwks != nil:
		is.jwks(w, r)
	default:
		w.Header().Set("Cache-Control", "max-age=300")
		var keys []string
		for _, s := range is.signers {
			b, err := s.PublicKey().JWK(s.WireAlgorithm())
			if err != nil {
				panic(err)
			}
			keys = append(keys, string(b))
		}
		io.WriteString(w, `{"keys":[`+strings.Join(keys, ",")+`]}`)
	}
}

// token signs a good token, changed: nil drops a member.
func (is *issuer) token(t testing.TB, change map[string]any) string {
	t.Helper()
	m := map[string]any{
		"iss": is.URL, "sub": "c1", "client_id": "c1", "credential_id": "k1", "aud": audience, "jti": "j1",
		"iat": epoch.Unix(), "exp": epoch.Unix() + 600, "scope": "orders:read",
	}
	maps.Copy(m, change)
	for k, v := range m {
		if v == nil {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := is.signers[0].Sign(token.TypeAccessToken, b)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// logBuffer takes a log from several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func config(is *issuer) verifier.Config {
	return verifier.Config{
		Issuer: is.URL, Audience: audience, HTTPClient: is.Client(), Now: is.clock, Log: slog.New(slog.DiscardHandler),
	}
}

func newVerifier(t testing.TB, is *issuer, change ...func(*verifier.Config)) *verifier.Verifier {
	t.Helper()
	c := config(is)
	for _, ch := range change {
		ch(&c)
	}
	v, err := verifier.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// api is a handler that says who called.
func api(t testing.TB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tok, ok := verifier.FromContext(r.Context())
		if !ok {
			t.Error("no token in the context")
		}
		io.WriteString(w, tok.ClientID())
	})
}

// call sends one request with these Authorization fields.
func call(h http.Handler, target string, authorization ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if authorization != nil {
		r.Header["Authorization"] = authorization
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

// challenge parses WWW-Authenticate strictly: one field, one scheme, name="value" with what RFC 6750,
// Section 3 allows, each name once. It returns nil if there is no field.
func challenge(t testing.TB, r *http.Response) map[string]string {
	t.Helper()
	fields := r.Header.Values("WWW-Authenticate")
	if len(fields) == 0 {
		return nil
	}
	scheme, rest, ok := strings.Cut(fields[0], " ")
	if len(fields) != 1 || scheme != "Bearer" || !ok {
		t.Fatalf("challenge %q", fields)
	}
	params := map[string]string{}
	for p := range strings.SplitSeq(rest, `", `) {
		name, value, ok := strings.Cut(p, `="`)
		value = strings.TrimSuffix(value, `"`)
		if _, twice := params[name]; !ok || twice || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Fatalf("challenge %q, at %q", fields, p)
		}
		for i := range len(value) {
			if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
				t.Fatalf("challenge %q, value %q", fields, value)
			}
		}
		params[name] = value
	}
	if params["realm"] == "" {
		t.Fatalf("challenge %q without realm", fields)
	}
	return params
}

// want fails unless r has the status and, in challenge and body, the error code ("" for none).
func want(t testing.TB, name string, r *http.Response, status int, code string) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("%s: status %d, want %d", name, r.StatusCode, status)
		return
	}
	ch := challenge(t, r)
	if (ch != nil) != (status == 400 || status == 401 || status == 403) {
		t.Errorf("%s: challenge %v", name, ch)
	}
	if got, has := ch["error"]; got != code || has != (code != "") {
		t.Errorf("%s: error %q, want %q", name, got, code)
	}
	if status != http.StatusOK && r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: Cache-Control %q", name, r.Header.Get("Cache-Control"))
	}
}

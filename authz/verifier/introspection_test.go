package verifier_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

const (
	apiClient = "fulfilment api"
	apiSecret = "hunter2:+%é/"
)

// answering is an introspection endpoint that always says the same; %[1]s is the issuer.
func answering(is *issuer, format string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(format, "%") {
			format = fmt.Sprintf(format, is.URL)
		}
		io.WriteString(w, format)
	}
}

// goodAnswer is right for the token that is.token signs.
const goodAnswer = `{"active":true,"iss":"%[1]s","client_id":"c1","jti":"j1","sub":"c1","exp":1800000600,"x":[1]}`

// desk is an issuer with an introspection endpoint.
func desk(t testing.TB, format string) *issuer {
	t.Helper()
	is := newIssuer(t, jose.ES256)
	is.set(func() { is.introspect = answering(is, format) })
	return is
}

func introspecting(c *verifier.Config) {
	c.Introspect = &verifier.Introspection{ClientID: apiClient, Secret: apiSecret}
}

func cachingFor(d time.Duration) func(*verifier.Config) {
	return func(c *verifier.Config) {
		introspecting(c)
		c.Introspect.CacheFor = d
	}
}

// RFC 7662, Section 2.1: what is asked, and as whom.
func TestRST06_Question(t *testing.T) {
	is := desk(t, goodAnswer)
	var got *http.Request
	var form url.Values
	answer := is.introspect
	is.set(func() {
		is.introspect = func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			form, _ = url.ParseQuery(string(b))
			got = r
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			answer(w, r)
		}
	})
	v := newVerifier(t, is, introspecting)
	compact := is.token(t, nil)
	for range 2 {
		tok, err := v.Verify(t.Context(), compact)
		if err != nil || tok.JTI() != "j1" {
			t.Fatal(err)
		}
	}
	id, secret, _ := got.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != apiClient || secret != apiSecret {
		t.Errorf("asked as %q with %q", id, secret)
	}
	if form.Get("token") != compact || form.Get("token_type_hint") != "access_token" || len(form) != 2 || got.URL.RawQuery != "" {
		t.Errorf("asked %v, query %q", form, got.URL.RawQuery)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json", "Cookie": "",
	} {
		if got.Method != http.MethodPost || got.Header.Get(name) != want {
			t.Errorf("%s %s: %q", got.Method, name, got.Header.Get(name))
		}
	}
	if n := is.asked.Load(); n != 2 {
		t.Errorf("%d questions about 2 calls", n)
	}
}

// RST-06: only the boolean true is active; anything else that is said is not.
func TestRST06_INT04_Inactive(t *testing.T) {
	for _, answer := range []string{
		`{"active":false}`, `{"active":"true"}`, `{"active":1}`, `{"active":[true]}`, `{"active":{}}`, `{"active":"false"}`,
		`{"active":false,"iss":"%[1]s","client_id":"c1","jti":"j1"}`,
		`{"active":false,"iss":"https://evil.example","client_id":"c2","jti":"j2"}`,
	} {
		is := desk(t, answer)
		v := newVerifier(t, is, introspecting)
		_, err := v.Verify(t.Context(), is.token(t, nil))
		if got := reasonOf(t, err); got != token.ReasonInactive {
			t.Errorf("%s: %q", answer, got)
		}
		want(t, answer, call(v.Require()(api(t)), "/", "Bearer "+is.token(t, nil)), http.StatusUnauthorized, "invalid_token")
	}
}

// failures are answers that say nothing about the token.
func failures(t *testing.T, is, elsewhere *issuer) map[string]http.HandlerFunc {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
	}
	redirect := func(code int, to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, code) }
	}
	typed := func(media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			io.WriteString(w, body)
		}
	}
	good := fmt.Sprintf(goodAnswer, is.URL)
	other := func(old, new string) http.HandlerFunc {
		if !strings.Contains(good, old) {
			t.Fatal(old)
		}
		return answering(is, strings.Replace(good, old, new, 1))
	}
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	zip.Write([]byte(good + strings.Repeat(" ", 10<<20)))
	zip.Close()
	return map[string]http.HandlerFunc{
		"500":                         status(500, good),
		"502":                         status(502, good),
		"503":                         status(503, good),
		"400":                         status(400, `{"error":"invalid_request"}`),
		"401":                         status(401, `{"error":"invalid_client"}`),
		"401 inactive":                status(401, `{"active":false}`),
		"403":                         status(403, good),
		"404":                         status(404, good),
		"429":                         status(429, good),
		"201":                         status(201, good),
		"204":                         status(204, ""),
		"302":                         redirect(302, elsewhere.URL+"/introspect"),
		"307":                         redirect(307, elsewhere.URL+"/introspect"),
		"308":                         redirect(308, elsewhere.URL+"/introspect"),
		"307 on the same host":        redirect(307, "/introspect?again"),
		"HTML":                        typed("text/html", "<html>"),
		"HTML that says it is JSON":   typed("application/json", "<html>"),
		"JSON that says it is HTML":   typed("text/html", good),
		"JWT":                         typed("application/token-introspection+jwt", good),
		"no type":                     typed("", good),
		"odd type":                    typed("application/json; charset", good),
		"empty":                       answering(is, ``),
		"null":                        answering(is, `null`),
		"array":                       answering(is, `[`+good+`]`),
		"true":                        answering(is, `true`),
		"cut off":                     answering(is, good[:len(good)-1]),
		"twice":                       answering(is, good+good),
		"active twice":                other(`"active":true`, `"active":true,"active":true`),
		"first active, then not":      other(`"active":true`, `"active":true,"active":false`),
		"says nothing":                answering(is, `{}`),
		"active null":                 other(`true`, `null`),
		"Active":                      other(`"active"`, `"Active"`),
		"another token":               other(`"j1"`, `"j2"`),
		"another client's":            other(`"client_id":"c1"`, `"client_id":"c2"`),
		"another issuer's":            other(is.URL, is.URL+"/"),
		"no jti":                      other(`"jti":"j1",`, ``),
		"no client_id":                other(`"client_id":"c1",`, ``),
		"no iss":                      other(`"iss":"`+is.URL+`",`, ``),
		"active alone":                answering(is, `{"active":true}`),
		"jti of another type":         other(`"j1"`, `["j1"]`),
		"huge":                        answering(is, good+strings.Repeat(" ", 64<<10)),
		"endless":                     func(w http.ResponseWriter, _ *http.Request) { endless(w) },
		"deep":                        other(`[1]`, strings.Repeat("[", 1000)+strings.Repeat("]", 1000)),
		"a bomb":                      zipped(bomb.Bytes()),
		"hangs up":                    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"silent":                      func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() },
		"silent after the first line": stalled(good),
	}
}

func endless(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	for range 1 << 16 {
		if _, err := w.Write(bytes.Repeat([]byte(" "), 1024)); err != nil {
			return
		}
	}
}

func zipped(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(b)
	}
}

func stalled(good string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, good)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// RST-07, RST-06, RST-11: without an answer nobody is let in and nobody is called a liar: 503 without a
// challenge. Neither errors nor the log hold secret or token, and no redirect is followed with them.
func TestRST07_RST06_RST11_NoAnswerIsUnavailable(t *testing.T) {
	is, elsewhere := desk(t, goodAnswer), desk(t, goodAnswer)
	for name, handler := range failures(t, is, elsewhere) {
		t.Run(name, func(t *testing.T) {
			var log logBuffer
			is.set(func() { is.introspect = answering(is, goodAnswer) })
			v := newVerifier(t, is, func(c *verifier.Config) {
				introspecting(c)
				c.Introspect.CacheFor = time.Minute // nothing of this is remembered
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
				if strings.HasPrefix(name, "silent") {
					c.Introspect.Timeout = 300 * time.Millisecond
				}
			})
			compact := is.token(t, nil)
			is.set(func() { is.introspect = handler })
			_, err := v.Verify(t.Context(), compact)
			if got := reasonOf(t, err); got != "unavailable" {
				t.Errorf("%q", got)
			}
			r := call(v.Require()(api(t)), "/", "Bearer "+compact)
			want(t, name, r, http.StatusServiceUnavailable, "")
			if r.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			wantHidden(t, compact, fmt.Sprint(err), log.String(), body(r))
			is.set(func() { is.introspect = answering(is, goodAnswer) })
			if _, err := v.Verify(t.Context(), compact); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("%d questions went elsewhere", n)
	}
}

// wantHidden fails if a text holds the secret, in any form that is sent, or the token.
func wantHidden(t *testing.T, compact string, texts ...string) {
	t.Helper()
	basic := url.QueryEscape(apiClient) + ":" + url.QueryEscape(apiSecret)
	for _, text := range texts {
		secrets := []string{
			"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2"), url.QueryEscape(apiSecret),
			base64.StdEncoding.EncodeToString([]byte(basic)), "104 117 110",
		}
		if compact != "" {
			secrets = append(secrets, strings.Split(compact, ".")[2])
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows %q", text, secret)
			}
		}
	}
}

// RST-01: no question about a token that is bad without one, or that is known to be revoked.
func TestRST01_NoQuestionAboutABadToken(t *testing.T) {
	is := desk(t, goodAnswer)
	other := newIssuer(t, jose.ES256)
	v := newVerifier(t, is, func(c *verifier.Config) {
		introspecting(c)
		c.Revoked = token.Found{{Subject: token.Subject{Kind: token.RevokedJTI, Value: "revoked"}}}
	})
	for name, compact := range map[string]string{
		"no token":       "x",
		"forged":         other.token(t, map[string]any{"iss": is.URL}),
		"audience":       is.token(t, map[string]any{"aud": "https://other.example"}),
		"expired":        is.token(t, map[string]any{"exp": 1}),
		"bound":          is.token(t, map[string]any{"cnf": map[string]any{}}),
		"revoked before": is.token(t, map[string]any{"jti": "revoked"}),
	} {
		_, err := v.Verify(t.Context(), compact)
		if got := reasonOf(t, err); got == "" || got == "unavailable" || got == token.ReasonInactive {
			t.Errorf("%s: %q", name, got)
		}
	}
	if n := is.asked.Load(); n != 0 {
		t.Errorf("%d questions", n)
	}
	// RST-06: and an issuer that calls it active does not make it good.
	if _, err := v.Verify(t.Context(), is.token(t, nil)); err != nil || is.asked.Load() != 1 {
		t.Errorf("a good one: %v, %d questions", err, is.asked.Load())
	}
}

// STR-04, INT-10, RST-06: an answer is used again for as long as was asked for, and never past exp.
func TestSTR04_INT10_Cache(t *testing.T) {
	is := desk(t, goodAnswer)
	v := newVerifier(t, is, cachingFor(10*time.Second))
	compact := is.token(t, map[string]any{"exp": epoch.Unix() + 12})
	verify := func(name string, compact string, questions int32, want token.Reason) {
		t.Helper()
		before := is.asked.Load()
		_, err := v.Verify(t.Context(), compact)
		if got := reasonOf(t, err); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if n := is.asked.Load() - before; n != questions {
			t.Errorf("%s: %d questions, want %d", name, n, questions)
		}
	}
	verify("the first time", compact, 1, "")
	verify("again", compact, 0, "")
	is.now.Add(9)
	verify("a second before", compact, 0, "")
	verify("another token", is.token(t, map[string]any{"scope": "x"}), 1, "")
	verify("the same token, written in another way", twin(compact), 1, "")
	is.set(func() { is.introspect = answering(is, `{"active":false}`) })
	verify("revoked meanwhile", compact, 0, "")
	is.now.Add(1)
	verify("at the very second", compact, 1, token.ReasonInactive)
	verify("a refusal is not remembered", compact, 1, token.ReasonInactive)
	is.set(func() { is.introspect = answering(is, goodAnswer) })
	verify("nor does it harm", compact, 1, "")
	is.now.Add(1)
	verify("a second before exp", compact, 0, "")
	is.now.Add(1)
	verify("at exp, within the leeway", compact, 1, "")
	verify("and again", compact, 1, "")
	is.now.Add(30)
	verify("past the leeway", compact, 0, token.ReasonExpired)

	is.now.Store(epoch.Unix())
	v = newVerifier(t, is, introspecting)
	verify("no cache by default", compact, 1, "")
	verify("no cache by default, again", compact, 1, "")
}

// RSV-38: what the service learns to be revoked counts at once, whatever is remembered.
func TestRSV38_CacheDoesNotHideRevocations(t *testing.T) {
	is := desk(t, goodAnswer)
	x := token.NewIndex()
	x.Replace(nil)
	v := newVerifier(t, is, cachingFor(time.Minute), func(c *verifier.Config) { c.Revoked = x })
	compact := is.token(t, nil)
	if _, err := v.Verify(t.Context(), compact); err != nil {
		t.Fatal(err)
	}
	x.Set(token.Indexed{Revocation: token.Revocation{Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}}})
	_, err := v.Verify(t.Context(), compact)
	if got := reasonOf(t, err); got != token.ReasonRevoked {
		t.Errorf("%q", got)
	}
}

// twin writes a token's ECDSA signature in its other form.
func twin(compact string) string {
	p := strings.Split(compact, ".")
	sig, _ := base64.RawURLEncoding.DecodeString(p[2])
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	n.Sub(n, new(big.Int).SetBytes(sig[32:])).FillBytes(sig[32:])
	return p[0] + "." + p[1] + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// The secret does not show in anything that somebody may print.
func TestIntrospection_SecretIsHidden(t *testing.T) {
	is := desk(t, goodAnswer)
	c := config(is)
	introspecting(&c)
	v := newVerifier(t, is, introspecting)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "% x"} {
		for _, value := range []any{c.Introspect.Secret, c.Introspect, *c.Introspect, c, &c, v, *v, []any{c.Introspect}, map[string]any{"a": *c.Introspect}} {
			wantHidden(t, "", fmt.Sprintf(verb, value))
		}
	}
	var log logBuffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "secret", c.Introspect.Secret, "introspect", c.Introspect, "value", *c.Introspect)
	}
	b, err := json.Marshal(c.Introspect)
	if err != nil || !strings.Contains(string(b), "[secret]") {
		t.Errorf("%s, %v", b, err)
	}
	wantHidden(t, "", log.String(), string(b))
	for _, spoil := range []func(*verifier.Introspection){
		func(i *verifier.Introspection) { i.ClientID = "" }, func(i *verifier.Introspection) { i.Timeout = -1 },
	} {
		c := config(is)
		introspecting(&c)
		spoil(c.Introspect)
		_, err := verifier.New(t.Context(), c)
		wantHidden(t, "", fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

func TestIntrospection_NewRefuses(t *testing.T) {
	is := desk(t, goodAnswer)
	for name, spoil := range map[string]func(*verifier.Config){
		"no client":      func(c *verifier.Config) { c.Introspect.ClientID = "" },
		"no secret":      func(c *verifier.Config) { c.Introspect.Secret = "" },
		"timeout":        func(c *verifier.Config) { c.Introspect.Timeout = -1 },
		"timeout over":   func(c *verifier.Config) { c.Introspect.Timeout = verifier.MaxIntrospectionTimeout + 1 },
		"cache":          func(c *verifier.Config) { c.Introspect.CacheFor = -1 },
		"cache over":     func(c *verifier.Config) { c.Introspect.CacheFor = verifier.MaxCacheFor + 1 },
		"no endpoint":    func(*verifier.Config) { is.set(func() { is.introspect = nil }) },
		"lying metadata": func(*verifier.Config) { is.set(func() { is.metadata = `{"issuer":"x"}` }) },
		"http endpoint": func(*verifier.Config) {
			is.set(func() {
				is.metadata = `{"issuer":"` + is.URL + `","jwks_uri":"` + is.URL + `/jwks","introspection_endpoint":"http://127.0.0.1/introspect"}`
			})
		},
	} {
		for _, unready := range []bool{false, true} { // waiting mends none of these
			is.set(func() { is.introspect, is.metadata = answering(is, goodAnswer), "" })
			c := config(is)
			introspecting(&c)
			c.StartUnready, c.InsecureHTTP = unready, true
			spoil(&c)
			if v, err := verifier.New(t.Context(), c); err == nil {
				v.Close()
				t.Errorf("%s: started", name)
			}
		}
	}
}

// Secret and token are sent over https, or over http where that is asked for.
func TestIntrospection_Transport(t *testing.T) {
	is := desk(t, goodAnswer)
	plain := httptest.NewServer(is.Config.Handler)
	t.Cleanup(plain.Close)
	is.set(func() {
		is.metadata = `{"issuer":"` + plain.URL + `","introspection_endpoint":"` + plain.URL + `/introspect"}`
		is.introspect = answering(is, strings.ReplaceAll(goodAnswer, "%[1]s", plain.URL))
	})
	set, err := jose.NewSet(is.signers[0].PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	c := config(is)
	introspecting(&c)
	c.Keys, c.Issuer, c.HTTPClient = set, plain.URL, nil
	if v, err := verifier.New(t.Context(), c); err == nil {
		v.Close()
		t.Error("http was taken")
	}
	c.InsecureHTTP = true
	v, err := verifier.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := v.Verify(t.Context(), is.token(t, map[string]any{"iss": plain.URL})); err != nil {
		t.Error(err)
	}
	c.InsecureHTTP, c.Issuer = false, is.URL // whose certificate nobody vouches for
	if v, err := verifier.New(t.Context(), c); err == nil {
		v.Close()
		t.Error("an unknown certificate was taken")
	}
}

// A service may start before its issuer; the endpoint is found later, and found again when it moved.
func TestIntrospection_EndpointIsFoundLaterAndAgain(t *testing.T) {
	is := desk(t, goodAnswer)
	is.down.Store(true)
	set, err := jose.NewSet(is.signers[0].PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	c := config(is)
	introspecting(&c)
	c.Keys = set // which makes the issuer needed for introspection alone
	if v, err := verifier.New(t.Context(), c); err == nil {
		v.Close()
		t.Error("started without the issuer")
	}
	c.StartUnready = true
	v, err := verifier.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	compact := is.token(t, nil)
	verify := func(want token.Reason) {
		t.Helper()
		_, err := v.Verify(t.Context(), compact)
		if got := reasonOf(t, err); got != want {
			t.Errorf("%q, want %q: %v", got, want, err)
		}
	}
	verify("unavailable")
	is.down.Store(false)
	verify("")
	n := is.requests.Load()
	verify("")
	if is.requests.Load() != n+1 {
		t.Error("the metadata is asked for each time")
	}
	// It moves: the old place is gone, and the metadata knows the new one.
	moved := desk(t, fmt.Sprintf(goodAnswer, is.URL))
	is.set(func() {
		is.metadata = `{"issuer":"` + is.URL + `","jwks_uri":"` + is.URL + `/jwks","introspection_endpoint":"` + moved.URL + `/introspect"}`
		is.introspect = http.NotFound
	})
	verify("unavailable")
	verify("")
	if moved.asked.Load() != 1 {
		t.Error("the new place was not asked")
	}
}

// What the caller ends is no refusal, and ends the question.
func TestIntrospection_CallerGone(t *testing.T) {
	is := desk(t, goodAnswer)
	asked := make(chan struct{})
	v := newVerifier(t, is, introspecting)
	is.set(func() {
		is.introspect = func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			close(asked)
			<-r.Context().Done()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := v.Verify(ctx, is.token(t, nil))
	if got := reasonOf(t, err); got != "unavailable" {
		t.Errorf("%q", got)
	}
}

// One question for one request, however many Requires it passes.
func TestIntrospection_NestedRequiresAskOnce(t *testing.T) {
	is := desk(t, goodAnswer)
	v := newVerifier(t, is, introspecting)
	want(t, "nested", call(v.Require()(v.Require("orders:read")(api(t))), "/", "Bearer "+is.token(t, nil)), http.StatusOK, "")
	if n := is.asked.Load(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

// RST-10: many at once, some remembered, some not, while the issuer comes and goes.
func TestRST10_IntrospectionInParallel(t *testing.T) {
	is := newIssuer(t, jose.Ed25519)
	is.set(func() {
		is.introspect = func(w http.ResponseWriter, r *http.Request) {
			p := strings.Split(r.PostFormValue("token"), ".")
			claims, _ := base64.RawURLEncoding.DecodeString(p[1])
			w.Header().Set("Content-Type", "application/json")
			if is.asked.Load()%7 == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			io.WriteString(w, `{"active":true,`+string(claims[1:]))
		}
	})
	v := newVerifier(t, is, cachingFor(time.Minute))
	var tokens []string
	for i := range 20 {
		tokens = append(tokens, is.token(t, map[string]any{"jti": fmt.Sprint("j", i)}))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				n := (g + i) % len(tokens)
				tok, err := v.Verify(t.Context(), tokens[n])
				if err == nil && tok.JTI() != fmt.Sprint("j", n) || err != nil && reasonOf(t, err) != "unavailable" {
					t.Errorf("%s: %v", tok.JTI(), err)
				}
			}
		})
	}
	wg.Wait()
}

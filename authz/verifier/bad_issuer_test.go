package verifier_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/keys/remote"
)

// The answers, octet for octet: RFC 6750, Section 3.1.
const (
	challengeInvalidToken = `Bearer realm="` + audience + `", error="invalid_token", error_description="The access token is not valid for this API. Get a new one."`
	bodyInvalidToken      = `{"error":"invalid_token","error_description":"The access token is not valid for this API. Get a new one."}` + "\n"
	bodyUnavailable       = `{"error":"temporarily_unavailable","error_description":"Access tokens cannot be verified at the moment. Try again."}` + "\n"
)

// wantExactly fails unless r is the answer of this status, whole.
func wantExactly(t testing.TB, name string, r *http.Response, status int) {
	t.Helper()
	challenge, answer, retry := "", "", ""
	switch status {
	case http.StatusOK:
		answer = "c1"
	case http.StatusUnauthorized:
		challenge, answer = challengeInvalidToken, bodyInvalidToken
	case http.StatusServiceUnavailable:
		answer, retry = bodyUnavailable, "5"
	}
	got := fmt.Sprintf("%d %q %q %q", r.StatusCode, r.Header.Get("WWW-Authenticate"), r.Header.Get("Retry-After"), body(r))
	if want := fmt.Sprintf("%d %q %q %q", status, challenge, retry, answer); got != want {
		t.Errorf("%s: %s, want %s", name, got, want)
	}
}

// watched is a Verifier with its log and what it told.
type watched struct {
	*verifier.Verifier
	http.Handler
	log  *logBuffer
	told *verdicts

	mu      sync.Mutex
	fetches []remote.Fetch
}

func watch(t testing.TB, is *issuer, change ...func(*verifier.Config)) *watched {
	t.Helper()
	w := &watched{log: &logBuffer{}, told: &verdicts{}}
	w.Verifier = newVerifier(t, is, append(change, w.told.config, func(c *verifier.Config) {
		c.Log = slog.New(slog.NewTextHandler(w.log, nil))
		c.OnFetch = func(f remote.Fetch) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.fetches = append(w.fetches, f)
		}
	})...)
	w.Handler = w.Require()(api(t))
	return w
}

// failed reports whether a fetch was told that failed for this reason.
func (w *watched) failed(reason string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.fetches {
		if f.Err != nil && strings.Contains(f.Err.Error(), reason) {
			return true
		}
	}
	return false
}

// badSets are JWKS documents that are not believed, by the reason that is told. Each but the first offers the key of
// evil, and would let its tokens in.
func badSets(t testing.TB, is, elsewhere *issuer, evil *jose.Signer) map[string]http.HandlerFunc {
	t.Helper()
	key, err := evil.PublicKey().JWK(evil.WireAlgorithm())
	if err != nil {
		t.Fatal(err)
	}
	entry := string(key)
	private := strings.TrimSuffix(entry, "}") + `,"d":"AAAA"}`
	says := func(document string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, document) }
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	return map[string]http.HandlerFunc{
		"status 503":                        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"redirect to another host":          redirect(elsewhere.URL + "/jwks"),
		"redirect to another host ":         redirect("http://" + strings.TrimPrefix(is.URL, "https://") + "/jwks"),
		"too many redirects":                redirect("/jwks"),
		"more than 1048576 bytes":           says(`{"keys":[` + entry + `]}` + strings.Repeat(" ", 10<<20)),
		"JWK set over 262144 octets":        says(`{"keys":[` + entry + `]}` + strings.Repeat(" ", 512<<10)),
		"JWK set of over 64 keys":           says(`{"keys":[` + strings.Repeat(`{},`, 64) + entry + `]}`),
		"two keys of one type with the kid": says(`{"keys":[` + entry + `,` + entry + `]}`),
		"none of 1 is usable, and 1 hold":   says(`{"keys":[` + private + `]}`),
		"none of 0 is usable":               says(`{"keys":[]}`),
		"JSON member twice":                 says(`{"keys":[],"keys":[` + entry + `]}`),
		"JWK set without the array keys":    says(`{"KEYS":[` + entry + `]}`),
		"JSON syntax":                       says(`{"keys":[` + entry + `]}{}`),
		"JSON syntax ":                      says("<html>" + entry),
	}
}

// RKY-02, RKY-08, RKY-11, RKY-12, RST-07, RST-11: an issuer whose keys cannot be believed. What was known serves up
// to its limit and no longer, nothing that the document offers counts, whoever starts with it has no keys; it says why, in the
// log and to whoever counts.
func TestRKY02_RKY08_RKY11_RKY12_RST07_RST11_BadKeys(t *testing.T) {
	elsewhere := newIssuer(t, jose.ES256)
	for reason := range badSets(t, newIssuer(t, jose.ES256), elsewhere, newSigner(t, jose.ES256)) {
		t.Run(reason, func(t *testing.T) {
			is := newIssuer(t, jose.ES256)
			evil := newSigner(t, jose.ES256)
			bad := badSets(t, is, elsewhere, evil)[reason]
			reason := strings.TrimSpace(reason)
			good := "Bearer " + is.token(t, map[string]any{"exp": epoch.Unix() + 3600})
			is.set(func() { is.signers = append([]*jose.Signer{evil}, is.signers...) })
			offered := "Bearer " + is.token(t, map[string]any{"exp": epoch.Unix() + 3600})
			is.set(func() { is.signers = is.signers[1:] })

			w := watch(t, is, func(c *verifier.Config) { c.KeepKeysFor = 20 * time.Minute })
			wantExactly(t, "before", call(w, "/", good), http.StatusOK)
			is.set(func() { is.jwks = bad })
			wantExactly(t, "a key that only the document has", call(w, "/", offered), http.StatusServiceUnavailable)
			is.now.Add(19 * 60)
			wantExactly(t, "before the limit", call(w, "/", good), http.StatusOK)
			wantExactly(t, "no token at all", call(w, "/", "Bearer x"), http.StatusUnauthorized)
			w.told.take()
			is.now.Add(60)
			wantExactly(t, "at the limit", call(w, "/", good), http.StatusServiceUnavailable)
			if got := w.told.take(); len(got) != 1 || got[0].Outcome != verifier.OutcomeUnavailable {
				t.Errorf("counted as %v", got)
			}
			if !strings.Contains(w.log.String(), reason) || !w.failed(reason) || w.Status().Ready {
				t.Errorf("no %q told, or ready; the log is\n%s", reason, w.log)
			}
			is.set(func() { is.jwks = nil })
			is.now.Add(60)
			wantExactly(t, "mended", call(w, "/", good), http.StatusOK)

			is.set(func() { is.jwks = bad })
			if v, err := verifier.New(t.Context(), config(is)); err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("a start: error %v", err)
				if err == nil {
					v.Close()
				}
			}
			w = watch(t, is, func(c *verifier.Config) { c.StartUnready = true })
			for _, compact := range []string{good, offered} {
				wantExactly(t, "started unready", call(w, "/", compact), http.StatusServiceUnavailable)
			}
			if !strings.Contains(w.log.String(), reason) || !w.failed(reason) || w.Status().Ready {
				t.Errorf("no %q told at the start, or ready; the log is\n%s", reason, w.log)
			}
		})
	}
	if n := elsewhere.requests.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// JWK-03: a published private key beside good ones vouches for nothing, and is an alarm.
func TestRKY11_JWK03_APublishedPrivateKey(t *testing.T) {
	is := newIssuer(t, jose.ES256, jose.ES256)
	burnt := "Bearer " + is.token(t, nil)
	var entries []string
	for i, s := range is.signers {
		key, err := s.PublicKey().JWK(jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, string(key))
		if i == 0 {
			entries[i] = strings.TrimSuffix(entries[i], "}") + `,"d":"hunter2"}`
		}
	}
	kid := is.signers[0].KeyID()
	is.set(func() {
		is.jwks = func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"keys":[`+strings.Join(entries, ",")+`]}`)
		}
		is.signers = is.signers[1:]
	})
	w := watch(t, is)
	wantExactly(t, "by the other key", call(w, "/", "Bearer "+is.token(t, nil)), http.StatusOK)
	wantExactly(t, "by the key that everybody has", call(w, "/", burnt), http.StatusUnauthorized)
	if s := w.log.String(); !strings.Contains(s, `msg="the issuer publishes a secret key"`) || !strings.Contains(s, kid) || strings.Contains(s, "hunter2") {
		t.Errorf("the log is\n%s", s)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.fetches) == 0 || fmt.Sprint(w.fetches[0].Exposed) != "["+kid+"]" {
		t.Errorf("told %+v", w.fetches)
	}
}

// RKY-01, RSV-24: the issuer's metadata speak for another issuer, at the start and later.
func TestRKY01_RSV24_WrongIssuer(t *testing.T) {
	is, evil := newIssuer(t, jose.ES256), newIssuer(t, jose.ES256)
	lie := `{"issuer":"` + evil.URL + `","jwks_uri":"` + evil.URL + `/jwks"}`
	good := "Bearer " + is.token(t, map[string]any{"exp": epoch.Unix() + 3600})
	w := watch(t, is, func(c *verifier.Config) { c.KeepKeysFor = 20 * time.Minute })
	is.set(func() {
		is.metadata = lie
		is.jwks = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }
	})
	for range 10 { // the place of the keys is looked for again once they are not where they were
		is.now.Add(60)
		wantExactly(t, "before the limit", call(w, "/", good), http.StatusOK)
		if r := call(w, "/", "Bearer "+evil.token(t, map[string]any{"iss": is.URL})); r.StatusCode == http.StatusOK {
			t.Error("the key of another issuer vouches")
		}
	}
	is.now.Add(11 * 60)
	wantExactly(t, "at the limit", call(w, "/", good), http.StatusServiceUnavailable)
	if n := evil.requests.Load(); n > 0 {
		t.Errorf("%d requests to the other issuer", n)
	}
	for _, unready := range []bool{false, true} {
		c := config(is)
		c.StartUnready = unready
		if v, err := verifier.New(t.Context(), c); err == nil {
			v.Close()
			t.Errorf("started with another issuer's metadata (StartUnready: %v)", unready)
		}
	}
}

// RSV-27, RSV-29, RST-09, RST-11: a service whose clock is ten minutes off refuses what it cannot tell from a
// token of tomorrow or of yesterday, and says which of the two.
func TestRSV27_RSV29_RST09_RST11_ClocksTenMinutesApart(t *testing.T) {
	for reason, apart := range map[token.Reason]int64{token.ReasonNotYetValid: -600, token.ReasonExpired: 630} {
		is := newIssuer(t, jose.ES256)
		w := watch(t, is)
		compact := is.token(t, nil)
		wantExactly(t, "the same clock", call(w, "/", "Bearer "+compact), http.StatusOK)
		is.now.Add(apart)
		w.told.take()
		wantExactly(t, string(reason), call(w, "/", "Bearer "+compact), http.StatusUnauthorized)
		if got := w.told.take(); len(got) != 1 || got[0] != (verifier.Verdict{Outcome: verifier.OutcomeRefused, Reason: reason}) {
			t.Errorf("%s: counted as %v", reason, got)
		}
		if !strings.Contains(w.log.String(), "refusal.reason="+string(reason)) {
			t.Errorf("%s: the log is\n%s", reason, w.log)
		}
	}
}

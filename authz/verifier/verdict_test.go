package verifier_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// verdicts are those that a Verifier told.
type verdicts struct {
	mu   sync.Mutex
	list []verifier.Verdict
}

func (l *verdicts) config(c *verifier.Config) {
	c.OnVerdict = func(v verifier.Verdict) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.list = append(l.list, v)
	}
}

// take returns what was told since it was asked last.
func (l *verdicts) take() []verifier.Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.list
	l.list = nil
	return taken
}

// RST-11, STR-05: each call is counted once, by what became of it, and refusals by their cause.
func TestRST11_STR05_EachCallIsCounted(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	x := token.NewIndex()
	var told verdicts
	v := newVerifier(t, is, told.config, func(c *verifier.Config) { c.Revoked = x })
	h := v.Require("orders:read")(api(t))
	refused := func(r token.Reason) verifier.Verdict {
		return verifier.Verdict{Outcome: verifier.OutcomeRefused, Reason: r}
	}
	good := is.token(t, nil)
	for _, step := range []struct {
		name  string
		token string
		want  verifier.Verdict
	}{
		{"revocations not loaded", good, verifier.Verdict{Outcome: verifier.OutcomeUnavailable}},
		{"first sight", good, verifier.Verdict{Outcome: verifier.OutcomeAccepted}},
		{"again", good, verifier.Verdict{Outcome: verifier.OutcomeAccepted, Remembered: true}},
		{"no token", "", verifier.Verdict{Outcome: verifier.OutcomeNoToken}},
		{"two tokens", good + " " + good, verifier.Verdict{Outcome: verifier.OutcomeMalformed}},
		{"no scope", is.token(t, map[string]any{"scope": nil, "jti": "j2"}), verifier.Verdict{Outcome: verifier.OutcomeLacksScope}},
		{"garbage", "garbage", refused(token.ReasonMalformed)},
		{"audience", is.token(t, map[string]any{"aud": "x"}), refused(token.ReasonAudience)},
		{"expired", is.token(t, map[string]any{"exp": 1}), refused(token.ReasonExpired)},
		{"stranger", newIssuer(t, jose.ES256).token(t, map[string]any{"iss": is.URL}), refused(token.ReasonUnknownKey)},
		{"revoked", good, refused(token.ReasonRevoked)},
	} {
		switch step.name {
		case "first sight":
			x.Replace(nil)
		case "revoked":
			x.Set(token.Indexed{Revocation: token.Revocation{Subject: jti("j1")}})
		}
		var fields []string
		if step.token != "" {
			fields = []string{"Bearer " + step.token}
		}
		call(h, "/", fields...)
		if got := told.take(); !slices.Equal(got, []verifier.Verdict{step.want}) {
			t.Errorf("%s: told %+v, want %+v", step.name, got, step.want)
		}
	}
	_, _ = v.Verify(t.Context(), "garbage")
	if got := told.take(); !slices.Equal(got, []verifier.Verdict{refused(token.ReasonMalformed)}) {
		t.Errorf("Verify: told %+v", got)
	}
}

// Requires within each other tell once of what they let through, and the one that refuses tells that.
func TestOnVerdict_Nested(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	var told verdicts
	v := newVerifier(t, is, told.config)
	nested := func(scope string) http.Handler { return v.Require()(v.Require(scope)(api(t))) }
	auth := "Bearer " + is.token(t, nil)
	call(nested("orders:read"), "/", auth)
	if got := fmt.Sprint(told.take()); got != "[{accepted  false}]" {
		t.Errorf("told %s", got)
	}
	call(nested("orders:write"), "/", auth)
	if got := fmt.Sprint(told.take()); got != "[{accepted  true} {insufficient_scope  false}]" {
		t.Errorf("told %s", got)
	}
}

// Whoever hangs up while it is waited for the issuer is no outage.
func TestOnVerdict_CallerGone(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	is.down.Store(true)
	var told verdicts
	v := newVerifier(t, is, told.config, func(c *verifier.Config) { c.StartUnready = true })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+is.token(t, nil))
	w := httptest.NewRecorder()
	v.Require()(api(t)).ServeHTTP(w, r)
	if got := fmt.Sprint(told.take()); got != "[{abandoned  false}]" || w.Code != http.StatusServiceUnavailable {
		t.Errorf("told %s, status %d", got, w.Code)
	}
}

// Counting costs a remembered token no memory.
func TestOnVerdict_AllocatesNothing(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	accepted := 0
	v := newVerifier(t, is, func(c *verifier.Config) {
		c.OnVerdict = func(v verifier.Verdict) {
			if v.Remembered {
				accepted++
			}
		}
	})
	compact := is.token(t, nil)
	if _, err := v.Verify(t.Context(), compact); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = v.Verify(t.Context(), compact) }); n != 0 || accepted == 0 {
		t.Errorf("%v allocations, %d remembered", n, accepted)
	}
}

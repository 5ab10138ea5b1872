package verifier_test

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// reasonOf returns why a token is refused; "" for a good one, and "unavailable" for one that is not judged.
func reasonOf(t testing.TB, err error) token.Reason {
	t.Helper()
	var refusal *token.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, verifier.ErrUnavailable):
		if errors.Is(err, verifier.ErrToken) || errors.As(err, &refusal) {
			t.Errorf("unavailable, and a refusal as well: %v", err)
		}
		return "unavailable"
	case errors.As(err, &refusal) && errors.Is(err, verifier.ErrToken):
		return refusal.Reason
	}
	t.Errorf("neither a refusal nor an outage: %v", err)
	return "?"
}

// RVK-19, RST-05: what the service knows to be revoked is refused, by everything that a token carries, up to
// the very second.
func TestRVK19_RST05_Revoked(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	x := token.NewIndex()
	v := newVerifier(t, is, func(c *verifier.Config) { c.Revoked = x })
	compact := is.token(t, nil)
	for _, s := range []token.Subject{
		{Kind: token.RevokedJTI, Value: "j1"},
		{Kind: token.RevokedClient, Value: "c1"},
		{Kind: token.RevokedCredential, Value: "k1"},
		{Kind: token.RevokedKey, Value: is.signers[0].KeyID()},
		{Kind: token.RevokedResource, Value: audience},
		{Kind: token.RevokedAll},
	} {
		for before, want := range map[time.Duration]token.Reason{0: token.ReasonRevoked, -time.Second: ""} {
			if s.Kind == token.RevokedJTI {
				want = token.ReasonRevoked
			}
			x.Replace([]token.Indexed{{Revocation: token.Revocation{Subject: s, Before: epoch.Add(before), Until: epoch.Add(time.Hour)}}})
			_, err := v.Verify(t.Context(), compact)
			if got := reasonOf(t, err); got != want {
				t.Errorf("%s, issued before T%+v: %q, want %q", s, before, got, want)
			}
		}
	}
	x.Replace(nil)
	x.SetKeys([]string{is.signers[0].KeyID()})
	_, err := v.Verify(t.Context(), compact)
	if got := reasonOf(t, err); got != token.ReasonRevoked {
		t.Errorf("a revoked key: %q", got)
	}
}

// RST-12, RST-11: the caller of a revoked token learns what that of a forged one does; the log has more.
func TestRST12_RST11_RevokedAnswer(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	var log logBuffer
	known := token.Found{{Subject: token.Subject{Kind: token.RevokedClient, Value: "c1"}}}
	v := newVerifier(t, is, func(c *verifier.Config) { c.Revoked, c.Log = known, slog.New(slog.NewTextHandler(&log, nil)) })
	h := v.Require()(api(t))
	revoked, forged := call(h, "/", "Bearer "+is.token(t, nil)), call(h, "/", "Bearer "+is.token(t, map[string]any{"aud": "x"}))
	want(t, "revoked", revoked, http.StatusUnauthorized, "invalid_token")
	if a, b := body(revoked), body(forged); a != b {
		t.Errorf("%q for the revoked one, %q for the other", a, b)
	}
	if !strings.Contains(log.String(), `refusal.reason=revoked`) || !strings.Contains(log.String(), `refusal.jti=j1 refusal.client_id=c1 refusal.cause="by its client"`) {
		t.Error(log.String())
	}
}

// RST-07: an index that was never loaded knows nothing. Its silence lets nobody in.
func TestRST07_IndexThatWasNeverLoaded(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	x := token.NewIndex()
	v := newVerifier(t, is, func(c *verifier.Config) { c.Revoked = x })
	h := v.Require()(api(t))
	r := call(h, "/", "Bearer "+is.token(t, nil))
	want(t, "not loaded", r, http.StatusServiceUnavailable, "")
	_, err := v.Verify(t.Context(), is.token(t, nil))
	if got := reasonOf(t, err); got != "unavailable" {
		t.Errorf("not loaded: %q", got)
	}
	// What is bad anyway stays bad.
	want(t, "bad", call(h, "/", "Bearer "+is.token(t, map[string]any{"exp": 1})), http.StatusUnauthorized, "invalid_token")
	x.Replace(nil)
	want(t, "loaded", call(h, "/", "Bearer "+is.token(t, nil)), http.StatusOK, "")
}

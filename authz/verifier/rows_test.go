package verifier_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/jose"
)

// RSV-11, RSV-36, RBD-02: this API takes bearer tokens. Its one challenge says so, and a token that is bound to a key is
// no bearer token, by whatever method and scheme it comes.
func TestRSV11_RSV36_RBD02_BearerOnly(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	var told verdicts
	h := newVerifier(t, is, told.config).Require()(api(t))
	for name, cnf := range map[string]any{
		"DPoP": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, "mTLS": map[string]any{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
		"both": map[string]any{"jkt": "a", "x5t#S256": "b"}, "a key": map[string]any{"jwk": map[string]any{}}, "kid": map[string]any{"kid": "a"},
		"unknown": map[string]any{"x": 1}, "empty": map[string]any{}, "a string": "jkt", "false": false,
	} {
		bound := is.token(t, map[string]any{"cnf": cnf})
		want(t, name, call(h, "/", "Bearer "+bound), http.StatusUnauthorized, "invalid_token")
		refused := verifier.Verdict{Outcome: verifier.OutcomeRefused, Reason: token.ReasonConfirmation}
		if got := told.take(); !slices.Equal(got, []verifier.Verdict{refused}) {
			t.Errorf("%s: counted as %v", name, got)
		}
		want(t, name+" as DPoP", call(h, "/", "DPoP "+bound), http.StatusUnauthorized, "")
		told.take()
	}
}

// RSV-34: authorization_details are not understood here, so they open nothing and no handler sees them.
func TestRSV34_DetailsOpenNothing(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	details := map[string]any{"scope": nil, "authorization_details": []any{map[string]any{"type": "orders:read", "actions": []string{"orders:read"}}}}
	want(t, "details in place of a scope", call(v.Require("orders:read")(api(t)), "/", "Bearer "+is.token(t, details)), http.StatusForbidden, "insufficient_scope")
	tok, err := v.Verify(t.Context(), is.token(t, details))
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := tok.Claim("authorization_details"); ok || tok.Scopes() != nil {
		t.Errorf("claim %s, scopes %q", c, tok.Scopes())
	}
}

// RSV-35: the caller is client_id, whoever's name sub reads like.
func TestRSV35_TheCallerIsTheClient(t *testing.T) {
	is := newIssuer(t, jose.ES256)
	v := newVerifier(t, is)
	for _, tt := range []struct{ sub, clientID string }{{"alice", "alice"}, {"alice", "c1"}} {
		tok, err := v.Verify(t.Context(), is.token(t, map[string]any{"sub": tt.sub, "client_id": tt.clientID, "jti": tt.clientID}))
		if err != nil || tok.ClientID() != tt.clientID || tok.Subject() != tt.sub {
			t.Errorf("%v: client %q, subject %q, error %v", tt, tok.ClientID(), tok.Subject(), err)
		}
	}
}

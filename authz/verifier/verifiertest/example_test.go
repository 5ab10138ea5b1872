package verifiertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/authz/verifier/verifiertest"
)

// newService is the service under test: it lists orders for whoever may read them, and all of them for auditors.
func newService(v *verifier.Verifier) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /orders", v.Require("orders:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := verifier.FromContext(r.Context())
		roles, err := verifier.ClaimAs[[]string](caller, "roles") // none if there is an error
		if err == nil && slices.Contains(roles, "auditor") {
			fmt.Fprint(w, "all orders")
			return
		}
		fmt.Fprint(w, "orders of ", caller.ClientID())
	})))
	return mux
}

// A test of it, whole.
func TestOrders(t *testing.T) {
	issuer := verifiertest.NewIssuer(t, "https://fulfilment.example")
	service := newService(issuer.Verifier())
	get := func(token string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}

	shop := verifiertest.Claims{ClientID: "shop", Scopes: []string{"orders:read"}}
	if code, body := get(issuer.Token(shop)); code != http.StatusOK || body != "orders of shop" {
		t.Errorf("%d %s", code, body)
	}
	auditor := shop
	auditor.Static = map[string]any{"roles": []string{"auditor"}}
	if code, body := get(issuer.Token(auditor)); code != http.StatusOK || body != "all orders" {
		t.Errorf("an auditor: %d %s", code, body)
	}
	if code, _ := get(issuer.Token(verifiertest.Claims{ClientID: "shop"})); code != http.StatusForbidden {
		t.Errorf("without the scope: %d", code)
	}
	for what, bad := range issuer.BadTokens(shop) {
		if code, _ := get(bad); code != http.StatusUnauthorized {
			t.Errorf("a token %s: %d", what, code)
		}
	}

	token := issuer.Token(shop)
	issuer.Revoke(token)
	if code, _ := get(token); code != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", code)
	}
	token = issuer.Token(shop)
	issuer.Advance(time.Hour)
	if code, _ := get(token); code != http.StatusUnauthorized {
		t.Errorf("an expired token: %d", code)
	}
	issuer.Away(true)
	if code, _ := get(issuer.Token(shop)); code != http.StatusServiceUnavailable {
		t.Errorf("while the issuer is away: %d", code)
	}
}

package verifier_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/verifier"
)

// A service that takes access tokens, whole.
func Example() {
	v, err := verifier.New(context.Background(), verifier.Config{
		Issuer: "https://as.example", Audience: "https://fulfilment.example",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	http.Handle("GET /orders", v.Require("orders:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := verifier.FromContext(r.Context())
		fmt.Fprintln(w, "orders of", caller.ClientID())
	})))
	log.Print(http.ListenAndServe("127.0.0.1:8090", nil))
}

// A service that refuses revoked tokens at once: it asks the issuer about each, as a client of its own
// that serves the audience.
func ExampleIntrospection() {
	secret, err := os.ReadFile("/run/secrets/fulfilment")
	if err != nil {
		log.Fatal(err)
	}
	v, err := verifier.New(context.Background(), verifier.Config{
		Issuer: "https://as.example", Audience: "https://fulfilment.example",
		Introspect: &verifier.Introspection{
			ClientID: "fulfilment",
			Secret:   verifier.Secret(strings.TrimSpace(string(secret))),
			CacheFor: 5 * time.Second, // for as long a revoked token may work
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
}

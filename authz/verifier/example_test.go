package verifier_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

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

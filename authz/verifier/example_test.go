package verifier_test

import (
	"context"
	"expvar"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/verifier"
	"github.com/marque-auth/marque/keys/remote"
)

// A service that takes access tokens, whole. How to test one is shown in package verifiertest.
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

// What a service counts: calls by their outcome, refusals by their cause, and where the keys stand.
func Example_metrics() {
	calls := expvar.NewMap("access_tokens")
	v, err := verifier.New(context.Background(), verifier.Config{
		Issuer: "https://as.example", Audience: "https://fulfilment.example",
		OnVerdict: func(v verifier.Verdict) { calls.Add(string(v.Outcome)+" "+string(v.Reason), 1) }, // such as "refused expired"
		OnFetch: func(f remote.Fetch) {
			if f.Err != nil || len(f.Changed) > 0 || len(f.Exposed) > 0 {
				log.Print("keys: ", f.Err, f.Changed, f.Exposed) // count it, and alarm somebody
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	expvar.Publish("keys_usable_until", expvar.Func(func() any { return v.Status().UsableUntil }))
}

// A service that knows of revocations within a second, and asks nobody about a token: it follows the issuer's
// feed, as a client of its own that serves the audience. When the issuer is not heard any more it answers 503.
func ExampleFeed() {
	secret, err := os.ReadFile("/run/secrets/fulfilment")
	if err != nil {
		log.Fatal(err)
	}
	v, err := verifier.New(context.Background(), verifier.Config{
		Issuer: "https://as.example", Audience: "https://fulfilment.example",
		Follow: &verifier.Feed{
			ClientID:   "fulfilment",
			Secret:     verifier.Secret(strings.TrimSpace(string(secret))),
			WhenSilent: verifier.SilentClosed,
		},
		OnFeed: func(r verifier.FeedReport) {
			if r.What == verifier.FeedDropped {
				log.Print("revocations: ", r.Cause) // count it
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	http.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !v.Status().Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		st := v.FeedStatus()
		fmt.Fprintf(w, "revocations_age_seconds{mode=%q} %f\n", string(st.Mode), st.Age.Seconds())
	})
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

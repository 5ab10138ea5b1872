package remote

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// stall answers as little as its name says, and then nothing for as long as the caller waits.
var stalls = map[string]http.HandlerFunc{
	"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"a header and no body": func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	},
	"a body in drops": func(w http.ResponseWriter, r *http.Request) { // no single read takes long
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
	},
}

// slowIssuer serves one key until it is told to stall.
type slowIssuer struct {
	*httptest.Server
	metadata, jwks atomic.Pointer[http.HandlerFunc] // nil: as it should be
}

func newSlowIssuer(t *testing.T) *slowIssuer {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.NewPublicKey("a", jose.Ed25519, public)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := key.JWK(jose.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	is := &slowIssuer{}
	is.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stall, body := is.metadata.Load(), `{"issuer":"`+is.URL+`","jwks_uri":"`+is.URL+`/jwks"}`
		if r.URL.Path == "/jwks" {
			stall, body = is.jwks.Load(), `{"keys":[`+string(jwk)+`]}`
		}
		if stall != nil {
			(*stall)(w, r)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(is.Close)
	return is
}

// RKY-02: five seconds, to the last byte, whatever comes slowly. The test waits for less; how much less
// the machine decides.
func TestRKY02_SlowBody(t *testing.T) {
	for name, stall := range stalls {
		for _, where := range []string{"metadata", "keys"} {
			t.Run(where+", "+name, func(t *testing.T) {
				is := newSlowIssuer(t)
				src, release, err := newSource(Config{Issuer: is.URL, Client: is.Client()})
				if err != nil {
					t.Fatal(err)
				}
				defer release()
				if src.timeout != 5*time.Second {
					t.Errorf("the time-out is %v", src.timeout)
				}
				if where == "keys" {
					is.jwks.Store(&stall)
				} else {
					is.metadata.Store(&stall)
				}
				src.timeout = 200 * time.Millisecond
				if _, _, err := src.keys(t.Context()); !errors.Is(err, context.DeadlineExceeded) || t.Context().Err() != nil {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// RKY-02: an issuer that becomes slow takes no keys away.
func TestRKY02_SlowBodyKeepsOldKeys(t *testing.T) {
	for name, stall := range stalls {
		t.Run(name, func(t *testing.T) {
			is := newSlowIssuer(t)
			var later atomic.Int64
			begin := time.Now()
			fetched := make(chan Fetch, 10)
			k, err := Discover(t.Context(), Config{
				Issuer: is.URL, Client: is.Client(), Log: slog.New(slog.DiscardHandler), OnFetch: func(f Fetch) { fetched <- f },
				Now: func() time.Time { return begin.Add(time.Duration(later.Load())) },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			<-fetched
			is.jwks.Store(&stall)
			k.source.timeout = 50 * time.Millisecond // nobody reads it before the next fetch is asked for
			later.Store(int64(time.Hour))
			h := jose.Header{Algorithm: jose.Ed25519, KeyID: "a"}
			if _, err := k.Key(t.Context(), h); err != nil {
				t.Errorf("while it is slow: %v", err)
			}
			if f := <-fetched; !errors.Is(f.Err, context.DeadlineExceeded) {
				t.Errorf("fetched %+v", f)
			}
			if _, err := k.Key(t.Context(), h); err != nil || !k.Status().Ready {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

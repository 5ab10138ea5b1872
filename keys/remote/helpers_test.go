package remote_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/keys/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a virtual clock.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Unix(1_800_000_000, 0).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// issuer is an authorization server as far as its keys go. Its fields may be set while it runs.
type issuer struct {
	*httptest.Server
	fetches atomic.Int32 // of the JWKS

	mu           sync.Mutex
	keys         []*jose.PublicKey
	cacheControl string
	metadata     http.HandlerFunc // nil: the right document
	jwks         http.HandlerFunc // nil: keys, with cacheControl
}

func newIssuer(t testing.TB, tls bool, keys ...*jose.PublicKey) *issuer {
	t.Helper()
	is := &issuer{keys: keys, cacheControl: "public, max-age=300"}
	if tls {
		is.Server = httptest.NewUnstartedServer(is)
		is.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		is.StartTLS()
	} else {
		is.Server = httptest.NewServer(is)
	}
	t.Cleanup(is.Close)
	return is
}

func (is *issuer) set(f func()) {
	is.mu.Lock()
	defer is.mu.Unlock()
	f()
}

func (is *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	is.mu.Lock()
	metadata, jwks, keys, cacheControl := is.metadata, is.jwks, is.keys, is.cacheControl
	is.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		if metadata != nil {
			metadata(w, r)
			return
		}
		io.WriteString(w, `{"issuer":"`+is.URL+`","jwks_uri":"`+is.URL+`/jwks","x":[1]}`)
	case "/jwks":
		is.fetches.Add(1)
		if jwks != nil {
			jwks(w, r)
			return
		}
		w.Header().Set("Cache-Control", cacheControl)
		io.WriteString(w, document(keys...))
	default:
		http.NotFound(w, r)
	}
}

func document(keys ...*jose.PublicKey) string {
	var entries []string
	for _, k := range keys {
		b, err := k.JWK(k.Algorithm())
		if err != nil {
			panic(err)
		}
		entries = append(entries, string(b))
	}
	return `{"keys":[` + strings.Join(entries, ",") + `]}`
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func newKey(t testing.TB, kid string) *jose.PublicKey {
	t.Helper()
	private, err := jose.GenerateKey(jose.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	k, err := jose.NewPublicKey(kid, jose.Ed25519, private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// fixture is Keys of an issuer, with a virtual clock and the fetches as they end.
type fixture struct {
	*remote.Keys
	issuer *issuer
	clock  *clock
	events chan remote.Fetch
}

func config(is *issuer, c *clock) remote.Config {
	return remote.Config{Issuer: is.URL, Client: is.Client(), Now: c.now, Log: slog.New(slog.DiscardHandler)}
}

func discover(t testing.TB, is *issuer, change ...func(*remote.Config)) *fixture {
	t.Helper()
	f := &fixture{issuer: is, clock: newClock(), events: make(chan remote.Fetch, 1000)}
	c := config(is, f.clock)
	c.OnFetch = func(e remote.Fetch) { f.events <- e }
	for _, ch := range change {
		ch(&c)
	}
	k, err := remote.Discover(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	f.Keys = k
	t.Cleanup(func() {
		k.Close()
		is.Client().CloseIdleConnections()
	})
	if e := f.next(t); e.Cause != remote.CauseStart {
		t.Fatalf("the first fetch: %+v", e)
	}
	return f
}

// next waits for a fetch to end.
func (f *fixture) next(t testing.TB) remote.Fetch {
	t.Helper()
	select {
	case e := <-f.events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no fetch")
		return remote.Fetch{}
	}
}

// none fails if a fetch ended that nobody waited for.
func (f *fixture) none(t testing.TB) {
	t.Helper()
	select {
	case e := <-f.events:
		t.Fatalf("a fetch: %+v", e)
	default:
	}
}

func (f *fixture) ask(kid string) error {
	_, err := f.Key(context.Background(), jose.Header{KeyID: kid, Algorithm: jose.Ed25519})
	return err
}

// want fails unless the answer for kid is err, or none for nil.
func (f *fixture) want(t testing.TB, kid string, want error) {
	t.Helper()
	if err := f.ask(kid); !errors.Is(err, want) {
		t.Fatalf("%s: got %v, want %v", kid, err, want)
	}
}

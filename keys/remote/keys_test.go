package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/keys/remote"
)

// jar hands out a cookie for everything.
type jar struct{}

func (jar) SetCookies(*url.URL, []*http.Cookie) {}
func (jar) Cookies(*url.URL) []*http.Cookie     { return []*http.Cookie{{Name: "a", Value: "b"}} }

// RKY-03: max-age between a second and an hour; refresh at three quarters; no earlier.
func TestRKY03_MaxAge(t *testing.T) {
	for cacheControl, want := range map[string]time.Duration{
		"public, max-age=300":          5 * time.Minute,
		"max-age=0":                    time.Second,
		"max-age=1":                    time.Second,
		"max-age=86400":                time.Hour,
		"max-age=99999999999999999999": time.Hour,
		"max-age=-5":                   time.Second,
		"max-age=nonsense":             time.Second,
		"max-age":                      time.Second,
		`max-age="60"`:                 time.Minute,
		"MAX-AGE=60":                   time.Minute,
		"max-age=60, max-age=600":      time.Minute,
		"max-age=600, no-cache":        time.Second,
		"no-store":                     time.Second,
		"s-maxage=5, max-age=60":       time.Minute,
		"public":                       5 * time.Minute,
		"":                             5 * time.Minute,
	} {
		t.Run(cacheControl, func(t *testing.T) {
			is := newIssuer(t, true, newKey(t, "a"))
			is.cacheControl = cacheControl
			f := discover(t, is)
			if st := f.Status(); st.Expires.Sub(st.Fetched) != want {
				t.Fatalf("fresh for %v, want %v", st.Expires.Sub(st.Fetched), want)
			}
			f.clock.advance(want/4*3 - 1)
			f.want(t, "a", nil)
			f.none(t)
			f.clock.advance(1)
			f.want(t, "a", nil)
			if e := f.next(t); e.Cause != remote.CauseRefresh || e.Err != nil {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestRKY03_AgeCounts(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	for age, want := range map[string]time.Duration{"100": 200 * time.Second, "300": time.Second, "9999": time.Second, "x": 300 * time.Second} {
		is.jwks = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=300")
			w.Header().Set("Age", age)
			io.WriteString(w, document(newKey(t, "a")))
		}
		f := discover(t, is)
		if st := f.Status(); st.Expires.Sub(st.Fetched) != want {
			t.Errorf("Age %s: fresh for %v, want %v", age, st.Expires.Sub(st.Fetched), want)
		}
	}
}

// RKY-03: under steady load no request waits on a fetch: the fetch hangs, and every call answers.
func TestRKY03_RefreshOffTheRequestPath(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	release := make(chan struct{})
	is.set(func() {
		is.jwks = func(w http.ResponseWriter, _ *http.Request) {
			<-release
			io.WriteString(w, document(newKey(t, "b")))
		}
	})
	f.clock.advance(4 * time.Minute)
	for range 100 {
		f.want(t, "a", nil)
	}
	close(release)
	f.next(t)
	f.want(t, "b", nil)
	if n := is.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

// RKY-07: a withdrawn key stops within the cache life, though nobody asks for a new one.
func TestRKY07_WithdrawnKey(t *testing.T) {
	a, b := newKey(t, "a"), newKey(t, "b")
	t.Run("under load", func(t *testing.T) {
		is := newIssuer(t, true, a, b)
		f := discover(t, is)
		is.set(func() { is.keys = []*jose.PublicKey{b} })
		for range 300 {
			f.clock.advance(time.Second)
			_ = f.ask("a")
			if is.fetches.Load() > 1 {
				f.next(t)
				break
			}
		}
		f.want(t, "a", jose.ErrUnknownKey)
	})
	t.Run("after a sleep", func(t *testing.T) {
		is := newIssuer(t, true, a, b)
		f := discover(t, is)
		is.set(func() { is.keys = []*jose.PublicKey{b} })
		f.clock.advance(5 * time.Minute)
		f.want(t, "a", jose.ErrUnknownKey)
	})
	t.Run("after a failure and a sleep", func(t *testing.T) {
		is := newIssuer(t, true, a, b)
		f := discover(t, is)
		is.set(func() { is.jwks = status(http.StatusBadGateway) })
		f.clock.advance(4 * time.Minute)
		f.want(t, "a", nil)
		f.next(t)
		is.set(func() { is.jwks, is.keys = nil, []*jose.PublicKey{b} })
		f.clock.advance(10 * time.Hour)
		f.want(t, "a", jose.ErrUnknownKey)
	})
}

// RKY-04, RKY-05: ten thousand random kids in ten seconds cost one fetch, and no memory.
func TestRKY04_RKY05_RandomKids(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2500 {
				if err := f.ask(fmt.Sprintf("%d-%d", g, i)); !errors.Is(err, jose.ErrUnknownKey) {
					t.Errorf("%v", err)
					return
				}
				if g == 0 {
					f.clock.advance(4 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	if n := is.fetches.Load(); n != 2 {
		t.Errorf("%d fetches, want the first and one more", n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	f.want(t, "a", nil)
	// The next one is allowed after 30 s, and not before.
	f.clock.advance(19 * time.Second)
	f.want(t, "x", jose.ErrUnknownKey)
	if n := is.fetches.Load(); n != 2 {
		t.Fatalf("%d fetches before 30 s", n)
	}
	f.clock.advance(2 * time.Second)
	f.want(t, "x", jose.ErrUnknownKey)
	if n := is.fetches.Load(); n != 3 {
		t.Errorf("%d fetches after 30 s", n)
	}
}

// RKY-04: those who ask at once share one fetch, and all get its answer.
func TestRKY04_SingleFlight(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	release := make(chan struct{})
	b := newKey(t, "b")
	is.set(func() {
		is.jwks = func(w http.ResponseWriter, _ *http.Request) {
			<-release
			io.WriteString(w, document(b))
		}
	})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := f.ask("b"); err != nil {
				t.Error(err)
			}
		})
	}
	// A caller whose time is up leaves, and the fetch goes on without it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Key(ctx, jose.Header{KeyID: "b", Algorithm: jose.Ed25519}); !errors.Is(err, remote.ErrUnavailable) {
		t.Errorf("a caller that gave up: %v", err)
	}
	close(release)
	wg.Wait()
	if n := is.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
}

// RKY-05: a kid that keeps coming does not use up what a new key needs.
func TestRKY05_MissesAreRemembered(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	is.cacheControl = "max-age=3600"
	f := discover(t, is)
	f.want(t, "old", jose.ErrUnknownKey)
	f.clock.advance(31 * time.Second)
	f.want(t, "old", jose.ErrUnknownKey)
	if n := is.fetches.Load(); n != 2 {
		t.Fatalf("%d fetches for one missing kid", n)
	}
	is.set(func() { is.keys = append(is.keys, newKey(t, "new")) })
	f.want(t, "new", nil)
	f.clock.advance(2 * time.Minute)
	f.want(t, "old", jose.ErrUnknownKey)
	if n := is.fetches.Load(); n != 4 {
		t.Errorf("%d fetches: a miss is remembered for too long", n)
	}
}

// RKY-06: a key that is published before it signs is known before it is named.
func TestRKY06_RotationUnderLoad(t *testing.T) {
	a, b := newKey(t, "a"), newKey(t, "b")
	is := newIssuer(t, true, a)
	f := discover(t, is)
	is.set(func() { is.keys = []*jose.PublicKey{a, b} })
	for range 6 * 60 { // the lead: max-age and some
		f.clock.advance(time.Second)
		f.want(t, "a", nil)
	}
	before := is.fetches.Load()
	f.want(t, "b", nil)
	if before < 2 || is.fetches.Load() > before+1 {
		t.Errorf("%d fetches in the lead, %d after", before, is.fetches.Load())
	}
}

// RKY-08: the issuer is away: the last good keys serve until their limit, then nothing does.
func TestRKY08_JWKSDown(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is, func(c *remote.Config) { c.KeepFor = 2 * time.Hour })
	is.set(func() {
		is.jwks, is.metadata = status(http.StatusServiceUnavailable), status(http.StatusServiceUnavailable)
	})
	limit := f.Status().UsableUntil
	if d := limit.Sub(f.clock.now()); d != 2*time.Hour {
		t.Fatalf("usable for %v", d)
	}
	for f.clock.now().Before(limit.Add(-time.Minute)) {
		f.clock.advance(time.Minute)
		f.want(t, "a", nil)
	}
	f.clock.advance(limit.Sub(f.clock.now()) - 1)
	f.want(t, "a", nil)
	f.clock.advance(1)
	f.want(t, "a", remote.ErrUnavailable)
	if err := f.ask("a"); errors.Is(err, jose.ErrUnknownKey) || errors.Is(err, jose.ErrMalformed) {
		t.Errorf("an outage reads like an answer: %v", err)
	}
	if f.Status().Ready {
		t.Error("ready without keys")
	}
	is.set(func() { is.jwks, is.metadata = nil, nil })
	f.clock.advance(31 * time.Second)
	f.want(t, "a", nil)
}

// RKY-08: attempts back off, and never more than one is made at a time.
func TestRKY08_Backoff(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	is.set(func() { is.jwks = status(http.StatusServiceUnavailable) })
	f.clock.advance(4 * time.Minute)
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		f.want(t, "a", nil)
		f.next(t)
		f.clock.advance(wait*time.Second - 1)
		f.want(t, "a", nil)
		f.none(t)
		f.clock.advance(1)
	}
}

// An unknown kid while the issuer cannot be asked: nobody can say that there is no such key.
func TestRKY08_UnknownKidInOutage(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	is.set(func() { is.jwks = status(http.StatusServiceUnavailable) })
	for range 3 {
		f.want(t, "b", remote.ErrUnavailable)
	}
	if n := is.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
	f.want(t, "a", nil)
}

// RKY-09: a start without keys is not ready and takes nothing, and heals by itself.
func TestRKY09_StartUnready(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	is.metadata = status(http.StatusBadGateway)
	if k, err := remote.Discover(t.Context(), config(is, newClock())); err == nil {
		k.Close()
		t.Fatal("started without keys, unasked")
	}
	f := discover(t, is, func(c *remote.Config) { c.StartUnready = true })
	if st := f.Status(); st.Ready || st.Err == nil {
		t.Errorf("%+v", st)
	}
	f.want(t, "a", remote.ErrUnavailable)
	is.set(func() { is.metadata = nil })
	f.clock.advance(time.Second)
	f.want(t, "a", nil)
	if st := f.Status(); !st.Ready || st.Err != nil {
		t.Errorf("%+v", st)
	}
}

// RKY-11, ALG-09, JWK-11: keys that cannot be used are skipped.
func TestRKY11_BadKeysSkipped(t *testing.T) {
	is := newIssuer(t, true)
	good := strings.TrimPrefix(document(newKey(t, "a")), `{"keys":[`)
	is.jwks = func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"x":1,"keys":[7,{"kty":"AKP","alg":"ML-DSA-44","kid":"m","pub":"AA"},{"kty":"oct","k":"AA","kid":"s"},{},`+good)
	}
	f := discover(t, is)
	f.want(t, "a", nil)
	for _, kid := range []string{"m", "s"} {
		f.want(t, kid, jose.ErrUnknownKey)
	}
}

// JWK-03: an issuer that shows a secret is an alarm, in the log and for metrics; the key is nobody's any more.
func TestRKY11_JWK03_PrivateKeys(t *testing.T) {
	is := newIssuer(t, true)
	good := strings.TrimPrefix(document(newKey(t, "a")), `{"keys":[`)
	is.jwks = func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"keys":[`+strings.TrimSuffix(strings.TrimPrefix(document(newKey(t, "burnt")), `{"keys":[`), "}]}")+`,"d":"hunter2"},`+good)
	}
	var log syncBuffer
	f := discover(t, is, func(c *remote.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	f.want(t, "a", nil)
	f.want(t, "burnt", jose.ErrUnknownKey)
	if e := f.next(t); e.Err != nil || e.Skipped != 1 || len(e.Exposed) != 1 || e.Exposed[0] != "burnt" {
		t.Errorf("%+v", e)
	}
	if s := log.String(); !strings.Contains(s, "level=ERROR") || !strings.Contains(s, "kid=burnt") || strings.Contains(s, "hunter2") {
		t.Errorf("log: %s", s)
	}
}

// RKY-13: a kid whose key changes is an alarm, in the log and for metrics.
func TestRKY13_ChangedKey(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"), newKey(t, "b"))
	var log syncBuffer
	f := discover(t, is, func(c *remote.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	is.set(func() { is.keys = []*jose.PublicKey{newKey(t, "a"), is.keys[1], newKey(t, "c")} })
	f.clock.advance(5 * time.Minute)
	f.want(t, "c", nil)
	if e := f.next(t); len(e.Changed) != 1 || e.Changed[0] != "a" {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "kid=a") {
		t.Errorf("log: %s", log.String())
	}
}

// The keys moved: the metadata is asked again once the old place fails.
func TestRediscovery(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	is.set(func() {
		is.jwks = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "new" {
				w.WriteHeader(http.StatusGone)
				return
			}
			io.WriteString(w, document(newKey(t, "b")))
		}
		is.metadata = func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"issuer":"`+is.URL+`","jwks_uri":"`+is.URL+`/jwks?new"}`)
		}
	})
	f.clock.advance(5 * time.Minute)
	f.want(t, "a", nil)
	f.next(t)
	f.clock.advance(time.Second)
	f.want(t, "a", nil)
	f.next(t)
	f.want(t, "b", nil)
	// One more failure, and a document that lies: it is not followed, and the place that a good one
	// named still serves.
	good := is.jwks
	is.set(func() {
		is.jwks = status(http.StatusBadGateway)
		is.metadata = func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"issuer":"https://evil.example","jwks_uri":"`+is.URL+`/evil"}`)
		}
	})
	f.clock.advance(4 * time.Minute)
	f.want(t, "b", nil)
	if e := f.next(t); e.Err == nil {
		t.Fatalf("%+v", e)
	}
	is.set(func() { is.jwks = good })
	f.clock.advance(time.Second)
	f.want(t, "b", nil)
	if e := f.next(t); e.Err != nil {
		t.Errorf("%+v", e)
	}
}

// Close waits for the fetch under way, frees those who wait for it, and leaves the keys usable.
func TestClose(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	asked := make(chan struct{})
	is.set(func() {
		is.jwks = func(_ http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
		}
	})
	waiting := make(chan error)
	go func() { waiting <- f.ask("b") }()
	<-asked
	f.Close()
	if err := <-waiting; !errors.Is(err, remote.ErrUnavailable) {
		t.Errorf("who waited got %v", err)
	}
	f.Close()
	f.want(t, "a", nil)
	f.clock.advance(6 * time.Minute)
	f.want(t, "a", nil)
	f.clock.advance(time.Minute)
	f.want(t, "b", remote.ErrUnavailable)
	f.clock.advance(25 * time.Hour)
	f.want(t, "a", remote.ErrUnavailable)
}

// In steady state a lookup allocates nothing and asks nobody.
func TestRST14_SteadyState(t *testing.T) {
	is := newIssuer(t, true, newKey(t, "a"))
	f := discover(t, is)
	if n := testing.AllocsPerRun(1000, func() { _ = f.ask("a") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if n := is.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

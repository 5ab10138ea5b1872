package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// devConfig is a --dev server on free ports in a folder of its own. The folder's name is short: a
// socket must fit into it.
func devConfig(t *testing.T) configs.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "mq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := configs.Defaults(true)
	c.Data = filepath.Join(dir, "d")
	c.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	return c
}

func startTest(t *testing.T, c configs.Config, o options) *server {
	t.Helper()
	s, err := start(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sampleForm(t *testing.T, s *server) url.Values {
	t.Helper()
	secret, err := os.ReadFile(s.sampleFile())
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {sampleClient}, "client_secret": {string(secret)}}
}

func status(t *testing.T, c *http.Client, url string) int {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	return r.StatusCode
}

// TestDefaultsAgree holds the settings to the defaults that the packages document.
func TestDefaultsAgree(t *testing.T) {
	c := configs.Defaults(false)
	for _, r := range []struct {
		name      string
		got, want any
	}{
		{"cache.clients", c.Cache.Clients, authz.DefaultClientCache},
		{"cache.max_age", time.Duration(c.Cache.MaxAge), store.DefaultFollowInterval},
		{"store.outage", time.Duration(c.Store.Outage), authz.DefaultStoreOutage},
		{"store.outage", time.Duration(c.Store.Outage), keys.DefaultStoreOutage},
		{"limits.client_rate", c.Limits.ClientRate, authz.DefaultClientRate},
		{"limits.failures", c.Limits.Failures, authz.DefaultFailures},
		{"limits.unknown_tokens", c.Limits.UnknownTokens, authz.DefaultUnknown},
		{"limits.token_revocations", c.Limits.TokenRevocations, authz.DefaultTokenRevocations},
		{"limits.feed_streams", c.Limits.FeedStreams, authz.DefaultFeedStreams},
		{"limits.signing_queue", c.Limits.SigningQueue, authz.DefaultSigningQueue},
		{"keys.jwks_max_age", time.Duration(c.Keys.JWKSMaxAge), keys.DefaultJWKSMaxAge},
		{"keys.refresh_interval", time.Duration(c.Keys.RefreshInterval), keys.DefaultRefreshInterval},
		{"keys.publish_lead", time.Duration(c.Keys.PublishLead), keys.DefaultPublishLead},
		{"leeway", time.Duration(c.Leeway), keys.DefaultLeeway},
		{"keys.algorithm", jose.Algorithm(c.Keys.Algorithm), jose.Algorithm(authz.DefaultAlgorithm)},
	} {
		if r.got != r.want {
			t.Errorf("%s is %v, its package says %v", r.name, r.got, r.want)
		}
	}
}

// TestNothingIsLeftBehind starts and stops a server, and one that fails half-way: no goroutine, no
// lock, no socket, no port stays.
func TestNothingIsLeftBehind(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := devConfig(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c.Issuer = "http://127.0.0.1:1"
	broken := c
	broken.Admin.Listen = taken.Addr().String()
	if s, err := start(t.Context(), broken, options{}); err == nil {
		s.Close()
		t.Fatal("a server started on a taken port")
	}
	if _, err := os.Lstat(filepath.Join(c.Data, socketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	s, err := start(t.Context(), c, options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := net.Dial("tcp", s.Address()); err == nil {
		t.Error("the port is still open")
	}
}

// TestReadiness: /readyz says no when the store was silent for too long, and /healthz does not care.
func TestReadiness(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute) // no look at the store during the test
	c.Keys.RefreshInterval, c.Keys.PublishLead = configs.Duration(time.Minute), configs.Duration(time.Hour)
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	s := startTest(t, c, options{now: clock})
	defer http.DefaultClient.CloseIdleConnections()
	base := "http://" + s.Address()
	for _, step := range []struct {
		advance time.Duration
		ready   int
	}{
		{0, 200},
		{time.Duration(c.Store.Outage), 200},
		{time.Second, 503},
	} {
		mu.Lock()
		now = now.Add(step.advance)
		mu.Unlock()
		if got := status(t, http.DefaultClient, base+"/readyz"); got != step.ready {
			t.Errorf("after %v: /readyz is %d, want %d", step.advance, got, step.ready)
		}
		if got := status(t, http.DefaultClient, base+"/healthz"); got != 200 {
			t.Errorf("after %v: /healthz is %d", step.advance, got)
		}
	}
	if err := errors.Join(s.follower.CatchUp(t.Context()), s.ring.Step(t.Context(), clock())); err != nil {
		t.Fatal(err)
	}
	if got := status(t, http.DefaultClient, base+"/readyz"); got != 200 {
		t.Errorf("after the store answered: /readyz is %d", got)
	}
	s.live.Store(false)
	if got := status(t, http.DefaultClient, base+"/readyz"); got != 503 {
		t.Errorf("while stopping: /readyz is %d", got)
	}
}

// hangingRequest sends a token request without its last byte, and returns the connection, what is to be
// read from it, and that byte. The server is waiting for it: it has said "100 Continue", which it does when
// the body is about to be read. A connection that was merely accepted need not count as one with a request.
func hangingRequest(t *testing.T, s *server) (net.Conn, *bufio.Reader, string) {
	t.Helper()
	body := sampleForm(t, s).Encode()
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:len(body)-1])
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	r, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusContinue {
		t.Fatalf("got %s", r.Status)
	}
	return conn, answers, body[len(body)-1:]
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !condition() {
		if ctx.Err() != nil {
			t.Fatal("waited for too long")
		}
	}
}

// TestRunningRequestsEnd: a request that runs when the server is told to stop is answered.
func TestRunningRequestsEnd(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	conn, answers, rest := hangingRequest(t, s)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	waitFor(t, func() bool { // no new connections any more
		c, err := net.Dial("tcp", s.Address())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(conn, rest); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Errorf("got %s", r.Status)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// TestGraceEnds: a request that never ends does not keep the server from stopping.
func TestGraceEnds(t *testing.T) {
	c := devConfig(t)
	c.Shutdown.Grace = configs.Duration(50 * time.Millisecond)
	log := &logBuffer{}
	s := startTest(t, c, options{log: newLog(log, c.Log)})
	_, answers, _ := hangingRequest(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(answers); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "cut off") {
		t.Errorf("the log says nothing of it: %s", log)
	}
}

// TestSampleIsLeftAlone: what somebody changed about the sample stays changed over a restart, and a
// client that can have no further secret does not keep the server from starting.
func TestSampleIsLeftAlone(t *testing.T) {
	c := devConfig(t)
	c.Issuer = "http://127.0.0.1:1"
	by := audit.Origin{Actor: audit.System("test")}
	s := startTest(t, c, options{})
	if _, err := s.registry.SetClientDisabled(t.Context(), by, sampleClient, true); err != nil {
		t.Fatal(err)
	}
	for { // until it is full
		_, _, _, err := s.registry.AddSecret(t.Context(), by, sampleClient, authz.SecretSpec{})
		if errors.Is(err, authz.ErrTooManySecrets) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Close(), os.Remove(s.sampleFile())); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	s = startTest(t, c, options{log: newLog(log, c.Log)})
	if client, err := s.registry.Client(t.Context(), sampleClient); err != nil || !client.Disabled {
		t.Errorf("disabled %v, %v", client.Disabled, err)
	}
	if !strings.Contains(log.String(), "make another secret for the sample client") {
		t.Errorf("the log says nothing of the secret: %s", log)
	}
}

// TestWithoutSample: the demo tells its own story.
func TestWithoutSample(t *testing.T) {
	s := startTest(t, devConfig(t), options{withoutSample: true})
	if list, err := s.registry.ListClients(t.Context(), authz.ClientQuery{Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestAdminHosts(t *testing.T) {
	for _, r := range []struct {
		listen string
		hosts  []string
		want   string
	}{
		{"127.0.0.1:1", nil, "127.0.0.1"},
		{"0.0.0.0:1", []string{"a.example"}, "a.example"},
		{"[::]:1", nil, ""},
		{":1", nil, ""},
		{"10.0.0.1:1", []string{"a.example"}, "10.0.0.1 a.example"},
		{"admin.example:1", nil, "admin.example"},
	} {
		got := strings.Join(adminHosts(configs.AdminConfig{Listen: r.listen, Hosts: r.hosts}, "https://as.example:8443/x"), " ")
		if got != strings.TrimSpace(r.want+" as.example") {
			t.Errorf("%s: got %q, want %q", r.listen, got, r.want)
		}
	}
}

func TestShellQuote(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	const hard = "it's $(a) `b` \"c\" \\ d"
	out, err := exec.Command(bash, "-c", "printf %s "+shellQuote(hard)).Output()
	if err != nil || string(out) != hard {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestDevIssuer: an address that no client can call is no issuer.
func TestDevIssuer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for listen, want := range map[string]string{
		"127.0.0.1:0": "http://127.0.0.1:" + port,
		"localhost:0": "http://localhost:" + port,
		"0.0.0.0:0":   "http://localhost:" + port,
		"[::]:0":      "http://localhost:" + port,
		":0":          "http://localhost:" + port,
		"[::1]:0":     "http://[::1]:" + port,
	} {
		s := &server{config: configs.Config{Listen: listen}, listener: l}
		if got := s.devIssuer(); got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
		if problem := configs.IssuerProblem(s.devIssuer(), true, ""); problem != "" {
			t.Errorf("%s: %s", listen, problem)
		}
	}
}

// TestResolved follows links as far as a path exists: a key file must not slip into the data folder
// by another name.
func TestResolved(t *testing.T) {
	dir := resolved(t.TempDir())
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "data"), 0o700), os.Symlink("data", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	data := configs.Config{Data: filepath.Join(dir, "data")}
	for file, inside := range map[string]bool{
		"data/kek": true, "link/kek": true, "link/../data/x/kek": true, "kek": false, "data-kek": false, "data": false, "x/kek": false,
	} {
		if err := checkOutside(data, filepath.Join(dir, file)); (err != nil) != inside {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestAppliedOutlivesItsCaller: an admin who hangs up after the commit does not keep a change from
// taking effect at once.
func TestAppliedOutlivesItsCaller(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute) // no look at the store by itself
	s := startTest(t, c, options{})
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	if err := s.applied(ctx); err != nil {
		t.Error(err)
	}
}

// TestRecordsOfANewerVersion: whichever part finds that the installation is too new, the message says
// what to do.
func TestRecordsOfANewerVersion(t *testing.T) {
	for _, err := range []error{keys.ErrNewerFormat, store.ErrNewerFormat} {
		got := place{name: "/d"}.unreadable(fmt.Errorf("read: %w", err))
		if !errors.Is(got, err) || !strings.Contains(got.Error(), "/d was made by a newer version of marque; run that version") {
			t.Errorf("got %v", got)
		}
	}
	if boom := errors.New("boom"); !errors.Is(place{}.unreadable(boom), boom) || (place{}).unreadable(nil) != nil {
		t.Error("other errors must stay as they are")
	}
}

func TestMadeForAnotherAddress(t *testing.T) {
	for _, r := range []struct {
		issuer, given string
		tls           bool
		want          string
	}{
		{"http://127.0.0.1:18080", "", false, "start with --listen 127.0.0.1:18080, or"},
		{"http://[::1]:18080", "", false, "start with --listen [::1]:18080, or"},
		{"https://localhost:1", "", true, "start with --listen localhost:1, or"},
		{"https://localhost:1", "", false, "start with --issuer https://localhost:1, or"}, // the scheme differs
		{"http://as.example", "", false, "start with --issuer http://as.example, or"},
		{"http://127.0.0.1:1", "http://127.0.0.1:2", false, "start with --issuer http://127.0.0.1:1, or"},
	} {
		c := configs.Config{Issuer: r.given}
		if r.tls {
			c.TLS.CertFile = "cert.pem"
		}
		if got := newBackend(c).place().madeFor(r.issuer, c).Error(); !strings.Contains(got, r.want) {
			t.Errorf("%s: got %q, want %q", r.issuer, got, r.want)
		}
	}
}

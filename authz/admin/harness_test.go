package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/marque-auth/marque/authz/audit"
)

// server is the real thing: handler, listener, registry, token server, key ring and embedded store.
type server struct {
	*world
	t      *testing.T
	socket string // of the unix listener
	base   string // of URLs
	bearer string // the access token that every request brings; over TCP
	http   *http.Client
	doc    *document
}

// option changes what a server is made of before it starts.
type option func(*Config)

// start serves on a unix socket.
func start(t *testing.T, options ...option) *server {
	t.Helper()
	w := newWorld(t)
	c := w.config
	for _, o := range options {
		o(&c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{world: w, t: t, base: "http://localhost", doc: loadDocument(t)}
	s.socket = filepath.Join(shortDir(t), "admin.sock")
	l, err := ListenUnix(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, &http.Server{Handler: h, ConnContext: ConnContext})
	s.http = &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(s.http.CloseIdleConnections)
	return s
}

// startTCP serves over TCP on loopback. Nil options leave the defaults: the world's own server judges
// tokens.
func startTCP(t *testing.T, w *world, options ...func(*TCPConfig)) *server {
	t.Helper()
	over := TCPConfig{Authenticate: w.tokens.Admin, Now: w.now}
	for _, o := range options {
		o(&over)
	}
	h, err := NewTCP(w.config, over)
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, &http.Server{Handler: h})
	s := &server{world: w, t: t, base: "http://" + l.Addr().String(), doc: loadDocument(t)}
	s.http = &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(s.http.CloseIdleConnections)
	return s
}

// with returns the server as the bearer of a token sees it.
func (s *server) with(token string) *server {
	c := *s
	c.bearer = token
	return &c
}

func serve(t *testing.T, l net.Listener, srv *http.Server) {
	t.Helper()
	srv.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
}

func secretBytes() (b [32]byte) {
	_, _ = rand.Read(b[:])
	return b
}

// ownUID is the actor that the tests are.
func ownUID() string { return strconv.Itoa(os.Getuid()) }

// shortDir is a private folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mrq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// entries returns the audit log.
func (w *world) entries() []audit.Entry {
	w.t.Helper()
	entries, _, err := w.store.Entries(w.t.Context(), "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return entries
}

// lastEntry returns the newest audit entry of an action.
func (s *server) lastEntry(action string) audit.Entry {
	s.t.Helper()
	for _, e := range slices.Backward(s.entries()) {
		if e.Action == action {
			return e
		}
	}
	s.t.Fatalf("no audit entry of %s", action)
	return audit.Entry{}
}

// answer is a response that was checked against the document.
type answer struct {
	t      *testing.T
	Status int
	Header http.Header
	Body   []byte
}

type header map[string]string

// do sends a request with a body (nil: none) that is marshalled unless it is a string.
func (s *server) do(method, path string, body any, more ...header) answer {
	s.t.Helper()
	req := s.request(method, path, body, more...)
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Body = io.NopCloser(bytes.NewReader(raw))
	return s.send(req, raw)
}

// request makes a request as do sends it.
func (s *server) request(method, path string, body any, more ...header) *http.Request {
	s.t.Helper()
	raw := []byte{}
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			s.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+s.bearer)
	}
	for _, h := range more {
		for name, value := range h {
			req.Header.Set(name, value)
		}
	}
	return req
}

// send checks what must hold for every answer, and the answer against the document.
func (s *server) send(req *http.Request, sent []byte) answer {
	t := s.t
	t.Helper()
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{t, resp.StatusCode, resp.Header, body}
	a.checkManners()
	s.doc.check(t, req, sent, a)
	return a
}

func (a answer) checkManners() {
	a.t.Helper()
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		a.t.Errorf("Cache-Control = %q, want no-store", got)
	}
	if a.Header.Get("X-Request-Id") == "" {
		a.t.Error("no X-Request-Id")
	}
	if a.Status < 400 || len(a.Body) == 0 {
		return
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("Content-Type of status %d = %q, want application/problem+json", a.Status, got)
	}
	p := a.problem()
	if p.Status != a.Status || p.RequestID != a.Header.Get("X-Request-Id") || p.Type != "about:blank" || p.Title != http.StatusText(a.Status) {
		a.t.Errorf("problem %+v does not fit status %d, request %q", p, a.Status, a.Header.Get("X-Request-Id"))
	}
}

type problemBody struct {
	Type, Title, Detail string
	Status              int
	RequestID           string `json:"request_id"`
	Errors              []struct{ Field, Rule string }
}

func (a answer) problem() (p problemBody) {
	a.t.Helper()
	a.decode(&p)
	return p
}

func (a answer) decode(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.Body, v); err != nil {
		a.t.Fatalf("%v in %s", err, a.Body)
	}
}

// want fails the test at once unless the status is as expected.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.Status != status {
		a.t.Fatalf("status = %d, want %d: %s", a.Status, status, a.Body)
	}
	return a
}

// wantDetail fails unless the answer is a problem with this status and text.
func (a answer) wantDetail(status int, detail string) {
	a.t.Helper()
	if got := a.want(status).problem().Detail; got != detail {
		a.t.Errorf("detail %q, want %q", got, detail)
	}
}

// wantFields fails unless the answer is a 400 that names exactly these fields, in any order.
func (a answer) wantFields(fields ...string) {
	a.t.Helper()
	var got []string
	for _, e := range a.want(http.StatusBadRequest).problem().Errors {
		got = append(got, e.Field)
		if e.Rule == "" {
			a.t.Errorf("no rule for %s", e.Field)
		}
	}
	slices.Sort(got)
	slices.Sort(fields)
	if !slices.Equal(got, fields) {
		a.t.Errorf("fields = %q, want %q: %s", got, fields, a.Body)
	}
}

// object returns the body as a JSON object.
func (a answer) object() (m map[string]any) {
	a.t.Helper()
	a.decode(&m)
	return m
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

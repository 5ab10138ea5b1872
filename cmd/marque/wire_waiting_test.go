package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// wantNothingRunning fails the test if a goroutine is left when all that it will clean up is.
func wantNothingRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// starting is a start that goes on in the background.
type starting struct {
	config configs.Config
	log    *logBuffer
	cancel context.CancelFunc
	done   chan started
}

type started struct {
	s   *server
	err error
}

// begin starts a server whose Redis is away, on addresses that are known beforehand, and returns once it
// waits.
func begin(t *testing.T, redis string) *starting {
	t.Helper()
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	b := &starting{config: nodeConfig(t, redis), log: &logBuffer{}, done: make(chan started, 1)}
	b.config.Listen, b.config.Admin.Listen = ports[0], ports[1]
	ctx, cancel := context.WithCancel(t.Context())
	b.cancel = cancel
	t.Cleanup(cancel)
	go func() {
		s, err := start(ctx, b.config, options{log: newLog(b.log, b.config.Log)})
		b.done <- started{s, err}
	}()
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		return strings.Contains(b.log.String(), "waiting for the store")
	})
	return b
}

// asked sends a request over a connection of its own and returns the answer with its body.
func asked(t *testing.T, dial func() (net.Conn, error), method, path string) (*http.Response, string) {
	t.Helper()
	var conn net.Conn
	waitFor(t, func() (ok bool) { // it listens before it waits, and answers right after
		var err error
		conn, err = dial()
		return err == nil
	})
	defer conn.Close()
	return ask(t, conn, bufio.NewReader(conn), method, path)
}

func ask(t *testing.T, conn net.Conn, from *bufio.Reader, method, path string) (*http.Response, string) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", method, path); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

func dialing(network, address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial(network, address) }
}

// TestWaiting_RedisArrives: a server whose Redis is away says so to everybody, and starts when it comes, on
// the very connections that it had.
func TestWaiting_RedisArrives(t *testing.T) {
	wantNothingRunning(t)
	redis := redistest.Start(t)
	redis.Kill()
	b := begin(t, redis.Addr)
	public := dialing("tcp", b.config.Listen)
	for _, r := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/healthz", 200},
		{"HEAD", "/healthz", 200},
		{"POST", "/healthz", 405},
		{"GET", "/readyz", 503},
		{"GET", "/.well-known/jwks.json", 503},
		{"GET", "/nothing", 503},
		{"DELETE", "/oauth2/token", 503},
	} {
		got, body := asked(t, public, r.method, r.path)
		again := got.Header.Get("Retry-After")
		if got.StatusCode != r.status || (again != "") != (r.status == 503) || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %s %v", r.method, r.path, got.Status, got.Header)
		}
		told := ""
		if r.path == "/readyz" {
			told = "not ready: waiting_for_store: the server waits for its store, and starts when that is there\n"
		}
		if r.status == 503 && body != told {
			t.Errorf("%s %s: a stranger is told %q", r.method, r.path, body)
		}
	}
	for _, r := range []struct {
		name string
		dial func() (net.Conn, error)
		why  bool
	}{
		{"socket", dialing("unix", filepath.Join(b.config.Data, socketName)), true},
		{"admin", dialing("tcp", b.config.Admin.Listen), false},
	} {
		got, body := asked(t, r.dial, "GET", "/admin/v1/clients")
		var p client.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || got.StatusCode != 503 || got.Header.Get("Retry-After") == "" ||
			got.Header.Get("Content-Type") != "application/problem+json" || p.Status != 503 || p.RequestID != got.Header.Get("X-Request-Id") {
			t.Errorf("%s: %s %v %s", r.name, got.Status, got.Header, body)
		}
		if strings.Contains(body, redis.Addr) != r.why {
			t.Errorf("%s: %s", r.name, body)
		}
	}

	kept, err := public()
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	from := bufio.NewReader(kept)
	if got, _ := ask(t, kept, from, "GET", "/readyz"); got.StatusCode != 503 {
		t.Errorf("before: %s", got.Status)
	}
	redis.Restart()
	done := <-b.done
	if done.err != nil {
		t.Fatal(done.err)
	}
	waitReady(t, done.s)
	if got, body := ask(t, kept, from, "GET", "/readyz"); got.StatusCode != 200 {
		t.Errorf("after: %s %s", got.Status, body)
	}
	if got, _ := asked(t, dialing("unix", done.s.Socket()), "GET", "/admin/v1/clients"); got.StatusCode != 200 {
		t.Errorf("the socket: %s", got.Status)
	}
	if log := b.log.String(); strings.Count(log, "waiting for the store;") != 1 || !strings.Contains(log, redis.Addr) || !strings.Contains(log, "the store is there") {
		t.Errorf("the log: %s", log)
	}
	// What serves ends before what it needs.
	var names []string
	for _, c := range done.s.closers {
		names = append(names, c.name)
	}
	if at := slices.Index(names, socketServer); at < slices.Index(names, "the follower") || !slices.Equal(names[at:], []string{socketServer, adminServer, publicServer, feedBeat, feedStreams}) {
		t.Errorf("ends in reverse order of %v", names)
	}
	if err := done.s.Close(); err != nil {
		t.Error(err)
	}
}

// TestWaiting_Stopped: a server that waits ends when it is told to, and leaves nothing.
func TestWaiting_Stopped(t *testing.T) {
	wantNothingRunning(t)
	redis := redistest.Start(t)
	redis.Kill()
	b := begin(t, redis.Addr)
	b.cancel()
	if done := <-b.done; !errors.Is(done.err, errStopped) {
		t.Errorf("%v, %v", done.s, done.err)
	}
	if conn, err := net.Dial("tcp", b.config.Listen); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	if _, err := os.Lstat(filepath.Join(b.config.Data, socketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	release, err := lockFolder(b.config.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// TestWaiting_ThenRefused: what a Redis turns out to be when it comes is judged as if it had been there.
func TestWaiting_ThenRefused(t *testing.T) {
	redis := redistest.Start(t)
	c := nodeConfig(t, redis.Addr)
	if err := startTest(t, c, options{withoutSample: true}).Close(); err != nil {
		t.Fatal(err)
	}
	redis.Kill()
	b := begin(t, redis.Addr) // a folder without the key
	redis.Restart()
	if done := <-b.done; done.err == nil || !strings.Contains(done.err.Error(), "nothing in redis "+redis.Addr) {
		t.Errorf("%v, %v", done.s, done.err)
	}
}

// interrupted is a store that is silent the first few times that rings are read.
type interrupted struct {
	store.Store
	left atomic.Int64
}

func (i *interrupted) Rings(ctx context.Context) ([]keys.RingRecord, error) {
	if i.left.Add(-1) >= 0 {
		return nil, fmt.Errorf("read the rings: %w", io.EOF)
	}
	return i.Store.Rings(ctx)
}

// TestWaiting_BetweenTwoSteps: a Redis that goes away in the middle of a start is waited for, too.
func TestWaiting_BetweenTwoSteps(t *testing.T) {
	c := nodeConfig(t, redistest.Start(t).Addr)
	log := &logBuffer{}
	away := &interrupted{}
	away.left.Store(3)
	s := startTest(t, c, options{log: newLog(log, c.Log), storeAs: func(inner store.Store) store.Store {
		away.Store = inner
		return away
	}})
	waitReady(t, s)
	if text := log.String(); strings.Count(text, "waiting for the store;") != 1 || strings.Count(text, "the store is there") != 1 {
		t.Errorf("the log: %s", text)
	}
	if got := status(t, http.DefaultClient, "http://"+s.Address()+"/readyz"); got != 200 {
		t.Errorf("/readyz is %d", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestWaiting_TheEmbeddedStoreIsNotAwaited: whoever has the file is not going to leave it to us.
func TestWaiting_TheEmbeddedStoreIsNotAwaited(t *testing.T) {
	c := devConfig(t)
	away := &interrupted{}
	away.left.Store(1)
	s, err := start(t.Context(), c, options{storeAs: func(inner store.Store) store.Store {
		away.Store = inner
		return away
	}})
	if !errors.Is(err, io.EOF) {
		t.Errorf("%v, %v", s, err)
	}
}

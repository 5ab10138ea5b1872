//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// proxied is a gate, a proxy of the kind that a test names, and an API that tells what reached it.
type proxied struct {
	gate *gateServer
	url  string // of the proxy
	api  *echo
}

// echo is an API that keeps the header of the last request.
type echo struct {
	*httptest.Server
	mu      sync.Mutex
	calls   int
	header  http.Header
	trailer http.Header
	uri     string
}

func newEcho(t testing.TB) *echo {
	t.Helper()
	e := &echo{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.calls, e.header, e.trailer, e.uri = e.calls+1, r.Header.Clone(), r.Trailer.Clone(), r.RequestURI
		e.mu.Unlock()
		if status := r.URL.Query().Get("answer"); status != "" {
			w.Header().Set("WWW-Authenticate", "Own")
			w.WriteHeader(int(status[0]-'0')*100 + int(status[1]-'0')*10 + int(status[2]-'0'))
		}
		fmt.Fprintf(w, "%s %d", r.Method, len(body))
	}))
	t.Cleanup(e.Close)
	return e
}

// seen returns how many calls there were, and what the last one brought.
func (e *echo) seen() (calls int, header http.Header, uri string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls, e.header, e.uri
}

func (e *echo) address() string { return strings.TrimPrefix(e.URL, "http://") }

// proxies are the kinds that are started for real, each from the files that are shipped.
var proxies = map[string]func(t testing.TB, gate, api string) (url string){"nginx": startNginx, "haproxy": startHAProxy}

func startNginx(t testing.TB, gate, api string) string { return startNginxWith(t, gate, api, nil) }

// startNginxWith starts nginx with the sample, in which more texts are replaced.
func startNginxWith(t testing.TB, gate, api string, more map[string]string) string {
	t.Helper()
	binary := requireProxy(t, "nginx", "nginx-light")
	return startProxy(t, func(at string) *exec.Cmd {
		replace := nginxForTests(gate, api, at)
		maps.Copy(replace, more)
		dir := shipped(t, "nginx", replace)
		return exec.Command(binary, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	})
}

// nginxForTests is what a test replaces in the sample: addresses, and folders that are nginx's own otherwise.
func nginxForTests(gate, api, at string) map[string]string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root; " // who else could not write into the test's folder
	}
	return map[string]string{
		"127.0.0.1:9180": gate, "127.0.0.1:9000": api, "127.0.0.1:8000": at,
		"worker_processes auto;": user + "worker_processes 1; daemon off; pid nginx.pid; error_log stderr;",
		"http {": "http {\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;" +
			" uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n",
	}
}

func startHAProxy(t testing.TB, gate, api string) string { return startHAProxyWith(t, gate, api, nil) }

// startHAProxyWith starts HAProxy with the sample, in which more texts are replaced.
func startHAProxyWith(t testing.TB, gate, api string, more map[string]string) string {
	t.Helper()
	binary := requireProxy(t, "haproxy", "haproxy")
	return startProxy(t, func(at string) *exec.Cmd {
		replace := map[string]string{"127.0.0.1:9180": gate, "127.0.0.1:9000": api, "127.0.0.1:8000": at}
		maps.Copy(replace, more)
		c := exec.Command(binary, "-db", "-f", "haproxy.cfg")
		c.Dir = shipped(t, "haproxy", replace)
		return c
	})
}

// requireProxy skips a test for want of a program, or fails it where CI is set.
func requireProxy(t testing.TB, name, debian string) string {
	t.Helper()
	for _, place := range []string{name, "/usr/sbin/" + name} { // which is not on every user's PATH
		if path, err := exec.LookPath(place); err == nil {
			return path
		}
	}
	missing := name + " is missing: install it (Debian: apt-get install " + debian + ")"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// shipped copies a folder of samples, with some texts replaced, each of which must be there.
func shipped(t testing.TB, name string, replace map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join("../../configs", name, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	missing := maps.Clone(replace)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for old, now := range replace {
			if strings.Contains(text, old) {
				delete(missing, old)
			}
			text = strings.ReplaceAll(text, old, now)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(missing) > 0 {
		t.Fatalf("the samples for %s do not hold %q", name, missing)
	}
	return dir
}

func freePort(t testing.TB) string {
	t.Helper()
	all, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// proxyTries is how often a proxy is started: a port that was free may be taken by the time it is asked for.
const proxyTries = 3

// startProxy runs a proxy until the test ends, and returns its URL once it listens at the address that prepare was
// given.
func startProxy(t testing.TB, prepare func(at string) *exec.Cmd) string {
	t.Helper()
	var err error
	for range proxyTries {
		at := freePort(t)
		if err = tryProxy(t, at, prepare(at)); err == nil {
			return "http://" + at
		}
	}
	t.Fatal(err)
	return ""
}

func tryProxy(t testing.TB, at string, c *exec.Cmd) error {
	t.Helper()
	log := &logBuffer{}
	c.Stdout, c.Stderr = log, log
	// It ends with the test's process, even if that is killed. Linux ends the child with the thread that made it, so
	// this one waits for it.
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Start()
		started <- err
		if err == nil {
			ended <- c.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = c.Process.Kill()
			t.Errorf("%s does not end", c.Path)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", c.Path, log)
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			return conn.Close()
		}
		select {
		case why := <-ended:
			ended <- why
			return fmt.Errorf("%s ended: %v\n%s", c.Path, why, log)
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not listen: %v\n%s", c.Path, err, log)
		}
	}
}

// raw sends a request as it is written, and returns the answer.
func raw(t testing.TB, proxy, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(proxy, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, conn, strings.HasPrefix(request, "HEAD"))
}

func readAnswer(t testing.TB, conn net.Conn, head bool) *http.Response {
	t.Helper()
	r := &http.Request{Method: http.MethodGet}
	if head {
		r.Method = http.MethodHead
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body = io.NopCloser(bytes.NewReader(b))
	return res
}

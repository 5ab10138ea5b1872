package endpoint_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
)

// These tests write octets: what an HTTP client of good manners would never send.

// dial opens a TLS connection to the server.
func (s *stack) dial(edit func(*tls.Config)) (net.Conn, error) {
	pool := x509.NewCertPool()
	pool.AddCert(s.ts.Certificate())
	c := &tls.Config{RootCAs: pool, ServerName: "example.com"}
	edit(c)
	return tls.Dial("tcp", s.ts.Listener.Addr().String(), c)
}

// wire is one TLS connection.
type wire struct {
	s *stack
	net.Conn
	r *bufio.Reader
}

func (s *stack) wire() *wire {
	s.t.Helper()
	conn, err := s.dial(func(*tls.Config) {})
	check(s.t, err)
	check(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	s.t.Cleanup(func() { conn.Close() })
	return &wire{s, conn, bufio.NewReader(conn)}
}

// write sends text; the error is for those who want to know when the server stopped reading.
func (w *wire) write(text string) error {
	_, err := io.WriteString(w, text)
	return err
}

func (w *wire) read() reply {
	w.s.t.Helper()
	res, err := http.ReadResponse(w.r, nil)
	check(w.s.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(w.s.t, err)
	if res.Close {
		res.Header.Set("Connection", "close")
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// head is the header of B0 with further lines.
func (s *stack) head(lines ...string) string {
	return "POST /oauth2/token HTTP/1.1\r\nHost: as.example\r\nContent-Type: application/x-www-form-urlencoded\r\nAuthorization: " +
		basic("c1", s.secret) + "\r\n" + strings.Join(append(lines, "", ""), "\r\n")
}

const b0Body = "grant_type=client_credentials&scope=read&resource=https%3A%2F%2Fapi.example"

func TestTOK01_TLS12OrNewer(t *testing.T) {
	s := newStack(t)
	if s.ts.Config.TLSConfig.MinVersion < tls.VersionTLS12 { // the list of suites must not be what saves us
		t.Error("MinVersion")
	}
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := s.dial(func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		if err == nil {
			conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	conn, err := s.dial(func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
	})
	if err == nil {
		conn.Close()
		t.Error("a suite without authenticated encryption")
	}
}

func TestTOK01_PlainHTTPToTheTLSPort(t *testing.T) {
	s := newStack(t)
	conn, err := net.Dial("tcp", s.ts.Listener.Addr().String())
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	fmt.Fprint(conn, s.head(fmt.Sprintf("Content-Length: %d", len(b0Body)))+b0Body)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // refused without an answer
	}
	defer res.Body.Close()
	if res.StatusCode < 400 || res.StatusCode > 499 || res.Header.Get("Location") != "" {
		t.Errorf("%d, Location %q", res.StatusCode, res.Header.Get("Location"))
	}
}

func TestTKE10_TwoContentTypes(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	check(t, w.write(s.head("Content-Type: text/plain", fmt.Sprintf("Content-Length: %d", len(b0Body)))+b0Body))
	s.wantError(w.read(), 400, authz.InvalidRequest)
}

func TestTKE37_TwoAuthorizationFields(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	check(t, w.write(s.head("authorization: "+basic("c1", s.secret), fmt.Sprintf("Content-Length: %d", len(b0Body)))+b0Body))
	s.wantError(w.read(), 400, authz.InvalidRequest)
}

func TestTKE12_DeclaredLengthOverTheLimit(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	check(t, w.write(s.head("Content-Length: 65537"))) // and not one octet of the body
	r := w.read()
	s.wantError(r, 413, authz.InvalidRequest)
	if r.header.Get("Connection") != "close" {
		t.Error("the connection is kept")
	}
}

func TestTOK10_TKE12_ChunkedOverTheLimit(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	check(t, w.write(s.head("Transfer-Encoding: chunked")))
	chunk := "400\r\n" + strings.Repeat("x", 1024) + "\r\n"
	for range 65 { // 64 KiB and one chunk; the body goes on, for all the server knows
		check(t, w.write(chunk))
	}
	r := w.read()
	s.wantError(r, 413, authz.InvalidRequest)
	if r.header.Get("Connection") != "close" {
		t.Error("the connection is kept")
	}
}

func TestTOK10_TKE12_HeaderOverTheLimit(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	// The server answers before it has read everything, so the rest may find no reader.
	_ = w.write(s.head("X-Long: "+strings.Repeat("x", 32<<10), "Content-Length: 0"))
	if r := w.read(); r.status != 431 {
		t.Errorf("%d", r.status)
	}
}

func TestToken_ExpectContinueIsRefusedBeforeTheBody(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	check(t, w.write(s.head("Expect: 100-continue", "Content-Length: 70000")))
	s.wantError(w.read(), 413, authz.InvalidRequest)

	w = s.wire()
	check(t, w.write(s.head("Expect: 100-continue", fmt.Sprintf("Content-Length: %d", len(b0Body)))))
	if r := w.read(); r.status != 100 {
		t.Fatalf("%d, want 100 Continue", r.status)
	}
	check(t, w.write(b0Body))
	s.accept(w.read())
}

// A body that ends before its declared length is no request, whatever its beginning says.
func TestToken_TruncatedBody(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	check(t, w.write(s.head(fmt.Sprintf("Content-Length: %d", len(b0Body)+10))+b0Body))
	check(t, w.Conn.(*tls.Conn).CloseWrite())
	r := w.read()
	s.wantError(r, 400, authz.InvalidRequest)
}

func TestToken_TwoRequestsOnOneConnection(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	one := s.head(fmt.Sprintf("Content-Length: %d", len(b0Body))) + b0Body
	bad := s.head("Content-Length: 3") + "a;b"
	check(t, w.write(bad+one+bad+one))
	s.wantError(w.read(), 400, authz.InvalidRequest)
	s.accept(w.read())
	s.wantError(w.read(), 400, authz.InvalidRequest)
	s.accept(w.read())
}

func TestToken_OverHTTP2(t *testing.T) {
	s := newStack(t, func(c *settings) { c.http2 = true })
	s.issued()
	s.refused(413, authz.InvalidRequest, raw("x="+strings.Repeat("y", 64<<10)))
	s.issued()
	if r := s.get("/healthz"); r.status != 200 {
		t.Errorf("%d", r.status)
	}
}

func TestToken_TargetInAbsoluteForm(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	head := strings.Replace(s.head(fmt.Sprintf("Content-Length: %d", len(b0Body))), "POST /", "POST http://evil.example/", 1)
	check(t, w.write(head+b0Body))
	_, claims := s.accept(w.read())
	if claims.Issuer != s.issuer {
		t.Errorf("issuer %q", claims.Issuer)
	}
}

func TestServer_OptionsAsteriskDoesNotExist(t *testing.T) {
	s := newStack(t)
	w := s.wire()
	check(t, w.write("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"))
	if r := w.read(); r.status != 404 || r.header.Get("X-Request-Id") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
}

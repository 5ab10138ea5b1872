package redistest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store/redistest"
)

func set(t *testing.T, c *redis.Client, key, value string) {
	t.Helper()
	if err := c.Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, c *redis.Client, key, want string) {
	t.Helper()
	if got, err := c.Get(t.Context(), key).Result(); err != nil || got != want {
		t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
	}
}

func refused(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

func TestStart_ListensOnLoopbackAlone(t *testing.T) {
	s := redistest.Start(t)
	if host, _, err := net.SplitHostPort(s.Addr); err != nil || host != "127.0.0.1" {
		t.Errorf("it listens on %q, %v", s.Addr, err)
	}
	for setting, want := range map[string]string{
		"bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "everysec", "dir": s.Dir(), "maxmemory-policy": "noeviction",
	} {
		got, err := s.Client().ConfigGet(t.Context(), setting).Result()
		if err != nil || got[setting] != want {
			t.Errorf("%s: got %q, %v, want %q", setting, got[setting], err, want)
		}
	}
}

func TestStart_EndsWithItsTest(t *testing.T) {
	var alone, paused *redistest.Server
	t.Run("short", func(t *testing.T) {
		alone, paused = redistest.Start(t), redistest.Start(t)
		paused.Pause()
	})
	for _, s := range []*redistest.Server{alone, paused} {
		if !refused(s.Addr) {
			t.Errorf("%s still listens", s.Addr)
		}
		if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", s.Dir(), err)
		}
	}
}

func TestStart_SaysWhyItFails(t *testing.T) {
	redistest.Require(t)
	got := judge(t, func(t testing.TB) { redistest.Start(t, redistest.Args("--no-such-setting", "1")) })
	if got.verdict != "fatal" || !strings.Contains(got.said, "Bad directive") {
		t.Errorf("got %s, %q, want the log of redis-server", got.verdict, got.said)
	}
}

func TestServer_KillAndRestartKeepWhatWasAppended(t *testing.T) {
	s := redistest.Start(t)
	addr, c := s.Addr, s.Client()
	set(t, c, "k", "v")
	s.Kill()
	if !refused(addr) {
		t.Error("it listens after Kill")
	}
	s.Kill() // a second time is nothing
	s.Restart()
	if s.Addr != addr {
		t.Errorf("it moved from %s to %s", addr, s.Addr)
	}
	wantValue(t, s.Client(), "k", "v")
}

func TestServer_RestartWithoutKill(t *testing.T) {
	s := redistest.Start(t)
	set(t, s.Client(), "k", "v")
	before := s.Client().Info(t.Context(), "server").Val()
	s.Restart()
	wantValue(t, s.Client(), "k", "v")
	if s.Client().Info(t.Context(), "server").Val() == before {
		t.Error("it is the same process")
	}
}

// A stranger may have the port for a moment: redis-server ends at once then.
func TestServer_RestartWaitsForItsPort(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_ = conn.Close()
			if strings.Contains(s.LogTail(), "Address already in use") {
				_ = l.Close()
			}
		}
	}()
	s.Restart()
	<-left
	set(t, s.Client(), "k", "v")
}

func TestServer_StopIsInOrder(t *testing.T) {
	s := redistest.Start(t)
	s.Pause() // one that is paused can be stopped
	s.Stop()
	if !refused(s.Addr) {
		t.Error("it listens after Stop")
	}
	if !strings.Contains(s.LogTail(), "bye bye") {
		t.Errorf("it did not take its leave:\n%s", s.LogTail())
	}
}

func TestServer_PauseAndResume(t *testing.T) {
	s := redistest.Start(t)
	c := s.Client()
	set(t, c, "k", "v")
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Ping(ctx).Err(); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("paused: got %v, want no answer", err)
	}
	s.Resume()
	wantValue(t, s.Client(), "k", "v")
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestNoPersistence(t *testing.T) {
	s := redistest.Start(t, redistest.NoPersistence())
	set(t, s.Client(), "k", "v")
	s.Restart()
	if n, err := s.Client().DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys after a restart, %v", n, err)
	}
}

func TestArgs_Win(t *testing.T) {
	s := redistest.Start(t, redistest.Args("--appendfsync", "always"), redistest.Args("--maxmemory", "10mb"))
	for range 2 {
		got, err := s.Client().ConfigGet(t.Context(), "*").Result()
		if err != nil || got["appendfsync"] != "always" || got["maxmemory"] != "10485760" {
			t.Errorf("got %q, %q, %v", got["appendfsync"], got["maxmemory"], err)
		}
		s.Restart()
	}
}

// as connects in another role than the harness.
func as(t *testing.T, s *redistest.Server, o redis.Options) *redis.Client {
	t.Helper()
	o.Addr, o.MaxRetries = s.Addr, -1
	c := redis.NewClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPassword(t *testing.T) {
	s := redistest.Start(t, redistest.Password(`with "quotes" and \`))
	wantError(t, as(t, s, redis.Options{}).Ping(t.Context()).Err(), "NOAUTH")
	c := as(t, s, redis.Options{Password: `with "quotes" and \`})
	set(t, c, "k", "v")
	s.Restart()
	wantValue(t, s.Client(), "k", "v")
}

func TestACL(t *testing.T) {
	s := redistest.Start(t, redistest.ACL("app", "on >secret ~app:* +@all"), redistest.ACL("default", "off"))
	wantError(t, as(t, s, redis.Options{}).Ping(t.Context()).Err(), "NOAUTH")
	c := as(t, s, redis.Options{Username: "app", Password: "secret"})
	set(t, c, "app:k", "v")
	wantError(t, c.Get(t.Context(), "k").Err(), "NOPERM")
}

func TestTLS(t *testing.T) {
	cert, key, ca := redistest.Certificate(t, "127.0.0.1")
	s := redistest.Start(t, redistest.TLS(cert, key, ca), redistest.Args("--tls-auth-clients", "yes"))
	set(t, s.Client(), "k", "v")
	if err := as(t, s, redis.Options{}).Ping(t.Context()).Err(); err == nil {
		t.Error("it answers in clear text")
	}
	known := trusting(t, ca)
	if err := as(t, s, redis.Options{TLSConfig: known}).Ping(t.Context()).Err(); err == nil {
		t.Error("it answers without a certificate")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	known.Certificates = []tls.Certificate{pair}
	if err := as(t, s, redis.Options{TLSConfig: known}).Ping(t.Context()).Err(); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
}

func TestCertificate_ForOneHost(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "redis.example"} {
		cert, key, ca := redistest.Certificate(t, host)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		for name, good := range map[string]bool{host: true, "other.example": false, "127.0.0.2": false} {
			_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool(t, ca)})
			if (err == nil) != good {
				t.Errorf("certificate for %s, taken for %s's: %v", host, name, err)
			}
		}
	}
}

func trusting(t *testing.T, ca string) *tls.Config {
	t.Helper()
	return &tls.Config{RootCAs: pool(t, ca)}
}

func pool(t *testing.T, ca string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", ca)
	}
	return p
}

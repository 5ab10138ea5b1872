package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/marque-auth/marque/configs"
)

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestLogHasNoSecrets puts the sample's secret wherever a confused client might, and reads the log.
func TestLogHasNoSecrets(t *testing.T) {
	c := devConfig(t)
	c.Log.Level = "debug"
	log := &logBuffer{}
	s := startTest(t, c, options{log: newLog(log, c.Log)})
	good := sampleForm(t, s)
	secret := good.Get("client_secret")
	var token string
	for _, form := range []url.Values{
		good,
		{"grant_type": {"client_credentials"}, "client_id": {secret}, "client_secret": {"acme"}},
		{"grant_type": {secret}, "client_id": {"acme"}, "client_secret": {secret + "x"}},
		{"grant_type": {"client_credentials"}, "client_id": {"acme"}, "client_secret": {secret}, "scope": {secret}},
		{"grant_type": {"client_credentials"}, "client_id": {"acme"}, "client_secret": {secret}, "resource": {"https://" + secret}},
	} {
		r, err := http.PostForm("http://"+s.Address()+"/oauth2/token", form)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode == 200 {
			token = string(b)
		} else if strings.Contains(string(b), secret) {
			t.Errorf("the answer repeats the secret: %s", b)
		}
	}
	if token == "" {
		t.Error("not even the good request got a token")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Contains(text, secret) || strings.Contains(text, secret[len(secret)-40:]) || strings.Contains(text, "eyJ") {
		t.Errorf("the log holds a secret or a token:\n%s", text)
	}
}

// TestLogRedacts: what looks like a secret is cut out of messages, attributes, groups and errors.
func TestLogRedacts(t *testing.T) {
	const secret = "mrq_abcdefghijklmnop_0123456789"
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		log := newLog(&b, configs.LogConfig{Level: "debug", Format: format})
		log.With("a", secret).WithGroup("g").Error("x "+secret, "b", secret, "err", fmt.Errorf("y %s", secret), slog.Group("h", "c", secret))
		if strings.Contains(b.String(), secret) || !strings.Contains(b.String(), "redacted") {
			t.Errorf("%s: %s", format, b.String())
		}
	}
}

// TestLogLevels: a level that is set is obeyed.
func TestLogLevels(t *testing.T) {
	var b bytes.Buffer
	log := newLog(&b, configs.LogConfig{Level: "warn", Format: "text"})
	log.Info("quiet")
	log.Warn("loud")
	if got := b.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
		t.Error(got)
	}
}

package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store/boltstore"
)

// A backup is the store, with the entry that says who took it, and why.
func TestBackup(t *testing.T) {
	s := start(t)
	s.register(authz.ClientSpec{ID: "acme", Name: "Acme"})
	a := s.do("GET", "/admin/v1/backup", nil, header{"X-Marque-Reason": "nightly"}).want(200)
	if got := a.Header.Get("Content-Length"); got != fmt.Sprint(len(a.Body)) {
		t.Errorf("Content-Length %s, %d octets", got, len(a.Body))
	}
	path := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(path, a.Body, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := boltstore.OpenBackup(boltstore.Config{Path: path, Namespace: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
	e := s.lastEntry("store.backup")
	if e.Actor != (audit.Actor{Kind: audit.ActorUID, ID: ownUID()}) || e.Reason != "nightly" || e.RequestID != a.Header.Get("X-Request-Id") {
		t.Errorf("audit: %+v", e)
	}
	if log := s.log.String(); !strings.Contains(log, `"level":"INFO","msg":"admin request"`) || !strings.Contains(log, "GET /admin/v1/backup") {
		t.Errorf("the log says nothing of it: %s", log)
	}
	s.do("GET", "/admin/v1/backup?x=1", nil).wantFields("x")
	s.do("POST", "/admin/v1/backup", nil).want(405)
}

func TestBackup_Refused(t *testing.T) {
	for want, c := range map[int]struct {
		err    error
		detail string
	}{
		404: {fmt.Errorf("redis: %w", ErrNoBackup), noBackup},
		507: {fmt.Errorf("3 MiB are free: %w", ErrNoRoom), noRoom},
		503: {fmt.Errorf("bolt: %w", ErrBackups), manyBackups},
		500: {errors.New("disk on fire"), ""},
	} {
		s := start(t, func(c0 *Config) {
			c0.Backup = func(context.Context, audit.Origin) (Backup, error) { return Backup{}, c.err }
		})
		s.do("GET", "/admin/v1/backup", nil).wantDetail(want, c.detail)
	}
	over := startTCP(t, newWorld(t), func(c *TCPConfig) { c.Authenticate = gatekeeper }).with("good")
	over.do("GET", "/admin/v1/backup", nil).want(403)
	over.with("").do("GET", "/admin/v1/backup", nil).want(401)
	for _, e := range over.entries() {
		if e.Action == "store.backup" {
			t.Errorf("audit: %+v", e)
		}
	}
}

// A copy that cannot be read to its end is no answer that somebody could take for a backup.
func TestBackup_BreaksOff(t *testing.T) {
	closed := false
	broken := &brokenCopy{strings.NewReader(strings.Repeat("x", 100_000)), &closed}
	s := start(t, func(c *Config) {
		c.Backup = func(context.Context, audit.Origin) (Backup, error) { return Backup{broken, 1 << 20}, nil }
	})
	resp, err := s.http.Do(s.request("GET", "/admin/v1/backup", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || err == nil || strings.Trim(string(got), "x") != "" {
		t.Errorf("%s: %d octets, %v", resp.Status, len(got), err)
	}
	s.do("GET", "/admin/v1/status", nil).want(200)
	if !closed {
		t.Error("the copy was not closed")
	}
	if log := s.log.String(); !strings.Contains(log, "not taken to its end") || strings.Contains(log, "panicked") {
		t.Errorf("log: %s", log)
	}
}

type brokenCopy struct {
	io.Reader
	closed *bool
}

func (b *brokenCopy) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("the disk is gone")
	}
	return n, err
}

func (b *brokenCopy) Close() error { *b.closed = true; return nil }

package main

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
)

// wantFinding looks for a finding of that check and level whose subject or message holds the text.
func wantFinding(t *testing.T, all []finding, check string, level admin.Level, text string) {
	t.Helper()
	for _, f := range all {
		if f.Check == check && f.Level == level && strings.Contains(f.Subject+": "+f.Message, text) {
			if level != admin.LevelOK && f.Fix == "" {
				t.Errorf("%s: %q has no fix", check, f.Message)
			}
			return
		}
	}
	t.Errorf("no %s of %s says %q: %+v", level, check, text, all)
}

func wantNoErrors(t *testing.T, all []finding) {
	t.Helper()
	for _, f := range all {
		if f.Level == admin.LevelError {
			t.Errorf("%s %s: %s", f.Check, f.Subject, f.Message)
		}
	}
}

// movedClock is the machine's clock, moved.
type movedClock struct{ by time.Duration }

func (c *movedClock) now() time.Time { return time.Now().Add(c.by) }

// TestDoctor_OfAHealthyServer: it finds nothing, and changes nothing.
func TestDoctor_OfAHealthyServer(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	defer http.DefaultClient.CloseIdleConnections()
	before, _, err := s.store.Latest(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	all := s.examine(t.Context())
	wantNoErrors(t, all)
	wantFinding(t, all, "issuer", admin.LevelOK, "serves its own metadata")
	wantFinding(t, all, "records", admin.LevelWarning, "made by --dev")
	after, _, err := s.store.Latest(t.Context(), "", 1000)
	if err != nil || len(after) != len(before) {
		t.Errorf("the audit log had %d entries and has %d, %v", len(before), len(after), err)
	}
}

// TestDoctor_Resealed: a running server looks at the installation record as it is, not as it was when it started.
func TestDoctor_Resealed(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	defer http.DefaultClient.CloseIdleConnections()
	to := s.installation
	to.KEKID = "another"
	e := audit.Origin{Actor: audit.System("test")}.Done(s.now(), "test", "installation")
	if err := s.db.ReplaceInstallation(t.Context(), s.installation, to, e); err != nil {
		t.Fatal(err)
	}
	all := s.examine(t.Context())
	wantFinding(t, all, "kek", admin.LevelWarning, "was sealed by another")
	wantFinding(t, all, "records", admin.LevelError, "another key-encryption key")
}

// TestDoctor_Clock: a clock that is behind what was written, and keys that would be of the future.
func TestDoctor_Clock(t *testing.T) {
	clock := &movedClock{}
	c := devConfig(t)
	s := startTest(t, c, options{now: clock.now})
	clock.by = -time.Hour
	all := s.examine(t.Context())
	wantFinding(t, all, "clock", admin.LevelError, "behind")
	wantFinding(t, all, "clock", admin.LevelError, "published in the future")
}

// TestDoctor_Keys: what a timeline can suffer from.
func TestDoctor_Keys(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c := configs.Defaults(false)
	full := keys.Windows{PublishLead: 24 * time.Hour, RetireAfter: timelineConfig(c).StampedWindows().RetireAfter}
	key := func(kid string, published time.Duration, w keys.Windows) keys.Key {
		at := now.Add(published)
		return keys.Key{KeyID: kid, Algorithm: "ES256", Sealed: "x", CreatedAt: at, PublishedAt: at, Windows: w}
	}
	signing := func(k keys.Key, from time.Duration) keys.Key { k.SignFrom = now.Add(from); return k }
	old := signing(key("old", -40*24*time.Hour, full), -40*24*time.Hour)
	fresh := signing(key("fresh", -time.Hour, full), -time.Hour)
	next := key("next", -time.Hour, full)
	revoked := signing(key("gone", -time.Hour, full), -time.Hour)
	revoked.RevokedAt = now
	for _, r := range []struct {
		name  string
		keys  []keys.Key
		level admin.Level
		text  string
	}{
		{"healthy", []keys.Key{fresh, next}, admin.LevelOK, "fresh: ES256: signs since"},
		{"no next", []keys.Key{fresh}, admin.LevelWarning, "no next key"},
		{"overdue", []keys.Key{old, next}, admin.LevelError, "it was to be followed by the next key at 2026-11-12T12:00:00Z, a period of 720h"},
		{"nothing signs", []keys.Key{next}, admin.LevelError, "no key signs"},
		{"revoked", []keys.Key{revoked, signing(key("heir", -time.Minute, full), 0), next}, admin.LevelOK, "revoked at"},
		{"stamps shorter", []keys.Key{fresh, key("next", 0, keys.Windows{PublishLead: time.Hour, RetireAfter: full.RetireAfter})}, admin.LevelWarning, "shorter than the settings: lead 1h (now 24h)"},
		{"stamps longer", []keys.Key{fresh, key("next", 0, keys.Windows{PublishLead: 48 * time.Hour, RetireAfter: full.RetireAfter})}, admin.LevelOK, "earlier, longer settings still hold"},
		{"takes over", []keys.Key{fresh, signing(next, time.Hour)}, admin.LevelOK, "takes over at 2026-11-22T13:00:00Z"},
	} {
		d := &doctor{config: c, now: func() time.Time { return now }, server: &server{}}
		d.lookAtRing(keys.RingRecord{Algorithm: "ES256", Keys: r.keys, Version: 1})
		t.Run(r.name, func(t *testing.T) { wantFinding(t, d.all, "keys", r.level, r.text) })
	}
}

// Who rotates by hand is reminded.
func TestDoctor_KeysByHand(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c := configs.Defaults(false)
	c.Keys.Periods = []string{"RS256=0"}
	at := now.Add(-40 * 24 * time.Hour)
	key := keys.Key{KeyID: "old", Algorithm: "RS256", Sealed: "x", CreatedAt: at, PublishedAt: at, SignFrom: at}
	d := &doctor{config: c, now: func() time.Time { return now }, server: &server{}}
	d.lookAtRing(keys.RingRecord{Algorithm: "RS256", Keys: []keys.Key{key}, Version: 1})
	wantFinding(t, d.all, "keys", admin.LevelWarning, "has signed for 40 days; 30 are enough")
}

// TestDoctor_Certificate: expired, soon expired, for another host, not yet in use.
func TestDoctor_Certificate(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	c := configs.Defaults(false)
	c.TLS.CertFile, c.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	used, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	look := func(at time.Duration, issuer string) []finding {
		d := &doctor{config: c, now: func() time.Time { return time.Now().Add(at) }, issuer: issuer, server: &server{certificate: &used}}
		d.lookAtCertificate()
		return d.all
	}
	wantFinding(t, look(0, "https://127.0.0.1"), "tls", admin.LevelOK, "is valid until")
	wantFinding(t, look(50*time.Minute, "https://127.0.0.1"), "tls", admin.LevelWarning, "expires at")
	wantFinding(t, look(2*time.Hour, "https://127.0.0.1"), "tls", admin.LevelError, "expired at")
	wantFinding(t, look(-2*time.Hour, "https://127.0.0.1"), "tls", admin.LevelError, "not valid before")
	wantFinding(t, look(0, "https://as.example"), "tls", admin.LevelWarning, "is not for as.example")
	if err := os.Remove(c.TLS.CertFile); err != nil {
		t.Fatal(err)
	}
	wantFinding(t, look(0, "https://127.0.0.1"), "tls", admin.LevelError, "read the certificate")
	certificate(t, dir)
	wantFinding(t, look(0, "https://127.0.0.1"), "tls", admin.LevelWarning, "was renewed, and the server still uses")
	if err := os.Chmod(c.TLS.KeyFile, 0o604); err != nil {
		t.Fatal(err)
	}
	wantFinding(t, look(0, "https://127.0.0.1"), "tls", admin.LevelError, "everyone can get at the certificate's private key")
}

// TestDoctor_SilentStore: before anybody is answered 503, doctor says that it will come.
func TestDoctor_SilentStore(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute)
	clock := &movedClock{}
	s := startTest(t, c, options{now: clock.now})
	for after, text := range map[time.Duration]string{
		5*time.Minute + 30*time.Second: "longer than store.outage",
		290 * time.Second:              "",
	} {
		clock.by = after
		d := &doctor{config: c, now: s.now, server: s}
		d.config.Cache.MaxAge = configs.Duration(10 * time.Second)
		d.lookAtFollower()
		wantFinding(t, d.all, "server", admin.LevelError, text)
	}
}

// TestDoctor_ReplacedFile: what the server writes goes to a file that nobody will find again.
func TestDoctor_ReplacedFile(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	file := filepath.Join(s.config.Data, databaseName)
	text, err := os.ReadFile(file)
	if err = errors.Join(err, os.Rename(file, file+".away"), os.WriteFile(file, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	d := &doctor{config: s.config, now: s.now, server: s, backend: s.backend}
	d.lookAtFiles()
	d.backend.lookAtLock(d)
	wantFinding(t, d.all, "lock", admin.LevelError, "was replaced while the server had it open")
	wantFinding(t, d.all, "lock", admin.LevelError, "the lock of the running server does not hold")
}

// TestDoctor_Socket: gone, no socket, open to others.
func TestDoctor_Socket(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	look := func() []finding {
		d := &doctor{config: s.config, now: s.now, server: s}
		d.lookAtSocket()
		return d.all
	}
	wantFinding(t, look(), "files", admin.LevelOK, "mode 0600")
	if err := os.Chmod(s.Socket(), 0o666); err != nil {
		t.Fatal(err)
	}
	wantFinding(t, look(), "files", admin.LevelError, "whoever can connect is an admin")
	if err := os.Remove(s.Socket()); err != nil {
		t.Fatal(err)
	}
	wantFinding(t, look(), "files", admin.LevelError, "local commands cannot reach the server")
	if err := os.WriteFile(s.Socket(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(s.Socket())
	wantFinding(t, look(), "files", admin.LevelError, "is no socket")
}

// TestDoctor_AnotherIssuer: what answers at the issuer's address is not this server.
func TestDoctor_AnotherIssuer(t *testing.T) {
	other := startTest(t, devConfig(t), options{})
	c := devConfig(t)
	s := startTest(t, c, options{})
	defer http.DefaultClient.CloseIdleConnections()
	look := func(issuer string) []finding {
		d := &doctor{config: c, now: s.now, server: s, issuer: issuer}
		d.lookAtIssuer(t.Context())
		return d.all
	}
	wantNoErrors(t, look(s.issuer))
	all := look(other.issuer) // it serves that issuer's metadata, and not our keys
	wantFinding(t, all, "issuer", admin.LevelError, "services do not get it")
	wantFinding(t, look(other.issuer+"/tenant"), "issuer", admin.LevelError, "answered 404")
	wantFinding(t, look("http://127.0.0.1:1"), "issuer", admin.LevelWarning, "cannot be reached from this machine")
}

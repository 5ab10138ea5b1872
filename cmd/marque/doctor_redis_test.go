package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store/redistest"
)

// TestDoctorRedis_OfAHealthyServer: no database file is missed, and Redis is looked at instead.
func TestDoctorRedis_OfAHealthyServer(t *testing.T) {
	redis := redistest.Start(t, redistest.Password("s3cret"), redistest.Args("--appendfsync", "always"))
	defer http.DefaultClient.CloseIdleConnections()
	c := nodeConfig(t, redis.Addr)
	c.Issuer = ""
	c.Redis.PasswordFile = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(c.Redis.PasswordFile, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startTest(t, c, options{})
	waitReady(t, s)
	all := s.examine(t.Context())
	wantNoErrors(t, all)
	wantFinding(t, all, "store", admin.LevelOK, "redis "+redis.Addr+": Redis has version")
	wantFinding(t, all, "store", admin.LevelOK, "append-only file")
	wantFinding(t, all, "clock", admin.LevelOK, "the clock here is that of Redis")
	wantFinding(t, all, "lock", admin.LevelOK, "lock: the server holds the lock")
	wantFinding(t, all, "files", admin.LevelOK, "holds the password of Redis")
	wantFinding(t, all, "records", admin.LevelOK, "redis "+redis.Addr+", namespace marque: ")
	for _, f := range all {
		if strings.Contains(f.Subject+f.Message, databaseName) || strings.Contains(f.Message+f.Fix, "s3cret") {
			t.Errorf("%+v", f)
		}
	}

	if err := redis.Client().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	wantFinding(t, s.examine(t.Context()), "store", admin.LevelError, "maxmemory-policy")
	redis.Kill()
	all = s.examine(t.Context())
	wantFinding(t, all, "store", admin.LevelError, "cannot be asked")
	for _, f := range all {
		if f.Check == "records" && f.Level == admin.LevelError && !strings.Contains(f.Fix, "see to it that the store answers") {
			t.Errorf("an outage is taken for damage: %+v", f)
		}
	}
}

// TestDoctorRedis_Clock: a clock that is off from the store's is a matter of the clock, not of the log.
func TestDoctorRedis_Clock(t *testing.T) {
	s := startTest(t, nodeConfig(t, redistest.Start(t).Addr), options{withoutSample: true})
	for by, level := range map[time.Duration]admin.Level{
		0: admin.LevelOK, 3 * time.Second: admin.LevelWarning, -3 * time.Second: admin.LevelWarning,
		6 * time.Second: admin.LevelError, -time.Minute: admin.LevelError,
	} {
		clock := &movedClock{by: by}
		d := &doctor{now: clock.now}
		s.db.lookAtStore(t.Context(), d)
		wantFinding(t, d.all, "clock", level, "the clock here")
	}
}

// TestDoctorRedis_WithoutAServer: doctor reads Redis itself, also while others are served from it, and
// writes nothing.
func TestDoctorRedis_WithoutAServer(t *testing.T) {
	redis := redistest.Start(t)
	c := nodeConfig(t, redis.Addr)
	c.Keys.KEKFile = filepath.Join(t.TempDir(), "kek")
	if _, err := keys.WriteKEKFile(c.Keys.KEKFile); err != nil {
		t.Fatal(err)
	}
	s := startTest(t, c, options{withoutSample: true})
	here := c
	here.Data = filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(here.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	look := func(change func(c *configs.Config)) []finding {
		t.Helper()
		c := here
		change(&c)
		all, err := examineFolder(t.Context(), c, func() (configs.Config, error) { return configs.Config{}, errors.New("not asked") })
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	wantFinding(t, look(func(*configs.Config) {}), "keys", admin.LevelWarning, "signs from")
	waitReady(t, s)
	before := redis.Client().DBSize(t.Context()).Val()
	all := look(func(*configs.Config) {})
	wantNoErrors(t, all)
	wantFinding(t, all, "lock", admin.LevelOK, "no server has the data folder")
	wantFinding(t, all, "store", admin.LevelOK, "Redis has version")
	wantFinding(t, all, "records", admin.LevelOK, "each with the authentication code")
	wantFinding(t, look(func(c *configs.Config) { c.Store.Namespace = "other" }), "store", admin.LevelError, "holds no installation")
	wantFinding(t, look(func(c *configs.Config) { c.Redis.Username, c.Redis.Password = "nobody", configs.NewSecret("x") }), "store", admin.LevelError, "redis.username: ")
	wantFinding(t, look(func(c *configs.Config) { c.Redis.PasswordFile = c.Data + "/none" }), "files", admin.LevelError, "the password of Redis cannot be had")
	if after := redis.Client().DBSize(t.Context()).Val(); after != before {
		t.Errorf("Redis had %d keys and has %d", before, after)
	}

	release, err := lockFolder(here.Data)
	if err != nil {
		t.Fatal(err)
	}
	wantFinding(t, look(func(*configs.Config) {}), "lock", admin.LevelError, "does not answer on the socket")
	if err := release(); err != nil {
		t.Fatal(err)
	}
	redis.Kill()
	wantFinding(t, look(func(*configs.Config) {}), "store", admin.LevelError, "connection refused")
}

// TestDoctorRedis_Files: what the next start would stumble over, and what others could read.
func TestDoctorRedis_Files(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	look := func(r configs.RedisConfig) []finding {
		c := configs.Defaults(false)
		c.Redis = r
		d := &doctor{config: c, now: time.Now}
		(&redisBackend{config: c}).lookAtFiles(d)
		return d.all
	}
	file, cert, key := filepath.Join(dir, "password"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, []byte("s3cret"), 0o640); err != nil {
		t.Fatal(err)
	}
	far := []string{"10.0.0.5:6379"}
	all := look(configs.RedisConfig{Addrs: far, PasswordFile: file})
	wantFinding(t, all, "files", admin.LevelError, "mode 0640")
	wantFinding(t, all, "tls", admin.LevelWarning, "can be read on its way to 10.0.0.5:6379")
	secure := configs.RedisConfig{Addrs: far, TLS: configs.RedisTLSConfig{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key}}
	wantFinding(t, look(secure), "tls", admin.LevelOK, "is valid until")
	if err := os.Chmod(key, 0o604); err != nil {
		t.Fatal(err)
	}
	wantFinding(t, look(secure), "tls", admin.LevelError, "everyone can get at the private key")
	secure.TLS.CAFile = filepath.Join(dir, "none")
	wantFinding(t, look(secure), "tls", admin.LevelError, "redis.tls.ca_file")
}

package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redistest"
)

// tryOpen opens and closes what is not to be opened, and returns why.
func tryOpen(t *testing.T, c Config) error {
	t.Helper()
	if c.Namespace == "" {
		c.Namespace = "test"
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = patient
	}
	db, err := OpenDB(t.Context(), c)
	if err == nil {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	return err
}

// wantSetting checks that an error names one setting, and tells nothing secret.
func wantSetting(t *testing.T, err error, setting string) {
	t.Helper()
	var wrong *ConfigError
	switch {
	case !errors.As(err, &wrong):
		t.Errorf("got error %v, want one that names %s", err, setting)
	case wrong.Setting != setting:
		t.Errorf("got error %v, which names %s; want %s", err, wrong.Setting, setting)
	case errors.Is(err, ErrUnreachable):
		t.Errorf("%v says that trying again may do", err)
	case strings.Contains(err.Error(), secret):
		t.Errorf("%v tells the password", err)
	}
}

const secret = "opensesame"

func TestOpenDB_Password(t *testing.T) {
	t.Parallel()
	locked := redistest.Start(t, redistest.Password("right"), redistest.ACL("known", "on >right ~* &* +@all"), redistest.ACL("weak", "on >right ~* +get"))
	open := redistest.Start(t)
	for _, c := range []struct {
		name    string
		config  Config
		setting string
	}{
		{"wrong password", Config{Password: secret}, "redis.password_file"},
		{"no password", Config{}, "redis.password_file"},
		{"unknown user", Config{Username: "nobody", Password: secret}, "redis.username"},
		{"wrong password of a user", Config{Username: "known", Password: secret}, "redis.username"},
		{"a user without rights", Config{Username: "weak", Password: "right"}, "redis.username"},
		{"a password that nobody asks for", Config{Addrs: []string{open.Addr}, Password: secret}, "redis.password_file"},
		{"an unknown user where nobody asks for a password", Config{Addrs: []string{open.Addr}, Username: "nobody", Password: secret}, "redis.username"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.config.Addrs == nil {
				c.config.Addrs = []string{locked.Addr}
			}
			wantSetting(t, tryOpen(t, c.config), c.setting)
		})
	}
	openTest(t, Config{Addrs: []string{locked.Addr}, Password: "right"})
	openTest(t, Config{Addrs: []string{locked.Addr}, Username: "known", Password: "right"})
}

func TestOpenDB_TLS(t *testing.T) {
	t.Parallel()
	cert, key, ca := redistest.Certificate(t, "127.0.0.1")
	_, _, otherCA := redistest.Certificate(t, "127.0.0.1")
	encrypted := redistest.Start(t, redistest.TLS(cert, key, ca))
	demanding := redistest.Start(t, redistest.TLS(cert, key, ca), redistest.Args("--tls-auth-clients", "yes"))
	plain := redistest.Start(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	otherPair := mustPair(t, "127.0.0.1")
	good := func() *tls.Config { return &tls.Config{RootCAs: pool(t, ca), MinVersion: tls.VersionTLS12} }
	with := func(change func(c *tls.Config)) *tls.Config {
		c := good()
		change(c)
		return c
	}
	for _, c := range []struct {
		name    string
		addr    string
		tls     *tls.Config
		setting string
	}{
		{"another name", encrypted.Addr, with(func(c *tls.Config) { c.ServerName = "redis.example" }), "redis.tls.server_name"},
		{"another authority", encrypted.Addr, with(func(c *tls.Config) { c.RootCAs = pool(t, otherCA) }), "redis.tls.ca_file"},
		{"the system's authorities", encrypted.Addr, with(func(c *tls.Config) { c.RootCAs = nil }), "redis.tls.ca_file"},
		{"a server without TLS", plain.Addr, good(), "redis.tls.enabled"},
		{"no certificate of the client", demanding.Addr, good(), "redis.tls.cert_file"},
		{"no certificate of the client, TLS 1.2", demanding.Addr, with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "redis.tls.cert_file"},
		{"a certificate of another authority", demanding.Addr, with(func(c *tls.Config) { c.Certificates = []tls.Certificate{otherPair} }), "redis.tls.cert_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantSetting(t, tryOpen(t, Config{Addrs: []string{c.addr}, TLS: c.tls, CallTimeout: time.Second}), c.setting)
		})
	}
	openTest(t, Config{Addrs: []string{encrypted.Addr}, TLS: good()})
	openTest(t, Config{Addrs: []string{demanding.Addr}, TLS: with(func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} })})
	if err := tryOpen(t, Config{Addrs: []string{encrypted.Addr}}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a client without TLS: got error %v, want ErrUnreachable", err)
	}
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return p
}

func mustPair(t *testing.T, host string) tls.Certificate {
	t.Helper()
	cert, key, _ := redistest.Certificate(t, host)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestOpenDB_Sentinel(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t, redistest.SentinelACL("default", "on >right ~* &* +@all"), redistest.Password("data"))
	good := Config{Addrs: s.Addrs(), MasterName: s.MasterName, SentinelPassword: "right", Password: "data"}
	for _, c := range []struct {
		name    string
		change  func(c *Config)
		setting string
	}{
		{"another name", func(c *Config) { c.MasterName = "other" }, "redis.master_name"},
		{"wrong password of the Sentinels", func(c *Config) { c.SentinelPassword = secret }, "redis.sentinel_password_file"},
		{"no password for the Sentinels", func(c *Config) { c.SentinelPassword = "" }, "redis.sentinel_password_file"},
		{"unknown user at the Sentinels", func(c *Config) { c.SentinelUsername = "nobody" }, "redis.sentinel_username"},
		{"wrong password of Redis", func(c *Config) { c.Password = secret }, "redis.password_file"},
		{"no password for Redis", func(c *Config) { c.Password = "" }, "redis.password_file"},
		{"unknown user at Redis", func(c *Config) { c.Username = "nobody" }, "redis.username"},
		{"a Redis instead of a Sentinel", func(c *Config) { c.Addrs, c.SentinelPassword = []string{s.Master().Addr}, "data" }, "redis.master_name"},
		{"a Sentinel instead of a Redis", func(c *Config) {
			c.Addrs, c.MasterName, c.Password, c.SentinelPassword = s.Addrs()[:1], "", "right", ""
		}, "redis.master_name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good
			c.change(&config)
			wantSetting(t, tryOpen(t, config), c.setting)
		})
	}
	openTest(t, good)
	one := good
	one.Addrs = []string{"127.0.0.1:1", s.Addrs()[2]}
	openTest(t, one) // one of the Sentinels does not answer
}

func TestOpenDB_Cluster(t *testing.T) {
	t.Parallel()
	alone, cluster := redistest.Start(t), redistest.StartCluster(t)
	wantSetting(t, tryOpen(t, Config{Addrs: []string{alone.Addr}, Cluster: true}), "redis.cluster")
	for _, addr := range cluster.Addrs() {
		wantSetting(t, tryOpen(t, Config{Addrs: []string{addr}}), "redis.cluster")
	}
}

func TestOpenDB_Policy(t *testing.T) {
	s := redistest.Start(t)
	raw := s.Client()
	for _, policy := range []string{"allkeys-lru", "volatile-ttl", "allkeys-random"} {
		if err := raw.ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
		wantSetting(t, tryOpen(t, Config{Addrs: []string{s.Addr}}), "redis.addrs")
	}
	if n, err := raw.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("it was refused, and %d keys were written: %v", n, err)
	}
}

// TestOpenDB_Away: nobody can be used now, and later somebody can.
func TestOpenDB_Away(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	replica := redistest.StartReplica(t, s)
	stalled := redistest.StartProxy(t, s.Addr)
	stalled.Stall()
	for name, c := range map[string]Config{
		"nobody listens":           {Addrs: []string{"127.0.0.1:1"}},
		"no Sentinel listens":      {Addrs: []string{"127.0.0.1:1", "127.0.0.1:2"}, MasterName: "m"},
		"no node listens":          {Addrs: []string{"127.0.0.1:1", "127.0.0.1:2"}, Cluster: true},
		"nobody answers":           {Addrs: []string{stalled.Addr()}},
		"no Sentinel answers":      {Addrs: []string{stalled.Addr()}, MasterName: "m"},
		"no node answers":          {Addrs: []string{stalled.Addr()}, Cluster: true},
		"nobody answers, with TLS": {Addrs: []string{stalled.Addr()}, TLS: &tls.Config{}},
		"a replica":                {Addrs: []string{replica.Addr}},
		"no such host":             {Addrs: []string{"redis.invalid:6379"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.CallTimeout = 300 * time.Millisecond
			began := time.Now()
			err := tryOpen(t, c)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %v, of a time-out of %v", took, c.CallTimeout)
			}
			var wrong *ConfigError
			if !errors.Is(err, ErrUnreachable) || errors.As(err, &wrong) {
				t.Errorf("got error %v, want ErrUnreachable", err)
			}
			if err != nil && !strings.Contains(err.Error(), c.Addrs[0]) {
				t.Errorf("%v does not say where", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenDB(ctx, Config{Namespace: "test", Addrs: []string{s.Addr}}); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("called off: got error %v", err)
	}
}

// TestOpenDB_StallsHalfWay: whichever question is not answered, the time of one call is over soon.
func TestOpenDB_StallsHalfWay(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for _, command := range []string{"info", "config", "auth", "eval", "exists"} {
		t.Run(command, func(t *testing.T) {
			p := newWire(t, s.Addr)
			p.on(command, always(swallows))
			began := time.Now()
			c := Config{Addrs: []string{p.addr}, Namespace: newNamespace(), CallTimeout: 300 * time.Millisecond, Timeout: 100 * time.Millisecond}
			if command == "auth" {
				c.Password = "x"
			}
			if err := tryOpen(t, c); !errors.Is(err, ErrUnreachable) {
				t.Errorf("got error %v, want ErrUnreachable", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("took %v", took)
			}
			if p.seen(command) == 0 {
				t.Errorf("nobody said %s", command)
			}
		})
	}
}

func TestOpenDB_MustExist(t *testing.T) {
	s := redistest.Start(t)
	raw := s.Client()
	if err := tryOpen(t, Config{Addrs: []string{s.Addr}, MustExist: true}); !errors.Is(err, ErrNoInstallation) {
		t.Errorf("got error %v, want ErrNoInstallation", err)
	}
	if n, err := raw.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys were written: %v", n, err)
	}
	openTest(t, Config{Addrs: []string{s.Addr}})
	openTest(t, Config{Addrs: []string{s.Addr}, MustExist: true})
}

func TestOpenDB_NewerLayout(t *testing.T) {
	s := redistest.Start(t)
	raw := s.Client()
	before := "3.whatever comes then"
	if err := raw.Set(t.Context(), "{test}:epoch", before, 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, must := range []bool{false, true} {
		if err := tryOpen(t, Config{Addrs: []string{s.Addr}, MustExist: must}); !errors.Is(err, store.ErrNewerFormat) {
			t.Errorf("got error %v, want ErrNewerFormat", err)
		}
	}
	if got := raw.Get(t.Context(), "{test}:epoch").Val(); got != before || raw.DBSize(t.Context()).Val() != 1 {
		t.Errorf("it was overwritten: %q", got)
	}
}

// TestOpenDB_Damaged: what has lost its mark is not taken for nothing, and not made anew.
func TestOpenDB_Damaged(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	raw := s.Client()
	ctx := t.Context()
	spoilt := map[string]func(prefix string) error{
		"gone":      func(p string) error { return raw.Del(ctx, p+"epoch").Err() },
		"empty":     func(p string) error { return raw.Set(ctx, p+"epoch", "", 0).Err() },
		"no number": func(p string) error { return raw.Set(ctx, p+"epoch", "x.y", 0).Err() },
		"no epoch":  func(p string) error { return raw.Set(ctx, p+"epoch", "1.", 0).Err() },
		"number 0":  func(p string) error { return raw.Set(ctx, p+"epoch", "0.x", 0).Err() },
		"a hash": func(p string) error {
			return errors.Join(raw.Del(ctx, p+"epoch").Err(), raw.HSet(ctx, p+"epoch", "a", "b").Err())
		},
		"all but the index": func(p string) error { return raw.Del(ctx, p+"epoch", p+"changes", p+"audit", p+"installation").Err() },
		"all but the floor": func(p string) error {
			return raw.Del(ctx, p+"epoch", p+"changes", p+"audit", p+"installation", p+"revocation-ends", p+"revocation-index", p+"client-index", p+"resource-index").Err()
		},
	}
	for name, spoil := range spoilt {
		t.Run(name, func(t *testing.T) {
			ns := newNamespace()
			db := openTest(t, Config{Addrs: []string{s.Addr}, Namespace: ns})
			fill(t, newStore(t, db))
			if err := spoil(db.names.prefix); err != nil {
				t.Fatal(err)
			}
			before := dump(t, raw)
			for _, must := range []bool{false, true} {
				err := tryOpen(t, Config{Addrs: []string{s.Addr}, Namespace: ns, MustExist: must})
				if !errors.Is(err, store.ErrDamaged) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNoInstallation) {
					t.Errorf("MustExist %v: got error %v, want ErrDamaged", must, err)
				}
			}
			unchanged(t, raw, before)
		})
	}
}

func TestNamespacesStandApart(t *testing.T) {
	s := redistest.Start(t)
	one, two := newStore(t, openTest(t, Config{Addrs: []string{s.Addr}, Namespace: "a"})), newStore(t, openTest(t, Config{Addrs: []string{s.Addr}, Namespace: "a-b"}))
	fill(t, one)
	head, err := one.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := dump(t, s.Client(), "{a}:")
	if _, err := two.Client(t.Context(), "a"); !isAbsence(err) {
		t.Errorf("the other namespace: %v", err)
	}
	if _, _, err := two.Changes(t.Context(), head, 1); !errors.Is(err, store.ErrCursor) {
		t.Errorf("a cursor of the other namespace: %v", err)
	}
	fill(t, two)
	unchanged(t, s.Client(), before, "{a}:")
	for _, s := range []*Store{one, two} {
		if read, err := s.Inspect(t.Context(), func(err error) { t.Error(err) }); err != nil || read.Records != filled {
			t.Errorf("read %+v, %v", read, err)
		}
	}
}

// TestJudge: what servers say that cannot be started here.
func TestJudge(t *testing.T) {
	const good = "redis_version:7.2.4\r\nredis_mode:standalone\r\nrole:master\r\nloading:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\naof_last_write_status:ok\r\nconnected_slaves:2\r\n"
	always := map[string]string{"appendfsync": "always", "aof-load-truncated": "no"}
	fsync := func(how string) map[string]string {
		return map[string]string{"appendfsync": how, "aof-load-truncated": "no"}
	}
	torn := map[string]string{"appendfsync": "always", "aof-load-truncated": "yes"}
	change := func(from, to string) string { return strings.ReplaceAll(good, from, to) }
	for _, c := range []struct {
		name     string
		info     string
		settings map[string]string
		config   Config
		setting  string // of the error; "-" is ErrUnreachable, "" none
		warns    string
	}{
		{name: "good", info: good, settings: always},
		{name: "too old", info: change("7.2.4", "6.2.14"), setting: "redis.addrs"},
		{name: "much too old", info: change("7.2.4", "2.8"), setting: "redis.addrs"},
		{name: "just old enough", info: change("7.2.4", "7.0.0"), settings: always},
		{name: "newer", info: change("7.2.4", "10.0.1"), settings: always},
		{name: "no version", info: change("redis_version:7.2.4", "valkey_version:8"), setting: "redis.addrs"},
		{name: "nonsense", info: "hello", setting: "redis.addrs"},
		{name: "a cluster", info: change("standalone", "cluster"), setting: "redis.cluster"},
		{name: "no cluster", info: good, config: Config{Cluster: true}, setting: "redis.cluster"},
		{name: "cluster", info: change("standalone", "cluster"), settings: always, config: Config{Cluster: true}},
		{name: "a Sentinel", info: change("standalone", "sentinel"), setting: "redis.master_name"},
		{name: "a replica", info: change("role:master", "role:slave"), setting: "-"},
		{name: "loading", info: change("loading:0", "loading:1"), setting: "-"},
		{name: "evicts", info: change("noeviction", "volatile-lfu"), setting: "redis.addrs"},
		{name: "does not say whether it evicts", info: change("maxmemory_policy", "x"), setting: "redis.addrs"},
		{name: "no AOF", info: change("aof_enabled:1", "aof_enabled:0"), warns: "keeps nothing on disk"},
		{name: "snapshots", info: change("aof_enabled:1", "aof_enabled:0"), settings: map[string]string{"save": "3600 1"}, warns: "snapshots alone"},
		{name: "no fsync", info: good, settings: fsync("no"), warns: "leaves it to the system"},
		{name: "fsync each second", info: good, settings: fsync("everysec"), warns: "once a second"},
		{name: "fsync each second, and replicas", info: good, settings: fsync("everysec"), config: Config{Replicas: 1}},
		{name: "fsync each second, and waiting for it", info: good, settings: fsync("everysec"), config: Config{Fsync: true}},
		{name: "fsync always", info: good, settings: always},
		{name: "does not say how", info: good, warns: "does not say how it writes its append-only file"},
		{name: "does not say how, and replicas", info: good, config: Config{Replicas: 1}, warns: "does not say how it writes its append-only file"},
		{name: "does not say how, and waiting for it", info: good, config: Config{Fsync: true}, warns: "does not say how it writes its append-only file"},
		{name: "loads half a commit", info: good, settings: torn, warns: "aof-load-truncated yes"},
		{name: "loads half a commit, and replicas", info: good, settings: torn, config: Config{Replicas: 1}, warns: "aof-load-truncated yes"},
		{name: "has no file to load half a commit from", info: change("aof_enabled:1", "aof_enabled:0"), settings: torn, warns: "keeps nothing on disk"},
		{name: "does not say whether it loads half a commit", info: good, settings: map[string]string{"appendfsync": "always"}, warns: "does not say whether it starts with a torn"},
		{name: "disk is full", info: change("aof_last_write_status:ok", "aof_last_write_status:err"), settings: always, warns: "cannot write its append-only file"},
		{name: "does not say", info: change("aof_enabled", "x"), warns: "does not say"},
		{name: "replicas", info: good, settings: always, config: Config{Replicas: 2}},
		{name: "too few replicas", info: good, settings: always, config: Config{Replicas: 3}, warns: "durability.replicas is 3, and 2 are connected"},
		{name: "fsync", info: good, settings: always, config: Config{Fsync: true}},
		{name: "fsync of 7.0", info: change("7.2.4", "7.0.15"), config: Config{Fsync: true}, setting: "durability.fsync"},
		{name: "fsync without AOF", info: change("aof_enabled:1", "aof_enabled:0"), config: Config{Fsync: true}, setting: "durability.fsync"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := &DB{config: c.config}
			var failed error
			warned := ""
			for _, f := range db.judge(parseInfo(c.info), c.settings) {
				switch {
				case f.Err != nil && f.Level != LevelError, f.Err == nil && f.Level == LevelError, (f.Fix == "") != (f.Level == LevelOK), f.Message == "":
					t.Errorf("not a whole finding: %+v", f)
				case f.Err != nil && failed == nil:
					failed = f.Err
				case f.Level == LevelWarning:
					warned += f.Message
				}
			}
			switch {
			case c.setting == "" && failed != nil, c.setting == "-" && !errors.Is(failed, ErrUnreachable):
				t.Errorf("got error %v", failed)
			case c.setting != "" && c.setting != "-":
				wantSetting(t, failed, c.setting)
			}
			if strings.Contains(c.name, "no file") && strings.Contains(warned, "aof-load-truncated") {
				t.Errorf("warned %q of a file that there is not", warned)
			}
			if c.setting == "" && (warned == "") != (c.warns == "") || !strings.Contains(warned, c.warns) {
				t.Errorf("warned %q, want %q", warned, c.warns)
			}
		})
	}
}

// TestOpenDB_Warns: the operator is told of what is usable and not safe, and nothing of what is safe.
func TestOpenDB_Warns(t *testing.T) {
	told := func(c Config) (all []string) {
		c.Warn = func(text string) { all = append(all, text) }
		openTest(t, c)
		return all
	}
	whole, always := redistest.Args("--aof-load-truncated", "no"), redistest.Args("--appendfsync", "always")
	if got := told(Config{Addrs: []string{redistest.Start(t, always, whole).Addr}}); len(got) != 0 {
		t.Errorf("of a safe server: %q", got)
	}
	if got := told(Config{Addrs: []string{redistest.Start(t, whole).Addr}}); len(got) != 1 || !strings.Contains(got[0], "appendfsync always") {
		t.Errorf("of one that writes once a second: %q", got)
	}
	if got := told(Config{Addrs: []string{redistest.Start(t, always).Addr}}); len(got) != 1 || !strings.Contains(got[0], "aof-load-truncated") {
		t.Errorf("of one that starts with a torn file: %q", got)
	}
	if got := told(Config{Addrs: []string{redistest.Start(t, redistest.NoPersistence()).Addr}}); len(got) != 1 || !strings.Contains(got[0], "appendonly yes") {
		t.Errorf("of one that forgets: %q", got)
	}
}

package main

import (
	"context"
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
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/admin/client"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redisstore"
	"github.com/marque-auth/marque/store/redistest"
)

// waitReady waits until a server issues tokens: the first key of a shared store signs one refresh
// interval after it was published.
func waitReady(t *testing.T, s *server) {
	t.Helper()
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		return s.ready(t.Context()) == nil
	})
}

// TestRedis_RestartKeepsEverything: clients, secrets, keys and revocations are there at the next start.
func TestRedis_RestartKeepsEverything(t *testing.T) {
	redis := redistest.Start(t)
	defer http.DefaultClient.CloseIdleConnections()
	c := nodeConfig(t, redis.Addr)
	s := startTest(t, c, options{})
	waitReady(t, s)
	good, void := getSample(t, s), getSample(t, s)
	if _, err := s.registry.Revoke(t.Context(), byTest, authz.RevocationSpec{Subject: token.Subject{Kind: token.RevokedJTI, Value: jtiOf(t, void)}}); err != nil {
		t.Fatal(err)
	}
	kids, secret := signingKeys(s), sampleForm(t, s).Get("client_secret")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(c.Data, databaseName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is an embedded store beside Redis: %v", err)
	}
	redis.Restart()
	s = startTest(t, c, options{})
	if got := signingKeys(s); fmt.Sprint(got) != fmt.Sprint(kids) {
		t.Errorf("the keys were %v and are %v", kids, got)
	}
	if got := sampleForm(t, s).Get("client_secret"); got != secret {
		t.Error("the sample has another secret")
	}
	wantActive(t, s, good, true)
	wantActive(t, s, void, false)
}

// TestRedis_TwoServersInTwoFolders: each has its own folder and socket, and what an admin does at one
// is done at the other.
func TestRedis_TwoServersInTwoFolders(t *testing.T) {
	nodes := startNodes(t, 2, redistest.Start(t).Addr)
	for _, s := range nodes {
		api, err := client.NewUnix(s.Socket())
		if err != nil {
			t.Fatal(err)
		}
		r, err := api.ListClientsWithResponse(t.Context(), nil)
		if err != nil || r.JSON200 == nil || len(r.JSON200.Clients) != 1 {
			t.Errorf("%s: %v, %s", s.Socket(), err, r.Body)
		}
	}
	if nodes[0].installation.ID != nodes[1].installation.ID || nodes[0].Socket() == nodes[1].Socket() {
		t.Error("they are not two servers of one installation")
	}
}

// TestRedis_FolderInUse: a second server in the folder does not take the socket of the first, whatever
// store either has.
func TestRedis_FolderInUse(t *testing.T) {
	redis := redistest.Start(t)
	shared := nodeConfig(t, redis.Addr)
	shared.Keys.KEKFile = filepath.Join(t.TempDir(), "kek")
	if _, err := keys.WriteKEKFile(shared.Keys.KEKFile); err != nil {
		t.Fatal(err)
	}
	embedded := shared
	embedded.Store.Driver, embedded.Redis.Addrs = "bolt", nil
	for _, r := range []struct {
		name          string
		first, second configs.Config
	}{
		{"redis, redis", shared, shared},
		{"redis, embedded", shared, embedded},
		{"embedded, redis", embedded, shared},
	} {
		t.Run(r.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			r.first.Data, r.second.Data = dir, dir
			s := startTest(t, r.first, options{withoutSample: true})
			before, err := os.Lstat(s.Socket())
			if err != nil {
				t.Fatal(err)
			}
			var inUse *inUseError
			if s, err := start(t.Context(), r.second, options{}); !errors.As(err, &inUse) {
				t.Fatalf("%v, %v", s, err)
			}
			after, err := os.Lstat(s.Socket())
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("the socket is another one: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if r.name == "redis, redis" { // and nothing is left that would keep the next one away
				startTest(t, r.second, options{withoutSample: true})
			}
		})
	}
}

// TestRedis_LockFile: private, and no link is followed to somebody else's file.
func TestRedis_LockFile(t *testing.T) {
	dir := t.TempDir()
	release, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(filepath.Join(dir, lockName))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := errors.Join(os.Remove(filepath.Join(dir, lockName)), os.Symlink(other, filepath.Join(dir, lockName))); err != nil {
		t.Fatal(err)
	}
	if _, err := lockFolder(dir); err == nil {
		t.Error("a link was followed")
	}
	if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file that the link leads to was made")
	}
}

// refusedStart is a start that no waiting would mend.
type refusedStart struct {
	name   string
	change func(c *configs.Config)
	want   []string
}

func (r refusedStart) run(t *testing.T, c configs.Config) {
	t.Run(r.name, func(t *testing.T) {
		c.Data = filepath.Join(t.TempDir(), "d")
		r.change(&c)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		log := &logBuffer{}
		s, err := start(ctx, c, options{log: newLog(log, c.Log)})
		if err == nil {
			s.Close()
			t.Fatal("it started")
		}
		if errors.Is(err, errStopped) {
			t.Fatalf("it waited: %v\n%s", err, log)
		}
		for _, want := range r.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%q holds the password", err)
		}
	})
}

// TestRedis_WrongUser: who may come in is a matter of settings, and the message names them.
func TestRedis_WrongUser(t *testing.T) {
	redis := redistest.Start(t, redistest.Password("right-secret"), redistest.ACL("marque", "on >right-secret ~* &* +@all"), redistest.ACL("poor", "on >right-secret ~* +ping"))
	c := nodeConfig(t, redis.Addr)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("wrong-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range []refusedStart{
		{"none", func(*configs.Config) {}, []string{"redis.password_file: ", "NOAUTH", "put the password of this Redis there, or in MARQUE_REDIS_PASSWORD"}},
		{"wrong, in a file", func(c *configs.Config) { c.Redis.PasswordFile = file }, []string{"redis.password_file: ", "WRONGPASS"}},
		{"wrong, in a variable", func(c *configs.Config) { c.Redis.Password = configs.NewSecret("wrong-secret") }, []string{"MARQUE_REDIS_PASSWORD: ", "WRONGPASS", "correct it"}},
		{
			"unknown user",
			func(c *configs.Config) {
				c.Redis.Username, c.Redis.Password = "nobody", configs.NewSecret("right-secret")
			},
			[]string{"redis.username: ", `"nobody"`, "ACL SETUSER"},
		},
		{
			"a user without rights",
			func(c *configs.Config) {
				c.Redis.Username, c.Redis.Password = "poor", configs.NewSecret("right-secret")
			},
			[]string{"redis.username: ", "NOPERM", "ACL SETUSER"},
		},
	} {
		r.run(t, c)
	}
	c.Redis.Username, c.Redis.Password = "marque", configs.NewSecret("right-secret")
	waitReady(t, startTest(t, c, options{}))
}

// TestRedis_TLS: at least 1.2, the name and the authority are checked, and the message says what to set.
func TestRedis_TLS(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	certificate(t, dir)
	certificate(t, elsewhere)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	redis := redistest.Start(t, redistest.TLS(cert, key, cert))
	plain := redistest.Start(t)
	c := nodeConfig(t, redis.Addr)
	c.Redis.TLS = configs.RedisTLSConfig{Enabled: true, CAFile: cert}
	for _, r := range []refusedStart{
		{"wrong name", func(c *configs.Config) { c.Redis.TLS.ServerName = "redis.example" }, []string{"redis.tls.server_name: ", "a name that the certificate carries"}},
		{"wrong authority", func(c *configs.Config) { c.Redis.TLS.CAFile = filepath.Join(elsewhere, "cert.pem") }, []string{"redis.tls.ca_file: ", "name the authority"}},
		{"no authority", func(c *configs.Config) { c.Redis.TLS.CAFile = "" }, []string{"redis.tls.ca_file: "}},
		{"no TLS there", func(c *configs.Config) { c.Redis.Addrs = []string{plain.Addr} }, []string{"redis.tls.enabled: "}},
		{"no file", func(c *configs.Config) { c.Redis.TLS.CAFile = filepath.Join(dir, "none") }, []string{"redis.tls.ca_file: ", "no such file"}},
		{"no certificate", func(c *configs.Config) { c.Redis.TLS.CAFile = key }, []string{"redis.tls.ca_file: ", "holds no certificate in PEM"}},
		{"no key", func(c *configs.Config) { c.Redis.TLS.CertFile, c.Redis.TLS.KeyFile = cert, cert }, []string{"redis.tls.cert_file, redis.tls.key_file"}},
	} {
		r.run(t, c)
	}
	// A Redis that hangs up may be about to end, so that the reason is a guess.
	other := c
	other.Redis.TLS = configs.RedisTLSConfig{}
	if _, err := newBackend(other).open(t.Context(), opening{}); err == nil || !strings.Contains(err.Error(), "then set redis.tls.enabled") {
		t.Errorf("%v", err)
	}
	c.Redis.TLS.ServerName = "127.0.0.1"
	c.Redis.TLS.CertFile, c.Redis.TLS.KeyFile = cert, key
	waitReady(t, startTest(t, c, options{}))
	if tls, err := redisTLS(c); err != nil || tls.MinVersion != 0x0303 || len(tls.Certificates) != 1 {
		t.Errorf("%+v, %v", tls, err)
	}
}

// TestRedis_NotThisOne: another issuer's, another key's, nobody's, or one that cannot be trusted.
func TestRedis_NotThisOne(t *testing.T) {
	redis := redistest.Start(t)
	c := nodeConfig(t, redis.Addr)
	c.Keys.KEKFile = filepath.Join(t.TempDir(), "kek")
	if _, err := keys.WriteKEKFile(c.Keys.KEKFile); err != nil {
		t.Fatal(err)
	}
	if err := startTest(t, c, options{withoutSample: true}).Close(); err != nil {
		t.Fatal(err)
	}
	anotherKEK := filepath.Join(t.TempDir(), "kek")
	if _, err := keys.WriteKEKFile(anotherKEK); err != nil {
		t.Fatal(err)
	}
	place := "redis " + redis.Addr + ", namespace "
	evicting := redistest.Start(t, redistest.Args("--maxmemory-policy", "allkeys-lru"))
	for _, r := range []refusedStart{
		{"another address", func(c *configs.Config) { c.Issuer = "" }, []string{"this namespace was made for http://127.0.0.1:1; start with --listen 127.0.0.1:1, or name another namespace"}},
		{"another key", func(c *configs.Config) { c.Keys.KEKFile = anotherKEK }, []string{"another key-encryption key is needed"}},
		{"no key", func(c *configs.Config) { c.Keys.KEKFile = "" }, []string{"kek is gone, and nothing in " + place + "marque can be opened without it", "--kek-file"}},
		{"without --dev", func(c *configs.Config) { c.Dev, c.InsecureHTTP = false, true }, []string{place + "marque was made by --dev", "another namespace"}},
		{"no installation", func(c *configs.Config) { c.Dev, c.Store.Namespace = false, "other" }, []string{place + "other holds no installation: run 'marque init --store redis", "was emptied", "restore it from a backup"}},
		{"eviction", func(c *configs.Config) { c.Redis.Addrs = []string{evicting.Addr} }, []string{"maxmemory-policy", "noeviction"}},
		{"no cluster", func(c *configs.Config) { c.Redis.Cluster = true }, []string{"redis.cluster: "}},
	} {
		r.run(t, c)
	}
}

// TestRedis_AwayOrNot: what passes by itself is waited for, and nothing else is.
func TestRedis_AwayOrNot(t *testing.T) {
	b := &redisBackend{}
	for _, r := range []struct {
		err  error
		away bool
	}{
		{fmt.Errorf("read: %w", redisstore.ErrUnreachable), true},
		{fmt.Errorf("write: %w", redisstore.ErrUnconfirmed), true},
		{fmt.Errorf("read: %w", io.EOF), true},
		{&net.OpError{Op: "dial", Err: errors.New("no route to host")}, true},
		{context.DeadlineExceeded, true},
		{os.ErrDeadlineExceeded, true},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, true},
		{fmt.Errorf("redis.tls.ca_file: %w", &fs.PathError{Op: "open", Err: fs.ErrNotExist}), false},
		{fmt.Errorf("redis.tls.ca_file: %w", &fs.PathError{Op: "open", Err: syscall.ENOENT}), false},
		{redisAnswer("LOADING Redis is loading the dataset in memory"), true},
		{redisAnswer("NOREPLICAS Not enough good replicas to write."), true},
		{redisAnswer("NOPERM this user has no permissions"), false},
		{redisAnswer("WRONGTYPE Operation against a key"), false},
		{fmt.Errorf("%w: %w", redisstore.ErrEmptied, io.EOF), false},
		{fmt.Errorf("%w: %w", store.ErrDamaged, io.EOF), false},
		{b.explained(fmt.Errorf("open: %w", &redisstore.ConfigError{Setting: "redis.tls.cert_file", Err: &net.OpError{Op: "remote error", Err: io.EOF}})), false},
		{b.place().noInstallation(), false},
		{keys.ErrIssuer, false},
		{errors.New("boom"), false},
	} {
		if got := b.away(r.err); got != r.away {
			t.Errorf("%v: %v, want %v", r.err, got, r.away)
		}
	}
}

// redisAnswer is an error that Redis gave, as go-redis marks it.
type redisAnswer string

func (a redisAnswer) Error() string { return string(a) }
func (a redisAnswer) RedisError()   {}

// TestRedis_PasswordFile: readable by its owner alone, one line.
func TestRedis_PasswordFile(t *testing.T) {
	dir := t.TempDir()
	for _, r := range []struct {
		text, want, problem string
		mode                fs.FileMode
		dev                 bool
	}{
		{text: "s3cret", want: "s3cret", mode: 0o600},
		{text: "s3cret\n", want: "s3cret", mode: 0o400},
		{text: " s 3 \r\n", want: " s 3 ", mode: 0o600},
		{text: "s3cret", problem: "mode 0640, so that others can read the password; run: chmod 600", mode: 0o640},
		{text: "s3cret", want: "s3cret", mode: 0o644, dev: true},
		{text: "\n", problem: "is empty", mode: 0o600},
		{text: "two\nlines\n", problem: "line break", mode: 0o600},
		{text: strings.Repeat("x", maxSecretInput+1), problem: "is larger than", mode: 0o600},
	} {
		file := filepath.Join(dir, "password")
		if err := errors.Join(os.WriteFile(file, []byte(r.text), 0o600), os.Chmod(file, r.mode)); err != nil {
			t.Fatal(err)
		}
		c := configs.Defaults(r.dev)
		c.Redis.PasswordFile, c.Redis.Addrs = file, []string{"127.0.0.1:1"}
		got, err := redisConfig(c)
		switch {
		case r.problem == "" && (err != nil || got.Password != r.want):
			t.Errorf("%q: %q, %v", r.text, got.Password, err)
		case r.problem != "" && (err == nil || !strings.HasPrefix(err.Error(), "redis.password_file: ") || !strings.Contains(err.Error(), r.problem)):
			t.Errorf("%q: %v, want %q", r.text, err, r.problem)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%v holds the password", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readSecretFile("password", dir, false); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

// TestRedis_PasswordInTheClear: whoever sends one to another machine is told once.
func TestRedis_PasswordInTheClear(t *testing.T) {
	secret := configs.NewSecret("s3cret")
	for _, r := range []struct {
		redis configs.RedisConfig
		said  bool
	}{
		{configs.RedisConfig{Addrs: []string{"10.0.0.5:6379"}, Password: secret}, true},
		{configs.RedisConfig{Addrs: []string{"127.0.0.1:1", "10.0.0.5:6379"}, PasswordFile: "f"}, true},
		{configs.RedisConfig{Addrs: []string{"10.0.0.5:6379"}, SentinelPassword: secret}, true},
		{configs.RedisConfig{Addrs: []string{"10.0.0.5:6379"}, Password: secret, TLS: configs.RedisTLSConfig{Enabled: true}}, false},
		{configs.RedisConfig{Addrs: []string{"127.0.0.1:6379", "localhost:6379", "[::1]:6379"}, Password: secret}, false},
		{configs.RedisConfig{Addrs: []string{"10.0.0.5:6379"}}, false},
	} {
		if text := passwordInTheClear(r.redis); (text != "") != r.said || strings.Contains(text, "s3cret") {
			t.Errorf("%v: %q", r.redis.Addrs, text)
		}
	}
	b := &redisBackend{config: configs.Defaults(true)}
	b.config.Redis.Addrs, b.config.Redis.Password = []string{"192.0.2.1:1"}, secret // an address that nobody has
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var warned []string
	for range 2 {
		if _, err := b.open(ctx, opening{warn: func(text string) { warned = append(warned, text) }}); err == nil {
			t.Fatal("it opened")
		}
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "192.0.2.1:1") {
		t.Errorf("warned %q", warned)
	}
}

// TestRedis_Places: messages say which Redis it is.
func TestRedis_Places(t *testing.T) {
	for want, r := range map[string]configs.RedisConfig{
		"redis 10.0.0.5:6379, namespace marque":            {Addrs: []string{"10.0.0.5:6379"}},
		"redis main (sentinels a:1,b:2), namespace marque": {Addrs: []string{"a:1", "b:2"}, MasterName: "main"},
		"redis cluster a:1,b:2, namespace marque":          {Addrs: []string{"a:1", "b:2"}, Cluster: true},
	} {
		c := configs.Defaults(false)
		c.Store.Driver, c.Redis = "redis", r
		if got := newBackend(c).place().name; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestRedis_Sentinel and TestRedis_Cluster: the settings lead to the primary, whoever knows where it is.
func TestRedis_Sentinel(t *testing.T) {
	group := redistest.StartSentinel(t)
	c := nodeConfig(t, "")
	c.Redis.Addrs, c.Redis.MasterName = group.Addrs(), "marque"
	for _, r := range []refusedStart{
		{"no Sentinel", func(c *configs.Config) { c.Redis.Addrs, c.Redis.MasterName = group.Addrs()[:1], "" }, []string{"redis.master_name: "}},
		{"a name that they do not know", func(c *configs.Config) { c.Redis.MasterName = "other" }, []string{"redis.master_name: "}},
	} {
		r.run(t, c)
	}
	mistaken{
		"a name that they do not know, in a file",
		"issuer: https://as.example\nstore: {driver: redis}\nredis:\n  addrs: [" + strings.Join(group.Addrs(), ", ") + "]\n  master_name: other\n",
		nil, "init --kek-file " + filepath.Join(t.TempDir(), "kek"), `m.yaml:5: redis.master_name: the Sentinels know no primary of the name "other"`,
	}.run(t, t.TempDir())
	s := startTest(t, c, options{withoutSample: true})
	waitReady(t, s)
	wantFinding(t, s.examine(t.Context()), "store", admin.LevelOK, "it is the primary, with 2 connected replicas")
}

func TestRedis_Cluster(t *testing.T) {
	cluster := redistest.StartCluster(t)
	c := nodeConfig(t, "")
	c.Redis.Addrs = cluster.Addrs()[:1]
	refusedStart{"not told of it", func(*configs.Config) {}, []string{"redis.cluster: "}}.run(t, c)
	c.Redis.Addrs, c.Redis.Cluster = cluster.Addrs(), true
	waitReady(t, startTest(t, c, options{withoutSample: true}))
}

// TestRedis_AnIsolatedPrimary: a server that has only a primary left which was replaced issues tokens to known clients
// until store.outage, and no longer: what was disabled meanwhile by a server on the other side ends there, too. That
// it is not confirmed is said, and introspection does not answer by what it is told.
func TestRedis_AnIsolatedPrimary(t *testing.T) {
	old := redistest.Start(t)
	between := redistest.StartProxy(t, old.Addr)
	replica := redistest.StartReplicaThrough(t, old, between)
	kek := filepath.Join(t.TempDir(), "kek")
	if _, err := keys.WriteKEKFile(kek); err != nil {
		t.Fatal(err)
	}
	c := nodeConfig(t, old.Addr)
	c.Keys.KEKFile, c.Durability.Replicas, c.Durability.Timeout = kek, 1, configs.Duration(5*time.Second)
	c.Store.Outage = 2 * c.Keys.RefreshInterval
	here := startTest(t, c, options{})
	defer http.DefaultClient.CloseIdleConnections()
	waitReady(t, here)
	known, unknown := newPartner(t, here, "known"), newPartner(t, here, "unknown")
	status, compact := known.asksFor(t, here)
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}

	between.Cut()
	if err := replica.Client().Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		status, _ := known.hears(t, here, compact)
		return status == http.StatusServiceUnavailable
	})
	away(t, here, known, unknown, compact)

	c = nodeConfig(t, replica.Addr)
	c.Keys.KEKFile = kek
	there := startTest(t, c, options{withoutSample: true})
	waitReady(t, there)
	if _, err := there.registry.SetClientDisabled(t.Context(), byTest, authz.ClientID(known.id), true); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		status, _ := known.asksFor(t, here)
		return status == http.StatusServiceUnavailable
	})
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		said := here.status()
		return said.State == admin.StateUnavailable && slices.ContainsFunc(said.Reasons, func(r admin.StatusReason) bool {
			return r.Code == reasonUnconfirmed && strings.Contains(r.Message, "the primary has lost its replicas")
		})
	})
	if err := here.ready(t.Context()); err == nil {
		t.Error("it says that it is ready")
	}
}

// TestRedis_BeginsToEvict: a Redis that may remove records, which nobody saw at the start, confirms nothing, and status
// says why.
func TestRedis_BeginsToEvict(t *testing.T) {
	redis := redistest.Start(t)
	s := startTest(t, nodeConfig(t, redis.Addr), options{})
	waitReady(t, s)
	set := func(policy string) {
		t.Helper()
		if err := redis.Client().ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("allkeys-lru")
	waitFor(t, func() bool {
		time.Sleep(time.Millisecond)
		said := s.status()
		return said.State == admin.StateDegraded && len(said.Reasons) == 1 && said.Reasons[0].Code == reasonUnconfirmed &&
			strings.Contains(said.Reasons[0].Message, `maxmemory-policy "allkeys-lru"`)
	})
	set("noeviction")
	waitFor(t, func() bool { time.Sleep(time.Millisecond); return s.status().State == admin.StateOK })
}

// TestRedis_StrangersTakeNobodysPlace: hundreds of strangers ask at the same time with identifiers that they make up, at
// a Redis that is far away. Meanwhile the caches are confirmed, known clients get tokens, and introspection answers;
// the strangers are told that they are unknown, or to come back.
func TestRedis_StrangersTakeNobodysPlace(t *testing.T) {
	proxy := redistest.StartProxy(t, redistest.Start(t).Addr)
	c := nodeConfig(t, proxy.Addr())
	c.Redis.Timeout = configs.Duration(10 * time.Second) // what is to fail is who finds no place, and not a machine that is busy
	s := startTest(t, c, options{})
	defer http.DefaultClient.CloseIdleConnections()
	waitReady(t, s)
	known := newPartner(t, s, "known")
	_, compact := known.asksFor(t, s)
	if status, active := known.hears(t, s, compact); status != http.StatusOK || !active {
		t.Fatalf("introspection: %d, %t", status, active)
	}

	const strangers = 200
	proxy.Delay(60 * time.Millisecond)
	transport := &http.Transport{MaxIdleConnsPerHost: strangers}
	defer transport.CloseIdleConnections()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var unknown, later atomic.Int64
	for i := range strangers {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				form := partner{fmt.Sprintf("stranger-%d-%d", i, n), "x"}.form("grant_type", "client_credentials").Encode()
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Address()+"/oauth2/token", strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				resp, err := transport.RoundTrip(r)
				if err != nil {
					return // stopped
				}
				resp.Body.Close()
				switch {
				case resp.StatusCode == http.StatusUnauthorized:
					unknown.Add(1)
				case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
					later.Add(1)
					time.Sleep(250 * time.Millisecond) // so that the flood is Redis' and not this machine's
				default:
					t.Errorf("a stranger: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
				}
			}
		})
	}
	waitFor(t, func() bool { time.Sleep(time.Millisecond); return later.Load() > strangers && unknown.Load() > 0 })
	for range 3 {
		before := s.confirmedAt()
		waitFor(t, func() bool { time.Sleep(time.Millisecond); return s.confirmedAt().After(before) })
		for range 5 {
			if status, active := known.hears(t, s, compact); status != http.StatusOK || !active {
				t.Errorf("introspection: %d, %t", status, active)
			}
			if status, _ := known.asksFor(t, s); status != http.StatusOK {
				t.Errorf("a known client: %d", status)
			}
		}
	}
	t.Logf("%d strangers were told that they are unknown, %d to come back", unknown.Load(), later.Load())
}

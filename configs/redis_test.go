package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const onRedis = "store: {driver: redis}\n"

func TestRedisRefused(t *testing.T) {
	const addr = onRedis + "redis:\n  addrs: ['a:1']\n  "
	for _, c := range []struct{ name, yaml, environ, want string }{
		{"no address", onRedis, "", `m.yaml:1: store.driver: redis needs redis.addrs too, such as ["127.0.0.1:6379"]`},
		{"no address, by a variable", "", "MARQUE_STORE_DRIVER=redis", `MARQUE_STORE_DRIVER: store.driver: redis needs redis.addrs too, such as ["127.0.0.1:6379"]`},
		{"driver", "store: {driver: rediss}\nredis: {addrs: ['a:1']}\n", "", `m.yaml:1: store.driver: "rediss" is not bolt, redis`},
		{"addresses with bolt", "redis: {addrs: ['a:1']}\n", "", "m.yaml:1: redis.addrs: needs store.driver redis"},
		{"tls with bolt", "redis: {tls: {enabled: true}}\n", "", "m.yaml:1: redis.tls.enabled: needs store.driver redis"},
		{"timeout with bolt", "redis: {timeout: 2s}\n", "", "m.yaml:1: redis.timeout: needs store.driver redis"},
		{"replicas with bolt", "durability: {replicas: 1}\n", "", "m.yaml:1: durability.replicas: needs store.driver redis"},
		{"wait with bolt", "", "MARQUE_DURABILITY_TIMEOUT=2s", "MARQUE_DURABILITY_TIMEOUT: durability.timeout: needs store.driver redis"},
		{"password with bolt", "", "MARQUE_REDIS_PASSWORD=x", "MARQUE_REDIS_PASSWORD: redis.password: needs store.driver redis"},

		{"no port", onRedis + "redis: {addrs: ['a:1', redis, 'c:3'], cluster: true}\n", "", `m.yaml:2: redis.addrs: "redis" is not host:port, such as 127.0.0.1:6379`},
		{"no host", onRedis + "redis: {addrs: [':6379']}\n", "", `m.yaml:2: redis.addrs: ":6379" is not host:port, such as 127.0.0.1:6379`},
		{"port 0", onRedis + "redis: {addrs: ['a:0']}\n", "", `m.yaml:2: redis.addrs: "a:0" is not host:port, such as 127.0.0.1:6379`},
		{"port too large", onRedis + "redis: {addrs: ['a:65536']}\n", "", `m.yaml:2: redis.addrs: "a:65536" is not host:port, such as 127.0.0.1:6379`},
		{"named port", onRedis + "redis: {addrs: ['a:redis']}\n", "", `m.yaml:2: redis.addrs: "a:redis" is not host:port, such as 127.0.0.1:6379`},
		{"IPv6 without brackets", onRedis + "redis: {addrs: ['fd00::1']}\n", "", `m.yaml:2: redis.addrs: "fd00::1" is not host:port, such as 127.0.0.1:6379`},
		{"database", onRedis + "redis: {addrs: ['a:6379/1']}\n", "", `m.yaml:2: redis.addrs: "a:6379/1" is not host:port, such as 127.0.0.1:6379`},
		{"socket", onRedis + "redis: {addrs: [/run/redis.sock]}\n", "", `m.yaml:2: redis.addrs: "/run/redis.sock" is not host:port, such as 127.0.0.1:6379`},
		{"every host", onRedis + "redis: {addrs: ['*:6379']}\n", "", `m.yaml:2: redis.addrs: "*:6379" is not host:port, such as 127.0.0.1:6379`},
		{"semicolons", onRedis + "redis: {addrs: ['a:1;b:2']}\n", "", `m.yaml:2: redis.addrs: "a:1;b:2" is not host:port, such as 127.0.0.1:6379`},
		{"twice", onRedis + "redis: {addrs: ['a:1', 'b:1', 'a:1'], cluster: true}\n", "", `m.yaml:2: redis.addrs: "a:1" is given twice`},
		{"URL", onRedis + "redis: {addrs: ['redis://a:6379']}\n", "", `m.yaml:2: redis.addrs: entry 1, "redis://…", is a URL: write host:port; user, password and TLS have settings of their own`},
		{"URL in a variable", onRedis, "MARQUE_REDIS_ADDRS=REDISS://a:6379/0", `MARQUE_REDIS_ADDRS: redis.addrs: entry 1, "REDISS://…", is a URL: write host:port; user, password and TLS have settings of their own`},

		{"several of what", onRedis + "redis: {addrs: ['a:1', 'b:1']}\n", "", "m.yaml:2: redis.addrs: 2 addresses need redis.master_name, if they are Sentinels, or redis.cluster"},
		{"Sentinel and Cluster", onRedis + "redis: {addrs: ['a:1'], master_name: m, cluster: true}\n", "", "m.yaml:2: redis.cluster: is given beside redis.master_name, which says that redis.addrs are Sentinels; give one of them"},
		{"name of the primary", addr + "master_name: 'a b'\n", "", `m.yaml:4: redis.master_name: "a b" is not of letters, digits and . _ -`},
		{"user without password", addr + "username: marque\n", "", "m.yaml:4: redis.username: needs redis.password_file too, or MARQUE_REDIS_PASSWORD"},
		{"user with a space", addr + "username: 'a b'\n", "MARQUE_REDIS_PASSWORD=x", `m.yaml:4: redis.username: "a b" holds a space or a control character, which no user of Redis does`},
		{"two passwords", addr + "password_file: /p\n", "MARQUE_REDIS_PASSWORD=x", "m.yaml:4: redis.password_file: is given beside MARQUE_REDIS_PASSWORD; give one of them"},
		{"password in the file", addr + "password: 'hunter2'\n", "", "m.yaml:4: redis.password: a secret is not written here: name its file in redis.password_file, or set MARQUE_REDIS_PASSWORD"},
		{"Sentinels' password in the file", addr + "sentinel_password: 'hunter2'\n", "", "m.yaml:4: redis.sentinel_password: a secret is not written here: name its file in redis.sentinel_password_file, or set MARQUE_REDIS_SENTINEL_PASSWORD"},
		{"password with a line break", addr + "username: u\n", "MARQUE_REDIS_PASSWORD=hunter2\n", "MARQUE_REDIS_PASSWORD: redis.password: holds a line break or another control character"},
		{"typo in the password's variable", addr, "MARQUE_REDIS_PASWORD=hunter2", "MARQUE_REDIS_PASWORD: is not a setting; did you mean MARQUE_REDIS_PASSWORD?"},

		{"Sentinels' user without password", addr + "master_name: m\n  sentinel_username: s\n", "", "m.yaml:5: redis.sentinel_username: needs redis.sentinel_password_file too, or MARQUE_REDIS_SENTINEL_PASSWORD"},
		{"Sentinels' two passwords", addr + "master_name: m\n  sentinel_password_file: /p\n", "MARQUE_REDIS_SENTINEL_PASSWORD=x", "m.yaml:5: redis.sentinel_password_file: is given beside MARQUE_REDIS_SENTINEL_PASSWORD; give one of them"},
		{"Sentinels' password without Sentinels", addr + "sentinel_password_file: /p\n", "", "m.yaml:4: redis.sentinel_password_file: needs redis.master_name: without it no Sentinel is asked"},
		{"Sentinels' variable without Sentinels", addr, "MARQUE_REDIS_SENTINEL_PASSWORD=x", "MARQUE_REDIS_SENTINEL_PASSWORD: redis.sentinel_password: needs redis.master_name: without it no Sentinel is asked"},

		{"authorities without TLS", addr + "tls: {ca_file: /ca}\n", "", "m.yaml:4: redis.tls.ca_file: needs redis.tls.enabled"},
		{"name without TLS", addr + "tls: {server_name: a}\n", "", "m.yaml:4: redis.tls.server_name: needs redis.tls.enabled"},
		{"certificate without key", addr + "tls: {enabled: true, cert_file: /c}\n", "", "m.yaml:4: redis.tls.cert_file: needs redis.tls.key_file too"},
		{"key without certificate", addr + "tls: {enabled: true, key_file: /k}\n", "", "m.yaml:4: redis.tls.key_file: needs redis.tls.cert_file too"},
		{"name with port", addr + "tls: {enabled: true, server_name: 'a:1'}\n", "", `m.yaml:4: redis.tls.server_name: "a:1" is not a host name without port`},

		{"timeout too short", addr + "timeout: 49ms\n", "", "m.yaml:4: redis.timeout: 49ms is not between 50ms and 10s"},
		{"timeout too long", addr + "timeout: 31s\n", "", "m.yaml:4: redis.timeout: 31s is not between 50ms and 10s"},
		{"timeout without unit", addr + "timeout: 1\n", "", `m.yaml:4: redis.timeout: "1" is not a duration such as "15m"`},
		{"timeout and outage", "store: {driver: redis, outage: 10s}\nkeys: {refresh_interval: 9s}\nredis: {addrs: ['a:1'], timeout: 10s}\n", "", "m.yaml:3: redis.timeout: 10s is not shorter than store.outage, which is 10s: one call that is never answered would use it up"},
		{"wait too short", addr + "\ndurability: {timeout: 9ms}\n", "", "m.yaml:5: durability.timeout: 9ms is not between 10ms and 10s"},
		{"wait too long", addr + "\ndurability: {timeout: 31s}\n", "", "m.yaml:5: durability.timeout: 31s is not between 10ms and 10s"},
		{"too many replicas", addr + "\ndurability: {replicas: 11}\n", "", "m.yaml:5: durability.replicas: 11 is not between 0 and 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.yaml, c.environ)
			if d := cmp.Diff([]string{c.want}, problems(t, err)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestRedisEverythingWrongIsReported: also what follows from several settings comes with the rest, and
// what could not be read misleads no rule.
func TestRedisEverythingWrongIsReported(t *testing.T) {
	_, err := load(t, `redis:
  addrs: [redis-1, "redis-2:6379"]
  cluster: yes
  username: marque
  sentinel_username: s
  tls:
    ca_file: /ca
    ca: /ca
  timeout: 1h
durability: {replicas: -1}
`, "MARQUE_REDIS_SENTINEL_PASSWORD=x")
	want := []string{
		`m.yaml:2: redis.addrs: needs store.driver redis`,
		`m.yaml:2: redis.addrs: "redis-1" is not host:port, such as 127.0.0.1:6379`,
		`m.yaml:3: redis.cluster: true or false is expected, without quotes`,
		`m.yaml:4: redis.username: needs store.driver redis`,
		`m.yaml:4: redis.username: needs redis.password_file too, or MARQUE_REDIS_PASSWORD`,
		`m.yaml:5: redis.sentinel_username: needs store.driver redis`,
		`m.yaml:5: redis.sentinel_username: needs redis.master_name: without it no Sentinel is asked`,
		`m.yaml:7: redis.tls.ca_file: needs store.driver redis`,
		`m.yaml:7: redis.tls.ca_file: needs redis.tls.enabled`,
		`m.yaml:8: redis.tls.ca: is not a setting`,
		`m.yaml:9: redis.timeout: 1h is not between 50ms and 10s`,
		`m.yaml:9: redis.timeout: needs store.driver redis`,
		`m.yaml:10: durability.replicas: "-1" is not a whole number`,
		`MARQUE_REDIS_SENTINEL_PASSWORD: redis.sentinel_password: needs store.driver redis`,
		`MARQUE_REDIS_SENTINEL_PASSWORD: redis.sentinel_password: needs redis.master_name: without it no Sentinel is asked`,
	}
	if d := cmp.Diff(want, problems(t, err)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestRedisAdviceNamesTheFlag: who typed --store bolt over a file for Redis is told so.
func TestRedisAdviceNamesTheFlag(t *testing.T) {
	_, err := Load(Options{
		File:      write(t, onRedis+"redis: {addrs: ['a:1']}\n"),
		Environ:   home,
		Overrides: []Override{{Path: "store.driver", Flag: "--store", Values: []string{"bolt"}}},
		Flags:     map[string]string{"store.driver": "--store"},
	})
	want := []string{"m.yaml:2: redis.addrs: needs --store (store.driver) redis"}
	if d := cmp.Diff(want, problems(t, err)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestAddressesThatMayHoldPasswords: URLs and the connection strings of other libraries are what is
// pasted here, and messages end up in logs.
func TestAddressesThatMayHoldPasswords(t *testing.T) {
	for _, a := range []string{
		"redis://:hunter2@a:6379", "rediss://u:hunter2@a:6379/0", "redis://a:6379?password=hunter2", "hunter2://a",
		"u:hunter2@a:6379", "hunter2@a:6379", "a:6379?password=hunter2", "password=hunter2", "a:6379,password=hunter2",
	} {
		for _, environ := range []string{"", "MARQUE_REDIS_ADDRS=" + a} {
			text := onRedis
			if environ == "" {
				text += "redis: {addrs: ['" + a + "']}\n"
			}
			_, err := load(t, text, environ)
			if all := strings.Join(problems(t, err), "\n"); !strings.Contains(all, "redis.addrs: entry ") || strings.Contains(all, "hunter2") {
				t.Errorf("%s: got %q", a, all)
			}
		}
	}
}

func TestRedisAccepted(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		environ    []string
		check      func(*Loaded) bool
	}{
		{"one server", onRedis + "redis: {addrs: ['127.0.0.1:6379']}\n", nil, func(l *Loaded) bool {
			return slices.Equal(l.Redis.Addrs, []string{"127.0.0.1:6379"}) && l.Redis.Timeout == Duration(time.Second) &&
				l.Durability == DurabilityConfig{Timeout: Duration(time.Second)}
		}},
		{"by variables", "", []string{
			"MARQUE_STORE_DRIVER=redis", "MARQUE_REDIS_ADDRS=a_1:1, [::1]:2,c.d-e:65535", "MARQUE_REDIS_CLUSTER=true", "MARQUE_REDIS_USERNAME=u",
			"MARQUE_REDIS_PASSWORD= p@ss word=? ", "MARQUE_REDIS_TLS_ENABLED=true", "MARQUE_REDIS_TLS_SERVER_NAME=::1",
			"MARQUE_REDIS_TIMEOUT=50ms", "MARQUE_DURABILITY_REPLICAS=10", "MARQUE_DURABILITY_TIMEOUT=10s", "MARQUE_DURABILITY_FSYNC=true",
		}, func(l *Loaded) bool {
			r := l.Redis
			return slices.Equal(r.Addrs, []string{"a_1:1", "[::1]:2", "c.d-e:65535"}) && r.Cluster && r.Username == "u" &&
				r.Password.Reveal() == " p@ss word=? " && l.Source("redis.password") == VariableRedisPassword &&
				r.TLS.Enabled && r.TLS.ServerName == "::1" && r.Timeout == Duration(50*time.Millisecond) &&
				l.Durability == DurabilityConfig{Replicas: 10, Fsync: true, Timeout: Duration(10 * time.Second)}
		}},
		{"one Sentinel", onRedis + "redis: {addrs: ['a:1'], master_name: m, sentinel_username: s}\n", []string{"MARQUE_REDIS_SENTINEL_PASSWORD=x"}, func(l *Loaded) bool {
			return l.Redis.SentinelPassword.Reveal() == "x" && l.Source("redis.sentinel_password") == VariableRedisSentinelPassword && l.Redis.Password.IsZero()
		}},
		{"one node of a Cluster", onRedis + "redis: {addrs: ['a:1'], cluster: true}\n", nil, func(l *Loaded) bool { return l.Redis.Cluster }},
		{"password of the user default", onRedis + "redis: {addrs: ['a:1'], password_file: /p}\n", nil, func(l *Loaded) bool { return l.Redis.PasswordFile == "/p" }},
		{"empty variables are absent", "", []string{"MARQUE_REDIS_PASSWORD=", "MARQUE_REDIS_ADDRS=", "MARQUE_REDIS_SENTINEL_PASSWORD=", "MARQUE_REDIS_USERNAME="}, func(l *Loaded) bool {
			return l.Redis.Password.IsZero() && l.Source("redis.password") == "default"
		}},
		{"defaults written out with bolt", "redis: {addrs: [], cluster: false, timeout: 1000ms, tls: {ca_file: ''}}\ndurability: {replicas: 0}\n", nil, func(l *Loaded) bool { return l.Store.Driver == "bolt" }},
		{"a service called marque-redis", "", []string{"MARQUE_REDIS_SERVICE_HOST=10.0.0.1", "MARQUE_REDIS_PORT=tcp://10.0.0.1:6379", "MARQUE_REDIS_PORT_6379_TCP_ADDR=10.0.0.1"}, func(*Loaded) bool { return true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := load(t, c.yaml, c.environ...)
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(l) {
				t.Errorf("got %+v", l.Config)
			}
		})
	}
}

// TestRedisSample keeps the file for Sentinel true: it loads, is about Sentinel, and mentions every
// setting of Redis, either with a value or as a comment.
func TestRedisSample(t *testing.T) {
	l, err := Load(Options{File: "marque-redis.yaml", Environ: home})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Store: StoreConfig{Driver: "redis", Namespace: "marque", Outage: Duration(5 * time.Minute)},
		Redis: RedisConfig{
			Addrs:                []string{"sentinel-1.example:26379", "sentinel-2.example:26379", "sentinel-3.example:26379"},
			MasterName:           "marque",
			Username:             "marque",
			PasswordFile:         "/etc/marque/redis-password",
			SentinelUsername:     "marque",
			SentinelPasswordFile: "/etc/marque/sentinel-password",
			TLS:                  RedisTLSConfig{Enabled: true, CAFile: "/etc/marque/redis-ca.crt"},
			Timeout:              Duration(time.Second),
		},
		Durability: DurabilityConfig{Replicas: 2, Timeout: Duration(time.Second)},
	}
	got := Config{Store: l.Store, Redis: l.Redis, Durability: l.Durability}
	if d := cmp.Diff(want, got, compareConfig, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	all, err := load(t, uncommented(t, "marque-redis.yaml"))
	if err != nil {
		t.Fatalf("sample with every line in force: %v", err)
	}
	for _, path := range Paths() {
		ofRedis := strings.HasPrefix(path, "redis.") || strings.HasPrefix(path, "durability.")
		if ofRedis && path != "redis.cluster" && all.Source(path) == "default" {
			t.Errorf("the sample does not mention %s", path)
		}
	}
}

// uncommented returns a sample with the settings in force that stand in it as comments.
func uncommented(t *testing.T, sample string) string {
	t.Helper()
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^(\s*)#([a-z])`).ReplaceAllString(string(text), "$1$2")
}

// TestRedisPrintedFileLoads feeds what config print writes, sections within sections among it, back to
// Load; and no password is in it.
func TestRedisPrintedFileLoads(t *testing.T) {
	environ := []string{"MARQUE_REDIS_PASSWORD=hunter2", "MARQUE_REDIS_SENTINEL_PASSWORD=hunter3"}
	first, err := load(t, onRedis+"redis: {addrs: ['a:1', '[::1]:2'], master_name: m, username: u, timeout: 2s,\n"+
		"  tls: {enabled: true, cert_file: c, key_file: k}}\ndurability: {replicas: 2}\n", environ...)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := first.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hunter") {
		t.Error("the printed file holds a password")
	}
	for _, want := range []string{
		"  addrs: [\"a:1\", \"[::1]:2\"] # ", "  tls:\n    enabled: true # ", "\n  timeout: 2s # ", "\ndurability:\n  replicas: 2 # ",
		"\n# redis.password: [redacted] from MARQUE_REDIS_PASSWORD\n", "\n# redis.sentinel_password: [redacted] from MARQUE_REDIS_SENTINEL_PASSWORD\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	second, err := load(t, b.String(), environ...)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if d := cmp.Diff(first.Config, second.Config, compareConfig, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-first +second):\n%s", d)
	}
}

// TestJSONHasEverySetting walks the nested objects of config print --json.
func TestJSONHasEverySetting(t *testing.T) {
	l, err := load(t, "", "MARQUE_STORE_DRIVER=redis", "MARQUE_REDIS_ADDRS=a:1", "MARQUE_REDIS_TLS_ENABLED=true")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for name, v := range m {
			if section, ok := v.(map[string]any); ok {
				walk(prefix+name+".", section)
				continue
			}
			got[prefix+name] = v
		}
	}
	walk("", l.JSON())
	if want := slices.Sorted(slices.Values(Paths())); !slices.Equal(want, sortedKeys(got)) {
		t.Errorf("got %v, want %v", sortedKeys(got), want)
	}
	if got["redis.tls.enabled"] != true || !slices.Equal(got["redis.addrs"].([]string), []string{"a:1"}) {
		t.Errorf("got %v, %v", got["redis.tls.enabled"], got["redis.addrs"])
	}
}

// TestSecrets: every secret has a variable of its own and a setting that names its file; the constants
// are those variables.
func TestSecrets(t *testing.T) {
	var c Config
	var variables []string
	for _, s := range secrets(&c) {
		if !slices.Contains(Paths(), s.file()) {
			t.Errorf("%s has no setting %s", s.path, s.file())
		}
		if slices.Contains(Paths(), s.path) {
			t.Errorf("%s can be written in a file", s.path)
		}
		variables = append(variables, Variable(s.path))
	}
	if want := []string{VariableRedisPassword, VariableRedisSentinelPassword, VariableKEK}; !slices.Equal(variables, want) {
		t.Errorf("got %v, want %v", variables, want)
	}
	if n := countSecrets(reflect.TypeFor[Config]()); n != len(variables) {
		t.Errorf("%d fields are secrets, and %d are known", n, len(variables))
	}
}

// countSecrets counts the fields of type Secret, whatever their tags say.
func countSecrets(typ reflect.Type) int {
	if typ == reflect.TypeFor[Secret]() {
		return 1
	}
	if typ.Kind() != reflect.Struct {
		return 0
	}
	n := 0
	for i := range typ.NumField() {
		n += countSecrets(typ.Field(i).Type)
	}
	return n
}

// TestSamplesAreAllTested: a sample that no test loads ages unseen.
func TestSamplesAreAllTested(t *testing.T) {
	samples, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"gate.yaml", "marque-redis.yaml", "marque.yaml"}; !slices.Equal(samples, want) {
		t.Errorf("got %v, want %v", samples, want)
	}
}

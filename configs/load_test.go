package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareConfig = cmp.Options{cmp.AllowUnexported(Secret{}), cmpopts.IgnoreTypes(Places{})}

var home = []string{"HOME=/home/ada"}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func load(t *testing.T, text string, environ ...string) (*Loaded, error) {
	t.Helper()
	return Load(Options{File: write(t, text), Environ: append(slices.Clone(home), environ...)})
}

// problems returns what Load complains of, with the folder of the file cut off.
// folders is where the test's file lies.
var folders = regexp.MustCompile(`; set it in /\S*/`)

func problems(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	var all []string
	for _, p := range e.Problems {
		if p.Source != "" {
			p.Source = filepath.Base(p.Source)
		}
		p.Message = folders.ReplaceAllString(p.Message, "; set it in ")
		all = append(all, p.String())
	}
	return all
}

// TestSampleIsTheDefaults keeps the sample file true: it loads, says nothing but defaults, and
// mentions every setting, either with its value or as a comment.
func TestSampleIsTheDefaults(t *testing.T) {
	got, err := Load(Options{File: "marque.yaml", Environ: home})
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults(false)
	want.Data = "/home/ada/.marque"
	if d := cmp.Diff(want, got.Config, compareConfig, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("sample differs from the defaults (-want +got):\n%s", d)
	}
	all, err := load(t, uncommented(t, "marque.yaml"))
	if err != nil {
		t.Fatalf("sample with every line in force: %v", err)
	}
	for _, path := range Paths() {
		if all.Source(path) == "default" {
			t.Errorf("the sample does not mention %s", path)
		}
	}
}

// TestEveryFieldHasAComment keeps the struct a manual.
func TestEveryFieldHasAComment(t *testing.T) {
	for _, file := range []string{"config.go", "gate.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i, line := range lines {
			if !strings.Contains(line, "`yaml:") || strings.Contains(line, "Config ") {
				continue
			}
			if before := strings.TrimSpace(lines[i-1]); !strings.HasPrefix(before, "//") {
				t.Errorf("%s:%d has no comment: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:1\nadmin: {listen: 127.0.0.1:2}\nlog:\n  level: debug\n")
	o := Options{
		File:      file,
		Environ:   []string{"HOME=/h", "MARQUE_LISTEN=127.0.0.1:3", "MARQUE_ADMIN_LISTEN=127.0.0.1:4", "MARQUE_DATA=/d"},
		Overrides: []Override{{Path: "listen", Flag: "--listen", Values: []string{"127.0.0.1:5"}}},
	}
	l, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{
		l.Listen, l.Source("listen"), l.Admin.Listen, l.Source("admin.listen"),
		l.Log.Level, l.Source("log.level"), l.Data, l.Source("data"), l.Log.Format, l.Source("log.format"),
	}
	want := []string{
		"127.0.0.1:5", "--listen", "127.0.0.1:4", "MARQUE_ADMIN_LISTEN",
		"debug", file + ":4", "/d", "MARQUE_DATA", "text", "default",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestDevDefaults(t *testing.T) {
	l, err := Load(Options{Environ: home, Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	got := []Duration{l.Keys.JWKSMaxAge, l.Keys.RefreshInterval, l.Leeway, l.Keys.PublishLead}
	want := []Duration{Duration(2 * time.Second), Duration(time.Second), Duration(time.Second), Duration(5 * time.Second)}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestEverythingWrongIsReported is the promise of the package: one run, one list, in order.
func TestEverythingWrongIsReported(t *testing.T) {
	_, err := load(t, `listen: here
listne: 127.0.0.1:1
log:
  level: loud
  format: text
  format: json
leeway: -1s
store: bolt
keys:
  kek: c2VjcmV0LXNlY3JldA
  publish_lead: 10
  ed25519_name: eddsa
cache:
  clients: "many"
  max_age: 5
insecure_http: yes
`, "MARQUE_LIMITS_FAILURES=-3", "MARQUE_STORE_DIRVER=bolt", "MARQUE_TLS_CERT_FILE=/c")
	want := []string{
		`m.yaml:1: listen: "here" is not host:port, such as 127.0.0.1:8080`,
		`m.yaml:2: listne: is not a setting; did you mean listen?`,
		`m.yaml:4: log.level: "loud" is not debug, info, warn, error`,
		`m.yaml:6: log.format: is given twice; the first time in line 5`,
		`m.yaml:7: leeway: "-1s" is negative`,
		`m.yaml:8: store: is a section; its settings follow, indented`,
		`m.yaml:10: keys.kek: a secret is not written here: name its file in keys.kek_file, or set MARQUE_KEYS_KEK`,
		`m.yaml:12: keys.ed25519_name: "eddsa" is not EdDSA, Ed25519`,
		`m.yaml:14: cache.clients: a whole number is expected, without quotes`,
		`m.yaml:15: cache.max_age: "5" is not a duration such as "15m"`,
		`m.yaml:16: insecure_http: true or false is expected, without quotes`,
		`MARQUE_LIMITS_FAILURES: limits.failures: "-3" is not a whole number`,
		`MARQUE_STORE_DIRVER: is not a setting; did you mean MARQUE_STORE_DRIVER?`,
		`MARQUE_TLS_CERT_FILE: tls.cert_file: needs tls.key_file too`,
	}
	if d := cmp.Diff(want, problems(t, err)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if strings.Contains(err.Error(), "c2VjcmV0") {
		t.Error("the message repeats a secret that was written in the wrong place")
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, yaml, environ, want string }{
		{"second document", "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n", "", "m.yaml:3: a second document follows; one file holds one"},
		{"document after end", "listen: 127.0.0.1:1\n...\nlisten: 127.0.0.1:2\n", "", "m.yaml:3: a second document follows; one file holds one"},
		{"list at the top", "[listen]\n", "", `m.yaml:1: the file must hold settings, such as "listen: 127.0.0.1:8080"`},
		{"text at the top", "listen\n", "", `m.yaml:1: the file must hold settings, such as "listen: 127.0.0.1:8080"`},
		{"syntax", "listen: [\n", "", "m.yaml:1: is not YAML: sequence end token ']' not found"},
		{"tab", "log:\n\tlevel: info\n", "", "m.yaml:2: is not YAML: found character '\t' that cannot start any token"},
		{"anchor", "listen: &a 127.0.0.1:1\n", "", "m.yaml:1: listen: text is expected; write it in quotes"},
		{"tag", "listen: !!str 127.0.0.1:1\n", "", "m.yaml:1: listen: text is expected; write it in quotes"},
		{"merge key", "<<: {listen: 127.0.0.1:1}\n", "", "m.yaml:1: a key must be plain text, without anchors, merges or tags"},
		{"null", "listen:\n", "", "m.yaml:1: listen: has no value; leave the line out for the default"},
		{"null list", "trusted_proxies: ~\n", "", "m.yaml:1: trusted_proxies: has no value; leave the line out for the default"},
		{"number for text", "listen: 8080\n", "", "m.yaml:1: listen: text is expected; write it in quotes"},
		{"text for a list", "trusted_proxies: 10.0.0.1\n", "", `m.yaml:1: trusted_proxies: a list is expected, such as ["a", "b"]`},
		{"number in a list", "trusted_proxies: [1]\n", "", "m.yaml:1: trusted_proxies: an entry of the list is not text; write it in quotes"},
		{"list for text", "issuer: [https://a.example]\n", "", "m.yaml:1: issuer: text is expected; write it in quotes"},
		{"duplicate section", "log: {level: info}\nlog: {format: text}\n", "", "m.yaml:2: log: is given twice; the first time in line 1"},
		{"flat path", "log.level: info\n", "", "m.yaml:1: log.level: is not a setting; one of a section is written under its name, indented"},
		{"octal", "limits: {failures: 010}\n", "", `m.yaml:1: limits.failures: "010" is not a whole number`},
		{"huge", "limits: {failures: 99999999999}\n", "", `m.yaml:1: limits.failures: "99999999999" is too large`},
		{"huge seconds", "leeway: 99999999999\n", "", `m.yaml:1: leeway: "99999999999" is too many seconds`},
		{"fraction of a second", "leeway: 1500ms\n", "", "m.yaml:1: leeway: 1.5s is not a whole number of seconds"},
		{"leeway", "leeway: 6m\nkeys: {publish_lead: 48h}\n", "", "m.yaml:1: leeway: 6m is not between 0s and 5m"},
		{"lead", "keys: {publish_lead: 344}\n", "", "m.yaml:1: keys.publish_lead: 5m44s is shorter than keys.jwks_max_age + keys.refresh_interval + leeway, which is 5m + 15s + 30s = 5m45s"},
		{"period", "keys: {period: 24h}\n", "", "m.yaml:1: keys.period: 24h is shorter than keys.publish_lead + keys.refresh_interval + leeway, which is 24h + 15s + 30s = 24h0m45s; 0 would mean that keys rotate by hand"},
		{"period of one", "keys: {periods: [RS256=1h]}\n", "", "m.yaml:1: keys.periods: 1h for RS256 is shorter than keys.publish_lead + keys.refresh_interval + leeway, which is 24h + 15s + 30s = 24h0m45s; 0 would mean that keys rotate by hand"},
		{"period of none", "keys: {periods: [HS256=720h]}\n", "", `m.yaml:1: keys.periods: "HS256=720h" does not begin with one of ES256, ES384, RS256, PS256, Ed25519`},
		{"period twice", "keys: {periods: [RS256=720h, RS256=0]}\n", "", "m.yaml:1: keys.periods: RS256 has two periods"},
		{"no period", "keys: {periods: [RS256]}\n", "", `m.yaml:1: keys.periods: "RS256" is not an algorithm and a duration such as RS256=2160h`},
		{"period without unit", "", "MARQUE_KEYS_PERIODS=RS256=1.5h2", `MARQUE_KEYS_PERIODS: keys.periods: RS256: "1.5h2" is not a duration such as "15m", nor a whole number of seconds`},
		{"outage", "store: {outage: 15s}\n", "", "m.yaml:1: store.outage: 15s is not longer than keys.refresh_interval, which is 15s"},
		{"issuer http", "issuer: http://as.example\n", "", `m.yaml:1: issuer: "http://as.example" is not https; insecure_http admits it`},
		{"issuer slash", "issuer: https://as.example/\n", "", `m.yaml:1: issuer: "https://as.example/" must not end in a slash`},
		{"issuer query", "issuer: https://as.example?x\n", "", `m.yaml:1: issuer: "https://as.example?x" must have no user, query or fragment`},
		{"issuer empty fragment", "issuer: 'https://as.example#'\n", "", `m.yaml:1: issuer: "https://as.example#" must have no user, query or fragment`},
		{"issuer user", "issuer: https://a@as.example\n", "", `m.yaml:1: issuer: "https://a@as.example" must have no user, query or fragment`},
		{"issuer host", "issuer: as.example\n", "", `m.yaml:1: issuer: "as.example" is not an absolute URL such as https://as.example`},
		{"issuer port only", "issuer: https://:8080\n", "", `m.yaml:1: issuer: "https://:8080" is not an absolute URL such as https://as.example`},
		{"issuer case", "issuer: https://AS.example\n", "", `m.yaml:1: issuer: "https://AS.example" is not written in its plainest form (lower-case host; no escapes, empty or dot segments)`},
		{"issuer dots", "issuer: https://as.example/../a\n", "", `m.yaml:1: issuer: "https://as.example/../a" is not written in its plainest form (lower-case host; no escapes, empty or dot segments)`},
		{"beyond loopback", "listen: 0.0.0.0:80\n", "", `m.yaml:1: listen: "0.0.0.0:80" is beyond loopback; it needs tls.cert_file and tls.key_file, or trusted_proxies, or insecure_http`},
		{"every interface", "listen: ':80'\n", "", `m.yaml:1: listen: ":80" is beyond loopback; it needs tls.cert_file and tls.key_file, or trusted_proxies, or insecure_http`},
		{"a name is not loopback", "listen: localhost.example:80\n", "", `m.yaml:1: listen: "localhost.example:80" is beyond loopback; it needs tls.cert_file and tls.key_file, or trusted_proxies, or insecure_http`},
		{"admin beyond loopback", "admin: {listen: '0.0.0.0:81'}\n", "", `m.yaml:1: admin.listen: "0.0.0.0:81" is beyond loopback; it needs tls.cert_file and tls.key_file, or trusted_proxies, or insecure_http`},
		{"unknown tokens", "limits: {unknown_tokens: 1000001}\n", "", "m.yaml:1: limits.unknown_tokens: 1000001 is not between 0 and 1000000"},
		{"no token revocation", "limits: {token_revocations: 0}\n", "", "m.yaml:1: limits.token_revocations: 0 is not between 1 and 100000"},
		{"port", "listen: 127.0.0.1:65536\n", "", `m.yaml:1: listen: "127.0.0.1:65536" is not host:port, such as 127.0.0.1:8080`},
		{"named port", "listen: 127.0.0.1:http\n", "", `m.yaml:1: listen: "127.0.0.1:http" is not host:port, such as 127.0.0.1:8080`},
		{"every proxy", "trusted_proxies: [0.0.0.0/0]\n", "", `m.yaml:1: trusted_proxies: "0.0.0.0/0" is everyone, who could then claim any address`},
		{"proxy", "trusted_proxies: [proxy.example]\n", "", `m.yaml:1: trusted_proxies: "proxy.example" is neither an address nor a network such as 10.0.0.0/8`},
		{"host with port", "admin: {hosts: ['a:1']}\n", "", `m.yaml:1: admin.hosts: "a:1" is not a host name without port`},
		{"driver", "store: {driver: etcd}\n", "", `m.yaml:1: store.driver: "etcd" is not bolt, redis`},
		{"namespace", "store: {namespace: 'a/b'}\n", "", `m.yaml:1: store.namespace: "a/b" is not 1 to 64 of a-z, 0-9, _ and -`},
		{"claims", "claims: {namespaces: [s]}\n", "", `m.yaml:1: claims.namespaces: "s" is not 3 to 128 visible ASCII characters that end in one of / : . _ # -`},
		{"algorithm", "keys: {algorithm: es256}\n", "", `m.yaml:1: keys.algorithm: "es256" is not ES256, ES384, RS256, PS256, Ed25519`},
		{"no algorithm", "keys: {algorithm: none}\n", "", `m.yaml:1: keys.algorithm: "none" is not ES256, ES384, RS256, PS256, Ed25519`},
		{"empty algorithm", "keys: {algorithm: ''}\n", "", `m.yaml:1: keys.algorithm: "" is not ES256, ES384, RS256, PS256, Ed25519`},
		{"symmetric algorithm", "", "MARQUE_KEYS_ALGORITHM=HS256", `MARQUE_KEYS_ALGORITHM: keys.algorithm: "HS256" is not ES256, ES384, RS256, PS256, Ed25519`},
		{"EdDSA is a name, not an algorithm", "keys: {algorithm: EdDSA}\n", "", `m.yaml:1: keys.algorithm: "EdDSA" is not ES256, ES384, RS256, PS256, Ed25519`},
		{"two keys", "keys: {kek_file: /k}\n", "MARQUE_KEYS_KEK=abc", "m.yaml:1: keys.kek_file: is given beside MARQUE_KEYS_KEK; give one of them"},
		{"key without certificate", "tls: {key_file: /k}\n", "", "m.yaml:1: tls.key_file: needs tls.cert_file too"},
		{"empty entry", "", "MARQUE_TRUSTED_PROXIES=10.0.0.1,,10.0.0.2", "MARQUE_TRUSTED_PROXIES: trusted_proxies: an entry of the list is empty"},
		{"bool", "", "MARQUE_INSECURE_HTTP=1", `MARQUE_INSECURE_HTTP: insecure_http: "1" is neither true nor false`},
		{"unknown variable", "", "MARQUE_CONFIG=/etc/m.yaml", "MARQUE_CONFIG: is not a setting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.yaml, c.environ)
			if d := cmp.Diff([]string{c.want}, problems(t, err)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, c := range []struct {
		name, yaml, environ string
		check               func(*Loaded) bool
	}{
		{"empty file", "", "", func(l *Loaded) bool { return l.Listen == "127.0.0.1:8080" }},
		{"comments only", "# nothing\n", "", func(*Loaded) bool { return true }},
		{"byte order mark", "\ufeffleeway: 5s\n", "", func(l *Loaded) bool { return l.Leeway == Duration(5*time.Second) }},
		{"document start", "---\nleeway: 5s\n", "", func(l *Loaded) bool { return l.Leeway == Duration(5*time.Second) }},
		{"section of comments", "tls:\n  #cert_file: x\n", "", func(l *Loaded) bool { return l.TLS.CertFile == "" }},
		{"periods", "keys: {period: 0}\n", "MARQUE_KEYS_PERIODS=RS256=2160h,Ed25519=604800", func(l *Loaded) bool {
			p, err := l.Keys.PeriodsByAlgorithm()
			return err == nil && l.Keys.Period == 0 && len(p) == 2 && p["RS256"] == 2160*time.Hour && p["Ed25519"] == 168*time.Hour
		}},
		{"seconds", "keys: {jwks_max_age: 60, refresh_interval: 5, publish_lead: 3600}\nleeway: 0\n", "", func(l *Loaded) bool {
			return l.Keys.JWKSMaxAge == Duration(time.Minute) && l.Keys.PublishLead == Duration(time.Hour) && l.Leeway == 0
		}},
		{"algorithm", "keys: {algorithm: RS256}\n", "", func(l *Loaded) bool { return l.Keys.Algorithm == "RS256" }},
		{"algorithm by default", "", "", func(l *Loaded) bool { return l.Keys.Algorithm == "ES256" }},
		{"algorithm in a variable", "", "MARQUE_KEYS_ALGORITHM=Ed25519", func(l *Loaded) bool {
			return l.Keys.Algorithm == "Ed25519" && l.Source("keys.algorithm") == "MARQUE_KEYS_ALGORITHM"
		}},
		{"seconds in a variable", "", "MARQUE_LEEWAY=7", func(l *Loaded) bool { return l.Leeway == Duration(7*time.Second) }},
		{"list in a variable", "", "MARQUE_TRUSTED_PROXIES=10.0.0.1, fd00::/8", func(l *Loaded) bool {
			return slices.Equal(l.TrustedProxies, []string{"10.0.0.1", "fd00::/8"})
		}},
		{"empty list in a variable", "trusted_proxies: [10.0.0.1]\n", "MARQUE_TRUSTED_PROXIES=", func(l *Loaded) bool { return len(l.TrustedProxies) == 0 }},
		{"empty variable is absent", "listen: 127.0.0.1:1\n", "MARQUE_LISTEN=", func(l *Loaded) bool { return l.Listen == "127.0.0.1:1" }},
		{"no admin listener", "admin: {listen: ''}\n", "", func(l *Loaded) bool { return l.Admin.Listen == "" }},
		{"issuer with a path", "issuer: https://as.example/tenant\n", "", func(l *Loaded) bool { return l.Issuer == "https://as.example/tenant" }},
		{"http issuer by name", "issuer: http://as.example\ninsecure_http: true\n", "", func(*Loaded) bool { return true }},
		{"behind a proxy", "listen: 0.0.0.0:80\ntrusted_proxies: [10.0.0.1]\n", "", func(*Loaded) bool { return true }},
		{"with tls", "listen: ':443'\ntls: {cert_file: c, key_file: k}\n", "", func(*Loaded) bool { return true }},
		{"admin with tls", "admin: {listen: ':8443'}\ntls: {cert_file: c, key_file: k}\n", "", func(*Loaded) bool { return true }},
		{"limits of revocation", "limits: {unknown_tokens: 0}\n", "MARQUE_LIMITS_TOKEN_REVOCATIONS=5", func(l *Loaded) bool {
			return l.Limits.UnknownTokens == 0 && l.Limits.TokenRevocations == 5
		}},
		{"kubernetes", "", "MARQUE_PORT_8080_TCP_ADDR=10.0.0.1", func(*Loaded) bool { return true }},
		{"kubernetes, another service", "", "MARQUE_ADMIN_SERVICE_PORT_HTTP=8081", func(*Loaded) bool { return true }},
		{"the client's secret", "", "MARQUE_CLIENT_SECRET=x", func(*Loaded) bool { return true }},
		{"kek", "", "MARQUE_KEYS_KEK=abc", func(l *Loaded) bool { return l.Keys.KEK.Reveal() == "abc" && l.Source("keys.kek") == "MARQUE_KEYS_KEK" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := load(t, c.yaml, c.environ)
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(l) {
				t.Errorf("got %+v", l.Config)
			}
		})
	}
}

func TestDevBeyondLoopback(t *testing.T) {
	o := Options{Environ: append(home, "MARQUE_LISTEN=0.0.0.0:1", "MARQUE_TRUSTED_PROXIES=10.0.0.1"), Dev: true}
	_, err := Load(o)
	if err == nil || !strings.Contains(err.Error(), "MARQUE_LISTEN: listen:") {
		t.Errorf("got %v", err)
	}
	o.Environ[len(o.Environ)-2] = "MARQUE_ADMIN_LISTEN=0.0.0.0:1"
	if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "MARQUE_ADMIN_LISTEN: admin.listen:") {
		t.Errorf("got %v", err)
	}
	o.Environ = append(o.Environ, "MARQUE_INSECURE_HTTP=true")
	if _, err := Load(o); err != nil {
		t.Error(err)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load(Options{File: filepath.Join(t.TempDir(), "none.yaml"), Environ: home}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestNoHome(t *testing.T) {
	_, err := Load(Options{})
	want := []string{"data: HOME is not set, so the data folder must be given; set it in a configuration file or by MARQUE_DATA"}
	if d := cmp.Diff(want, problems(t, err)); d != "" {
		t.Error(d)
	}
}

// TestSecretRedacts prints a secret in every way that a program does by accident.
func TestSecretRedacts(t *testing.T) {
	s := NewSecret("c2VjcmV0")
	var c Config
	for _, field := range secrets(&c) {
		*field.field = s
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "kek", s, "config", c)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s) + fmt.Sprintf("%v %+v %#v", c, c, &c) + log.String() + string(asJSON)
	if strings.Contains(out, "c2VjcmV0") || strings.Contains(out, fmt.Sprintf("%x", "c2VjcmV0")) {
		t.Errorf("the secret shows in %s", out)
	}
}

// TestPrintedFileLoads feeds what config print writes back to Load.
func TestPrintedFileLoads(t *testing.T) {
	first, err := load(t, "issuer: https://as.example\nlisten: '[::1]:0'\ntrusted_proxies: [10.0.0.0/8, '::1']\nleeway: 0\n"+
		"data: \"/a b/\\\"#: x\"\nclaims: {namespaces: ['https://x.example/']}\ncache: {max_age: 1500ms}\n", "MARQUE_KEYS_KEK=c2VjcmV0")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := first.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "c2VjcmV0") {
		t.Error("the printed file holds the secret")
	}
	second, err := load(t, b.String(), "MARQUE_KEYS_KEK=c2VjcmV0")
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if d := cmp.Diff(first.Config, second.Config, compareConfig, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-first +second):\n%s", d)
	}
}

func TestVariable(t *testing.T) {
	seen := map[string]string{}
	for _, p := range Paths() {
		v := Variable(p)
		if seen[v] != "" {
			t.Errorf("%s and %s share %s", seen[v], p, v)
		}
		if v == VariableKEK || v == VariableRedisPassword || v == VariableRedisSentinelPassword || v == VariableClientSecret || orchestrated.MatchString(v) {
			t.Errorf("%s would not be read", v)
		}
		seen[v] = p
	}
	if got := Variable("store.driver"); got != "MARQUE_STORE_DRIVER" {
		t.Error(got)
	}
}

// FuzzLoad feeds Load any file: it never panics, and what it accepts prints and loads again equal.
func FuzzLoad(f *testing.F) {
	sample, err := os.ReadFile("marque.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(sample))
	f.Add("store: {driver: redis}\nredis: {addrs: ['a:1', 'b:2'], cluster: true, tls: {enabled: true}}\n")
	f.Add("listen: [\n")
	f.Add("a: &a [*a]\n")
	f.Add("---\n...\n---\n")
	f.Add("? x\n: y\n<<: 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := newServerLoader(Options{})
		l.yaml("f", []byte(text))
		if l.validate(); len(l.err.Problems) > 0 {
			return
		}
		var b strings.Builder
		if err := l.loaded.WriteYAML(&b); err != nil {
			t.Fatal(err)
		}
		first := l.loaded.Config
		again, err := load(t, b.String(), "MARQUE_DATA="+first.Data)
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		if first.Data == "" {
			again.Data = ""
		}
		if d := cmp.Diff(first, again.Config, compareConfig, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s\n%s", d, b.String())
		}
	})
}

// TestAdviceNamesFlags: a message advises a flag only if the command that was typed has it.
func TestAdviceNamesFlags(t *testing.T) {
	for _, c := range []struct {
		flags map[string]string
		want  string
	}{
		{nil, "is not https; insecure_http admits it"},
		{map[string]string{"insecure_http": "--insecure-http"}, "is not https; --insecure-http (insecure_http) admits it"},
	} {
		_, err := Load(Options{
			Environ:   []string{"HOME=/home/x"},
			Overrides: []Override{{Path: "issuer", Flag: "--issuer", Values: []string{"http://as.example"}}},
			Flags:     c.flags,
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestPrintSaysWhereFrom: every line of the printed file names the origin of its value.
func TestPrintSaysWhereFrom(t *testing.T) {
	l, err := load(t, "listen: 127.0.0.1:9090\n", "MARQUE_LOG_LEVEL=debug")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := l.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`issuer: "" # default: what the installation record says`, `m.yaml:1`,
		`  level: debug # MARQUE_LOG_LEVEL`, `leeway: 30s # default`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if !strings.HasSuffix(line, ":\n") && !strings.Contains(line, " # ") {
			t.Errorf("no origin: %s", line)
		}
	}
}

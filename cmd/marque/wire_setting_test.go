package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/marque-auth/marque/store/redistest"
)

// typed is a marque of which nothing is known but what it is told: its exit code and what it says on stderr.
func typed(t *testing.T, environ []string, args ...string) (int, string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, environ: append(environ, "HOME="+t.TempDir())}
	code := a.run(t.Context(), args)
	return code, errs.String()
}

// mistaken is a configuration that can be read and does not fit, and what is said of it: the place that must change
// comes first.
type mistaken struct {
	name, yaml string
	environ    []string
	command    string
	want       string
}

func (m mistaken) run(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "m.yaml")
	if err := os.WriteFile(path, []byte(m.yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(strings.Fields(m.command), "--config", path)
	code, said := typed(t, append(m.environ, "MARQUE_DATA="+filepath.Join(dir, "data")), args...)
	said = strings.ReplaceAll(said, dir+"/", "")
	if i := strings.Index(said, "marque: "); i < 0 || !strings.HasPrefix(said[i:], "marque: "+m.want) || code == 0 {
		t.Errorf("%s: exit code %d, %q, want %q", m.name, code, said, m.want)
	}
}

// Whatever the place is that a wrong setting has, a line, a variable or a flag, it is what a refusal begins with:
// a missing secret, another issuer on one Redis, two installations in one namespace.
func TestBadInput_NamesWhatMustChange(t *testing.T) {
	redis := redistest.Start(t, redistest.Password("right"))
	dir := t.TempDir()
	for name, text := range map[string]string{"right": "right\n", "wrong": "wrong\n", "empty": "", "first.yaml": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yaml := func(issuer, password, kek string) string {
		return "issuer: " + issuer + "\nstore:\n  driver: redis\nredis:\n  addrs: [" + redis.Addr + "]\n  password_file: " + password + "\nkeys:\n  kek_file: " + kek + "\n"
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	good := yaml("https://as.example", file("right"), file("kek"))
	path := file("first.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := typed(t, nil, "init", "--config", path, "--data", file("data")); code != 0 {
		t.Fatalf("init: %d %s", code, said)
	}
	if code, said := typed(t, nil, "key", "new-kek", file("other-kek")); code != 0 {
		t.Fatalf("new-kek: %d %s", code, said)
	}
	held := "redis " + redis.Addr + ", namespace marque holds the installation of https://as.example"
	for _, m := range []mistaken{
		{"no such secret", yaml("https://as.example", file("none"), file("kek")), nil, "serve", "m.yaml:6: redis.password_file: stat none: no such file"},
		{"no such secret, checked", yaml("https://as.example", file("none"), file("kek")), nil, "config check", "m.yaml:6: redis.password_file: stat none: no such file"},
		{"no such secret, by a variable", good, []string{"MARQUE_REDIS_PASSWORD_FILE=" + file("none")}, "serve", "MARQUE_REDIS_PASSWORD_FILE: redis.password_file: stat none: no such file"},
		{"an empty secret", yaml("https://as.example", file("empty"), file("kek")), nil, "serve", "m.yaml:6: redis.password_file: empty is empty"},
		{"a wrong secret", yaml("https://as.example", file("wrong"), file("kek")), nil, "serve", "m.yaml:6: redis.password_file: the password is wrong"},
		{"a secret that nothing names", strings.Replace(good, "  password_file: "+file("right")+"\n", "", 1), nil, "serve", "redis.password_file: redis wants a password"},
		{"no such key", yaml("https://as.example", file("right"), file("none")), nil, "serve", "m.yaml:8: keys.kek_file: keys: there is no key-encryption key at none"},
		{"no such key, checked", yaml("https://as.example", file("right"), file("none")), nil, "config check", "m.yaml:8: keys.kek_file: keys: there is no key-encryption key at none"},
		{"a key by a flag", good, nil, "serve --kek-file " + file("other-kek"), "--kek-file: keys.kek_file: " + held + ", and this does not open it"},
		{"another issuer", yaml("https://other.example", file("right"), file("kek")), nil, "serve", "m.yaml:1: issuer: " + held + ", and this is another issuer, https://other.example; correct it, or name another namespace (store.namespace)"},
		{"another issuer's init", yaml("https://other.example", file("right"), file("kek")), nil, "init", "m.yaml:1: issuer: " + held},
		{"a second installation", yaml("https://as.example", file("right"), file("second-kek")), nil, "init", "m.yaml:8: keys.kek_file: " + held + ", whose key-encryption key is not at second-kek, and no other one opens it; restore your copy of it, or for another installation, name another namespace (store.namespace)"},
		{"a second installation, with a key", yaml("https://as.example", file("right"), file("other-kek")), nil, "init", "m.yaml:8: keys.kek_file: " + held + ", and this does not open it"},
		{"another namespace", good + "# \n", []string{"MARQUE_STORE_NAMESPACE=marke"}, "serve", "redis " + redis.Addr + ", namespace marke holds no installation"},
		{"no Cluster", strings.Replace(good, "keys:", "  cluster: true\nkeys:", 1), nil, "serve", "m.yaml:7: redis.cluster: "},
		{"no Sentinel", strings.Replace(good, "keys:", "  master_name: mymaster\nkeys:", 1), nil, "serve", "m.yaml:7: redis.master_name: "},
		{"a port that is taken", good, nil, "serve --listen " + redis.Addr, "--listen: listen: " + redis.Addr + " is in use"},
		{"no such certificate", good + "tls: {cert_file: /none, key_file: /none}\n", nil, "serve", "m.yaml:9: tls.cert_file: "},
		{"several", strings.Replace(good, "https", "http", 1) + "leeway: 9h\n", nil, "serve", "2 things are wrong with the configuration:\nm.yaml:1: issuer: "},
	} {
		m.run(t, dir)
	}
	if _, said := typed(t, nil, "gate"); !strings.Contains(said, "\nissuer: is missing: ") || !strings.Contains(said, "; set it in a configuration file, by MARQUE_GATE_ISSUER or by --issuer\n") {
		t.Errorf("a gate without settings: %s", said)
	}
}

package configs

import (
	"strings"
	"testing"
)

// TestPlaces: whatever gave a setting is named, after it was loaded too; and of what nothing gave, how it is given.
func TestPlaces(t *testing.T) {
	path := write(t, "leeway: 10s\nredis:\n  addrs: [127.0.0.1:1]\nstore: {driver: redis}\n")
	got, err := Load(Options{
		File: path, Environ: append(home, "MARQUE_REDIS_PASSWORD=x", "MARQUE_LOG_LEVEL=debug"),
		Overrides: []Override{{Path: "issuer", Flag: "--issuer", Values: []string{"https://as.example"}}}, Flags: map[string]string{"issuer": "--issuer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := got.Config.Places // a copy knows it, too
	for setting, want := range map[string]string{
		"leeway": path + ":1: leeway", "redis.addrs": path + ":3: redis.addrs", "log.level": "MARQUE_LOG_LEVEL: log.level",
		"redis.password": "MARQUE_REDIS_PASSWORD: redis.password", "issuer": "--issuer: issuer", "redis.master_name": "redis.master_name",
	} {
		if name := p.Name(setting); name != want || p.Given(setting) != strings.Contains(want, ": ") {
			t.Errorf("%s is named %q, given %v; want %q", setting, name, p.Given(setting), want)
		}
	}
	for how, want := range map[string]string{
		p.How("redis.master_name"):       "set it in " + path + " or by MARQUE_REDIS_MASTER_NAME",
		p.How("issuer"):                  "set it in " + path + ", by MARQUE_ISSUER or by --issuer",
		Places{}.How("issuer"):           "set it in a configuration file or by MARQUE_ISSUER",
		Places{}.Name("store.namespace"): "store.namespace",
	} {
		if how != want {
			t.Errorf("%q, want %q", how, want)
		}
	}
}

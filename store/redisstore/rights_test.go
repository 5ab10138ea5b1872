package redisstore

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/store/redistest"
)

// leastRights is the rule of README.md.
func leastRights(t *testing.T, section string) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	must(t, err)
	found := regexp.MustCompile("(?s)<!-- " + section + " -->\n```text\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("README.md has no rule %q", section)
	}
	rule := strings.Fields(string(found[1]))
	at := slices.Index(rule, "~{NAMESPACE}:*")
	if at >= 0 {
		rule[at] = "~{test}:*"
	}
	return slices.DeleteFunc(rule, func(s string) bool {
		return s == ">PASSWORD" || s == "on" || s == "ACL" || s == "SETUSER" || s == "marque"
	})
}

// TestLeastRights: with the rule of README.md everything can be done, and nothing of it can be left out; a user who
// may not do all is refused before anything is written.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	redistest.StartReplica(t, server)
	raw := server.Client()
	rule := leastRights(t, "rule")
	user := func(rule []string) Config {
		t.Helper()
		args := []any{"ACL", "SETUSER", "marque", "reset", "on", ">right"}
		for _, word := range rule {
			args = append(args, word)
		}
		must(t, raw.Do(t.Context(), args...).Err())
		return Config{Addrs: []string{server.Addr}, Username: "marque", Password: "right", Replicas: 1, Timeout: 5 * time.Second}
	}
	all := func(s *Store) error {
		head, err := s.Head(t.Context())
		if err == nil {
			mustPut(t, s, "wakes")
		}
		for _, c := range calls {
			err = errors.Join(err, c.does(t.Context(), s, head))
		}
		return errors.Join(err, touch(t, s, "revoke", head))
	}
	s := newStore(t, openTest(t, user(rule)))
	fill(t, s)
	if err := all(s); err != nil {
		t.Errorf("with the whole rule: %v", err)
	}
	must(t, raw.Del(t.Context(), "{test}:client:a").Err())
	must(t, raw.HSet(t.Context(), "{test}:client:a", "a", "b").Err())
	_, err := s.Client(t.Context(), "a")
	wantRecordError(t, "a foreign key", err, "client", "a")
	must(t, raw.FlushAll(t.Context()).Err())

	for i, word := range rule {
		if word == "-@all" || word == "+config|get" { // what that says is not needed: see below
			continue
		}
		t.Run("without "+word, func(t *testing.T) {
			c := user(slices.Delete(slices.Clone(rule), i, i+1))
			err := tryOpen(t, c)
			if word == "+scan" && err == nil { // for Inspect alone
				s := newStore(t, openTest(t, c))
				if _, err := s.Inspect(t.Context(), func(error) {}); err == nil {
					t.Error("the rule could do without it")
				}
				must(t, raw.FlushAll(t.Context()).Err())
				return
			}
			wantSetting(t, err, "redis.username")
			if n := raw.DBSize(t.Context()).Val(); n != 0 {
				t.Errorf("%d keys were written", n)
			}
		})
	}
	t.Run("without +config|get", func(t *testing.T) {
		var warned []string
		c := user(slices.DeleteFunc(slices.Clone(rule), func(s string) bool { return s == "+config|get" }))
		c.Warn = func(text string) { warned = append(warned, text) }
		openTest(t, c)
		if len(warned) != 1 || !strings.Contains(warned[0], "does not say how") || !strings.Contains(warned[0], "config|get") {
			t.Errorf("warned %q, want that it is not known how the append-only file is written", warned)
		}
	})
}

// TestLeastRights_Cluster and TestLeastRights_Sentinel: what is needed beside it there.
func TestLeastRights_Cluster(t *testing.T) {
	t.Parallel()
	rule := append(append([]string{"on", ">right"}, leastRights(t, "rule")...), leastRights(t, "cluster")...)
	c := redistest.StartCluster(t, redistest.ACL("marque", strings.Join(rule, " ")), redistest.ACL("default", "off"))
	s := newStore(t, openTest(t, Config{Addrs: c.Addrs(), Cluster: true, Username: "marque", Password: "right"}))
	fill(t, s)
	for name, c := range calls {
		if err := c.does(t.Context(), s, mustHead(t, s)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeastRights_Sentinel(t *testing.T) {
	t.Parallel()
	data := append([]string{"on", ">right"}, leastRights(t, "rule")...)
	sentinels := append([]string{"on", ">right"}, leastRights(t, "sentinel")...)
	g := redistest.StartSentinel(t,
		redistest.ACL("marque", strings.Join(data, " ")), redistest.ACL("default", "off"),
		redistest.SentinelACL("marque", strings.Join(sentinels, " ")), redistest.SentinelACL("default", "off"))
	c := Config{
		Addrs: g.Addrs(), MasterName: g.MasterName, Username: "marque", Password: "right",
		SentinelUsername: "marque", SentinelPassword: "right", Replicas: 2, Timeout: 5 * time.Second, CallTimeout: time.Second,
	}
	s := newStore(t, openTest(t, c))
	fill(t, s)
	for name, c := range calls {
		if err := c.does(t.Context(), s, mustHead(t, s)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The Sentinels tell whom to turn to, also by what they publish.
	old := g.Master()
	old.Kill()
	g.AwaitFailover(old)
	waitFor(t, "the new primary", func() bool { _, err := s.Client(t.Context(), "a"); return err == nil })
}

package redistest_test

import (
	"strings"
	"testing"

	"github.com/marque-auth/marque/store/redistest"
)

func TestRequire(t *testing.T) {
	nothing := t.TempDir()
	for _, c := range []struct {
		name, ci, path, want string
	}{
		{name: "missing", path: nothing, want: "skip"},
		{name: "missing in CI", ci: "true", path: nothing, want: "fatal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("CI", c.ci)
			t.Setenv("PATH", c.path)
			for name, call := range map[string]func(testing.TB){
				"Require":       redistest.Require,
				"RequireCheck":  func(t testing.TB) { redistest.RequireCheck(t) },
				"Start":         func(t testing.TB) { redistest.Start(t) },
				"StartSentinel": func(t testing.TB) { redistest.StartSentinel(t) },
				"StartCluster":  func(t testing.TB) { redistest.StartCluster(t) },
			} {
				install := "apt-get install redis-server"
				if name == "RequireCheck" {
					install = "apt-get install redis-tools"
				}
				got := judge(t, call)
				if got.verdict != c.want || !strings.Contains(got.said, install) {
					t.Errorf("%s: got %q, %q, want %s and what to install", name, got.verdict, got.said, c.want)
				}
			}
		})
	}
}

func TestRequire_Present(t *testing.T) {
	redistest.Require(t)
	redistest.RequireCheck(t)
	t.Setenv("CI", "true")
	for name, call := range map[string]func(testing.TB){
		"redis-server":    redistest.Require,
		"redis-check-aof": func(t testing.TB) { redistest.RequireCheck(t) },
	} {
		if got := judge(t, call); got.verdict != "" {
			t.Errorf("got %s, %q with a %s", got.verdict, got.said, name)
		}
	}
}

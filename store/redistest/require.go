package redistest

import (
	"os"
	"os/exec"
	"testing"
)

const (
	binary  = "redis-server"
	missing = "redis-server is missing: apt-get install redis-server redis-sentinel (Debian)"
)

// Require skips the test if there is no redis-server on the PATH, and says what to install. Where the
// environment variable CI is not empty the test fails instead: nobody reads there what was skipped.
// All Start functions call it.
func Require(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath(binary); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

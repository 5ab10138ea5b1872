package redistest

import (
	"os"
	"os/exec"
	"testing"
)

const (
	binary  = "redis-server"
	missing = "redis-server is missing: apt-get install redis-server redis-sentinel (Debian)"

	checkBinary  = "redis-check-aof"
	checkMissing = "redis-check-aof is missing: apt-get install redis-tools (Debian)"
)

// Require skips the test if there is no redis-server on the PATH, and says what to install. Where the
// environment variable CI is not empty the test fails instead: nobody reads there what was skipped.
// All Start functions call it.
func Require(t testing.TB) {
	t.Helper()
	require(t, binary, missing)
}

// RequireCheck is [Require] for redis-check-aof, which mends an append-only file, and returns its path.
func RequireCheck(t testing.TB) string {
	t.Helper()
	return require(t, checkBinary, checkMissing)
}

func require(t testing.TB, name, missing string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
	return path
}

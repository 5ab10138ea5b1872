//go:build linux || darwin

package disktest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// aloneEnv names the test that runs in a process of its own.
const aloneEnv = "DISKTEST_ALONE"

// Alone runs the calling test, which must not be a subtest, once more in a process of its own, whose limits are nobody
// else's, and reports whether this is that process. In the other one the test has then ended as it did there, and is to
// return.
func Alone(t *testing.T) bool {
	t.Helper()
	return alone(t, nil)
}

func alone(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	if os.Getenv(aloneEnv) == t.Name() {
		return true
	}
	args := []string{"-test.v", "-test.run", "^" + t.Name() + "$"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	child := exec.CommandContext(t.Context(), os.Args[0], args...)
	child.Env, child.SysProcAttr = append(os.Environ(), aloneEnv+"="+t.Name()), attr
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Skipf("NOT TESTED: a process with mounts of its own: %v", err)
	}
	err := child.Wait()
	switch {
	case err != nil:
		t.Errorf("%v: %s", err, &out)
	case strings.Contains(out.String(), "--- SKIP"):
		t.Skip(&out)
	case !strings.Contains(out.String(), "--- PASS: "+t.Name()):
		t.Errorf("it did not run: %s", &out)
	default:
		t.Log(&out)
	}
	return false
}

// LimitFiles lets no file of this process grow, or be written, beyond that many octets from its start: the system says
// EFBIG then. math.MaxUint64 ends it. The process should be [Alone].
func LimitFiles(t testing.TB, octets uint64) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		t.Fatal(err)
	}
	l.Cur = min(octets, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		t.Fatal(err)
	}
}

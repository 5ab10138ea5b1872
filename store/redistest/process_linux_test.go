package redistest_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/marque-auth/marque/store/redistest"
)

func TestStart_EndsWithAKilledTestBinary(t *testing.T) {
	redistest.Require(t)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestVictim$")
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		t.Errorf("the test binary says %q, %v", line, err)
	} else if refused(addr) {
		t.Error("the server does not listen")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if ok {
		soon(t, "the end of the server", func() bool { return refused(addr) })
		_ = os.RemoveAll(dir)
	}
}

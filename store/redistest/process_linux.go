package redistest

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// tie makes the server end with the test's process, even if that is killed, and gives it a process group,
// which its forks (they write files) are part of.
func tie(cmd *exec.Cmd) {
	signal.Ignore(syscall.SIGXFSZ) // the server inherits it: see LimitFiles
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

func killTree(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }

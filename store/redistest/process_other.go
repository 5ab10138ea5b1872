//go:build !linux

package redistest

import (
	"os"
	"os/exec"
)

// tie leaves the server in the terminal's process group, where an interrupt reaches it together with the test.
func tie(*exec.Cmd) {}

func killTree(p *os.Process) error { return p.Kill() }

package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is one run of a server.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone and reaped
}

// run starts the server; what it prints is appended to the file out.
func run(out string, args ...string) (*process, error) {
	log, err := os.OpenFile(out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	p := &process{cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	tie(p.cmd)
	started := make(chan error)
	go func() {
		// Linux ends the child with the thread that made it (see tie): so this one waits for the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
			close(p.ended)
		}
	}()
	return p, <-started
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process, and what it forked, at once.
func (p *process) kill() error {
	if !p.alive() {
		return nil
	}
	if err := killTree(p.cmd.Process); err != nil && p.alive() {
		return fmt.Errorf("kill %d: %w", p.cmd.Process.Pid, err)
	}
	return p.wait()
}

// terminate asks the process to end: Redis writes what it has to and leaves.
func (p *process) terminate() error {
	if !p.alive() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate %d: %w", p.cmd.Process.Pid, err)
	}
	return p.wait()
}

func (p *process) wait() error {
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("process %d has not ended after %v", p.cmd.Process.Pid, patience)
	}
}

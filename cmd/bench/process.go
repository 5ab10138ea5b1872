package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end after it was asked to.
const stopTimeout = 10 * time.Second

// process is a server that this program started on the server's core, with one core to use.
type process struct {
	cmd     *exec.Cmd
	address string
	log     string // the file with what it wrote
	ended   chan struct{}
	err     error // why it ended; read it after ended is closed
}

// start runs cmd on the server's core until stop.
func start(s seats, dir, name string, cmd *exec.Cmd) (*process, error) {
	return startAt(s.atServer, dir, name, cmd)
}

// startAt runs cmd until stop, on the core that at puts its caller on. What it writes, unless somebody
// reads it, goes to a file in dir.
func startAt(at func(func() error) error, dir, name string, cmd *exec.Cmd) (*process, error) {
	log, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Env = append(cmd.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	if err := at(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd: cmd, log: log.Name(), ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end and waits until it has. Stopping what has ended does nothing.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// failure explains why the process does not do what it should: by its log, when it has ended.
func (p *process) failure(err error) error {
	select {
	case <-p.ended:
	default:
		return err
	}
	text, readErr := os.ReadFile(p.log)
	if readErr != nil {
		text = []byte(readErr.Error())
	}
	return fmt.Errorf("%s ended: %w\n%s", filepath.Base(p.cmd.Path), errors.Join(p.err, err), text)
}

// cpu returns the user and system time that the process has used since it started.
func (p *process) cpu() (time.Duration, error) { return cpuTime(p.cmd.Process.Pid) }

// memory returns what the process holds resident.
func (p *process) memory() (resident, error) { return residentMemory(p.cmd.Process.Pid) }

// resident is memory in octets; Peak is 0 where the system does not tell.
type resident struct{ Now, Peak int64 }

// build compiles the server as a release would be.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "marque")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "github.com/marque-auth/marque/cmd/marque")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build marque: %w\n%s", err, out)
	}
	return binary, nil
}

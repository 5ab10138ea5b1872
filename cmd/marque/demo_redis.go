package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/marque-auth/marque/configs"
)

// demoRedis is a Redis of the story's own: nobody else's is touched.
type demoRedis struct {
	address, password string
	process           *exec.Cmd
	ended             chan error // holds what the process ended with
}

const (
	redisBinary   = "redis-server"
	redisTries    = 3 // a port that is free may be taken by the time that Redis asks for it
	redisPatience = 10 * time.Second
)

var errNoRedis = errors.New("redis-server is missing, and the story needs one of its own: apt-get install redis-server (Debian), brew install redis (macOS); without --store the embedded store serves")

// startDemoRedis runs a redis-server in a folder, on loopback, with a password that is in no process list.
func startDemoRedis(ctx context.Context, folder string) (*demoRedis, error) {
	path, err := exec.LookPath(redisBinary)
	if err != nil {
		return nil, errNoRedis
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	for range redisTries {
		var r *demoRedis
		if r, err = runRedis(ctx, path, folder); err == nil {
			return r, nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(folder, "log"))
	return nil, fmt.Errorf("start redis-server: %w\n%s", err, log)
}

func runRedis(ctx context.Context, path, folder string) (*demoRedis, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	r := &demoRedis{address: address, password: rand.Text(), process: exec.Command(path, "-"), ended: make(chan error, 1)}
	r.process.Stdin = strings.NewReader(strings.Join([]string{
		"bind 127.0.0.1", "port " + port, "dir " + folder, "logfile " + filepath.Join(folder, "log"),
		"requirepass " + r.password, "appendonly yes", `save ""`, "",
	}, "\n"))
	if err := r.process.Start(); err != nil {
		return nil, err
	}
	go func() { r.ended <- r.process.Wait() }()
	return r, r.await(ctx)
}

// freeAddress finds a port of loopback that nobody has now.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// await returns once Redis listens, or the error with which it ended.
func (r *demoRedis) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	for {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.address); err == nil {
			return conn.Close()
		}
		select {
		case err := <-r.ended:
			r.ended <- err // for Close
			return errors.Join(errors.New("redis-server ended"), err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), r.Close())
		case <-ticks.C:
		}
	}
}

// settings makes the server use this Redis.
func (r *demoRedis) settings(c *configs.Config) {
	c.Store.Driver = "redis"
	c.Redis.Addrs = []string{r.address}
	c.Redis.Password = configs.NewSecret(r.password)
}

// Close ends the process and returns once it has ended.
func (r *demoRedis) Close() error {
	_ = r.process.Process.Signal(syscall.SIGTERM) // one that has ended already is no matter
	select {
	case <-r.ended:
		return nil
	case <-time.After(redisPatience):
	}
	err := r.process.Process.Kill()
	<-r.ended
	return err
}

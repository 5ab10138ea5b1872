package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// errNoRedis says what to type.
var errNoRedis = errors.New("redis-server is missing: apt-get install redis-server (Debian), brew install redis (macOS)")

// redisTries is how often Redis is started: a port that was free may be taken by the time it is asked for.
const redisTries = 3

// redis is a redis-server of this run's own, on loopback and in the run's folder, and a connection to it.
type redis struct {
	process           *process
	address, password string
	wire              *wire
}

// startRedis starts one on the load's core, so that the servers have theirs to themselves with Redis as
// without it.
func startRedis(ctx context.Context, dir string) (*redis, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoRedis
	}
	for range redisTries {
		var r *redis
		if r, err = tryRedis(ctx, path, dir); err == nil {
			return r, nil
		}
	}
	return nil, err
}

func tryRedis(ctx context.Context, path, dir string) (*redis, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	r := &redis{address: address, password: rand.Text()}
	cmd := exec.Command(path, "-") // reads its settings: a password among its arguments could be read by everybody
	cmd.Stdin = strings.NewReader(r.settings(dir))
	beside := func(start func() error) error { return start() }
	if r.process, err = startAt(beside, dir, "redis", cmd); err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		r.process.stop()
		return nil, err
	}
	return r, nil
}

// settings are a common server's, with an append-only file. It is not rewritten: that would fall into some
// windows and not into others.
func (r *redis) settings(dir string) string {
	_, port, _ := net.SplitHostPort(r.address)
	return strings.Join([]string{
		"bind 127.0.0.1", "port " + port, "dir " + strconv.Quote(dir), "requirepass " + r.password,
		"appendonly yes", "appendfsync everysec", `save ""`, "auto-aof-rewrite-percentage 0", "",
	}, "\n")
}

// connect waits until Redis answers.
func (r *redis) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		var err error
		if r.wire, err = dialRedis(ctx, r.address, r.password); err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-r.process.ended:
			return r.process.failure(err)
		case <-ctx.Done():
			return fmt.Errorf("redis: no answer in %s: %w", startTimeout, err)
		}
	}
}

// kill ends it as a machine that loses power does.
func (r *redis) kill() {
	_ = r.wire.close()
	_ = r.process.cmd.Process.Kill()
	<-r.process.ended
}

// again starts it once more, in the same place, and returns when it has read its file and answers.
func (r *redis) again(ctx context.Context) error {
	cmd := exec.Command(r.process.cmd.Path, "-")
	cmd.Stdin = strings.NewReader(r.settings(filepath.Dir(r.process.log)))
	p, err := startAt(func(start func() error) error { return start() }, filepath.Dir(r.process.log), "redis", cmd)
	if err != nil {
		return err
	}
	r.process = p
	if err := r.connect(ctx); err != nil {
		return err
	}
	for { // it takes connections before it has read its file
		_, err := r.wire.do("PING")
		if said := redisError(""); !errors.As(err, &said) || !strings.HasPrefix(string(said), "LOADING") {
			return err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends Redis. What it kept lies in the run's folder and goes with it.
func (r *redis) stop() {
	_ = r.wire.close()
	r.process.stop()
}

// env are the settings of a server that uses it.
func (r *redis) env() []string {
	return []string{"MARQUE_STORE_DRIVER=redis", "MARQUE_REDIS_ADDRS=" + r.address, "MARQUE_REDIS_PASSWORD=" + r.password}
}

// info reads sections of what Redis says of itself: lines of NAME:VALUE.
func (r *redis) info(sections ...string) (map[string]string, error) {
	text, err := r.wire.text(append([]string{"INFO"}, sections...)...)
	if err != nil {
		return nil, r.process.failure(err)
	}
	said := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			said[name] = value
		}
	}
	return said, nil
}

// number reads a number of what Redis says of itself.
func (r *redis) number(section, name string) (int64, error) {
	said, err := r.info(section)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(said[name], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("redis says %s:%s", name, said[name])
	}
	return n, nil
}

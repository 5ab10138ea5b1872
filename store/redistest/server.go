package redistest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Server is one redis-server process, or what is left of it after Kill or Stop: its port and folder stay its own.
type Server struct {
	// Addr is where it listens, such as "127.0.0.1:12345".
	Addr string

	t    testing.TB
	dir  string
	kind kind
	set  settings
	proc *process
}

// kind is what the roles differ in.
type kind struct {
	flags []string                     // after the configuration file on the command line
	lines func(c *config, addr string) // of the configuration file
	tune  [][]any                      // commands for what no configuration can say, at each start
}

// Start runs one server on a free loopback port, and returns when it answers. Unless the options say
// otherwise it keeps an append-only file (appendfsync everysec: a crash of the
// process can lose what was acknowledged in the last two seconds; see Args for another) and has no password.
func Start(t testing.TB, o ...Option) *Server {
	t.Helper()
	return start(t, settingsOf(o), func(*config, string) {})
}

func start(t testing.TB, set settings, more func(c *config, addr string)) *Server {
	t.Helper()
	return launch(t, set, kind{lines: func(c *config, addr string) {
		c.data(addr, set)
		more(c, addr)
	}}, set.users)
}

func launch(t testing.TB, set settings, k kind, users []string) *Server {
	t.Helper()
	Require(t)
	s := &Server{t: t, dir: folder(t), kind: k, set: set}
	t.Cleanup(func() {
		if err := s.end((*process).kill); err != nil {
			t.Error(err)
		}
	})
	for range 20 {
		s.Addr = reserve(t)
		var c config
		c.common(s.Addr, s.dir, users)
		k.lines(&c, s.Addr)
		if err := os.WriteFile(s.path("redis.conf"), []byte(c.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		err := s.run()
		if err == nil {
			return s
		}
		if !errors.Is(err, errPortTaken) {
			s.fatal(err)
		}
	}
	s.fatal(errPortTaken)
	return nil
}

// folder is short and not t.TempDir: that fails the test if a fork of the server, killed as it is, writes one last file.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		await(t, "remove "+dir, nil, func() error { return os.RemoveAll(dir) })
	})
	return dir
}

// run starts the process and waits until it answers and has loaded its data.
func (s *Server) run() error {
	before := s.logSize()
	args := append([]string{s.path("redis.conf")}, s.kind.flags...)
	var err error
	if s.proc, err = run(s.path("log"), append(args, s.set.args...)...); err != nil {
		s.proc = nil
		return err
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := s.ready()
		if err == nil {
			return s.tune()
		}
		if !s.proc.alive() {
			return s.whyEnded(before)
		}
		if time.Now().After(end) {
			return fmt.Errorf("no answer within %v: %w", patience, err)
		}
	}
}

func (s *Server) tune() error {
	for _, command := range s.kind.tune {
		if _, err := s.ask(command...); err != nil {
			return fmt.Errorf("%v: %w", command, err)
		}
	}
	return nil
}

// ready asks whose answers come from the port: between the look at a free port and the start of the
// server, another Redis may have taken it.
func (s *Server) ready() error {
	info, err := s.Info()
	if err != nil {
		return err
	}
	if info["process_id"] != strconv.Itoa(s.proc.cmd.Process.Pid) {
		return errPortTaken
	}
	if info["loading"] == "1" {
		return errors.New("it is still loading its data")
	}
	return nil
}

func (s *Server) whyEnded(before int64) error {
	log, err := os.ReadFile(s.path("log"))
	if err != nil {
		return err
	}
	if bytes.Contains(log[min(before, int64(len(log))):], []byte("Address already in use")) {
		return errPortTaken
	}
	return errors.New("it ended at once")
}

// Kill ends the process as a crash does (SIGKILL), together with its forks, and returns when it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.end((*process).kill); err != nil {
		s.fatal(err)
	}
}

// Stop lets the process end in order (SIGTERM) and returns when it is gone.
func (s *Server) Stop() {
	s.t.Helper()
	if s.proc != nil && s.proc.alive() {
		_ = thaw(s.proc.cmd.Process) // one that is paused does not hear
	}
	if err := s.end((*process).terminate); err != nil {
		s.fatal(err)
	}
}

func (s *Server) end(how func(*process) error) error {
	if s.proc == nil {
		return nil
	}
	return how(s.proc)
}

// Restart starts the server again with its port, folder and configuration, and returns when its data is loaded.
// One that runs is stopped before.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	await(s.t, "restart of "+s.Addr, []*Server{s}, func() error {
		err := s.run()
		if err != nil && !errors.Is(err, errPortTaken) {
			s.fatal(err)
		}
		return err
	})
}

// Alive reports whether the process runs: it may have ended by itself.
func (s *Server) Alive() bool { return s.proc != nil && s.proc.alive() }

// Pause freezes the process (SIGSTOP): connections stay open and nothing is answered, as with a machine that hangs.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal(freeze)
}

// Resume lets a paused process go on.
func (s *Server) Resume() {
	s.t.Helper()
	s.signal(thaw)
}

func (s *Server) signal(send func(*os.Process) error) {
	s.t.Helper()
	if err := send(s.proc.cmd.Process); err != nil {
		s.fatal(err)
	}
}

// Client gives a new client of this server alone, with a user who may do everything. It repeats nothing that
// failed, and is closed with the test.
func (s *Server) Client() *redis.Client {
	s.t.Helper()
	c := s.connect()
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *Server) connect() *redis.Client {
	o := &redis.Options{
		Addr: s.Addr, Username: ownUser, Password: ownPassword,
		Protocol: 3, DialTimeout: oneCall, DialerRetries: 1, MaxRetries: -1,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if s.set.tls != nil {
		o.TLSConfig = s.clientTLS()
	}
	return redis.NewClient(o)
}

// clientTLS shows the server its own certificate, as it may demand one. It does not check the server's:
// whether a certificate is good is for the tests to find out, with clients of their own.
func (s *Server) clientTLS() *tls.Config {
	pair, err := tls.LoadX509KeyPair(s.set.tls.cert, s.set.tls.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
}

// ask runs one command of the harness over a connection of its own. It looks first whether anybody is there,
// because the library prints a line for each of its attempts, and who waits makes many.
func (s *Server) ask(args ...any) (any, error) {
	conn, err := net.DialTimeout("tcp", s.Addr, oneCall)
	if err != nil {
		return nil, err
	}
	_ = conn.Close()
	c := s.connect()
	defer func() { _ = c.Close() }()
	ctx, cancel := brief()
	defer cancel()
	return c.Do(ctx, args...).Result()
}

// Info gives the fields of INFO, such as "master_link_status", or why there is no answer.
func (s *Server) Info() (map[string]string, error) {
	return s.fields("INFO")
}

// fields runs a command that answers with lines of "name:value".
func (s *Server) fields(args ...any) (map[string]string, error) {
	answer, err := s.ask(args...)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(fmt.Sprint(answer)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

// Dir is the server's folder: its configuration (redis.conf), its log (log), and its data.
func (s *Server) Dir() string { return s.dir }

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// LogTail gives the end of the server's log, 4 KiB at most.
func (s *Server) LogTail() string {
	log, err := os.ReadFile(s.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-4096):])
}

func (s *Server) logSize() int64 {
	info, err := os.Stat(s.path("log"))
	if err != nil {
		return 0
	}
	return info.Size()
}

func (s *Server) fatal(err error) {
	s.t.Helper()
	s.t.Fatalf("redis-server at %s: %v; the end of its log:\n%s", s.Addr, err, s.LogTail())
}

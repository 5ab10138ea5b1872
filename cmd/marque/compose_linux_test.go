package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/marque-auth/marque/store/redistest"
)

// composed runs the services of docker-compose.yml as processes of this machine, where no image can be had: each with
// an address of its own out of 127.0.0.0/8, so that ports and names stay what the file says, and a folder for each
// mount. Commands, environment, order and health checks are the file's.
type composed struct {
	t       *testing.T
	project *types.Project
	dir     string
	second  int               // octet of all addresses
	address map[string]string // by service
	running map[string]*exec.Cmd
	ended   map[string]bool // since up
	logs    map[string]*logBuffer
}

func compose(t *testing.T, profiles ...string) *composed {
	t.Helper()
	redistest.Require(t)
	dir, err := os.MkdirTemp("", "mc") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	c := &composed{t: t, dir: dir, address: map[string]string{}, running: map[string]*exec.Cmd{}, logs: map[string]*logBuffer{}}
	t.Cleanup(c.end)
	c.second = 64 + rand.IntN(128)
	front := fmt.Sprintf("127.%d.1.1", c.second) // whose address the issuer has
	if len(profiles) > 0 {
		front = c.loopback("172.30.83.10")
	}
	// The subnets of the file become subnets of 127.0.0.0/8; who has no address there is given one.
	c.project = composeFile(t, map[string]string{"MARQUE_ISSUER": "http://" + front + ":8080", "MARQUE_KEYS_REFRESH_INTERVAL": "1s"}, profiles...)
	for i, name := range c.project.ServiceNames() {
		c.address[name] = fmt.Sprintf("127.%d.1.%d", c.second, i+2)
		for _, n := range c.project.Services[name].Networks {
			if n != nil && n.Ipv4Address != "" {
				c.address[name] = c.loopback(n.Ipv4Address)
			}
		}
	}
	if len(profiles) == 0 {
		c.address["marque"] = front
	}
	return c
}

// loopback is what an address of the file is here.
func (c *composed) loopback(text string) string {
	return strings.ReplaceAll(text, "172.30.", fmt.Sprintf("127.%d.", c.second))
}

// end kills what still runs.
func (c *composed) end() {
	for _, cmd := range c.running {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if c.t.Failed() {
		for name, log := range c.logs {
			c.t.Logf("%s: %s", name, log)
		}
	}
	_ = os.RemoveAll(c.dir)
}

// up starts a service after those that it depends on, as their conditions want; what is to run once does so again.
func (c *composed) up(name string) {
	c.t.Helper()
	c.ended = map[string]bool{}
	c.bring(name)
}

func (c *composed) bring(name string) {
	c.t.Helper()
	if c.running[name] != nil || c.ended[name] {
		return
	}
	s := c.project.Services[name]
	for other := range s.DependsOn {
		c.bring(other)
	}
	for other, how := range s.DependsOn {
		if how.Condition == types.ServiceConditionHealthy {
			c.healthy(other)
		}
	}
	if slices.Contains(oneShot, name) {
		c.runOnce(name)
		c.ended[name] = true
		return
	}
	c.start(name)
}

// runOnce runs a service that ends.
func (c *composed) runOnce(name string) {
	c.t.Helper()
	if out, err := c.command(name, c.entrypoint(name)).CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (c *composed) start(name string) {
	c.t.Helper()
	cmd := c.command(name, c.entrypoint(name))
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	c.running[name], c.logs[name] = cmd, log
}

// kill ends a service as a machine that fails does.
func (c *composed) kill(name string) {
	c.t.Helper()
	_ = c.running[name].Process.Kill()
	_ = c.running[name].Wait()
	delete(c.running, name)
}

// healthy waits for what the file calls healthy.
func (c *composed) healthy(name string) {
	c.t.Helper()
	test := c.project.Services[name].HealthCheck.Test
	args := test[1:]
	if test[0] == "CMD-SHELL" {
		args = append([]string{"/bin/sh", "-c"}, args...)
	}
	var out []byte
	for ctx := c.patience(); ; {
		var err error
		if out, err = c.command(name, args).CombinedOutput(); err == nil {
			return
		}
		if ctx.Err() != nil {
			c.t.Fatalf("%s does not become healthy: %s", name, out)
		}
		time.Sleep(20 * time.Millisecond) // each attempt is a process
	}
}

func (c *composed) patience() context.Context {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	c.t.Cleanup(cancel)
	return ctx
}

// entrypoint is what the container would run; an image's own entrypoint and command are those of the Dockerfile.
func (c *composed) entrypoint(name string) []string {
	s := c.project.Services[name]
	args := slices.Concat(s.Entrypoint, s.Command)
	if s.Image == "marque" {
		if len(args) == 0 {
			args = []string{"serve"}
		}
		args = append([]string{"/usr/local/bin/marque"}, args...)
	}
	return args
}

// command translates a command of a container into one of this machine, with nothing in its environment but what the
// file says.
func (c *composed) command(name string, args []string) *exec.Cmd {
	c.t.Helper()
	root := c.root(name)
	var here []string
	for _, a := range args {
		here = append(here, c.here(name, root, a))
	}
	cmd := exec.CommandContext(c.t.Context(), here[0], here[1:]...)
	// A container has a loopback of its own.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "MARQUE_ADMIN_LISTEN=" + c.address[name] + ":8081"}
	for variable, value := range c.project.Services[name].Environment {
		if *value == name { // names are addresses here
			value = new(c.address[name])
		}
		cmd.Env = append(cmd.Env, variable+"="+c.here(name, root, *value))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is for the test
	return cmd
}

// root is a service's file system: its volumes, and what is its own.
func (c *composed) root(name string) string {
	c.t.Helper()
	root := filepath.Join(c.dir, "c"+strconv.Itoa(slices.Index(c.project.ServiceNames(), name)))
	must := func(err error) {
		if err != nil {
			c.t.Fatal(err)
		}
	}
	for _, v := range c.project.Services[name].Volumes {
		volume, place := filepath.Join(c.dir, "v", v.Source), filepath.Join(root, v.Target)
		must(os.MkdirAll(volume, 0o755))
		must(os.MkdirAll(filepath.Dir(place), 0o755))
		if _, err := os.Lstat(place); err != nil {
			must(os.Symlink(volume, place))
		}
	}
	for _, line := range c.project.Services[name].Tmpfs {
		place, _, _ := strings.Cut(line, ":")
		must(os.MkdirAll(filepath.Dir(filepath.Join(root, place)), 0o755))
		must(os.MkdirAll(filepath.Join(root, place), 0o700))
	}
	return root
}

var composePath = regexp.MustCompile(`(^|[^\w./-])(/(?:password|kek|volumes|data|tmp|run/marque)\b)`)

// here translates paths, names, addresses and users.
func (c *composed) here(name, root, text string) string {
	if text == "/usr/local/bin/marque" {
		return "marque"
	}
	text = composePath.ReplaceAllString(text, "${1}"+root+"${2}")
	return strings.NewReplacer(
		"redis:6379", c.address["redis"]+":6379",
		"0.0.0.0", c.address[name],
		"172.30.", fmt.Sprintf("127.%d.", c.second),
		"65532:65532", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()),
		"down-after-milliseconds marque 5000", "down-after-milliseconds marque 1000",
		"log stdout format raw local0", "",
	).Replace(text)
}

// marque runs a command as `docker compose exec` would.
func (c *composed) marque(service string, answer any, args ...string) error {
	cmd := c.command(service, append([]string{"/usr/local/bin/marque"}, append(args, "--json")...))
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("marque %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return json.Unmarshal(out, answer)
}

// register makes an API and a partner, and returns the partner's secret.
func (c *composed) register(service string) string {
	c.t.Helper()
	var made struct {
		Secret string `json:"client_secret"`
	}
	for _, args := range [][]string{
		{"resource", "create", "https://a.example", "--scope", "read"},
		{"client", "create", "--id", "partner", "--name", "Partner", "--resource", "https://a.example", "--scope", "read"},
	} {
		if err := c.marque(service, &made, args...); err != nil {
			c.t.Fatal(err)
		}
	}
	return made.Secret
}

// token asks the issuer for a token, until it has one.
func (c *composed) token(secret string) {
	c.t.Helper()
	issuer := *c.project.Services["init"].Environment["MARQUE_ISSUER"]
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"partner"}, "client_secret": {secret}, "scope": {"read"}}
	defer http.DefaultClient.CloseIdleConnections()
	for ctx := c.patience(); ; {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, issuer+"/oauth2/token", strings.NewReader(form.Encode()))
		if err != nil {
			c.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		if ctx.Err() != nil {
			c.t.Fatalf("no token: %v", err)
		}
		time.Sleep(20 * time.Millisecond) // what is waited for is in other processes
	}
}

// TestCompose_OneServer: from the file alone to a token, and over a failure of everything.
func TestCompose_OneServer(t *testing.T) {
	t.Parallel()
	c := compose(t)
	c.up("marque")
	c.healthy("marque")
	secret := c.register("marque")
	c.token(secret)

	for _, name := range []string{"marque", "redis"} {
		c.kill(name)
	}
	c.up("marque") // prepare and init run again, and change nothing
	c.healthy("marque")
	c.token(secret)
	for _, file := range []string{"v/password/redis", "v/kek/kek"} {
		info, err := os.Stat(filepath.Join(c.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
}

// TestCompose_TwoServers: the primary of three dies, one of its replicas is promoted, and what was acknowledged is
// there; when the dead one is back, as a replica, changes are acknowledged again.
func TestCompose_TwoServers(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("haproxy"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("haproxy is missing; install it (Debian: apt-get install haproxy)")
	}
	c := compose(t, "sentinel")
	c.up("proxy")
	secret := c.register("marque-1")
	c.token(secret)
	for _, name := range []string{"marque-1", "marque-2"} {
		c.healthy(name)
	}

	c.kill("redis-1")
	waitFor(t, func() bool { // someone else is the primary, for both
		time.Sleep(50 * time.Millisecond)
		out, _ := c.command("sentinel-2", []string{
			"/bin/sh", "-c",
			`REDISCLI_AUTH=$(cat /password/redis) redis-cli -h "$ADDRESS" -p 26379 sentinel get-master-addr-by-name marque`,
		}).Output()
		return len(out) > 0 && !strings.Contains(string(out), c.address["redis-1"])
	})
	c.token(secret)
	c.start("redis-1")
	var disabled struct{}
	var err error
	for ctx := c.patience(); ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if err = c.marque("marque-2", &disabled, "client", "disable", "partner"); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("no change is acknowledged: %v", err)
	}
}

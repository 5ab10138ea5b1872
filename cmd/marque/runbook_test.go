//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/marque-auth/marque/store/redistest"
)

// runbookPage is one page of the runbook: what is typed, and what happens before.
type runbookPage struct {
	title string
	steps []runbookStep
}

type runbookStep struct{ event, block string } // one of them

// runbookPages reads the page. An event is a comment that stands alone, before the block that it is about.
func runbookPages(t *testing.T) []runbookPage {
	t.Helper()
	text, err := os.ReadFile("runbook/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var pages []runbookPage
	steps := regexp.MustCompile("(?ms)^<!-- (.*?) -->$|^```sh\n(.*?)^```$")
	for i, page := range strings.Split(string(text), "\n## ") {
		title, body, _ := strings.Cut(page, "\n")
		p := runbookPage{title: title}
		for _, m := range steps.FindAllStringSubmatch(body, -1) {
			p.steps = append(p.steps, runbookStep{m[1], m[2]})
		}
		if i > 0 {
			pages = append(pages, p)
		}
	}
	return pages
}

// TestRunbook types the commands of the runbook into a shell, each page in the state that it is about. Pages whose
// scenes are the same one follow each other in it.
func TestRunbook(t *testing.T) {
	for _, program := range []string{"bash", "curl", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: the commands are for a shell beside a Redis", program)
		}
	}
	redistest.Require(t)
	scenes := []struct {
		titles []string
		set    func(t *testing.T) *scene
	}{
		{[]string{"Every day", "The disk of the embedded store is full", "The file of the embedded store is damaged"}, embeddedScene},
		{[]string{"Redis is lost", "Redis has to be restored from an old backup"}, redisScene},
		{[]string{"Failover drill"}, sentinelScene},
		{[]string{"One node is off the network"}, networkScene},
		{[]string{"Moving from the embedded store to Redis"}, movingScene},
	}
	pages := map[string]runbookPage{}
	for _, p := range runbookPages(t) {
		pages[p.title] = p
	}
	for _, s := range scenes {
		var parts []runbookPage
		for _, title := range s.titles {
			if len(pages[title].steps) == 0 {
				t.Errorf("the runbook has no page %q with commands", title)
			}
			parts = append(parts, pages[title])
			delete(pages, title)
		}
		t.Run(s.titles[0], func(t *testing.T) {
			t.Parallel()
			sc := s.set(t)
			for _, p := range parts {
				sc.plays(p)
			}
			sc.after()
			if len(sc.events) > 0 {
				t.Errorf("the pages do not tell of %v", sc.events)
			}
		})
	}
	for title := range pages {
		t.Errorf("page %q is not tried", title)
	}
}

// scene is a machine: a folder, what runs on it as services, and what happens.
type scene struct {
	t      *testing.T
	dir    string
	env    []string
	events map[string]func()
	after  func()
}

// movingScene has a server on the embedded store, and a Redis.
func movingScene(t *testing.T) *scene {
	s := newScene(t)
	s.founds()
	s.write("new.yaml", "store: {driver: redis}\nredis:\n  addrs: ["+s.redis()+"]\n  password_file: "+s.dir+"/password\n", 0o600)
	s.set("NEW", s.dir+"/new.yaml")
	s.set("NEW_DATA", s.dir+"/data-new")
	s.service("marque-on-redis", `exec marque serve --config "$NEW" --data "$NEW_DATA"`)
	s.after = func() { s.active(true) }
	return s
}

// newScene has the settings of a server in its environment, and the service marque.
func newScene(t *testing.T) *scene {
	t.Helper()
	dir, err := os.MkdirTemp("", "rb") // a short path: it holds sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &scene{t: t, dir: dir, events: map[string]func(){}, after: func() {}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"bin", "backups", "services"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(self, filepath.Join(dir, "bin", "marque")); err != nil {
		t.Fatal(err)
	}
	s.write("bin/systemctl", serviceManager, 0o700)
	t.Cleanup(s.killServices)
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "HOME="+dir)
	for name, value := range map[string]string{
		"SERVICES": dir + "/services", "BACKUPS": dir + "/backups", "MARQUE_DATA": dir + "/data", "MARQUE_KEYS_KEK_FILE": dir + "/kek",
		"MARQUE_ISSUER": "http://" + ports[0], "MARQUE_LISTEN": ports[0], "MARQUE_ADMIN_LISTEN": ports[1], "MARQUE_INSECURE_HTTP": "true",
		"MARQUE_KEYS_REFRESH_INTERVAL": "1s",
	} {
		s.set(name, value)
	}
	s.service("marque", "exec marque serve")
	return s
}

// serviceManager starts and stops what lies in the folder of services.
const serviceManager = `#!/usr/bin/env bash
set -eu
service="$SERVICES/$2"
case "$1" in
start)
	nohup bash "$service" >>"$service.log" 2>&1 </dev/null &
	echo $! >"$service.pid"
	;;
stop)
	pid=$(cat "$service.pid")
	kill -TERM "$pid"
	while [ -e "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status"; do sleep 0.02; done
	;;
esac
`

func (s *scene) set(name, value string) { s.env = append(s.env, name+"="+value) }

func (s *scene) write(name, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) service(name, command string) { s.write("services/"+name, command+"\n", 0o600) }

func (s *scene) killServices() {
	files, _ := filepath.Glob(filepath.Join(s.dir, "services", "*.pid"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// plays types a page, and has happen what it tells of.
func (s *scene) plays(p runbookPage) {
	s.t.Helper()
	for _, step := range p.steps {
		if step.event == "" {
			s.types(step.block)
			continue
		}
		happen, ok := s.events[step.event]
		if !ok {
			s.t.Fatalf("%s: nobody knows how to have happen: %s", p.title, step.event)
		}
		happen()
		delete(s.events, step.event)
	}
}

// types runs a block as a shell does, and returns what it says.
func (s *scene) types(block string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", block)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.dir, s.env, time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%v\n%s\n%s\n%s", err, block, out.String(), s.logs())
	}
	return out.String()
}

// logs is what the services said, at its end.
func (s *scene) logs() string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(s.dir, "services", "*.log"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		all.WriteString("== " + filepath.Base(file) + "\n" + string(text[max(0, len(text)-4000):]))
	}
	return all.String()
}

// founds makes the installation and its server, with a partner.
func (s *scene) founds() {
	s.t.Helper()
	s.types(`marque init
systemctl start marque
until marque status | grep -q '^state *ok'; do sleep 0.1; done
marque resource create https://a.example --scope read
marque client create --id acme --name 'Acme Records' --scope read --default-scope read --resource https://a.example --json >acme.json
sed -n 's/.*"client_secret": "\(.*\)".*/\1/p' acme.json | tr -d '\n' >acme-secret
chmod 600 acme-secret
until marque token get --issuer "$MARQUE_ISSUER" --client-id acme --secret-file acme-secret >token; do sleep 0.1; done
`)
}

// active fails the test unless introspection says so of the token of founds.
func (s *scene) active(want bool) {
	s.t.Helper()
	said := s.types(`curl -sS --data-urlencode token@<(tr -d '\n' <token) --data-urlencode client_id=acme --data-urlencode client_secret@acme-secret "$MARQUE_ISSUER/oauth2/introspect"`)
	if (strings.TrimSpace(said) == `{"active":false}`) == want || !strings.HasPrefix(said, `{"active":`) {
		s.t.Errorf("the token is %s, want active %v", said, want)
	}
}

func embeddedScene(t *testing.T) *scene {
	s := newScene(t)
	s.founds()
	s.events["a record is damaged"] = func() {
		s.types("systemctl stop marque")
		path := filepath.Join(s.dir, "data", databaseName)
		content, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(content, []byte("Acme Records")) {
			t.Fatalf("the client is not in the file: %v", err)
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(content, []byte("Acme Records"), []byte("Acne Records")), 0o600); err != nil {
			t.Fatal(err)
		}
		s.types("systemctl start marque; until marque status; do sleep 0.1; done")
	}
	s.after = func() {
		s.active(false)
		s.types(`until marque token get --issuer "$MARQUE_ISSUER" --client-id acme --secret-file acme-secret; do sleep 0.1; done; ls data/marque.db.replaced-*`)
	}
	return s
}

// redis adds a Redis of its own to the scene, as a service with an append-only file.
func (s *scene) redis() (address string) {
	s.t.Helper()
	ports, err := freePorts(1)
	if err != nil {
		s.t.Fatal(err)
	}
	_, port, _ := strings.Cut(ports[0], ":")
	if err := os.Mkdir(filepath.Join(s.dir, "redis"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.write("redis.conf", "port "+port+"\nbind 127.0.0.1\nrequirepass secret\nappendonly yes\nappendfsync always\nsave \"\"\ndir "+s.dir+"/redis\npidfile "+s.dir+"/services/daemon.pid\n", 0o600)
	s.write("password", "secret", 0o600)
	s.service("redis", "exec redis-server "+s.dir+"/redis.conf")
	for name, value := range map[string]string{
		"REDIS_URL": "redis://" + ports[0], "REDISCLI_AUTH": "secret", "REDIS_DIR": s.dir + "/redis", "REDIS_CONF": s.dir + "/redis.conf",
	} {
		s.set(name, value)
	}
	s.types(`systemctl start redis; until redis-cli -u "$REDIS_URL" ping | grep PONG; do sleep 0.05; done`)
	return ports[0]
}

func redisScene(t *testing.T) *scene {
	s := newScene(t)
	for name, value := range map[string]string{
		"MARQUE_STORE_DRIVER": "redis", "MARQUE_REDIS_ADDRS": s.redis(), "MARQUE_REDIS_PASSWORD_FILE": s.dir + "/password",
	} {
		s.set(name, value)
	}
	s.founds()
	s.events["Redis stops"] = func() { s.types("systemctl stop redis") }
	s.events["something is revoked, and then Redis loses everything"] = func() {
		s.types(`marque client disable acme; redis-cli -u "$REDIS_URL" flushall`)
	}
	s.after = func() { s.active(false) }
	return s
}

func sentinelScene(t *testing.T) *scene {
	group := redistest.StartSentinel(t)
	s := newScene(t)
	for name, value := range map[string]string{
		"MARQUE_STORE_DRIVER": "redis", "MARQUE_REDIS_ADDRS": strings.Join(group.Addrs(), ","), "MARQUE_REDIS_MASTER_NAME": group.MasterName,
		"SENTINEL_URL": "redis://" + group.Addrs()[0], "MASTER": group.MasterName,
	} {
		s.set(name, value)
	}
	s.founds()
	return s
}

// networkScene has two nodes, the second of which reaches Redis through a proxy that can be cut.
func networkScene(t *testing.T) *scene {
	redis := redistest.Start(t)
	proxy := redistest.StartProxy(t, redis.Addr)
	s := newScene(t)
	s.set("MARQUE_STORE_DRIVER", "redis")
	s.set("MARQUE_REDIS_ADDRS", redis.Addr)
	s.founds()
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	s.set("NODE_2", s.dir+"/data-2")
	s.service("marque-2", "export MARQUE_LISTEN="+ports[0]+" MARQUE_ADMIN_LISTEN="+ports[1]+" MARQUE_REDIS_ADDRS="+proxy.Addr()+"\nexec marque serve --data \"$NODE_2\"")
	s.types(`systemctl start marque-2; until marque status --data "$NODE_2" | grep -q '^state *ok'; do sleep 0.1; done`)
	s.events["the second node loses Redis"] = proxy.Cut
	s.events["the network is back"] = proxy.Restore
	return s
}

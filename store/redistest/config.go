package redistest

import (
	"fmt"
	"net"
	"strings"
)

// The harness's own user is there whatever a test does to the others; replicas and Sentinels use it as well.
// The servers are on loopback and hold nothing, so its password need not be a secret.
const (
	ownUser     = "redistest"
	ownPassword = "of-tests-alone"
)

// config is the text of a configuration file. It is a file and no command line because Sentinel rewrites
// it: what a server is after a failover, it still is after a Restart.
type config struct{ strings.Builder }

func (c *config) set(format string, args ...any) { fmt.Fprintf(&c.Builder, format+"\n", args...) }

func (c *config) common(addr, dir string, users []string) {
	_, port, _ := net.SplitHostPort(addr)
	c.set("bind 127.0.0.1")
	c.set("port %s", port)
	c.set("protected-mode yes")
	c.set("daemonize no")
	c.set("dir %q", dir)
	c.set(`logfile ""`) // standard output, together with what comes before there is a log
	c.set("user %s on >%s ~* &* +@all", ownUser, ownPassword)
	for _, u := range users {
		c.set("user %s", u)
	}
}

func (c *config) data(addr string, s settings) {
	c.set(`save ""`)
	c.set("appendonly %s", map[bool]string{true: "no", false: "yes"}[s.memoryOnly])
	c.set("appendfsync everysec")
	c.set("masteruser %s", ownUser)
	c.set("masterauth %s", ownPassword)
	c.set("repl-diskless-sync-delay 0") // otherwise a primary waits 5 s for more replicas to come
	c.set("repl-ping-replica-period 1")
	if s.password != "" {
		c.set("requirepass %q", s.password)
	}
	if s.tls != nil {
		c.secure(addr, *s.tls)
	}
}

func (c *config) secure(addr string, f tlsFiles) {
	_, port, _ := net.SplitHostPort(addr)
	c.set("port 0") // the last word counts
	c.set("tls-port %s", port)
	c.set("tls-cert-file %q", f.cert)
	c.set("tls-key-file %q", f.key)
	c.set("tls-ca-cert-file %q", f.ca)
	c.set("tls-auth-clients optional")
	c.set("tls-replication yes")
	c.set("tls-cluster yes")
}

package configs

import (
	"fmt"
	"net"
	"reflect"
	"regexp"
	"strings"
	"unicode"
)

// checkRedis holds the settings of Redis to each other. Rules about one value alone hold whatever the
// driver is: who corrects the driver should not have to come back for the rest.
func (l *serverLoader) checkRedis() {
	l.checkRedisDriver()
	l.checkRedisAddrs()
	l.checkRedisKind()
	l.checkRedisUsers()
	l.checkRedisTLS()
}

// checkRedisDriver wants Redis to be named when it is asked for, and asked for when it is described: a
// server that was meant to share a store must not start alone on an empty one, because one line or one
// variable did not reach it.
func (l *serverLoader) checkRedisDriver() {
	if !l.readable("store.driver") {
		return
	}
	switch c := &l.loaded.Config; c.Store.Driver {
	case "redis":
		if len(c.Redis.Addrs) == 0 && l.readable("redis.addrs") {
			l.wrong("store.driver", `redis needs redis.addrs too, such as ["127.0.0.1:6379"]`)
		}
		if l.readable("redis.timeout", "store.outage") && c.Redis.Timeout >= c.Store.Outage {
			l.wrong("redis.timeout", "%v is not shorter than store.outage, which is %v: one call that is never answered would use it up",
				c.Redis.Timeout, c.Store.Outage)
		}
	case "bolt":
		for _, path := range l.describingRedis() {
			l.wrong(path, "needs %s redis", l.advice("store.driver"))
		}
	}
}

// describingRedis returns the settings and secrets that only Redis heeds and that are not as they are
// by default.
func (l *serverLoader) describingRedis() []string {
	var paths []string
	defaults := Defaults(l.loaded.Dev)
	for _, s := range settings(&defaults) {
		if !strings.HasPrefix(s.path, "redis.") && !strings.HasPrefix(s.path, "durability.") {
			continue
		}
		if given := l.settings[s.path]; l.readable(s.path) && !reflect.DeepEqual(given.value(), s.value()) {
			paths = append(paths, s.path)
		}
	}
	for _, s := range secrets(&l.loaded.Config) {
		if strings.HasPrefix(s.path, "redis.") && !s.field.IsZero() {
			paths = append(paths, s.path)
		}
	}
	return paths
}

func (l *serverLoader) checkRedisAddrs() {
	seen := map[string]bool{}
	for i, a := range l.loaded.Redis.Addrs {
		problem := redisAddrProblem(a)
		switch {
		case problem != "":
			l.wrong("redis.addrs", "%s %s", shownAddr(i, a), problem)
		case seen[a]:
			l.wrong("redis.addrs", "%q is given twice", a)
		}
		seen[a] = true
	}
}

// shownAddr names an entry of redis.addrs. URLs and connection strings carry passwords, so that of what
// may be one, only its place is told, and the scheme.
func shownAddr(i int, a string) string {
	if scheme := urlScheme.FindString(a); scheme != "" {
		return fmt.Sprintf(`entry %d, "%s…",`, i+1, scheme)
	}
	if strings.Contains(a, "://") || strings.ContainsAny(a, "@=?") {
		return fmt.Sprintf("entry %d", i+1)
	}
	return fmt.Sprintf("%q", a)
}

var urlScheme = regexp.MustCompile(`^(?i)(rediss?|valkeys?|redis[+-]?sentinel|redis[+-]?cluster|unix|tcp|tls|https?)://`)

// redisHost is a name or an IPv4 address. Compose and Kubernetes name hosts with "_" too.
var redisHost = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func redisAddrProblem(a string) string {
	if strings.Contains(a, "://") {
		return "is a URL: write host:port; user, password and TLS have settings of their own"
	}
	host, port, err := net.SplitHostPort(a)
	if err != nil || !validAddress(a) || strings.Trim(port, "0") == "" || (!redisHost.MatchString(host) && !isIP(host)) {
		return "is not host:port, such as 127.0.0.1:6379"
	}
	return ""
}

// masterName is what Sentinel itself admits.
var masterName = regexp.MustCompile(`^[A-Za-z0-9._-]*$`)

// checkRedisKind wants to be told what several addresses are. Guessing would be wrong in silence: of
// several servers that know nothing of each other, each node of Marque could use another.
func (l *serverLoader) checkRedisKind() {
	r := &l.loaded.Redis
	if !l.readable("redis.addrs", "redis.master_name", "redis.cluster") {
		return
	}
	if !masterName.MatchString(r.MasterName) {
		l.wrong("redis.master_name", "%q is not of letters, digits and . _ -", r.MasterName)
	}
	switch {
	case r.Cluster && r.MasterName != "":
		l.wrong("redis.cluster", "is given beside redis.master_name, which says that redis.addrs are Sentinels; give one of them")
	case len(r.Addrs) > 1 && !r.Cluster && r.MasterName == "":
		l.wrong("redis.addrs", "%d addresses need redis.master_name, if they are Sentinels, or redis.cluster", len(r.Addrs))
	}
}

// login is a user and its password, in the settings of either.
type login struct {
	userPath, user string
	filePath, file string
	secretPath     string
	secret         Secret
}

func (l *serverLoader) redisLogin() login {
	r := &l.loaded.Redis
	return login{"redis.username", r.Username, "redis.password_file", r.PasswordFile, "redis.password", r.Password}
}

func (l *serverLoader) sentinelLogin() login {
	r := &l.loaded.Redis
	return login{
		"redis.sentinel_username", r.SentinelUsername,
		"redis.sentinel_password_file", r.SentinelPasswordFile,
		"redis.sentinel_password", r.SentinelPassword,
	}
}

func (l *serverLoader) checkRedisUsers() {
	l.checkLogin(l.redisLogin())
	l.checkLogin(l.sentinelLogin())
	if l.loaded.Redis.MasterName != "" || !l.readable("redis.master_name") {
		return
	}
	for _, path := range l.sentinelLogin().given() {
		if l.readable(path) {
			l.wrong(path, "needs redis.master_name: without it no Sentinel is asked")
		}
	}
}

// given returns the settings of the login that are not left at nothing.
func (g login) given() []string {
	var paths []string
	if g.user != "" {
		paths = append(paths, g.userPath)
	}
	if g.file != "" {
		paths = append(paths, g.filePath)
	}
	if !g.secret.IsZero() {
		paths = append(paths, g.secretPath)
	}
	return paths
}

// checkLogin wants a password beside a user: without one the client of Redis authenticates nobody, and
// is let in, where Redis admits that, as the user "default", who may do everything.
func (l *serverLoader) checkLogin(g login) {
	if strings.ContainsFunc(g.user, blank) {
		l.wrong(g.userPath, "%q holds a space or a control character, which no user of Redis does", g.user)
	}
	if g.user != "" && g.file == "" && g.secret.IsZero() && l.readable(g.userPath, g.filePath) {
		l.wrong(g.userPath, "needs %s too, or %s", g.filePath, Variable(g.secretPath))
	}
	if strings.ContainsFunc(g.secret.Reveal(), unicode.IsControl) {
		l.wrong(g.secretPath, "holds a line break or another control character")
	}
}

func blank(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// checkRedisTLS wants TLS to be spelt out: a file of authorities must not make believe that the
// connection is encrypted.
func (l *serverLoader) checkRedisTLS() {
	t := l.loaded.Redis.TLS
	for _, f := range []struct{ path, value string }{
		{"redis.tls.ca_file", t.CAFile},
		{"redis.tls.cert_file", t.CertFile},
		{"redis.tls.key_file", t.KeyFile},
		{"redis.tls.server_name", t.ServerName},
	} {
		if f.value != "" && !t.Enabled && l.readable(f.path, "redis.tls.enabled") {
			l.wrong(f.path, "needs redis.tls.enabled")
		}
	}
	l.checkPair("redis.tls.cert_file", t.CertFile, "redis.tls.key_file", t.KeyFile)
	if t.ServerName != "" && !redisHost.MatchString(t.ServerName) && !isIP(t.ServerName) {
		l.wrong("redis.tls.server_name", "%q is not a host name without port", t.ServerName)
	}
}

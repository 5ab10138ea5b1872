package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/redisstore"
)

// redisBackend is a Redis that several servers share. The data folder holds the admin socket alone, and the
// lock that keeps a second server from taking it.
type redisBackend struct {
	config configs.Config
	warned []string // the warnings that were given; opening may be tried often
}

// address says which Redis it is.
func (b *redisBackend) address() string {
	at := strings.Join(b.config.Redis.Addrs, ",")
	switch r := b.config.Redis; {
	case r.MasterName != "":
		return fmt.Sprintf("redis %s (sentinels %s)", r.MasterName, at)
	case r.Cluster:
		return "redis cluster " + at
	}
	return "redis " + at
}

func (b *redisBackend) place() place {
	return place{
		name:      b.address() + ", namespace " + b.config.Store.Namespace,
		here:      "this namespace",
		elsewhere: "name another namespace (" + b.config.Places.Name("store.namespace") + ")",
		keep:      "make an installation to keep in another namespace (store.namespace): marque init --store redis",
		make:      "marque init --store redis",
		missing: b.namespaceGiven() + "if it held one before, it was emptied, or another Redis is in its place: restore it from a backup, " +
			"because an init would make another installation, which knows no client, no key and no revocation",
		anew:   "give the key of the --dev server that made it (--kek-file), or name another namespace (store.namespace)",
		doctor: "marque doctor --store redis --data " + shellQuote(b.config.Data),
	}
}

// namespaceGiven points at a namespace that was set: one letter makes it another one.
func (b *redisBackend) namespaceGiven() string {
	if !b.config.Places.Given("store.namespace") {
		return ""
	}
	return "if that is not the namespace, correct " + b.config.Places.Name("store.namespace") + "; "
}

func (b *redisBackend) shared() bool { return true }

// look reads the files that the settings name. Nothing is told by the data folder: a server on another
// machine than the one that ran init makes its own.
func (b *redisBackend) look(bool) error {
	_, err := redisConfig(b.config)
	return errors.Join(err, heldByAnother(b.config.Data, databaseName))
}

func (b *redisBackend) take() (func() error, error) {
	release, err := lockFolder(b.config.Data)
	if err != nil {
		return nil, err
	}
	if err := heldByAnother(b.config.Data, databaseName); err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

func (b *redisBackend) open(ctx context.Context, o opening) (database, error) {
	c, err := redisConfig(b.config)
	if err != nil {
		return nil, err
	}
	c.MustExist, c.Moving, c.Warn = o.mustExist, o.moving, b.once(o.warn)
	if o.calls != nil {
		c.Observe = o.calls.observe
	}
	if text := passwordInTheClear(b.config.Redis); text != "" {
		c.Warn(text)
	}
	db, err := redisstore.OpenDB(ctx, c)
	if err != nil {
		return nil, b.explained(err)
	}
	return &redisDatabase{db, b}, nil
}

// once gives each warning once.
func (b *redisBackend) once(warn func(string)) func(string) {
	return func(text string) {
		if warn != nil && !slices.Contains(b.warned, text) {
			b.warned = append(b.warned, text)
			warn(text)
		}
	}
}

// explained says of an error of opening what to do.
func (b *redisBackend) explained(err error) error {
	var wrong *redisstore.ConfigError
	switch {
	case errors.As(err, &wrong):
		setting := b.given(wrong.Setting)
		return wrongSetting(b.config.Places, setting, wrong.Err.Error(), settingAdvice(setting), err)
	case errors.Is(err, redisstore.ErrNoInstallation):
		return b.place().noInstallation()
	case errors.Is(err, store.ErrNewerFormat):
		return b.place().unreadable(err)
	case errors.Is(err, redisstore.ErrUnreachable) && errors.Is(err, io.EOF) && !b.config.Redis.TLS.Enabled:
		return fmt.Errorf("%w (a Redis that speaks TLS hangs up like that: then set redis.tls.enabled)", err)
	}
	return err
}

// given is where a setting was really given: a password may come in a variable.
func (b *redisBackend) given(setting string) string {
	switch r := b.config.Redis; {
	case setting == "redis.password_file" && !r.Password.IsZero():
		return configs.VariableRedisPassword
	case setting == "redis.sentinel_password_file" && !r.SentinelPassword.IsZero():
		return configs.VariableRedisSentinelPassword
	}
	return setting
}

// settingAdvice is what to do about a setting; empty where the driver says it.
func settingAdvice(setting string) string {
	return map[string]string{
		"redis.password_file":                 "put the password of this Redis there, or in " + configs.VariableRedisPassword,
		configs.VariableRedisPassword:         "correct it",
		"redis.sentinel_password_file":        "put the password of the Sentinels there, or in " + configs.VariableRedisSentinelPassword,
		configs.VariableRedisSentinelPassword: "correct it",
		"redis.username":                      "correct the user or the password, or make the user known to Redis (ACL SETUSER) with the rights that store/redisstore/README.md lists",
		"redis.tls.server_name":               "set it to a name that the certificate carries, or give Redis a certificate for the name in redis.addrs",
		"redis.tls.ca_file":                   "name the authority that signed it",
		"redis.tls.enabled":                   "let Redis speak TLS on that port (tls-port), or set it to false",
		"redis.tls.cert_file":                 "name a certificate that Redis admits, and its key in redis.tls.key_file",
	}[setting]
}

// passing are the answers of a Redis that will give others by itself, or when its operator has seen to it:
// it loads, is or has no primary, lacks replicas, a disk or memory to take a write, or is busy.
var passing = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "NOREPLICAS", "MISCONF", "OOM", "BUSY"}

// away holds of silence too, in whatever form it comes. A store that has forgotten what was opened is not
// away, nor is one whose records are damaged.
func (b *redisBackend) away(err error) bool {
	if errors.As(err, new(*settingError)) || errors.Is(err, redisstore.ErrEmptied) || errors.Is(err, store.ErrDamaged) || errors.Is(err, keys.ErrDamaged) {
		return false
	}
	for _, silence := range []error{
		redisstore.ErrUnreachable, redisstore.ErrUnconfirmed, io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded, net.ErrClosed,
	} {
		if errors.Is(err, silence) {
			return true
		}
	}
	if said := answerOf(err); said != "" {
		return slices.Contains(passing, said)
	}
	// Not any net.Error: by its methods an error number of the system is one, and comes of files too.
	var slow net.Error
	return errors.As(err, new(*net.OpError)) || errors.As(err, new(*net.DNSError)) || errors.As(err, &slow) && slow.Timeout()
}

// passes holds of one that was emptied, too: it can be restored under a running server.
func (b *redisBackend) passes(err error) bool {
	return b.away(err) || errors.Is(err, redisstore.ErrEmptied)
}

// refusing are the answers of a Redis that takes no write: it has no memory or disk for one, lacks replicas, is
// one, or this user may not.
var refusing = []string{"OOM", "MISCONF", "NOREPLICAS", "READONLY", "NOPERM"}

// refuses holds of what was written and not confirmed, too: no change is acknowledged.
func (b *redisBackend) refuses(err error) bool {
	return errors.Is(err, redisstore.ErrUnconfirmed) || slices.Contains(refusing, answerOf(err))
}

// answerOf is the first word of an error that Redis answered, which says what kind it is; else empty.
func answerOf(err error) string {
	var said interface { // as go-redis marks it
		error
		RedisError()
	}
	if !errors.As(err, &said) {
		return ""
	}
	first, _, _ := strings.Cut(said.Error(), " ")
	return first
}

// redisDatabase is an open namespace.
type redisDatabase struct {
	*redisstore.DB
	backend *redisBackend
}

func (d *redisDatabase) backup(context.Context, audit.Entry) (admin.Backup, error) {
	return admin.Backup{}, admin.ErrNoBackup
}

func (d *redisDatabase) records(env *store.Envelope) (store.Store, error) {
	return redisstore.New(d.DB, env)
}

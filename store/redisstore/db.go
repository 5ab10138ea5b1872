package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// Defaults of Config.
const (
	DefaultCallTimeout = time.Second
	DefaultTimeout     = time.Second
)

// Config says which Redis to use, and how sure a write must be before it is acknowledged.
type Config struct {
	// Namespace names the issuer's part of the store: see store.CheckNamespace.
	Namespace string
	// Addrs are host:port: of the server; with MasterName, of the Sentinels; with Cluster, of some nodes.
	Addrs []string
	// MasterName is the name by which Sentinels know the primary; empty for no Sentinel.
	MasterName string
	// Cluster says that Addrs lead into a Redis Cluster.
	Cluster bool
	// Username and Password are those of an ACL user; a password alone is the default user's.
	Username, Password string
	// SentinelUsername and SentinelPassword are for the Sentinels themselves.
	SentinelUsername, SentinelPassword string
	// TLS is how to speak TLS, to Sentinels too; nil for plain TCP.
	TLS *tls.Config
	// Replicas is how many replicas must have a write before it is acknowledged; 0 is none.
	Replicas int
	// Fsync wants the write on the disk of the primary, and of Replicas replicas, before it is
	// acknowledged: WAITAOF, from Redis 7.2 on, with appendonly.
	Fsync bool
	// Timeout bounds that wait; 0 means DefaultTimeout.
	Timeout time.Duration
	// CallTimeout bounds one call; 0 means DefaultCallTimeout.
	CallTimeout time.Duration
	// MustExist makes a missing namespace ErrNoInstallation. Nothing is written then: a mistyped name
	// must not become an empty installation.
	MustExist bool
	// Moving opens a namespace, too, that was closed for a final export, or into which an import was not finished:
	// without it these are store.ErrClosed and store.ErrUnfinished. Only the methods of store.Mover work then.
	Moving bool
	// Warn is told, before OpenDB returns, what an operator should know of a server that is usable; it
	// may be nil. The text holds no secret.
	Warn func(text string)
	// Observe is told of every call: the command's name (see Commands), "ok", "refused", "timeout" or "error", and how
	// long it took. It may be nil; it is called concurrently and must not block. Arguments and answers
	// stay out of it: they hold identifiers of tokens and digests of secrets.
	Observe func(command, outcome string, took time.Duration)
}

// Why a store is not opened, or cannot be used.
var (
	// ErrUnreachable says that no Redis answers that could be used now; later one may.
	ErrUnreachable = errors.New("redis cannot be used now")

	// ErrNoInstallation says that Redis has no such namespace, and nothing may be made.
	ErrNoInstallation = errors.New("there is no installation")

	// ErrEmptied says that Redis no longer holds what was opened: it was emptied, an empty replica was
	// promoted, or another installation took its place. It is a fault of every call, and never an absence.
	ErrEmptied = errors.New("redisstore: redis no longer holds the installation that was opened: it was emptied or replaced; restore it from a backup")

	// ErrUnconfirmed says that a write was made, and that too few replicas, or no disk, confirmed it in
	// time: it may last or not.
	ErrUnconfirmed = errors.New("redisstore: a write was not confirmed as durable in time (durability.replicas, durability.timeout)")
)

// ConfigError says that a setting does not fit the Redis that answers: trying again is no use.
type ConfigError struct {
	Setting string // the path of the setting, such as "redis.password_file"
	Err     error
}

func (e *ConfigError) Error() string { return e.Setting + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *ConfigError) Unwrap() error { return e.Err }

// DB is a connection to one namespace of a Redis. It implements keys.Genesis and store.Mover, which need no record
// key; everything else needs one and is in Store. Its methods may be called concurrently.
type DB struct {
	client redis.UniversalClient
	names  names
	ns     string
	mark   string // what the namespace's epoch key holds while it is in use: see namespace.go
	epoch  string

	config Config

	// feed is the same over a few connections of its own, for what confirms the caches and tells of revocations:
	// strangers who make up identifiers, each of which is read, are not to keep it from its turn.
	feed *DB

	moving bool // reads what is closed, too: see mover
}

var (
	_ keys.Genesis = (*DB)(nil)
	_ store.Mover  = (*DB)(nil)
)

// OpenDB connects, looks whether the server may be trusted with records, and finds the namespace, or
// makes it. The error is ErrUnreachable, ErrNoInstallation as Config.MustExist says,
// store.ErrNewerFormat, store.ErrDamaged when parts of the namespace are missing, store.ErrClosed or store.ErrUnfinished
// as Config.Moving says, or a *ConfigError.
func OpenDB(ctx context.Context, c Config) (*DB, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	db := &DB{client: newClient(c, poolSize), names: newNames(c.Namespace), ns: c.Namespace, config: c}
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("redisstore: %w", c.explain(ctx, err)), db.client.Close())
	}
	feed := *db
	feed.client = newClient(c, feedSize)
	db.feed = &feed
	return db, nil
}

func (c *Config) complete() error {
	if err := store.CheckNamespace(c.Namespace); err != nil {
		return err
	}
	switch {
	case len(c.Addrs) == 0:
		return errors.New("redisstore: no address")
	case len(c.Addrs) > 1 && c.MasterName == "" && !c.Cluster:
		return errors.New("redisstore: several addresses need MasterName or Cluster")
	case c.MasterName != "" && c.Cluster:
		return errors.New("redisstore: MasterName and Cluster exclude each other")
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = DefaultCallTimeout
	}
	if c.Warn == nil {
		c.Warn = func(string) {}
	}
	return nil
}

func (db *DB) open(ctx context.Context) error {
	findings, err := db.Examine(ctx)
	if err != nil {
		return err
	}
	for _, f := range findings {
		switch {
		case f.Err != nil:
			return f.Err
		case f.Level == LevelWarning:
			db.config.Warn(f.Message + "; " + f.Fix)
		}
	}
	if err := db.mayAll(ctx); err != nil {
		return err
	}
	return db.findNamespace(ctx)
}

// Close ends the connections.
func (db *DB) Close() error { return errors.Join(db.client.Close(), db.feed.client.Close()) }

// Epoch is the random name of this namespace that its cursors carry.
func (db *DB) Epoch() string { return db.epoch }

// Clock returns the time of the Redis that holds the namespace. It implements store.Clock, whose
// readings all servers share. With Config.Moving it does so whatever state the namespace is in.
func (db *DB) Clock(ctx context.Context) (time.Time, error) {
	var at *redis.TimeCmd
	err := db.feed.lookAtKeeper(ctx, func(p redis.Pipeliner) { at = p.Time(ctx) })
	if db.config.Moving && (errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrUnfinished)) {
		err = nil // that was found out behind the time
	}
	if err != nil {
		return time.Time{}, err
	}
	return at.Val().UTC(), nil
}

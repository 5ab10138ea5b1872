package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Levels of a Finding.
const (
	LevelOK      = "ok"
	LevelWarning = "warning"
	LevelError   = "error"
)

// Finding is what a look at the server says of one matter.
type Finding struct {
	Level   string // one of the levels
	Message string
	Fix     string // what to do; empty for LevelOK
	Err     error  // why the store is not opened: a *ConfigError, or ErrUnreachable; nil when it is
}

// leastVersion is the oldest Redis that is used: SET with NX and GET, and scripts that replicate effects.
const leastVersion = 7

// fsyncVersion is the first Redis that has WAITAOF.
const fsyncVersion = "7.2"

// Examine looks whether the server may be trusted with records: that it is a primary of a version that
// is known, that it keeps what it is given, and removes nothing to make room. The error is of the looking
// itself. It only reads.
func (db *DB) Examine(ctx context.Context) ([]Finding, error) {
	text := ""
	if err := db.ask(ctx, func(ctx context.Context, node *redis.Client) (err error) {
		text, err = node.Info(ctx).Result()
		return err
	}); err != nil {
		return nil, err
	}
	settings, err := db.settings(ctx)
	if err != nil {
		return nil, err
	}
	open, err := db.isOpen(ctx)
	if err != nil {
		return nil, err
	}
	findings := db.judge(parseInfo(text), settings)
	if err := db.config.judgePrimary(text); errors.Is(err, errAlone) && !db.config.Cluster {
		findings = append(findings, Finding{LevelError, err.Error(), "connect replicas, or lower durability.replicas", err})
	}
	if open {
		findings = append(findings, refusal("redis.password_file", "set requirepass in the configuration of Redis, or give no password",
			"a password is given, and Redis lets everybody in without one"))
	}
	return findings, nil
}

// ask asks the server that holds the namespace.
func (db *DB) ask(ctx context.Context, fn func(ctx context.Context, node *redis.Client) error) error {
	return db.read(ctx, func(ctx context.Context) error {
		node, err := db.node(ctx)
		if err != nil {
			return err
		}
		return fn(ctx, node)
	})
}

// isOpen reports whether the server asks for no password where one was given: it takes any then, without a
// word, but for this one way of giving it.
func (db *DB) isOpen(ctx context.Context) (bool, error) {
	c := db.config
	if c.Password == "" || c.Username != "" {
		return false, nil
	}
	err := db.ask(ctx, func(ctx context.Context, node *redis.Client) error { return node.Do(ctx, "AUTH", c.Password).Err() })
	if redis.HasErrorPrefix(err, openToAll) {
		return true, nil
	}
	return false, err
}

// parseInfo reads what INFO says: a line each, NAME:VALUE.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// settings reads what INFO does not say. An ACL user need not have the right to, and a provider may have taken
// the command away; then they are unknown.
func (db *DB) settings(ctx context.Context) (said map[string]string, err error) {
	err = db.ask(ctx, func(ctx context.Context, node *redis.Client) (err error) {
		config := redis.NewMapStringStringCmd(ctx, "config", "get", "appendfsync", "aof-load-truncated", "save")
		_ = node.Process(ctx, config)
		said, err = config.Result()
		return err
	})
	if refused := redis.Error(nil); errors.As(err, &refused) {
		return nil, nil
	}
	return said, err
}

func (db *DB) judge(info, settings map[string]string) []Finding {
	all := []Finding{db.judgeVersion(info), db.judgeRole(info), judgeEviction(info), db.judgePersistence(info, settings)}
	if info["aof_enabled"] == "1" && len(settings) > 0 { // without settings judgePersistence has said it
		all = append(all, judgeTornFile(settings))
	}
	if db.config.durable() {
		all = append(all, db.judgeDurability(info))
	}
	return all
}

func ok(format string, args ...any) Finding {
	return Finding{Level: LevelOK, Message: fmt.Sprintf(format, args...)}
}

func refusal(setting, fix, format string, args ...any) Finding {
	message := fmt.Sprintf(format, args...)
	return Finding{Level: LevelError, Message: message, Fix: fix, Err: &ConfigError{setting, errors.New(message + "; " + fix)}}
}

func (db *DB) judgeVersion(info map[string]string) Finding {
	version := info["redis_version"]
	if !atLeast(version, strconv.Itoa(leastVersion)) {
		return refusal("redis.addrs", "use Redis 7 or newer", "Redis has version %q", version)
	}
	return ok("Redis has version %s", version)
}

// atLeast compares versions by their numbers.
func atLeast(version, least string) bool {
	have, want := strings.Split(version, "."), strings.Split(least, ".")
	for i, w := range want {
		if i >= len(have) {
			return false
		}
		h, err := strconv.Atoi(have[i])
		if err != nil {
			return false
		}
		if n, _ := strconv.Atoi(w); h != n {
			return h > n
		}
	}
	return true
}

// judgeRole wants the kind of server that the settings say, and one that takes writes. A replica may
// become the primary; while it is none, or still loads what it had stored, somebody else is.
func (db *DB) judgeRole(info map[string]string) Finding {
	unusable := func(message string) Finding {
		return Finding{Level: LevelError, Message: message, Fix: "wait, or name the primary in redis.addrs", Err: fmt.Errorf("%s: %w", message, ErrUnreachable)}
	}
	isCluster := info["redis_mode"] == "cluster"
	switch {
	case info["redis_mode"] == "sentinel":
		return refusal("redis.master_name", "set it to the name by which Sentinel knows the primary", "the server is a Sentinel, and holds no records")
	case isCluster && !db.config.Cluster:
		return refusal("redis.cluster", "set it to true", "the server is part of a Redis Cluster")
	case !isCluster && db.config.Cluster:
		return refusal("redis.cluster", "set it to false", "the server is not part of a Redis Cluster but %s", info["redis_mode"])
	case info["loading"] == "1":
		return unusable("the server is loading its records")
	case info["role"] != "master":
		return unusable("the server is a replica")
	}
	return ok("it is the primary, with %s connected replicas", info["connected_slaves"])
}

// judgeEviction: a server that makes room by removing records would make revoked tokens good again.
func judgeEviction(info map[string]string) Finding {
	policy := info["maxmemory_policy"]
	if policy != "noeviction" {
		return refusal("redis.addrs", "set maxmemory-policy to noeviction in the configuration of Redis", "Redis may remove records to make room (maxmemory-policy %q)", policy)
	}
	return ok("Redis removes nothing to make room (maxmemory-policy noeviction)")
}

// judgePersistence says what of the acknowledged writes is lost when the server or its machine ends.
func (db *DB) judgePersistence(info, settings map[string]string) Finding {
	warning := func(message, fix string) Finding {
		return Finding{Level: LevelWarning, Message: message, Fix: fix}
	}
	const fix = "set appendonly yes in the configuration of Redis"
	fsync, known := settings["appendfsync"]
	switch {
	case info["aof_enabled"] == "1" && info["aof_last_write_status"] == "err":
		return warning("Redis cannot write its append-only file", "look at the disk and the log of Redis")
	case info["aof_enabled"] == "1" && !known:
		// Redis' default is everysec, and a provider that keeps CONFIG to itself may have chosen any.
		return warning("Redis does not say how it writes its append-only file: unless it is appendfsync always, what was acknowledged in the last two seconds is lost when it ends, or with the machine even more",
			"let the user run CONFIG GET (+config|get), or else make sure of appendfsync always, or of replicas that writes wait for, and of aof-load-truncated no")
	case info["aof_enabled"] == "1" && fsync == "no":
		return warning("Redis leaves it to the system when its append-only file reaches the disk (appendfsync no): acknowledged writes are lost with the machine", "set appendfsync everysec, or always")
	case info["aof_enabled"] == "1" && fsync == "everysec" && !db.config.durable():
		// While it syncs, Redis answers for up to two seconds before it even hands the file to the system.
		return warning("Redis writes its append-only file once a second (appendfsync everysec): what was acknowledged in the last two is lost when it ends",
			"set appendfsync always, or have writes wait for replicas (durability.replicas)")
	case info["aof_enabled"] == "1":
		return ok("Redis keeps an append-only file (appendfsync %s)", fsync)
	case settings["save"] != "":
		return warning("Redis keeps snapshots alone: writes acknowledged since the last one are lost when it ends", fix)
	case info["aof_enabled"] == "0":
		return warning("Redis keeps nothing on disk: when it ends, clients, keys and revocations are gone", fix)
	}
	return warning("Redis does not say whether it keeps anything on disk", "make sure that it does: appendonly yes")
}

// judgeTornFile says whether Redis starts with a file whose last commit it was killed in. It cuts off the last
// command then and keeps the others: half a commit, with which whatever is written next comes to life or goes.
func judgeTornFile(settings map[string]string) Finding {
	const fix = "set aof-load-truncated no in the configuration of Redis, and mend such a file by redis-check-aof --fix"
	switch whole := settings["aof-load-truncated"]; whole {
	case "no":
		return ok("Redis does not start with a torn append-only file (aof-load-truncated no)")
	case "yes":
		return Finding{
			Level:   LevelWarning,
			Message: "Redis starts with a torn append-only file (aof-load-truncated yes): killed in the middle of a change, it keeps half of it, and a later start may lose what was acknowledged after it",
			Fix:     fix,
		}
	}
	return Finding{Level: LevelWarning, Message: "Redis does not say whether it starts with a torn append-only file (aof-load-truncated)", Fix: fix}
}

// judgeDurability looks whether what is to be waited for can come.
func (db *DB) judgeDurability(info map[string]string) Finding {
	c := db.config
	if c.Fsync && !atLeast(info["redis_version"], fsyncVersion) {
		return refusal("durability.fsync", "use Redis 7.2 or newer, or set it to false", "Redis %s cannot say that a write is on disk", info["redis_version"])
	}
	if c.Fsync && info["aof_enabled"] != "1" {
		return refusal("durability.fsync", "set appendonly yes in the configuration of Redis, or this to false", "Redis keeps no append-only file")
	}
	connected, _ := strconv.Atoi(info["connected_slaves"])
	if connected < c.Replicas {
		return Finding{
			Level:   LevelWarning,
			Message: fmt.Sprintf("durability.replicas is %d, and %d are connected: no write is acknowledged until there are enough", c.Replicas, connected),
			Fix:     "connect replicas, or lower durability.replicas",
		}
	}
	return ok("%d replicas are connected; a write waits for %d", connected, c.Replicas)
}

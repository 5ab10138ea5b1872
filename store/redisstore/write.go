package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// write runs a script and waits until what it wrote is as durable as was asked for.
func (db *DB) write(ctx context.Context, script *redis.Script, keys []string, args ...any) (any, error) {
	return db.run(ctx, true, script, keys, args...)
}

// run runs a script. Script and wait are one round trip on one connection, since WAIT speaks of what its
// own connection wrote. A script that was not run (its server is no longer the one, or does not know it)
// is tried again; one that may have been run never is.
func (db *DB) run(ctx context.Context, durable bool, script *redis.Script, keys []string, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, db.config.writeTimeout())
	defer cancel()
	for attempt := 0; ; attempt++ {
		said, err := db.attempt(bounded, durable, attempt > 0, script, keys, args)
		if err == nil || errors.Is(err, ErrUnconfirmed) {
			return said, err
		}
		if !db.again(bounded, err, attempt) {
			return nil, db.fault(ctx, err)
		}
	}
}

// attempt sends the script once: by its hash, or whole.
func (db *DB) attempt(ctx context.Context, durable, whole bool, script *redis.Script, keys []string, args []any) (any, error) {
	node, err := db.node(ctx)
	if err != nil {
		return nil, err
	}
	var ran, confirmed *redis.Cmd
	_, err = node.Pipelined(ctx, func(p redis.Pipeliner) error {
		if whole {
			ran = script.Eval(ctx, p, keys, args...)
		} else {
			ran = script.EvalSha(ctx, p, keys, args...)
		}
		if durable {
			confirmed = db.confirm(ctx, p)
		}
		return nil
	})
	said, ranErr := ran.Result()
	switch {
	case ranErr != nil && !errors.Is(ranErr, redis.Nil):
		return nil, ranErr
	case confirmed != nil && !db.isConfirmed(confirmed):
		return said, fmt.Errorf("%w%s", ErrUnconfirmed, why(confirmed))
	case err != nil && confirmed == nil && !errors.Is(err, redis.Nil):
		return nil, err
	}
	return said, nil
}

// confirm asks, after the script, for its durability; nil if none was wanted.
func (db *DB) confirm(ctx context.Context, p redis.Pipeliner) *redis.Cmd {
	c := db.config
	switch ms := c.Timeout.Milliseconds(); {
	case c.Fsync:
		return p.Do(ctx, "WAITAOF", 1, c.Replicas, ms)
	case c.Replicas > 0:
		return p.Do(ctx, "WAIT", c.Replicas, ms)
	}
	return nil
}

// isConfirmed reads the answer of WAIT, a number of replicas, or of WAITAOF, a number of disks here and
// one of replicas.
func (db *DB) isConfirmed(said *redis.Cmd) bool {
	if !db.config.Fsync {
		n, err := said.Int64()
		return err == nil && n >= int64(db.config.Replicas)
	}
	counts, err := said.Int64Slice()
	return err == nil && len(counts) == 2 && counts[0] >= 1 && counts[1] >= int64(db.config.Replicas)
}

func why(confirmed *redis.Cmd) string {
	if err := confirmed.Err(); err != nil {
		return ": " + err.Error()
	}
	return fmt.Sprintf(": got %v", confirmed.Val())
}

// movedPause is how long to wait before a script that was not run is sent again.
const movedPause = 20 * time.Millisecond

// again reports whether the script was certainly not run, and may be now. The slot of the namespace has
// moved, is moving, or nobody serves it for the moment; or the server does not know the script.
func (db *DB) again(ctx context.Context, err error, attempt int) bool {
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		return attempt < 3
	}
	cluster, ok := db.client.(*redis.ClusterClient)
	if !ok {
		return false
	}
	for _, prefix := range []string{"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"} {
		if !redis.HasErrorPrefix(err, prefix) {
			continue
		}
		cluster.ReloadState(ctx)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(movedPause):
			return true
		}
	}
	return false
}

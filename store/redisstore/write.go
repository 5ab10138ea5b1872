package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// script is one of ours, and what it is given.
type script struct {
	*redis.Script
	keys []string
	args []any
}

// write runs a script within the limit, and waits until what it wrote is as durable as was asked for. Script
// and wait are one round trip on one connection, since WAIT speaks of what its own connection wrote.
func (db *DB) write(ctx context.Context, limit time.Duration, s script) (any, error) {
	return db.run(ctx, limit, s, db.config.durable())
}

// durable reports whether anything is to be waited for.
func (c Config) durable() bool { return c.Replicas > 0 || c.Fsync }

// run runs a script within the limit. One that was not run (its server is no longer the one, or does not
// know it) is tried again; one that may have been run never is.
func (db *DB) run(ctx context.Context, limit time.Duration, s script, durable bool) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for attempt := 0; ; attempt++ {
		said, err := db.attempt(bounded, s, durable, attempt > 0)
		switch {
		case err == nil || errors.Is(err, ErrUnconfirmed):
			return said, err
		case isWrongType(err):
			return nil, db.fault(ctx, db.named(ctx, err, s.keys))
		case !db.again(bounded, err, attempt):
			return nil, db.fault(ctx, err)
		}
	}
}

// attempt sends the script once: by its hash, or whole.
func (db *DB) attempt(ctx context.Context, s script, durable, whole bool) (any, error) {
	node, err := db.node(ctx)
	if err != nil {
		return nil, err
	}
	var ran, confirmed *redis.Cmd
	_, err = node.Pipelined(ctx, func(p redis.Pipeliner) error {
		if whole {
			ran = s.Eval(ctx, p, s.keys, s.args...)
		} else {
			ran = s.EvalSha(ctx, p, s.keys, s.args...)
		}
		if durable {
			confirmed = db.confirm(ctx, p)
		}
		return nil
	})
	// The scripts always say something. When the connection is lost after that, the library gives its error to
	// all that was sent together, also to what was answered.
	said := ran.Val()
	if said == nil {
		return nil, cmp.Or(ran.Err(), err, errNothingSaid)
	}
	if durable && !db.isConfirmed(confirmed) {
		return said, fmt.Errorf("%w%s", ErrUnconfirmed, why(confirmed))
	}
	return said, nil
}

var errNothingSaid = errors.New("a script said nothing")

// confirm asks, after the script, for its durability.
func (db *DB) confirm(ctx context.Context, p redis.Pipeliner) *redis.Cmd {
	c := db.config
	ms := max(1, c.Timeout.Milliseconds()) // 0 would be for ever
	if c.Fsync {
		return p.Do(ctx, db.waits(), 1, c.Replicas, ms)
	}
	return p.Do(ctx, db.waits(), c.Replicas, ms)
}

// waits is the command that waits for durability.
func (db *DB) waits() string {
	if db.config.Fsync {
		return "waitaof"
	}
	return "wait"
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

// Between attempts to send a script that was not run.
const (
	attempts   = 3 // where the next one should do
	movedPause = 20 * time.Millisecond
)

// again reports whether the script was certainly not run, and may be now: the server does not know the
// script, or has become a replica, or serves the namespace no longer.
func (db *DB) again(ctx context.Context, err error, attempt int) bool {
	found := db.searches(ctx, err)
	switch {
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		return attempt < attempts
	case found:
		return answered(err) // what silence means is not known
	case db.config.Cluster:
		return false
	}
	// The connection is closed by then, and the next one leads to whom the Sentinels, or the name, call the primary.
	return redis.HasErrorPrefix(err, "READONLY") && attempt < attempts && pause(ctx)
}

// pause lets a moment pass, and reports whether ctx has not ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(movedPause):
		return true
	}
}

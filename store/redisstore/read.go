package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// read runs fn, which only reads, within the time of one call, and once more if the connection was lost:
// one that had been idle may be gone, and reading twice is harmless. While a slot moves it runs as often as there is time for.
func (db *DB) read(ctx context.Context, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, db.config.CallTimeout)
	defer cancel()
	err := fn(bounded)
	if db.searches(bounded, err) || err != nil && bounded.Err() == nil && !answered(err) {
		err = fn(bounded)
	}
	for movedAway(err) && db.searches(bounded, err) {
		err = fn(bounded)
	}
	return db.fault(ctx, err)
}

// searches has the library ask, in a Cluster, who serves the namespace now, if an error says that it may be
// another node: by itself it keeps to one that is silent. It reports whether that may be known by now.
func (db *DB) searches(ctx context.Context, err error) bool {
	cluster, ok := db.client.(*redis.ClusterClient)
	if !ok || err == nil || answered(err) && !movedAway(err) {
		return false
	}
	cluster.ReloadState(ctx)
	return pause(ctx)
}

// movedAway reports whether a node of a Cluster says that it does not serve the namespace: its slot has moved, is
// moving, or nobody serves it for the moment.
func movedAway(err error) bool {
	for _, prefix := range []string{"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

// answered reports whether an error is something that was said, by Redis or by us, rather than silence.
func answered(err error) bool {
	var said redis.Error
	var record *store.RecordError
	return errors.As(err, &said) || errors.As(err, &record) ||
		errors.Is(err, ErrEmptied) || errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrUnfinished) || errors.Is(err, ErrUnconfirmed) || errors.Is(err, errAlone) || errors.Is(err, redis.ErrClosed)
}

// fault says where an error comes from. When the caller's own context has ended, that is the error.
func (db *DB) fault(ctx context.Context, err error) error {
	var record *store.RecordError
	switch {
	case err == nil:
		return nil
	case ended(ctx) != nil:
		return ended(ctx)
	case errors.Is(err, ErrEmptied), errors.As(err, &record):
		return err
	case errors.Is(err, redis.ErrPoolTimeout): // every connection waits for an answer
		return fmt.Errorf("redisstore: %w: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("redisstore: %w", err)
}

// ended is ctx.Err, and also when the connection has heard of its deadline first.
func ended(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// get reads records at one instant, in one round trip; nil for those that are not there. MGET passes over a
// key that holds something else than a string, so keys are counted, too; in a long list, where all should be
// there, those that are not are looked at afterwards instead.
func (db *DB) get(ctx context.Context, keys ...string) ([][]byte, error) {
	var values *redis.SliceCmd
	var there *redis.IntCmd
	if err := db.look(ctx, func(p redis.Pipeliner) {
		if len(keys) > 0 {
			values = p.MGet(ctx, keys...)
		}
		if 0 < len(keys) && len(keys) <= counted {
			there = p.Exists(ctx, keys...)
		}
	}); err != nil || len(keys) == 0 {
		return nil, err
	}
	out := octets(values.Val())
	if len(out) != len(keys) {
		return nil, fmt.Errorf("redisstore: %d values of %d keys", len(out), len(keys)) // never an absence
	}
	n := count(out)
	if n == int64(len(keys)) || there != nil && n == there.Val() {
		return out, nil
	}
	var missing []string
	for i, key := range keys {
		if out[i] == nil {
			missing = append(missing, key)
		}
	}
	return out, db.named(ctx, nil, missing) // nothing may be wrong: one may have come between the two commands
}

// counted is how many keys are counted at most.
const counted = 64

// count is what EXISTS says of keys if each that is there is a string: it counts a key as often as it is
// named.
func count(values [][]byte) (n int64) {
	for _, v := range values {
		if v != nil {
			n++
		}
	}
	return n
}

// octets makes of what MGET says what a record is: nil is none, and empty is damage.
func octets(values []any) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		if s, ok := v.(string); ok {
			out[i] = append(make([]byte, 0, len(s)), s...)
		}
	}
	return out
}

// one reads a single record's octets.
func (db *DB) one(ctx context.Context, key string) ([]byte, error) {
	values, err := db.get(ctx, key)
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// look runs commands that read, in one round trip, and then looks whether what answered still is the store that
// was opened, and a primary that can be believed: what an emptied one does not have is unknown, and no absence. They
// are no transaction: in a full Redis those do not even read. So what must be of one instant is one command.
func (db *DB) look(ctx context.Context, fn func(p redis.Pipeliner)) error {
	return db.read(ctx, func(ctx context.Context) error { return db.lookAt(ctx, db.client, fn) })
}

func (db *DB) lookAt(ctx context.Context, at redis.Cmdable, fn func(p redis.Pipeliner)) error {
	_, cluster := db.client.(*redis.ClusterClient)
	var mark *redis.StringCmd
	var replication *redis.StringCmd
	cmds, err := at.Pipelined(ctx, func(p redis.Pipeliner) error {
		fn(p)
		mark = db.readsMark(ctx, p)
		if !cluster { // there, neither a replica nor a primary that lost sight of most others answers by itself
			replication = p.Info(ctx, "replication")
		}
		return nil
	})
	err = answerError(cmds, err)
	if err == nil && replication != nil {
		err = db.config.judgePrimary(replication.Val())
	}
	switch {
	case isWrongType(err):
		return db.named(ctx, err, db.keysOf(cmds))
	case errors.Is(err, errReplica):
		return db.leave(ctx)
	case err != nil:
		return err
	}
	return db.judgeMark(mark.Val())
}

// once is a command that keeps the library from repeating by itself the pipeline that it is in. In a Cluster whose slot moves
// the library (v9.23.0) would send some commands to two nodes at the same time, one as it was redirected and one with
// the pipeline that is repeated, and have both answers written to the same place: of one node's error and the other's
// value there may remain no value and no error, which says that nothing is there. Redirections alone it follows well.
type once struct{ *redis.StringCmd }

// NoRetry implements redis.Cmder.
func (once) NoRetry() bool { return true }

// readsMark adds a command to a pipeline that reads the epoch, and that keeps the library from repeating it.
func (db *DB) readsMark(ctx context.Context, p redis.Pipeliner) *redis.StringCmd {
	mark := redis.NewStringCmd(ctx, "get", db.names.of(nameEpoch))
	_ = p.Process(ctx, once{mark}) // it is only noted
	return mark
}

// answerError is the first error that one of the commands has, or else that of getting answers at all. An absence
// is none.
func answerError(cmds []redis.Cmder, err error) error {
	if said := redis.Error(nil); err != nil && !errors.As(err, &said) {
		return err
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

// leave ends a connection to a server that has become a replica, by asking it for a write, which changes nothing
// should it be the primary again: the next connection leads to whom the Sentinels, or the name, call the primary.
func (db *DB) leave(ctx context.Context) error {
	_ = db.client.ZRem(ctx, db.names.of(nameEnds), "").Err()
	return errReplica
}

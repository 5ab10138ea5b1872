package redisstore

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// The state of a namespace is a part of its mark. Every read and every write of every server compares the mark
// with that of a namespace in use: so one write closes it for all of them, at once and at no cost.

var (
	//go:embed mark.lua
	markLua    string
	markScript = redis.NewScript(openedLua + markLua)
)

// mover is the same for what a Mover reads: also while the namespace is closed.
func (db *DB) mover() *DB {
	m, feed := *db, *db.feed
	m.moving, feed.moving = true, true
	m.feed = &feed
	return &m
}

// State returns the state of the namespace.
func (db *DB) State(ctx context.Context) (store.State, error) { return db.state(ctx) }

// state asks in which state the namespace is.
func (db *DB) state(ctx context.Context) (store.State, error) {
	mark, err := db.readMark(ctx)
	if err != nil {
		return store.State{}, err
	}
	return db.standing(mark)
}

// change makes the state what fn returns, if it is then what fn was given; else fn is asked again. The mark is written
// also where fn changes nothing: what is there may be of a write that was not confirmed.
func (db *DB) change(ctx context.Context, fn func(now store.State) (store.State, error)) error {
	fence, err := db.fence(ctx)
	if err != nil {
		return err
	}
	for {
		now, err := db.state(ctx)
		if err != nil {
			return err
		}
		next, err := fn(now)
		if err != nil {
			return fmt.Errorf("redisstore: %w", db.stateError(err))
		}
		said, err := fence.write(ctx, markOf(db.epoch, now), markOf(db.epoch, next))
		if _, other := otherSaid(said); other {
			continue
		}
		if errors.Is(err, ErrUnconfirmed) {
			return fmt.Errorf("%w: it was written, and a Redis that loses it would go on with what goes on elsewhere; each replica that is listed, and the file, must have it: see to them, and run this again", err)
		}
		if err == nil && said != saidDone {
			err = fmt.Errorf("redisstore: the script that changes the mark said %v", said)
		}
		return err
	}
}

// fenceTimeout is for how long a change of the state waits for replicas, and for the file, at least: a Redis that writes it
// once a second may take two.
const fenceTimeout = 3 * time.Second

// fence is how the mark is written, one after the other, each time waiting for something else. It does not only wait for what
// other writes do: a primary that is lost with this one is followed by whichever replica has connected, and that one would
// go on with what goes on elsewhere.
type fence []*DB

// fence asks what there is to wait for: each replica that is listed, and the file, if Redis can say when that has it.
func (db *DB) fence(ctx context.Context) (fence, error) {
	var text string
	if err := db.ask(ctx, func(ctx context.Context, node *redis.Client) (err error) {
		text, err = node.Info(ctx).Result()
		return err
	}); err != nil {
		return nil, err
	}
	info := parseInfo(text)
	replicas, err := strconv.Atoi(info["connected_slaves"])
	if err != nil {
		return nil, fmt.Errorf("redisstore: redis does not say how many replicas it has: %w", ErrUnconfirmed)
	}
	waits := fence{db.waiting(max(replicas, db.config.Replicas), false)}
	if db.config.Fsync || info["aof_enabled"] == "1" && atLeast(info["redis_version"], fsyncVersion) {
		disks := 0
		if db.config.Fsync {
			disks = db.config.Replicas
		}
		waits = append(waits, db.waiting(disks, true))
	}
	return waits, waits.allowed(ctx)
}

// waiting is the same, with other writes to wait for.
func (db *DB) waiting(replicas int, fsync bool) *DB {
	w := *db
	w.config.Replicas, w.config.Fsync, w.config.Timeout = replicas, fsync, max(w.config.Timeout, fenceTimeout)
	return &w
}

// allowed looks whether the user may wait, before anything is written.
func (f fence) allowed(ctx context.Context) error {
	for _, db := range f {
		command := db.waitNow()
		if command == nil {
			continue
		}
		err := db.ask(ctx, func(ctx context.Context, node *redis.Client) error { return node.Do(ctx, command...).Err() })
		if redis.HasErrorPrefix(err, "NOPERM") {
			return &ConfigError{"redis.username", fmt.Errorf("redis does not let this user run %v, and whether the store is in use must be as durable as it can be", command[0])}
		}
		if err != nil && !answered(err) {
			return err
		}
	}
	return nil
}

// write writes the mark, if it is what it was.
func (f fence) write(ctx context.Context, was, next string) (said any, err error) {
	for _, db := range f {
		mark := script{markScript, []string{db.names.of(nameEpoch)}, []any{was, next}}
		if said, err = db.write(ctx, db.config.writeTimeout(), mark); err != nil || said != saidDone {
			return said, err
		}
		was = next
	}
	return said, err
}

// CloseFor implements store.Mover.
func (db *DB) CloseFor(ctx context.Context, export string) error {
	return db.change(ctx, func(now store.State) (store.State, error) { return now.CloseFor(export) })
}

// Reopen implements store.Mover.
func (db *DB) Reopen(ctx context.Context) error { return db.change(ctx, store.State.Reopen) }

// Claim implements store.Mover.
func (db *DB) Claim(ctx context.Context, export, by string) (first bool, err error) {
	err = db.change(ctx, func(now store.State) (next store.State, err error) {
		next, first, err = now.Claim(export, by)
		return next, err
	})
	return first && err == nil, err
}

// Settle implements store.Mover.
func (db *DB) Settle(ctx context.Context, export, by string) error {
	return db.change(ctx, func(now store.State) (store.State, error) { return now.Settle(export, by) })
}

package redisstore

import (
	"context"
	_ "embed"
	"fmt"

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
	for {
		now, err := db.state(ctx)
		if err != nil {
			return err
		}
		next, err := fn(now)
		if err != nil {
			return fmt.Errorf("redisstore: %w", db.stateError(err))
		}
		marks := []any{markOf(db.epoch, now), markOf(db.epoch, next)}
		said, err := db.write(ctx, db.config.writeTimeout(), script{markScript, []string{db.names.of(nameEpoch)}, marks})
		if _, other := otherSaid(said); other {
			continue
		}
		if err == nil && said != saidDone {
			err = fmt.Errorf("redisstore: the script that changes the mark said %v", said)
		}
		return err
	}
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

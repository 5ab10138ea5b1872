package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// The feed is a stream whose entries Redis numbers by its clock. A cursor is EPOCH.ID, and stands on the
// entry before it: the one with that ID must be there. If it is not, it was trimmed, or it belongs to a
// history that Redis no longer has, because a replica was promoted that had not seen it. Numbers that
// merely grow would not show the latter once new entries have passed the cursor.

// kindChange names an entry of the feed in a store.RecordError.
const kindChange store.Kind = "change"

// kindEpoch is the kind of the entry with which a feed begins. It is no Change.
const kindEpoch = "epoch"

func (db *DB) cursor(id string) store.Cursor { return store.Cursor(db.epoch + "." + id) }

// place reads a cursor. What this store cannot have given out is store.ErrCursor.
func (db *DB) place(c store.Cursor) (id string, err error) {
	epoch, id, _ := strings.Cut(string(c), ".")
	ms, sequence, _ := strings.Cut(id, "-")
	if epoch != db.epoch || !isNumber(ms) || !isNumber(sequence) {
		return "", store.ErrCursor
	}
	return id, nil
}

// isNumber reports whether Redis writes a number so.
func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// follow is look for what confirms the caches: at a server that removes nothing to make room. In a Cluster reads go to
// whoever has the keys now, and Clock, which is looked at before the feed is, sees to that.
func (db *DB) follow(ctx context.Context, fn func(p redis.Pipeliner)) error {
	if db.config.Cluster {
		return db.look(ctx, fn)
	}
	return db.lookAtKeeper(ctx, fn)
}

// lookAtKeeper is look at the server that holds the namespace, and looks in the same round trip whether it may remove
// records. What OpenDB saw was another server's setting, if this one has become the primary since, and anybody
// may change it. The error is then a *ConfigError.
func (db *DB) lookAtKeeper(ctx context.Context, fn func(p redis.Pipeliner)) error {
	var memory *redis.StringCmd
	if err := db.ask(ctx, func(ctx context.Context, node *redis.Client) error {
		return db.lookAt(ctx, node, func(p redis.Pipeliner) {
			fn(p)
			memory = p.Info(ctx, "memory")
		})
	}); err != nil {
		return err
	}
	if err := judgeEviction(parseInfo(memory.Val())).Err; err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	return nil
}

// Head implements store.Changes.
func (s *Store) Head(ctx context.Context) (store.Cursor, error) {
	var last *redis.XMessageSliceCmd
	err := s.db.feed.follow(ctx, func(p redis.Pipeliner) {
		last = p.XRevRangeN(ctx, s.db.names.of(nameChanges), "+", "-", 1)
	})
	if err != nil {
		return "", err
	}
	if len(last.Val()) == 0 {
		return "", noFeed
	}
	return s.db.cursor(last.Val()[0].ID), nil
}

// noFeed is what a feed without entries is: its last one is never trimmed.
var noFeed = damage(kindChange, nameChanges, "the change feed is empty: it was removed")

// Changes implements store.Changes.
func (s *Store) Changes(ctx context.Context, after store.Cursor, limit int) ([]store.Change, store.Cursor, error) {
	if limit < 1 {
		return nil, "", errLimit
	}
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	id, err := s.db.place(after)
	if err != nil {
		return nil, "", err
	}
	var entries *redis.XMessageSliceCmd
	err = s.db.feed.follow(ctx, func(p redis.Pipeliner) {
		entries = p.XRangeN(ctx, s.db.names.of(nameChanges), id, "+", int64(limit)+1)
	})
	if err != nil {
		return nil, "", err
	}
	read := entries.Val()
	if len(read) == 0 || read[0].ID != id {
		return nil, "", store.ErrCursor
	}
	var changes []store.Change
	for _, m := range read[1:] {
		c, err := changeOf(m)
		if err != nil {
			return nil, "", err
		}
		changes = append(changes, c)
	}
	return changes, s.db.cursor(read[len(read)-1].ID), nil
}

func changeOf(m redis.XMessage) (store.Change, error) {
	kind, ok1 := m.Values["kind"].(string)
	id, ok2 := m.Values["id"].(string)
	if !ok1 || !ok2 || kind == "" || id == "" || len(m.Values) != 2 {
		return store.Change{}, damage(kindChange, m.ID, "it is not a change")
	}
	return store.Change{Kind: store.Kind(kind), ID: id}, nil
}

// waitStep is how long Redis is asked to wait for a change before it is asked again: a call that waits for an
// answer does not hear that its context has ended.
const waitStep = 250 * time.Millisecond

// Wait returns nil when there may be a change after the cursor, which includes that the feed cannot be
// continued from it. It holds one connection while it waits. It implements store.Waiter.
func (s *Store) Wait(ctx context.Context, after store.Cursor) error {
	id, err := s.db.place(after)
	if err != nil {
		return err
	}
	for lost := false; ; {
		if err := ended(ctx); err != nil {
			return err
		}
		more, err := s.wait(ctx, id)
		switch silent := err != nil && !answered(err); {
		case silent && !lost: // somebody ended the connection; another one may do
			lost = true
			s.db.feed.searches(ctx, err)
		case err != nil || more:
			return err
		default:
			lost = false
		}
	}
}

// wait waits for one step. It looks in the same round trip whether the store still is what was opened, since in an
// emptied one nothing ever comes, and whether it still has the cursor's place.
func (s *Store) wait(ctx context.Context, id string) (more bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, s.db.config.CallTimeout+waitStep)
	defer cancel()
	var come *redis.XStreamSliceCmd
	var place *redis.XMessageSliceCmd
	var mark *redis.StringCmd
	cmds, err := s.db.feed.client.Pipelined(bounded, func(p redis.Pipeliner) error {
		come = p.XRead(bounded, &redis.XReadArgs{Streams: []string{s.db.names.of(nameChanges), id}, Count: 1, Block: waitStep})
		place = p.XRangeN(bounded, s.db.names.of(nameChanges), id, id, 1)
		mark = s.db.readsMark(bounded, p)
		return nil
	})
	switch err = answerError(cmds, err); {
	case isWrongType(err):
		return false, s.db.fault(ctx, s.db.named(ctx, err, s.db.keysOf(cmds)))
	case err != nil:
		return false, s.db.fault(ctx, err)
	}
	if err := s.db.judgeMark(mark.Val()); err != nil {
		return false, s.db.fault(ctx, err)
	}
	return len(place.Val()) == 0 || len(come.Val()) > 0, nil
}

package redisstore

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

var (
	//go:embed restore.lua
	restoreLua    string
	restoreScript = redis.NewScript(openedLua + auditLua + restoreLua)
)

// What restore.lua returns besides.
const (
	saidOccupied = int64(-3) // with the key
	saidNumber   = int64(-4) // with the number of an audit entry, and that of the last one
)

// Imported implements store.Mover.
func (db *DB) Imported(ctx context.Context, export string) (done int, err error) {
	for {
		now, err := db.state(ctx)
		if err != nil {
			return 0, err
		}
		if done, err = now.Imported(export); err != nil {
			return 0, fmt.Errorf("redisstore: %w", db.stateError(err))
		}
		if !now.InUse() {
			return done, nil
		}
		occupied := db.isEmpty(ctx)
		if occupied == nil {
			return 0, nil
		}
		if later, err := db.state(ctx); err != nil || later == now { // else an import has begun meanwhile
			return 0, cmp.Or(err, occupied)
		}
	}
}

// isEmpty returns store.ErrOccupied where the namespace has any key but those with which one begins. It walks over every
// key of Redis, whoever's they are.
func (db *DB) isEmpty(ctx context.Context) error {
	return db.walk(ctx, func(keys []string) error {
		for _, key := range keys {
			if key != db.names.of(nameEpoch) && key != db.names.of(nameChanges) {
				return db.occupied(key)
			}
		}
		return nil
	})
}

func (db *DB) occupied(key string) error {
	return fmt.Errorf("redisstore: %w (key %s)", db.stateError(store.ErrOccupied), strconv.Quote(key))
}

// Restore implements store.Mover.
func (db *DB) Restore(ctx context.Context, export string, done int, records []store.Stored) error {
	if len(records) == 0 {
		there, err := db.Imported(ctx, export)
		if err == nil && there != done {
			err = fmt.Errorf("redisstore: %w: %d records were imported, and not %d", db.stateError(store.ErrOccupied), there, done)
		}
		return err
	}
	return db.restore(ctx, restoring{export: export, done: done, records: records})
}

// Complete implements store.Mover.
func (db *DB) Complete(ctx context.Context, export string, done int, last []store.Stored, floor uint64, in keys.Installation, e audit.Entry) error {
	record, err1 := store.EncodeInstallation(in)
	entry, err2 := store.EncodeEntry(e)
	if err := cmp.Or(err1, err2, store.CheckFloor(floor)); err != nil {
		return err
	}
	err := db.restore(ctx, restoring{export, done, last, floor, record, entry})
	if errors.Is(err, store.ErrOccupied) && db.isCompleted(ctx, record, entry) { // it was done before
		return db.confirmAll(ctx)
	}
	return err
}

// isCompleted reports whether the namespace was completed with that record, and with that entry, which is still the
// last. The record alone does not tell one completion from another, which may have revoked everything or not.
func (db *DB) isCompleted(ctx context.Context, record, entry []byte) bool {
	var installed *redis.StringCmd
	var newest *redis.XMessageSliceCmd
	if err := db.mover().look(ctx, func(p redis.Pipeliner) {
		installed = p.Get(ctx, db.names.of(nameGenesis))
		newest = p.XRevRangeN(ctx, db.names.of(nameAudit), "+", "-", 1)
	}); err != nil || len(newest.Val()) == 0 {
		return false
	}
	return installed.Val() == string(record) && newest.Val()[0].Values["entry"] == string(entry)
}

// restoring is one commit of an import.
type restoring struct {
	export        string
	done          int
	records       []store.Stored
	floor         uint64
	record, entry []byte // of the installation; nil if it is not made yet
}

// restore makes the commit. The mark says how many records there are, so a commit that was made before, by whomever,
// finds another mark, and changes nothing.
func (db *DB) restore(ctx context.Context, r restoring) error {
	if err := store.CheckStored(r.records); err != nil {
		return err
	}
	was, err := store.Importing(r.export, r.done)
	if err != nil {
		return err
	}
	next, err := was.Restore(r.export, r.done, len(r.records))
	if err == nil && was.InUse() {
		_, err = db.Imported(ctx, r.export) // what the script does not see: keys of which it does not know
	}
	if err != nil {
		return err
	}
	if r.record != nil {
		next = store.State{}
	}
	said, err := db.write(ctx, db.config.writeTimeout(), db.restoreScript(was, next, r))
	if wrong := db.restoreSaid(said, r); wrong != nil {
		return wrong
	}
	if err == nil && said != saidDone {
		err = fmt.Errorf("redisstore: the script that restores said %v", said)
	}
	return err
}

func (db *DB) restoreScript(was, next store.State, r restoring) script {
	n := db.names
	keys := []string{n.of(nameEpoch), n.of(nameChanges), n.of(nameAudit), n.of(nameFloor), n.of(nameEnds), n.of(nameGenesis)}
	for _, kind := range indexed() {
		keys = append(keys, n.index(kind))
	}
	first := 0
	if was.InUse() {
		first = 1
	}
	args := []any{markOf(db.epoch, was), markOf(db.epoch, next), first, r.floor, r.record, r.entry}
	for _, s := range r.records {
		key, end, version := n.record(s.Kind, s.Key), "", uint64(0)
		if s.Kind == store.KindAudit {
			key = n.of(nameAudit)
		}
		if !s.Ends.IsZero() {
			end = strconv.FormatInt(s.Ends.Add(revocationsKept).UnixMilli(), 10)
			version, _ = store.PeekVersion(s.Kind, s.Key, s.Octets) // it has one: CheckStored
		}
		keys = append(keys, key, n.index(s.Kind))
		args = append(args, string(s.Kind), s.Octets, s.Key, end, version)
	}
	return script{restoreScript, keys, args}
}

// restoreSaid is the error of a commit that was not made; nil if it may have been.
func (db *DB) restoreSaid(said any, r restoring) error {
	if mark, other := otherSaid(said); other {
		now, err := db.standing(mark)
		if err != nil {
			return err
		}
		_, err = now.Restore(r.export, r.done, len(r.records))
		return fmt.Errorf("redisstore: %w", db.stateError(cmp.Or(err, store.ErrOccupied)))
	}
	if damaged := damageSaid(said); damaged != nil {
		return damaged
	}
	answer, _ := said.([]any)
	switch {
	case len(answer) == 2 && answer[0] == saidOccupied:
		return db.occupied(fmt.Sprint(answer[1]))
	case len(answer) == 3 && answer[0] == saidNumber:
		return fmt.Errorf("redisstore: audit entry %v does not follow %v, the last that is there", answer[1], answer[2])
	}
	return nil
}

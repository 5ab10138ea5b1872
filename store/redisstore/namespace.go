package redisstore

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// layoutFormat is the format of the keys; records count their own. movingFormat is that of a namespace that is not in
// use: the keys are the same, but earlier versions of the program would go on with what goes on elsewhere.
const (
	layoutFormat = 1
	movingFormat = 2
)

// The epoch key marks a namespace: FORMAT.EPOCH, the format of its layout and a random name, and, while it is not in
// use, .STATE, a store.State. Every read and every write looks at it, so that an emptied Redis, or one with another
// installation in the same place, is noticed by the very call that would otherwise take silence for
// "absent".
//
//go:embed namespace.lua
var namespaceLua string

var namespaceScript = redis.NewScript(namespaceLua)

// errParts says that a namespace has lost its mark.
var errParts = fmt.Errorf("the namespace has records and no epoch: %w; restore it from a backup", store.ErrDamaged)

// findNamespace reads the mark, or makes it where that may be.
func (db *DB) findNamespace(ctx context.Context) error {
	mark, err := db.readMark(ctx)
	if err == nil && mark == "" && db.config.MustExist {
		return fmt.Errorf("it has no namespace %s: %w", db.ns, ErrNoInstallation)
	}
	if err == nil && mark == "" {
		mark, err = db.makeNamespace(ctx)
	}
	if err != nil {
		return err
	}
	format, _, _ := strings.Cut(mark, ".")
	if n, err := strconv.Atoi(format); err == nil && n > movingFormat {
		return fmt.Errorf("namespace %s has format %d, this version of the program knows up to %d: %w", db.ns, n, movingFormat, store.ErrNewerFormat)
	}
	epoch, state, ok := parseMark(mark)
	if !ok {
		return fmt.Errorf("the key %s is no epoch: %w", db.names.of(nameEpoch), store.ErrDamaged)
	}
	if !state.InUse() && !db.config.Moving {
		return db.stateError(state.Err())
	}
	db.mark, db.epoch = markOf(epoch, store.State{}), epoch
	return nil
}

// markOf is the mark of a namespace in a state.
func markOf(epoch string, s store.State) string {
	if s.InUse() {
		return strconv.Itoa(layoutFormat) + "." + epoch
	}
	return strconv.Itoa(movingFormat) + "." + epoch + "." + s.String()
}

// parseMark reads what markOf wrote; ok is false for anything else.
func parseMark(mark string) (epoch string, s store.State, ok bool) {
	format, epoch, _ := strings.Cut(mark, ".")
	if format == strconv.Itoa(movingFormat) {
		var text string
		epoch, text, _ = strings.Cut(epoch, ".")
		if s, ok = store.ParseState(text); !ok {
			return "", s, false
		}
	}
	return epoch, s, epoch != "" && markOf(epoch, s) == mark
}

// standing is the state of the namespace that was opened, by the mark that is there. Any other mark is ErrEmptied.
func (db *DB) standing(mark string) (store.State, error) {
	epoch, s, ok := parseMark(mark)
	if !ok || epoch != db.epoch {
		return s, ErrEmptied
	}
	return s, nil
}

// judgeMark is nil if what is read in a namespace with that mark may be believed, and used.
func (db *DB) judgeMark(mark string) error {
	if mark == db.mark {
		return nil
	}
	s, err := db.standing(mark)
	if err != nil {
		return err
	}
	if db.moving {
		return db.stateError(s.Readable())
	}
	return db.stateError(s.Err())
}

// markError is the error of a script that expected the mark of a namespace in use, and found another one.
func (db *DB) markError(mark string) error {
	s, err := db.standing(mark)
	if err != nil || s.InUse() {
		return ErrEmptied
	}
	return fmt.Errorf("redisstore: %w", db.stateError(s.Err()))
}

// stateError names the namespace in an error about its state.
func (db *DB) stateError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("namespace %s: %w", db.ns, err)
}

// readMark returns the mark, or nothing where there is no namespace. One that has parts and no mark is damaged:
// were it made anew, a revoked credential would be unknown.
func (db *DB) readMark(ctx context.Context) (mark string, err error) {
	var look *redis.StringCmd
	var there *redis.IntCmd
	err = db.read(ctx, func(ctx context.Context) error {
		cmds, err := db.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			there = p.Exists(ctx, append(db.parts(), db.names.of(nameEpoch))...) // first: it may be made just now
			look = db.readsMark(ctx, p)
			return nil
		})
		if err = answerError(cmds, err); isWrongType(err) {
			err = db.named(ctx, err, db.keysOf(cmds))
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if mark = look.Val(); mark == "" && there.Val() > 0 {
		return "", errParts
	}
	return mark, nil
}

// parts are the keys beside the epoch that a namespace may have, but for its records.
func (db *DB) parts() (keys []string) {
	for key := range db.names.standing() {
		if key != db.names.of(nameEpoch) {
			keys = append(keys, key)
		}
	}
	return keys
}

// makeNamespace writes the mark, unless another server has done so by then, and returns what is there. It waits
// for no replica: nothing is acknowledged by it, and every later write that is confirmed confirms it, too.
func (db *DB) makeNamespace(ctx context.Context) (mark string, err error) {
	keys := append([]string{db.names.of(nameEpoch), db.names.of(nameChanges)}, db.parts()...)
	mine := markOf(rand.Text(), store.State{})
	said, err := db.run(ctx, db.config.CallTimeout, script{namespaceScript, keys, []any{mine}}, false)
	if err != nil {
		return "", err
	}
	mark, _ = said.(string)
	if mark == "" {
		return "", errParts
	}
	return mark, nil
}

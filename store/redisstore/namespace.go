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

// layoutFormat is the format of the keys; records count their own.
const layoutFormat = 1

// The epoch key marks a namespace: FORMAT.EPOCH, the format of its layout and a random name. It is
// written once. Every read and every write looks at it, so that an emptied Redis, or one with another
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
	format, epoch, _ := strings.Cut(mark, ".")
	n, err := strconv.Atoi(format)
	switch {
	case err != nil || n < 1 || epoch == "":
		return fmt.Errorf("the key %s is no epoch: %w", db.names.of(nameEpoch), store.ErrDamaged)
	case n > layoutFormat:
		return fmt.Errorf("namespace %s has format %d, this version of the program knows up to %d: %w", db.ns, n, layoutFormat, store.ErrNewerFormat)
	}
	db.mark, db.epoch = mark, epoch
	return nil
}

// readMark returns the mark, or nothing where there is no namespace. One that has parts and no mark is damaged:
// were it made anew, a revoked credential would be unknown.
func (db *DB) readMark(ctx context.Context) (mark string, err error) {
	var look *redis.StringCmd
	var there *redis.IntCmd
	err = db.read(ctx, func(ctx context.Context) error {
		cmds, err := db.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			there = p.Exists(ctx, append(db.parts(), db.names.of(nameEpoch))...) // first: it may be made just now
			look = p.Get(ctx, db.names.of(nameEpoch))
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
	mine := strconv.Itoa(layoutFormat) + "." + rand.Text()
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

package redisstore

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
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
var errParts = fmt.Errorf("the namespace has records and no epoch: %w", store.ErrDamaged)

// findNamespace reads the mark, or makes it where that may be.
func (db *DB) findNamespace(ctx context.Context) error {
	mark := ""
	err := db.read(ctx, func(ctx context.Context) (err error) {
		mark, err = db.client.Get(ctx, db.names.of(nameEpoch)).Result()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
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

// makeNamespace writes the mark, unless another server has done so by then, and returns what is there.
func (db *DB) makeNamespace(ctx context.Context) (mark string, err error) {
	keys := []string{db.names.of(nameEpoch), db.names.of(nameChanges), db.names.of(nameGenesis), db.names.of(nameAudit)}
	for _, k := range indexed() {
		keys = append(keys, db.names.index(k))
	}
	mine := strconv.Itoa(layoutFormat) + "." + rand.Text()
	said, err := db.write(ctx, namespaceScript, keys, mine)
	if err != nil {
		return "", err
	}
	mark, _ = said.(string)
	if mark == "" {
		return "", errParts
	}
	return mark, nil
}

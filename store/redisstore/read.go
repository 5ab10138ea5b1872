package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// read runs fn, which only reads, within the time of one call, and once more if the connection was lost:
// one that had been idle may be gone, and reading twice is harmless.
func (db *DB) read(ctx context.Context, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, db.config.CallTimeout)
	defer cancel()
	err := fn(bounded)
	if err != nil && bounded.Err() == nil && !answered(err) {
		err = fn(bounded)
	}
	return db.fault(ctx, err)
}

// answered reports whether an error is something that was said, by Redis or by us, rather than silence.
func answered(err error) bool {
	var said redis.Error
	return errors.As(err, &said) || errors.Is(err, ErrEmptied) || errors.Is(err, ErrUnconfirmed)
}

// fault says where an error comes from. When the caller's own context has ended, that is the error.
func (db *DB) fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrEmptied):
		return err
	}
	return fmt.Errorf("redisstore: %w", err)
}

// get reads records at one instant, in one round trip; nil for those that are not there. In the same
// instant it looks whether the store still is what was opened: what an emptied one does not have is
// unknown, and no absence. And MGET passes over a key that holds something else than a string, so keys are
// counted, too.
func (db *DB) get(ctx context.Context, keys ...string) ([][]byte, error) {
	var values *redis.SliceCmd
	var there *redis.IntCmd
	err := db.inOneInstant(ctx, func(p redis.Pipeliner) {
		if len(keys) > 0 {
			values, there = p.MGet(ctx, keys...), p.Exists(ctx, keys...)
		}
	})
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	out := octets(values.Val())
	if count(out, keys) != there.Val() {
		return nil, db.foreign(ctx, keys, out)
	}
	return out, nil
}

// count is what EXISTS says of the keys if each that is there is a string: it counts a key as often as it
// is named.
func count(values [][]byte, keys []string) (n int64) {
	for i := range keys {
		if values[i] != nil {
			n++
		}
	}
	return n
}

// foreign names the key that holds something else than a string.
func (db *DB) foreign(ctx context.Context, keys []string, values [][]byte) error {
	for i, key := range keys {
		if values[i] != nil {
			continue
		}
		var kind string
		if err := db.read(ctx, func(ctx context.Context) (err error) {
			kind, err = db.client.Type(ctx, key).Result()
			return err
		}); err != nil {
			return err
		}
		if kind != "none" && kind != "string" {
			return db.recordError(key, "it is not a record but a "+kind+": something else wrote to this key")
		}
	}
	return fmt.Errorf("redisstore: keys came and went while they were read")
}

// recordError says what is wrong with what lies under a key.
func (db *DB) recordError(key, reason string) error {
	kind, id, ok := db.names.kindOf(key)
	if key == db.names.of(nameGenesis) {
		kind, id, ok = store.KindInstallation, db.ns, true
	}
	if !ok {
		kind, id = kindKey, key
	}
	return removed(kind, id, reason)
}

// kindKey names a key that holds no record in a store.RecordError.
const kindKey store.Kind = "key"

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

// inOneInstant runs the commands of fn as a transaction that begins with a look at the epoch.
func (db *DB) inOneInstant(ctx context.Context, fn func(p redis.Pipeliner)) error {
	return db.read(ctx, func(ctx context.Context) error {
		var mark *redis.StringCmd
		_, err := db.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			mark = p.Get(ctx, db.names.of(nameEpoch))
			fn(p)
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if mark.Val() != db.mark {
			return ErrEmptied
		}
		return nil
	})
}

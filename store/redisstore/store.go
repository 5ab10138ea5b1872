package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

var errLimit = errors.New("redisstore: a limit must be at least 1")

// Store is a namespace together with the key that authenticates its records. Several may share one DB.
// Its methods may be called concurrently.
type Store struct {
	db  *DB
	env *store.Envelope
}

var (
	_ store.Store  = (*Store)(nil)
	_ store.Waiter = (*Store)(nil)
	_ store.Clock  = (*Store)(nil)
)

// New returns the store in db. Closing it is closing db.
func New(db *DB, env *store.Envelope) (*Store, error) {
	if db == nil || env == nil {
		return nil, errors.New("redisstore: a store needs a DB and an envelope")
	}
	if env.Namespace() != db.ns {
		return nil, fmt.Errorf("redisstore: the envelope is of namespace %s, the connection of %s", env.Namespace(), db.ns)
	}
	return &Store{db: db, env: env}, nil
}

// Clock implements store.Clock.
func (s *Store) Clock(ctx context.Context) (time.Time, error) { return s.db.Clock(ctx) }

// listed is how many records a list reads at a time.
const listed = 1024

// scan calls fn with each record of a kind whose identifier sorts after the given one, in that order,
// until fn wants no more; want is how many it probably wants. Each record is as of some instant of the
// call. One that the index has and Redis has not is damage, unless its end has come.
func (db *DB) scan(ctx context.Context, kind store.Kind, after string, want int, fn func(key string, sealed []byte) (more bool, err error)) error {
	for {
		page := min(want, listed)
		ids, err := db.ids(ctx, kind, after, page)
		if err != nil || len(ids) == 0 {
			return err
		}
		keys := make([]string, len(ids))
		for i, id := range ids {
			keys[i] = db.names.record(kind, id)
		}
		records, err := db.get(ctx, keys...)
		if err != nil {
			return err
		}
		gone, err := db.gone(ctx, kind, ids, records)
		if err != nil {
			return err
		}
		for i, id := range ids {
			if records[i] == nil && gone[id] {
				continue
			}
			if records[i] == nil { // it may have been made anew
				if records[i], err = db.one(ctx, keys[i]); err != nil {
					return err
				}
			}
			if records[i] == nil {
				return errMissing(kind, id)
			}
			if more, err := fn(id, records[i]); err != nil || !more {
				return err
			}
		}
		if len(ids) < page {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// ids reads a page of an index, in bytewise order.
func (db *DB) ids(ctx context.Context, kind store.Kind, after string, limit int) ([]string, error) {
	least := "(" + after
	if after == "" {
		least = "-"
	}
	var page *redis.StringSliceCmd
	err := db.look(ctx, func(p redis.Pipeliner) {
		page = p.ZRangeByLex(ctx, db.names.index(kind), &redis.ZRangeBy{Min: least, Max: "+", Count: int64(limit)})
	})
	if err != nil {
		return nil, err
	}
	return page.Val(), nil
}

// gone returns, of the identifiers whose records are nil, those whose records may be: their end has come, or
// they have left the list by now.
func (db *DB) gone(ctx context.Context, kind store.Kind, ids []string, records [][]byte) (map[string]bool, error) {
	var missing []string
	for i, id := range ids {
		if records[i] == nil {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 || kind != store.KindRevocation { // nothing else ends
		return nil, nil
	}
	return db.ended(ctx, missing)
}

// errMissing is that of a record which is in the list of its kind and not there.
func errMissing(kind store.Kind, id string) error {
	return damage(kind, id, "it was removed: the list of its kind has it")
}

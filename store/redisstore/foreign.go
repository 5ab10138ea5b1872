package redisstore

import (
	"cmp"
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// Redis says that a key is of a wrong type and not which one. Who has to mend it must know.

// kindKey names a key that holds no record in a store.RecordError.
const kindKey store.Kind = "key"

func isWrongType(err error) bool { return err != nil && redis.HasErrorPrefix(err, "WRONGTYPE") }

// named makes of the error that one of the keys is of a wrong type one that says which. If none is any longer,
// the error stays what it was.
func (db *DB) named(ctx context.Context, wrong error, keys []string) error {
	types := make([]*redis.StatusCmd, len(keys))
	err := db.read(ctx, func(ctx context.Context) error {
		_, err := db.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, key := range keys {
				types[i] = p.Type(ctx, key)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return cmp.Or(wrong, err)
	}
	for i, key := range keys {
		if is, want := types[i].Val(), db.names.typeOf(key); is != "none" && is != want {
			return db.recordError(key, "it is a "+is+" and no "+want+": something else wrote to this key")
		}
	}
	return wrong
}

// keysOf gives the keys of ours that commands name.
func (db *DB) keysOf(cmds []redis.Cmder) (keys []string) {
	for _, cmd := range cmds {
		for _, arg := range cmd.Args() {
			if key, ok := arg.(string); ok && strings.HasPrefix(key, db.names.prefix) {
				keys = append(keys, key)
			}
		}
	}
	return keys
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
	return damage(kind, id, reason)
}

// damage is that of a record that is missing where another refers to it, or is something else.
func damage(kind store.Kind, id, reason string) error {
	return &store.RecordError{Kind: kind, Key: id, Reason: reason, Err: store.ErrDamaged}
}

// wrongSaid is the error of a script that finds another namespace than was opened, or one that is not in use, or damage;
// nil for anything else that it says.
func (db *DB) wrongSaid(said any) error {
	if mark, other := otherSaid(said); other {
		return db.markError(mark)
	}
	return damageSaid(said)
}

// otherSaid reads what a script says of a mark that is not the one that it expects: {-1, mark}.
func otherSaid(said any) (mark string, other bool) {
	answer, _ := said.([]any)
	if len(answer) != 2 || answer[0] != saidOther {
		return "", false
	}
	mark, other = answer[1].(string)
	return mark, other
}

// damageSaid reads what a script says of damage: {-2, kind, key, reason}.
func damageSaid(said any) error {
	answer, _ := said.([]any)
	if len(answer) != 4 || answer[0] != saidDamaged {
		return nil
	}
	kind, ok1 := answer[1].(string)
	id, ok2 := answer[2].(string)
	reason, ok3 := answer[3].(string)
	if !ok1 || !ok2 || !ok3 {
		return nil
	}
	return damage(store.Kind(kind), id, reason)
}

package redisstore

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed confirm.lua
	confirmLua    string
	confirmScript = redis.NewScript(openedLua + confirmLua)
)

// Confirm returns nil once all that was committed before the call, by any server, is as durable as was asked
// for; at once if nothing was. Who finds that what it was to write is there already, calls it before saying
// that it is done: the write that put it there may be one that ErrUnconfirmed was said of, and be lost. The
// error is ErrUnconfirmed, or a fault.
func (s *Store) Confirm(ctx context.Context) error {
	return s.db.confirmAll(ctx)
}

func (db *DB) confirmAll(ctx context.Context) error {
	if !db.config.durable() {
		return ctx.Err()
	}
	keys := []string{db.names.of(nameEpoch)}
	said, err := db.write(ctx, db.config.writeTimeout(), script{confirmScript, keys, []any{db.mark}})
	wrong := db.wrongSaid(said)
	switch {
	case wrong != nil:
		return wrong
	case err == nil && said != saidDone:
		return fmt.Errorf("redisstore: the script that confirms said %v", said)
	}
	return err
}

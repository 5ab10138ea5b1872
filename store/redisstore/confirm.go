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
	confirmScript = redis.NewScript(confirmLua)
)

// Confirm returns nil once all that was committed before the call, by any server, is as durable as was asked
// for; at once if nothing was. Who finds that what it was to write is there already, calls it before saying
// that it is done: the write that put it there may be one that ErrUnconfirmed was said of, and be lost. The
// error is ErrUnconfirmed, or a fault.
func (s *Store) Confirm(ctx context.Context) error {
	if !s.db.config.durable() {
		return ctx.Err()
	}
	keys := []string{s.db.names.of(nameEpoch)}
	said, err := s.db.write(ctx, s.db.config.writeTimeout(), script{confirmScript, keys, []any{s.db.mark}})
	switch {
	case said == saidEmptied:
		return ErrEmptied
	case err == nil && said != saidDone:
		return fmt.Errorf("redisstore: the script that confirms said %v", said)
	}
	return err
}

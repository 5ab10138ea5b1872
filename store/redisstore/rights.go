package redisstore

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed rights.lua
	rightsLua    string
	rightsScript = redis.NewScript(rightsLua)
)

// mayAll looks whether the user may run every command that is needed: a script that is refused one in its middle
// leaves behind what it has written by then. Nothing is written.
func (db *DB) mayAll(ctx context.Context) error {
	nothing := db.names.of("nothing")
	var refused []string
	if err := db.ask(ctx, func(ctx context.Context, node *redis.Client) (err error) {
		refused, err = rightsScript.Eval(ctx, node, []string{nothing}).StringSlice()
		return err
	}); err != nil {
		return err
	}
	for _, command := range db.direct(nothing) {
		err := db.ask(ctx, func(ctx context.Context, node *redis.Client) error { return node.Do(ctx, command...).Err() })
		switch {
		case redis.HasErrorPrefix(err, "NOPERM"):
			refused = append(refused, fmt.Sprint(command[0]))
		case err != nil && !answered(err):
			return err
		}
	}
	if len(refused) > 0 {
		return &ConfigError{"redis.username", fmt.Errorf("redis does not let this user run %s", strings.Join(refused, ", "))}
	}
	return nil
}

// direct are commands that no script runs, in a form that does nothing.
func (db *DB) direct(nothing string) [][]any {
	all := [][]any{{"evalsha", rightsScript.Hash(), 1, nothing}}
	if waits := db.waitNow(); waits != nil {
		all = append(all, waits)
	}
	return all
}

// waitNow is the command that waits for durability, for nothing; nil where none is waited for.
func (db *DB) waitNow() []any {
	switch {
	case db.config.Fsync:
		return []any{"waitaof", 0, 0, 1}
	case db.config.Replicas > 0:
		return []any{"wait", 0, 1}
	}
	return nil
}

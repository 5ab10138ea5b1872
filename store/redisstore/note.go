package redisstore

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

var (
	//go:embed note.lua
	noteLua    string
	noteScript = redis.NewScript(openedLua + auditLua + noteLua)
)

// Note implements store.Mover.
func (db *DB) Note(ctx context.Context, e audit.Entry) error {
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return err
	}
	keys := []string{db.names.of(nameEpoch), db.names.of(nameAudit), db.names.of(nameGenesis)}
	said, err := db.write(ctx, db.config.writeTimeout(), script{noteScript, keys, []any{db.mark, entry}})
	wrong := db.wrongSaid(said)
	switch {
	case wrong != nil:
		return wrong
	case err == nil && said != saidDone:
		return fmt.Errorf("redisstore: the script that notes said %v", said)
	}
	return err
}

package redisstore

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

var (
	//go:embed genesis.lua
	genesisLua    string
	genesisScript = redis.NewScript(openedLua + auditLua + genesisLua)

	//go:embed replace.lua
	replaceLua    string
	replaceScript = redis.NewScript(openedLua + auditLua + replaceLua)
)

// Installation implements keys.Genesis.
func (db *DB) Installation(ctx context.Context) (keys.Installation, error) {
	stored, err := db.mover().one(ctx, db.names.of(nameGenesis))
	if err != nil {
		return keys.Installation{}, err
	}
	if stored == nil {
		return keys.Installation{}, keys.ErrNotFound
	}
	return store.DecodeInstallation(db.ns, stored)
}

// PutInstallation implements keys.Genesis. Who is refused for want of durability may ask again: the
// record that is there by then is returned, once it is as durable as was asked for.
func (db *DB) PutInstallation(ctx context.Context, in keys.Installation, e audit.Entry) (keys.Installation, error) {
	record, err := store.EncodeInstallation(in)
	if err != nil {
		return keys.Installation{}, err
	}
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return keys.Installation{}, err
	}
	names := []string{db.names.of(nameEpoch), db.names.of(nameGenesis), db.names.of(nameAudit)}
	said, err := db.write(ctx, db.config.writeTimeout(), script{genesisScript, names, []any{db.mark, record, entry}})
	wrong := db.wrongSaid(said)
	switch {
	case wrong != nil:
		return keys.Installation{}, wrong
	case err != nil:
		return keys.Installation{}, err
	}
	there, ok := said.(string)
	if !ok {
		return keys.Installation{}, fmt.Errorf("redisstore: the installation script said %v", said)
	}
	return store.DecodeInstallation(db.ns, []byte(there))
}

// ReplaceInstallation implements keys.Genesis. A record that is damaged, or of a newer format, is an error
// and stays as it is.
func (db *DB) ReplaceInstallation(ctx context.Context, from, to keys.Installation, e audit.Entry) error {
	was, is, err := store.EncodeReplacement(from, to)
	if err != nil {
		return err
	}
	entry, err := store.EncodeEntry(e)
	if err != nil {
		return err
	}
	names := []string{db.names.of(nameEpoch), db.names.of(nameGenesis), db.names.of(nameAudit)}
	said, err := db.write(ctx, db.config.writeTimeout(), script{replaceScript, names, []any{db.mark, was, is, entry}})
	wrong := db.wrongSaid(said)
	there, differs := said.(string)
	switch {
	case wrong != nil:
		return wrong
	case said == saidNothing:
		return keys.ErrNotFound
	case differs:
		_, err := store.DecodeInstallation(db.ns, []byte(there))
		return cmp.Or(err, keys.ErrConflict)
	case err == nil && said != saidDone:
		return fmt.Errorf("redisstore: the script that replaces the installation said %v", said)
	}
	return err
}

// saidNothing is what replace.lua says where there is no record.
const saidNothing = int64(0)

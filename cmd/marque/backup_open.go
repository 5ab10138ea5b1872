package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
	"github.com/marque-auth/marque/store/boltstore"
)

// openedBackup is a copy of the embedded store of which every record was found sound.
type openedBackup struct {
	installation keys.Installation
	store        *boltstore.Store
	read         store.Inspected
	newest       time.Time // the newest entry of its audit log: the copy is not older
}

// damagedShown is how many damaged records a message names.
const damagedShown = 5

// openBackup opens what a copy has sealed, and authenticates each of its records.
func openBackup(ctx context.Context, db *boltstore.DB, namespace string, keks []*jose.KEK) (*openedBackup, error) {
	b := &openedBackup{}
	var err error
	if b.installation, err = db.Installation(ctx); errors.Is(err, keys.ErrNotFound) {
		return nil, fmt.Errorf("it holds no installation in the namespace %q (store.namespace)", namespace)
	}
	if err != nil {
		return nil, err
	}
	secrets, err := b.installation.Open(keks)
	if err != nil {
		return nil, err
	}
	envelope, err := store.NewEnvelope(secrets.RecordKey, namespace)
	if err != nil {
		return nil, err
	}
	if b.store, err = boltstore.New(db, envelope); err != nil {
		return nil, err
	}
	var damaged []string
	b.read, err = b.store.Inspect(ctx, func(err error) { damaged = append(damaged, err.Error()) })
	if err != nil {
		return nil, err
	}
	if n := len(damaged); n > 0 {
		if n > damagedShown {
			damaged = append(damaged[:damagedShown], "…")
		}
		return nil, fmt.Errorf("%d of its %d records and log entries cannot be used:\n  %s", n, b.read.Records+b.read.Entries, strings.Join(damaged, "\n  "))
	}
	entries, _, err := b.store.Latest(ctx, "", 1)
	if err != nil {
		return nil, err
	}
	b.newest = b.installation.CreatedAt
	if len(entries) > 0 && entries[0].Time.After(b.newest) {
		b.newest = entries[0].Time
	}
	return b, nil
}

// backupKEKs reads the key-encryption keys that are at hand, errNoKEK if there are none. What --dev made lies in the
// folder with its key.
func backupKEKs(c *configs.Config) ([]*jose.KEK, error) {
	if c.Keys.KEKFile == "" && c.Keys.KEK.IsZero() {
		if file := filepath.Join(c.Data, devKEKName); fileThere(file) {
			c.Dev, c.Keys.KEKFile = true, file
		}
	}
	return readKEKs(*c)
}

func fileThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

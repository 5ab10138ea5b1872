package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store/boltstore"
)

// actionBackup is the action of the audit entry of a backup; the target is the issuer.
const actionBackup = "store.backup"

// backup copies the store for whoever asks the management API.
func (s *server) backup(ctx context.Context, by audit.Origin) (admin.Backup, error) {
	return s.db.backup(ctx, by.Done(s.now(), actionBackup, s.issuer))
}

// backup refuses to fill the disk: a copy that leaves too little would stop every write.
func (d *boltDatabase) backup(ctx context.Context, e audit.Entry) (admin.Backup, error) {
	copied, err := d.DB.Backup(ctx, e, func(size int64) error {
		if at, ok := fileSystemOf(filepath.Dir(d.path)); ok && at.free < uint64(size)+noFree {
			return fmt.Errorf("%d MiB are free, and the database has %d MiB: %w", at.free>>20, size>>20, admin.ErrNoRoom)
		}
		return nil
	})
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return admin.Backup{}, fmt.Errorf("%w: %w", admin.ErrNoRoom, err)
	case errors.Is(err, boltstore.ErrCopies):
		return admin.Backup{}, fmt.Errorf("%w: %w", admin.ErrBackups, err)
	case err != nil:
		return admin.Backup{}, err
	}
	info, err := copied.Stat()
	if err != nil {
		return admin.Backup{}, errors.Join(err, copied.Close())
	}
	return admin.Backup{ReadCloser: copied, Size: info.Size()}, nil
}

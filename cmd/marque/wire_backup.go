package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/audit"
)

// actionBackup is the action of the audit entry of a backup; the target is the issuer.
const actionBackup = "store.backup"

// backup copies the store for whoever asks the management API.
func (s *server) backup(ctx context.Context, by audit.Origin) (admin.Backup, error) {
	return s.db.backup(ctx, by.Done(s.now(), actionBackup, s.issuer))
}

// backup refuses to fill the disk: a copy that leaves too little would stop every write.
func (d *boltDatabase) backup(ctx context.Context, e audit.Entry) (admin.Backup, error) {
	file, err := os.Stat(d.path)
	if err != nil {
		return admin.Backup{}, err
	}
	if at, ok := fileSystemOf(filepath.Dir(d.path)); ok && at.free < uint64(file.Size())+noFree {
		return admin.Backup{}, fmt.Errorf("%d MiB are free, and the database has %d MiB: %w", at.free>>20, file.Size()>>20, admin.ErrNoRoom)
	}
	copied, err := d.DB.Backup(ctx, e)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return admin.Backup{}, fmt.Errorf("%w: %w", admin.ErrNoRoom, err)
	}
	if err != nil {
		return admin.Backup{}, err
	}
	info, err := copied.Stat()
	if err != nil {
		return admin.Backup{}, errors.Join(err, copied.Close())
	}
	return admin.Backup{ReadCloser: copied, Size: info.Size()}, nil
}

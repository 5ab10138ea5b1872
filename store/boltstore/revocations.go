package boltstore

import (
	"context"
	"errors"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// Revocations implements authz.Revocations.
func (s *Store) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	return nil, errors.ErrUnsupported
}

// ListRevocations implements authz.RevocationRecords.
func (s *Store) ListRevocations(ctx context.Context, after string, limit int) ([]authz.Revocation, error) {
	return nil, errors.ErrUnsupported
}

// PutRevocation implements authz.RevocationRecords.
func (s *Store) PutRevocation(ctx context.Context, r authz.Revocation, e audit.Entry) (authz.Revocation, error) {
	return authz.Revocation{}, errors.ErrUnsupported
}

// Latest implements authz.AuditLog.
func (s *Store) Latest(ctx context.Context, before string, limit int) ([]audit.Entry, string, error) {
	return nil, "", errors.ErrUnsupported
}

// Inspect implements store.Inspector.
func (s *Store) Inspect(ctx context.Context, damaged func(err error)) (int, error) {
	return 0, errors.ErrUnsupported
}

package main

import (
	"context"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/keys"
)

// adminKeys is the key ring as the management API uses it, with the installation record, and the index, which
// learns of a revoked key before the admin is told that it is: the change feed would tell it within
// cache.max_age.
type adminKeys struct {
	*keys.Ring
	genesis keys.Genesis
	index   func()
}

// Revoke implements admin.Keys.
func (k adminKeys) Revoke(ctx context.Context, kid string, by audit.Origin) (keys.Revoked, error) {
	done, err := k.Ring.Revoke(ctx, kid, by)
	k.index() // after an error too: it may have been stored
	return done, err
}

// RevokeAll implements admin.Keys.
func (k adminKeys) RevokeAll(ctx context.Context, id string, by audit.Origin) ([]keys.RevokedRing, error) {
	done, err := k.Ring.RevokeAll(ctx, id, by)
	k.index() // likewise: some rings may be done
	return done, err
}

// Rewrap implements admin.Keys.
func (k adminKeys) Rewrap(ctx context.Context, by audit.Origin) (keys.Rewrapped, error) {
	return k.Ring.Rewrap(ctx, k.genesis, by)
}

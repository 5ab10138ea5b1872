package boltstore

import (
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// Client implements authz.Clients. The error for an absent client is the bare sentinel: what a
// stranger presents as an identifier may be a misplaced secret, and errors are logged.
func (s *Store) Client(ctx context.Context, id authz.ClientID) (authz.Client, error) {
	sealed, err := s.get(ctx, bucketClients, string(id))
	if err != nil {
		return authz.Client{}, err
	}
	if sealed == nil {
		return authz.Client{}, authz.ErrNotFound
	}
	return s.env.OpenClient(id, sealed)
}

// ClientVersion implements authz.Clients.
func (s *Store) ClientVersion(ctx context.Context, id authz.ClientID) (uint64, error) {
	var version uint64
	err := s.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, bucketClients)
		if err != nil {
			return err
		}
		if sealed := b.Get([]byte(id)); sealed != nil {
			version, err = store.PeekVersion(store.KindClient, string(id), sealed)
		}
		return err
	})
	return version, err
}

// ClientOf implements authz.Clients.
func (s *Store) ClientOf(ctx context.Context, id authz.CredentialID) (authz.ClientID, error) {
	sealed, err := s.get(ctx, bucketCredentials, string(id))
	if err != nil {
		return "", err
	}
	if sealed == nil {
		return "", authz.ErrNotFound
	}
	return s.env.OpenOwner(id, sealed)
}

// ListClients implements authz.ClientRecords.
func (s *Store) ListClients(ctx context.Context, q authz.ClientQuery) ([]authz.Client, error) {
	if q.Limit < 1 {
		return nil, errLimit
	}
	search := s.env.SearchClients(q.Text)
	var clients []authz.Client
	err := s.scan(ctx, bucketClients, string(q.After), func(_ *bolt.Tx, key, sealed []byte) (bool, error) {
		c, found, err := search.Open(key, sealed)
		if found {
			clients = append(clients, c)
		}
		return len(clients) < q.Limit, err
	})
	if err != nil {
		return nil, err
	}
	return clients, nil
}

// PutClient implements authz.ClientRecords.
func (s *Store) PutClient(ctx context.Context, c authz.Client, e audit.Entry, revoked ...authz.Revocation) (authz.Client, error) {
	expected := c.Version
	c.Version++
	sealed, err := s.env.SealClient(c)
	if err != nil {
		return authz.Client{}, err
	}
	err = s.commit(ctx, e, func(tx *bolt.Tx) error {
		if err := s.index(tx, c.ID, c.Credentials); err != nil {
			return err
		}
		if err := s.putRevocations(tx, revoked); err != nil {
			return err
		}
		return s.put(tx, put{
			kind: store.KindClient, bucket: bucketClients, key: string(c.ID),
			sealed: sealed, expected: expected, conflict: authz.ErrConflict,
		})
	})
	if err != nil {
		return authz.Client{}, err
	}
	return s.env.OpenClient(c.ID, sealed)
}

// index claims the credentials for their owner. Entries are never removed: an identifier that one
// client has held is not given to another.
func (s *Store) index(tx *bolt.Tx, owner authz.ClientID, credentials []authz.Credential) error {
	b, err := s.db.bucket(tx, bucketCredentials)
	if err != nil {
		return err
	}
	for _, c := range credentials {
		if there := b.Get([]byte(c.ID)); there != nil {
			holder, err := s.env.OpenOwner(c.ID, there)
			if err != nil {
				return err
			}
			if holder != owner {
				return fmt.Errorf("credential %q belongs to another client: %w", c.ID, authz.ErrConflict)
			}
			continue
		}
		sealed, err := s.env.SealOwner(c.ID, owner)
		if err != nil {
			return err
		}
		if err := b.Put([]byte(c.ID), sealed); err != nil {
			return err
		}
	}
	return nil
}

package redisstore

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// Client implements authz.Clients. The error for an absent client is the bare sentinel: what a
// stranger presents as an identifier may be a misplaced secret, and errors are logged.
func (s *Store) Client(ctx context.Context, id authz.ClientID) (authz.Client, error) {
	sealed, err := s.db.one(ctx, s.db.names.record(store.KindClient, string(id)))
	if err != nil {
		return authz.Client{}, err
	}
	if sealed == nil {
		return authz.Client{}, authz.ErrNotFound
	}
	return s.env.OpenClient(id, sealed)
}

// versionOctets is how much of a record store.PeekVersion needs.
const versionOctets = 41

// ClientVersion implements authz.Clients.
func (s *Store) ClientVersion(ctx context.Context, id authz.ClientID) (uint64, error) {
	key := s.db.names.record(store.KindClient, string(id))
	var head *redis.StringCmd
	var there *redis.IntCmd
	err := s.db.look(ctx, func(p redis.Pipeliner) {
		there = p.Exists(ctx, key) // first: it may be made just now
		head = p.GetRange(ctx, key, 0, versionOctets-1)
	})
	if err != nil || there.Val() == 0 {
		return 0, err
	}
	return store.PeekVersion(store.KindClient, string(id), []byte(head.Val()))
}

// ClientOf implements authz.Clients.
func (s *Store) ClientOf(ctx context.Context, id authz.CredentialID) (authz.ClientID, error) {
	sealed, err := s.db.one(ctx, s.db.names.record(store.KindCredential, string(id)))
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
	want := q.Limit
	if q.Text != "" {
		want = listed
	}
	var clients []authz.Client
	err := s.db.scan(ctx, store.KindClient, string(q.After), want, func(key string, sealed []byte) (bool, error) {
		c, found, err := search.Open([]byte(key), sealed)
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
	client := &put{
		kind: store.KindClient, key: string(c.ID), expected: c.Version,
		seal: func(version uint64) ([]byte, error) {
			c.Version = version
			return s.env.SealClient(c)
		},
	}
	client.check = client.versioned(s.env, authz.ErrConflict)
	puts := append([]*put{client}, s.owners(c)...)
	revocations, err := s.revocationPuts(revoked)
	if err != nil {
		return authz.Client{}, err
	}
	if err := s.commit(ctx, e, authz.ErrConflict, append(puts, revocations...)); err != nil {
		return authz.Client{}, err
	}
	return s.env.OpenClient(c.ID, client.sealed)
}

// owners claims the client's credentials. Entries are never replaced, nor removed: an identifier that one
// client has held is not given to another.
func (s *Store) owners(c authz.Client) []*put {
	var puts []*put
	for _, credential := range c.Credentials {
		puts = append(puts, &put{
			kind: store.KindCredential, key: string(credential.ID),
			seal: func(uint64) ([]byte, error) { return s.env.SealOwner(credential.ID, c.ID) },
			check: func(there []byte) (bool, error) {
				if there == nil {
					return false, nil
				}
				owner, err := s.env.OpenOwner(credential.ID, there)
				if err == nil && owner != c.ID {
					err = fmt.Errorf("credential %q belongs to another client: %w", credential.ID, authz.ErrConflict)
				}
				return true, err
			},
		})
	}
	return puts
}

package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store"
)

// subject is what the kinds of record have in common: an identifier, a version, and a mark, which is
// one of their fields.
type subject struct {
	kind     store.Kind
	prefix   string // comes before the identifier in the storage key
	notFound error
	conflict error
	put      func(ctx context.Context, s store.Store, id string, version uint64, mark string, e audit.Entry) (uint64, error)
	get      func(ctx context.Context, s store.Store, id string) (version uint64, mark string, err error)
	list     func(ctx context.Context, s store.Store) error
}

// key is the storage key of a record, which also names it in changes and in errors.
func (s subject) key(id string) string { return s.prefix + id }

// revocationOf is the subject that stands for an identifier where revocations are one of the subjects.
func revocationOf(id string) token.Subject {
	return token.Subject{Kind: token.RevokedClient, Value: id}
}

func subjects() []subject {
	return []subject{
		{
			kind: store.KindClient, notFound: authz.ErrNotFound, conflict: authz.ErrConflict,
			put: func(ctx context.Context, s store.Store, id string, version uint64, mark string, e audit.Entry) (uint64, error) {
				c, err := s.PutClient(ctx, authz.Client{ID: authz.ClientID(id), Name: mark, Version: version}, e)
				return c.Version, err
			},
			get: func(ctx context.Context, s store.Store, id string) (uint64, string, error) {
				c, err := s.Client(ctx, authz.ClientID(id))
				return c.Version, c.Name, err
			},
			list: func(ctx context.Context, s store.Store) error {
				_, err := s.ListClients(ctx, authz.ClientQuery{Limit: 1000})
				return err
			},
		},
		{
			kind: store.KindResource, notFound: authz.ErrNotFound, conflict: authz.ErrConflict,
			put: func(ctx context.Context, s store.Store, id string, version uint64, mark string, e audit.Entry) (uint64, error) {
				r, err := s.PutResource(ctx, authz.Resource{
					ID: authz.ResourceID(id), Algorithm: jose.ES256, TokenLifetime: time.Minute, TokenType: mark, Version: version,
				}, e)
				return r.Version, err
			},
			get: func(ctx context.Context, s store.Store, id string) (uint64, string, error) {
				r, err := s.Resource(ctx, authz.ResourceID(id))
				return r.Version, r.TokenType, err
			},
			list: func(ctx context.Context, s store.Store) error {
				_, err := s.ListResources(ctx, "", 1000)
				return err
			},
		},
		{
			kind: store.KindRing, notFound: keys.ErrNotFound, conflict: keys.ErrConflict,
			put: func(ctx context.Context, s store.Store, id string, version uint64, mark string, e audit.Entry) (uint64, error) {
				r, err := s.PutRing(ctx, keys.RingRecord{
					Algorithm: jose.Algorithm(id), Keys: []keys.Key{{KeyID: mark}}, Version: version,
				}, e)
				return r.Version, err
			},
			get: func(ctx context.Context, s store.Store, id string) (uint64, string, error) {
				rings, err := s.Rings(ctx)
				if err != nil {
					return 0, "", err
				}
				for _, r := range rings {
					if string(r.Algorithm) == id {
						return r.Version, r.Keys[0].KeyID, nil
					}
				}
				return 0, "", keys.ErrNotFound
			},
			list: func(ctx context.Context, s store.Store) error {
				_, err := s.Rings(ctx)
				return err
			},
		},
		{
			kind: store.KindRevocation, prefix: "client:", notFound: errNoRevocation, conflict: authz.ErrConflict,
			put: func(ctx context.Context, s store.Store, id string, version uint64, mark string, e audit.Entry) (uint64, error) {
				r, err := s.PutRevocation(ctx, authz.Revocation{
					Revocation: token.Revocation{Subject: revocationOf(id)}, Reason: mark, Version: version,
				}, e)
				return r.Version, err
			},
			get: func(ctx context.Context, s store.Store, id string) (uint64, string, error) {
				if id == "" {
					return 0, "", errNoRevocation // asking for it is a mistake: see revocationQuestions
				}
				found, err := s.Revocations(ctx, []token.Subject{revocationOf(id)})
				if err != nil {
					return 0, "", err
				}
				for _, r := range found {
					return r.Version, r.Reason, nil
				}
				return 0, "", errNoRevocation
			},
			list: func(ctx context.Context, s store.Store) error {
				_, err := s.ListRevocations(ctx, "", 1000)
				return err
			},
		},
	}
}

// errNoRevocation stands for the empty answer by which the contract says that there is none.
var errNoRevocation = errors.New("no revocation")

// at is when everything in this suite happens.
var at = time.Date(2026, 11, 5, 12, 30, 0, 0, time.UTC)

// entry returns the audit entry of a write to target.
func entry(target string) audit.Entry {
	by := audit.Origin{
		Actor:     audit.Actor{Kind: audit.ActorUID, ID: "1000"},
		Reason:    "because",
		RequestID: "req-1",
	}
	return by.Done(at, "test.put", target)
}

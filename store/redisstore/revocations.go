package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/store"
)

// revocationsKept is how long after its end Redis removes a revocation: a clock that was wrong for a while
// must not give back what was revoked.
const revocationsKept = time.Hour

// Revocations implements authz.Revocations, in one round trip. What could not have been stored is refused
// rather than not found: nobody is to conclude from a mistaken question that nothing is revoked.
func (s *Store) Revocations(ctx context.Context, subjects []token.Subject) ([]authz.Revocation, error) {
	keys := make([]string, len(subjects))
	for i, subject := range subjects {
		if !subject.Valid() {
			return nil, fmt.Errorf("redisstore: %q cannot be revoked", subject)
		}
		keys[i] = s.db.names.record(store.KindRevocation, subject.String())
	}
	records, err := s.db.get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	var found []authz.Revocation
	for i, sealed := range records {
		if sealed == nil {
			continue
		}
		r, err := s.env.OpenRevocation(subjects[i].String(), sealed)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// ListRevocations implements authz.RevocationRecords.
func (s *Store) ListRevocations(ctx context.Context, after string, limit int) ([]authz.Revocation, error) {
	if limit < 1 {
		return nil, errLimit
	}
	var all []authz.Revocation
	err := s.db.scan(ctx, store.KindRevocation, after, limit, func(key string, sealed []byte) (bool, error) {
		r, err := s.env.OpenRevocation(key, sealed)
		all = append(all, r)
		return len(all) < limit, err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// PutRevocation implements authz.RevocationRecords.
func (s *Store) PutRevocation(ctx context.Context, r authz.Revocation, e audit.Entry) (authz.Revocation, error) {
	puts, err := s.revocationPuts([]authz.Revocation{r})
	if err == nil {
		err = s.commit(ctx, e, authz.ErrConflict, puts)
	}
	if err != nil {
		return authz.Revocation{}, err
	}
	return s.env.OpenRevocation(r.Subject.String(), puts[0].sealed)
}

// revocationPuts makes puts of revocations. Two of one subject have no order, so they are a mistake.
func (s *Store) revocationPuts(revoked []authz.Revocation) ([]*put, error) {
	seen := make(map[token.Subject]bool, len(revoked))
	var puts []*put
	for _, r := range revoked {
		if seen[r.Subject] {
			return nil, fmt.Errorf("redisstore: %q is revoked twice by one write", r.Subject)
		}
		seen[r.Subject] = true
		p := &put{
			kind: store.KindRevocation, key: r.Subject.String(), expected: r.Version,
			seal: func(version uint64) ([]byte, error) {
				r.Version = version
				return s.env.SealRevocation(r)
			},
		}
		if !r.Until.IsZero() {
			p.end = r.Until.Add(revocationsKept)
		}
		p.check = p.versioned(s.env, authz.ErrConflict)
		puts = append(puts, p)
	}
	return puts, nil
}

// ended returns, of subjects whose revocations Redis has not, those whose end has come, or which have left the
// list by now.
func (db *DB) ended(ctx context.Context, subjects []string) (map[string]bool, error) {
	now, err := db.Clock(ctx)
	if err != nil {
		return nil, err
	}
	var ends, listed *redis.Cmd
	if err := db.look(ctx, func(p redis.Pipeliner) {
		ends = p.Do(ctx, scores(db.names.of(nameEnds), subjects)...) // first: they leave both at once
		listed = p.Do(ctx, scores(db.names.index(store.KindRevocation), subjects)...)
	}); err != nil {
		return nil, err
	}
	endsAt, err1 := ends.Slice()
	inList, err2 := listed.Slice()
	if err1 != nil || err2 != nil || len(inList) != len(subjects) || len(endsAt) != len(subjects) {
		return nil, fmt.Errorf("redisstore: redis said something else than scores: %w", errors.Join(err1, err2))
	}
	gone := make(map[string]bool, len(subjects))
	for i, subject := range subjects {
		at, hasEnd := endsAt[i].(float64)
		gone[subject] = inList[i] == nil || hasEnd && at <= float64(now.UnixMilli())
	}
	return gone, nil
}

// scores is the command that asks for scores, of which nil is none. The library's own makes 0 of that.
func scores(key string, members []string) []any {
	args := []any{"zmscore", key}
	for _, m := range members {
		args = append(args, m)
	}
	return args
}

package redisstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// The audit log is a stream whose entries are numbered from 1, N-0, without gaps: so one that is missing
// is noticed. A cursor is EPOCH.NUMBER, the number of the last entry before that place.

func entryID(n uint64) string { return strconv.FormatUint(n, 10) + "-0" }

// numberOf reads the identifier of an entry; 0 is none.
func numberOf(id string) uint64 {
	number, rest, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || rest != "0" {
		return 0
	}
	return n
}

// entryNumber reads a cursor of a log whose newest entry has the number head. What this store cannot have
// given out, such as a place ahead of the head, is store.ErrCursor.
func (db *DB) entryNumber(cursor string, head uint64) (uint64, error) {
	epoch, number, _ := strings.Cut(cursor, ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > head || epoch != db.epoch || strconv.FormatUint(n, 10) != number {
		return 0, store.ErrCursor
	}
	return n, nil
}

func (db *DB) entryCursor(n uint64) string { return db.epoch + "." + strconv.FormatUint(n, 10) }

// Entries implements store.Audit.
func (s *Store) Entries(ctx context.Context, after string, limit int) ([]audit.Entry, string, error) {
	if limit < 1 {
		return nil, "", errLimit
	}
	head, err := s.lastEntry(ctx)
	if err != nil {
		return nil, "", err
	}
	var last uint64
	if after != "" {
		if last, err = s.db.entryNumber(after, head); err != nil {
			return nil, "", err
		}
	}
	var read *redis.XMessageSliceCmd
	if err := s.db.look(ctx, func(p redis.Pipeliner) {
		read = p.XRangeN(ctx, s.db.names.of(nameAudit), entryID(last+1), "+", int64(limit))
	}); err != nil {
		return nil, "", err
	}
	entries, err := entriesOf(read.Val(), last+1, 1)
	if err == nil && len(entries) == 0 && last < head {
		err = damage(store.KindAudit, strconv.FormatUint(last+1, 10), "it was removed")
	}
	if err != nil {
		return nil, "", err
	}
	return entries, s.db.entryCursor(last + uint64(len(entries))), nil
}

// Latest implements authz.AuditLog.
func (s *Store) Latest(ctx context.Context, before string, limit int) ([]audit.Entry, string, error) {
	if limit < 1 {
		return nil, "", errLimit
	}
	head, err := s.lastEntry(ctx)
	if err != nil {
		return nil, "", err
	}
	first := head + 1
	if before != "" {
		if first, err = s.db.entryNumber(before, head); err != nil {
			return nil, "", err
		}
	}
	if first <= 1 {
		return nil, "", nil
	}
	var read *redis.XMessageSliceCmd
	if err := s.db.look(ctx, func(p redis.Pipeliner) {
		read = p.XRevRangeN(ctx, s.db.names.of(nameAudit), entryID(first-1), "-", int64(limit))
	}); err != nil {
		return nil, "", err
	}
	entries, err := entriesOf(read.Val(), first-1, -1)
	if err == nil && len(entries) == 0 {
		err = damage(store.KindAudit, strconv.FormatUint(first-1, 10), "it was removed")
	}
	if err != nil {
		return nil, "", err
	}
	if first -= uint64(len(entries)); first <= 1 {
		return entries, "", nil
	}
	return entries, s.db.entryCursor(first), nil
}

// lastEntry is the number of the newest entry; 0 if there is none.
func (s *Store) lastEntry(ctx context.Context) (uint64, error) {
	var last *redis.XMessageSliceCmd
	err := s.db.look(ctx, func(p redis.Pipeliner) {
		last = p.XRevRangeN(ctx, s.db.names.of(nameAudit), "+", "-", 1)
	})
	if err != nil || len(last.Val()) == 0 {
		return 0, err
	}
	id := last.Val()[0].ID
	n := numberOf(id)
	if n == 0 { // of something else: how many there are of ours cannot be told
		return 0, damage(store.KindAudit, id, notOfTheLog)
	}
	return n, nil
}

const notOfTheLog = "it is not an entry of that log"

// entriesOf decodes entries whose numbers begin with n and go on by step. One that is missing is damage.
func entriesOf(read []redis.XMessage, n uint64, step int) ([]audit.Entry, error) {
	var entries []audit.Entry
	for _, m := range read {
		name := strconv.FormatUint(n, 10)
		if numberOf(m.ID) != n {
			return nil, damage(store.KindAudit, name, "it was removed")
		}
		e, err := entryOf(name, m)
		if err != nil {
			return nil, err
		}
		entries, n = append(entries, e), n+uint64(step)
	}
	return entries, nil
}

func entryOf(name string, m redis.XMessage) (audit.Entry, error) {
	text, ok := m.Values["entry"].(string)
	if !ok || len(m.Values) != 1 {
		return audit.Entry{}, damage(store.KindAudit, name, "it is not an audit entry")
	}
	return store.DecodeEntry(name, []byte(text))
}

package redisstore

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/store"
)

// Dump implements store.Mover.
func (db *DB) Dump(ctx context.Context, kind store.Kind, fn func(store.Stored) error) error {
	db = db.mover()
	switch {
	case kind == store.KindInstallation:
		stored, err := db.one(ctx, db.names.of(nameGenesis))
		if err != nil || stored == nil {
			return err
		}
		return fn(store.Stored{Kind: kind, Key: db.ns, Octets: stored})
	case kind == store.KindAudit:
		return db.dumpAudit(ctx, fn)
	case kind == store.KindCredential:
		return db.dumpCredentials(ctx, fn)
	case slices.Contains(indexed(), kind):
		return db.scan(ctx, kind, "", listed, func(key string, sealed []byte) (bool, error) {
			return true, fn(store.Stored{Kind: kind, Key: key, Octets: sealed})
		})
	}
	return fmt.Errorf("redisstore: a %q cannot be moved", kind)
}

// dumpAudit gives out the log, in which nothing may be missing, not even at its end.
func (db *DB) dumpAudit(ctx context.Context, fn func(store.Stored) error) error {
	log := db.names.of(nameAudit)
	for last := uint64(0); ; {
		var there *redis.IntCmd
		var page *redis.XMessageSliceCmd
		if err := db.look(ctx, func(p redis.Pipeliner) {
			there = p.Exists(ctx, log)
			page = p.XRangeN(ctx, log, entryID(last+1), "+", listed)
		}); err != nil {
			return err
		}
		for _, m := range page.Val() {
			last++
			name := strconv.FormatUint(last, 10)
			if numberOf(m.ID) != last {
				return damage(store.KindAudit, name, "it was removed")
			}
			text, ok := m.Values["entry"].(string)
			if !ok || len(m.Values) != 1 {
				return damage(store.KindAudit, name, "it is not an audit entry")
			}
			if err := fn(store.Stored{Kind: store.KindAudit, Key: name, Octets: []byte(text)}); err != nil {
				return err
			}
		}
		if len(page.Val()) > 0 {
			continue
		}
		if there.Val() > 0 {
			return db.endsWith(ctx, log, last)
		}
		installed, err := db.one(ctx, db.names.of(nameGenesis))
		if err == nil && (installed != nil || last > 0) {
			err = damage(store.KindAudit, strconv.FormatUint(last+1, 10), "it was removed")
		}
		return err
	}
}

// endsWith returns an error unless the entry with that number is the last that the log ever had, or others have
// followed it.
func (db *DB) endsWith(ctx context.Context, log string, last uint64) error {
	var info *redis.XInfoStreamCmd
	var next *redis.XMessageSliceCmd
	if err := db.look(ctx, func(p redis.Pipeliner) {
		info = p.XInfoStream(ctx, log)
		next = p.XRangeN(ctx, log, entryID(last+1), "+", 1)
	}); err != nil {
		return err
	}
	newest := info.Val().LastGeneratedID
	if newest != "0-0" && newest != entryID(last) && len(next.Val()) == 0 {
		return damage(store.KindAudit, strconv.FormatUint(last+1, 10), "it was removed")
	}
	return nil
}

// dumpCredentials walks over all keys of the namespace, since there is no list of credentials. On its way it looks
// whether every other record is in the list of its kind: one that is not was not given out with it.
func (db *DB) dumpCredentials(ctx context.Context, fn func(store.Stored) error) error {
	// SCAN may return a key more than once. Of a million, two are taken for one by a chance of 3 in 100 million.
	seed, seen, standing := maphash.MakeSeed(), map[uint64]struct{}{}, db.names.standing()
	return db.walk(ctx, func(keys []string) error {
		var credentials []string
		others := map[store.Kind][]string{}
		for _, key := range keys {
			kind, id, ok := db.names.kindOf(key)
			switch {
			case standing[key] != "":
			case !ok:
				return damage(kindKey, key, "it is not a key of this program")
			case kind != store.KindCredential:
				others[kind] = append(others[kind], id)
			default:
				h := maphash.String(seed, key)
				if _, twice := seen[h]; !twice {
					seen[h] = struct{}{}
					credentials = append(credentials, id)
				}
			}
		}
		for kind, ids := range others {
			if err := db.allListed(ctx, kind, ids); err != nil {
				return err
			}
		}
		return db.eachCredential(ctx, credentials, fn)
	})
}

func (db *DB) eachCredential(ctx context.Context, ids []string, fn func(store.Stored) error) error {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = db.names.record(store.KindCredential, id)
	}
	records, err := db.get(ctx, keys...)
	if err != nil {
		return err
	}
	for i, sealed := range records {
		if sealed == nil { // nothing removes one
			return damage(store.KindCredential, ids[i], "it was removed")
		}
		if err := fn(store.Stored{Kind: store.KindCredential, Key: ids[i], Octets: sealed}); err != nil {
			return err
		}
	}
	return nil
}

// walk calls fn with the keys of the namespace, some more than once. A cursor says nothing to another process than the one
// that gave it, which passes over keys then: so where a restarted server, or another one, answers, it begins anew.
func (db *DB) walk(ctx context.Context, fn func(keys []string) error) error {
	of, cursor := "", uint64(0)
	for begun := 0; ; {
		var page *redis.ScanCmd
		process := ""
		err := db.read(ctx, func(ctx context.Context) error {
			node, err := db.node(ctx)
			if err != nil {
				return err
			}
			var info *redis.StringCmd
			cmds, err := node.Pipelined(ctx, func(p redis.Pipeliner) error {
				page, info = p.Scan(ctx, cursor, db.names.prefix+"*", listed), p.Info(ctx, "server")
				return nil
			})
			process = parseInfo(info.Val())["run_id"]
			return answerError(cmds, err)
		})
		switch {
		case err != nil:
			return err
		case process == "":
			return fmt.Errorf("redisstore: redis does not say which process answers (run_id): %w", ErrUnreachable)
		case process != of && begun == mostWalks:
			return fmt.Errorf("redisstore: another process answered %d times while all keys were read: %w", begun, ErrUnreachable)
		case process != of:
			begun++
			if of, cursor = process, 0; begun > 1 {
				continue
			}
		}
		var found []string
		found, cursor = page.Val()
		if err := fn(found); err != nil || cursor == 0 {
			return err
		}
	}
}

// mostWalks is how often walk begins: a Redis that changes all the time is not read to its end.
const mostWalks = 10

// allListed returns an error if a record is not in the list of its kind.
func (db *DB) allListed(ctx context.Context, kind store.Kind, ids []string) error {
	missing, err := db.unlisted(ctx, kind, ids)
	for _, id := range missing {
		if err == nil {
			err = db.mayBeUnlisted(ctx, kind, id)
		}
	}
	return err
}

// unlisted returns those of some identifiers that the list of their kind does not have.
func (db *DB) unlisted(ctx context.Context, kind store.Kind, ids []string) (missing []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var listed *redis.Cmd
	if err := db.look(ctx, func(p redis.Pipeliner) {
		listed = p.Do(ctx, scores(db.names.index(kind), ids)...)
	}); err != nil {
		return nil, err
	}
	all, err := listed.Slice()
	if err != nil || len(all) != len(ids) {
		return nil, fmt.Errorf("redisstore: redis said something else than scores: %w", err)
	}
	for at, score := range all {
		if score == nil {
			missing = append(missing, ids[at])
		}
	}
	return missing, nil
}

// mayBeUnlisted returns an error if a record is there that the list of its kind did not have: its end has not come
// meanwhile.
func (db *DB) mayBeUnlisted(ctx context.Context, kind store.Kind, id string) error {
	sealed, err := db.one(ctx, db.names.record(kind, id))
	if err == nil && sealed != nil {
		err = damage(kind, id, "the list of its kind does not have it")
	}
	return err
}

// Floor implements store.Mover.
func (db *DB) Floor(ctx context.Context) (uint64, error) {
	text, err := db.mover().one(ctx, db.names.of(nameFloor))
	if err != nil || text == nil {
		return 0, err
	}
	floor, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0, db.recordError(db.names.of(nameFloor), "it is not a number: something else wrote to this key")
	}
	return floor, nil
}

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// inspection is one run of Inspect.
type inspection struct {
	*Store
	read store.Inspected
	tell func(error)
	told map[string]bool

	seed maphash.Seed
	seen map[uint64]struct{} // keys: SCAN may return one more than once
}

// Inspect implements store.Inspector. It reads in steps and holds up nobody for longer than one of them, so
// records that are written meanwhile may be seen as before or after. It walks over every key of Redis,
// whoever's they are, since only that finds a record which its index has lost.
func (s *Store) Inspect(ctx context.Context, damaged func(err error)) (store.Inspected, error) {
	i := &inspection{Store: s, tell: damaged, told: map[string]bool{}, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	for _, look := range []func(context.Context) error{i.installation, i.keys, i.indexes, i.changes, i.audit} {
		if err := look(ctx); err != nil {
			return i.read, err
		}
	}
	return i.read, nil
}

// check tells what is wrong with one record. An error that is not about a record ends the inspection.
func (i *inspection) check(err error) error {
	if record := (*store.RecordError)(nil); errors.As(err, &record) {
		if !i.told[err.Error()] { // a client that has gone is missed by each of its credentials
			i.told[err.Error()] = true
			i.tell(err)
		}
		return nil
	}
	return err
}

func (i *inspection) report(kind store.Kind, key, reason string) {
	_ = i.check(removed(kind, key, reason))
}

// installation reads the one record that is not under the record key.
func (i *inspection) installation(ctx context.Context) error {
	stored, err := i.db.one(ctx, i.db.names.of(nameGenesis))
	if err == nil && stored != nil {
		_, err = store.DecodeInstallation(i.db.ns, stored)
	}
	return i.check(err)
}

// keys walks over the keyspace and checks every record that is there.
func (i *inspection) keys(ctx context.Context) error {
	var cursor uint64
	for {
		var found []string
		err := i.db.read(ctx, func(ctx context.Context) error {
			node, err := i.db.node(ctx)
			if err == nil {
				found, cursor, err = node.Scan(ctx, cursor, i.db.names.prefix+"*", listed).Result()
			}
			return err
		})
		if err == nil {
			err = i.page(ctx, found)
		}
		if err != nil || cursor == 0 {
			return err
		}
	}
}

// page checks the records among some keys.
func (i *inspection) page(ctx context.Context, found []string) error {
	var keys []string
	for _, key := range found {
		h := maphash.String(i.seed, key)
		if _, twice := i.seen[h]; twice || i.db.names.alone(key) {
			continue
		}
		i.seen[h] = struct{}{}
		if _, _, ok := i.db.names.kindOf(key); !ok {
			i.report(kindKey, key, "it is not a key of this program")
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil
	}
	records, err := i.db.get(ctx, keys...)
	if err != nil {
		return i.oneByOne(ctx, keys, err)
	}
	for at, key := range keys {
		if err := i.record(ctx, key, records[at]); err != nil {
			return err
		}
	}
	return nil
}

// oneByOne reads what could not be read together, because one of the keys holds no record.
func (i *inspection) oneByOne(ctx context.Context, keys []string, err error) error {
	if record := (*store.RecordError)(nil); !errors.As(err, &record) {
		return err
	}
	for _, key := range keys {
		sealed, err := i.db.one(ctx, key)
		if err == nil {
			err = i.record(ctx, key, sealed)
		}
		if err := i.check(err); err != nil {
			return err
		}
	}
	return nil
}

// record checks one record, and what belongs to it.
func (i *inspection) record(ctx context.Context, key string, sealed []byte) error {
	if sealed == nil { // its end has come meanwhile
		return nil
	}
	i.read.Records++
	kind, id, _ := i.db.names.kindOf(key)
	if kind == store.KindCredential {
		return i.check(i.credential(ctx, id, sealed))
	}
	if err := i.inIndex(ctx, kind, id); err != nil {
		return err
	}
	var err error
	switch kind {
	case store.KindClient:
		err = i.client(ctx, id, sealed)
	case store.KindResource:
		_, err = i.env.OpenResource(authz.ResourceID(id), sealed)
	case store.KindRing:
		_, err = i.env.OpenRing(id, sealed)
	case store.KindRevocation:
		_, err = i.env.OpenRevocation(id, sealed)
	}
	return i.check(err)
}

// inIndex looks whether a record is in the list of its kind: without that nobody would see it in one, and
// a server that starts would not load the revocation.
func (i *inspection) inIndex(ctx context.Context, kind store.Kind, id string) error {
	var score *redis.FloatCmd
	err := i.db.inOneInstant(ctx, func(p redis.Pipeliner) { score = p.ZScore(ctx, i.db.names.index(kind), id) })
	if err == nil && errors.Is(score.Err(), redis.Nil) {
		i.report(kind, id, "the list of its kind does not have it")
	}
	return err
}

// client also looks for each credential: one that is missing among the owners is free to be claimed by
// another client, and is not recognised where it turns up.
func (i *inspection) client(ctx context.Context, id string, sealed []byte) error {
	c, err := i.env.OpenClient(authz.ClientID(id), sealed)
	if err != nil {
		return err
	}
	for _, credential := range c.Credentials {
		owner, err := i.ClientOf(ctx, credential.ID)
		switch {
		case errors.Is(err, authz.ErrNotFound):
			i.report(store.KindCredential, string(credential.ID), fmt.Sprintf("client %q has it, and the index does not", id))
		case err == nil && owner != c.ID: // a damaged entry is for credential to report
			i.report(store.KindCredential, string(credential.ID), fmt.Sprintf("client %q has it, and the index says %q", id, owner))
		}
	}
	return nil
}

// credential also looks for the client that an entry names. Clients are never removed, not even when they
// are deleted.
func (i *inspection) credential(ctx context.Context, id string, sealed []byte) error {
	owner, err := i.env.OpenOwner(authz.CredentialID(id), sealed)
	if err != nil {
		return err
	}
	version, err := i.ClientVersion(ctx, owner)
	if err == nil && version == 0 {
		i.report(store.KindClient, string(owner), "it was removed: the index says that it held a credential")
	}
	if record := (*store.RecordError)(nil); errors.As(err, &record) { // that is for record to report
		return nil
	}
	return err
}

// indexes looks for the record behind each entry of each list.
func (i *inspection) indexes(ctx context.Context) error {
	for _, kind := range indexed() {
		after := ""
		for {
			ids, err := i.ids(ctx, kind, after, listed)
			if err != nil {
				return err
			}
			for _, id := range ids {
				key := i.db.names.record(kind, id)
				if _, seen := i.seen[maphash.String(i.seed, key)]; seen {
					continue
				}
				sealed, err := i.db.one(ctx, key)
				if err == nil && sealed == nil {
					err = i.missing(ctx, kind, id)
				}
				if err := i.check(err); err != nil {
					return err
				}
			}
			if len(ids) < listed {
				break
			}
			after = ids[len(ids)-1]
		}
	}
	return nil
}

// changes reads the feed, which begins anywhere: what is old is removed from its beginning.
func (i *inspection) changes(ctx context.Context) error {
	return i.log(ctx, nameChanges, func(m redis.XMessage) error {
		if m.Values["kind"] == kindEpoch {
			return nil
		}
		i.read.Entries++
		_, err := changeOf(m)
		return err
	})
}

// audit reads the log of what was done, which begins with number 1 and is never shortened.
func (i *inspection) audit(ctx context.Context) error {
	var last uint64
	return i.log(ctx, nameAudit, func(m redis.XMessage) error {
		n := numberOf(m.ID)
		if n == 0 {
			i.report(store.KindAudit, m.ID, "it is not an entry of that log")
			return nil
		}
		if n != last+1 {
			reason := "it was removed"
			if n > last+2 {
				reason = fmt.Sprintf("it was removed, and so were all to number %d", n-1)
			}
			i.report(store.KindAudit, strconv.FormatUint(last+1, 10), reason)
		}
		last = n
		i.read.Entries++
		_, err := entryOf(strconv.FormatUint(n, 10), m)
		return err
	})
}

// log reads a stream from its beginning to its end.
func (i *inspection) log(ctx context.Context, name string, look func(m redis.XMessage) error) error {
	from := "-"
	for {
		var read *redis.XMessageSliceCmd
		if err := i.db.inOneInstant(ctx, func(p redis.Pipeliner) {
			read = p.XRangeN(ctx, i.db.names.of(name), from, "+", listed)
		}); err != nil {
			return err
		}
		for _, m := range read.Val() {
			if err := i.check(look(m)); err != nil {
				return err
			}
			from = "(" + m.ID
		}
		if len(read.Val()) < listed {
			return nil
		}
	}
}

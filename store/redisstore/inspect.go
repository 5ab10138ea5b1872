package redisstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
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

	installed bool // there is an installation record

	alone map[string]string // the keys that hold no records
	seed  maphash.Seed
	seen  map[uint64]struct{} // keys: SCAN may return one more than once
}

// Inspect implements store.Inspector. It reads in steps and holds up nobody for longer than one of them, so
// records that are written meanwhile may be seen as before or after. It walks over every key of Redis,
// whoever's they are, since only that finds a record which its index has lost.
func (s *Store) Inspect(ctx context.Context, damaged func(err error)) (store.Inspected, error) {
	i := &inspection{
		Store: s, tell: damaged, told: map[string]bool{},
		alone: s.db.names.standing(), seed: maphash.MakeSeed(), seen: map[uint64]struct{}{},
	}
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
	_ = i.check(damage(kind, key, reason))
}

// installation reads the one record that is not under the record key.
func (i *inspection) installation(ctx context.Context) error {
	stored, err := i.db.one(ctx, i.db.names.of(nameGenesis))
	if err == nil && stored != nil {
		i.installed = true
		_, err = store.DecodeInstallation(i.db.ns, stored)
	}
	return i.check(err)
}

// keys walks over the keyspace and checks every record that is there.
func (i *inspection) keys(ctx context.Context) error {
	return i.db.walk(ctx, func(found []string) error { return i.page(ctx, found) })
}

// page checks the records among some keys.
func (i *inspection) page(ctx context.Context, found []string) error {
	var keys []string
	for _, key := range found {
		h := maphash.String(i.seed, key)
		if _, twice := i.seen[h]; twice || i.alone[key] != "" {
			continue
		}
		i.seen[h] = struct{}{}
		if _, _, ok := i.db.names.kindOf(key); !ok {
			i.report(kindKey, key, "it is not a key of this program")
			continue
		}
		keys = append(keys, key)
	}
	p := inspected{ids: map[store.Kind][]string{}}
	if err := i.each(ctx, keys, func(at int, sealed []byte) error { return i.record(&p, keys[at], sealed) }); err != nil {
		return err
	}
	for _, kind := range indexed() {
		if err := i.inIndex(ctx, kind, p.ids[kind]); err != nil {
			return err
		}
	}
	if err := i.claimed(ctx, p.claims); err != nil {
		return err
	}
	return i.owners(ctx, p.owners)
}

// inspected is what the records of a page refer to.
type inspected struct {
	ids    map[store.Kind][]string
	claims []claim
	owners []authz.ClientID // of credentials
}

// claim says that a client has a credential.
type claim struct {
	client     authz.ClientID
	credential authz.CredentialID
}

// each calls fn with the record of each key, nil for one that is not there, and tells of damage. What cannot be
// read together, because one of the keys holds no record, is read one by one.
func (i *inspection) each(ctx context.Context, keys []string, fn func(at int, sealed []byte) error) error {
	records, err := i.db.get(ctx, keys...)
	together := err == nil
	if record := (*store.RecordError)(nil); err != nil && !errors.As(err, &record) {
		return err
	}
	for at, key := range keys {
		var sealed []byte
		var err error
		if together {
			sealed = records[at]
		} else {
			sealed, err = i.db.one(ctx, key)
		}
		if err == nil {
			err = fn(at, sealed)
		}
		if err := i.check(err); err != nil {
			return err
		}
	}
	return nil
}

// record checks one record, and notes what belongs to it.
func (i *inspection) record(p *inspected, key string, sealed []byte) error {
	if sealed == nil { // its end has come meanwhile
		return nil
	}
	i.read.Records++
	kind, id, _ := i.db.names.kindOf(key)
	p.ids[kind] = append(p.ids[kind], id)
	var err error
	switch kind {
	case store.KindClient:
		var c authz.Client
		c, err = i.env.OpenClient(authz.ClientID(id), sealed)
		for _, credential := range c.Credentials {
			p.claims = append(p.claims, claim{c.ID, credential.ID})
		}
	case store.KindCredential:
		var owner authz.ClientID
		if owner, err = i.env.OpenOwner(authz.CredentialID(id), sealed); err == nil {
			p.owners = append(p.owners, owner)
		}
	case store.KindResource:
		_, err = i.env.OpenResource(authz.ResourceID(id), sealed)
	case store.KindRing:
		_, err = i.env.OpenRing(id, sealed)
	case store.KindRevocation:
		_, err = i.env.OpenRevocation(id, sealed)
	}
	return err
}

// inIndex looks whether records are in the list of their kind: without that nobody would see them in one, and
// a server that starts would not load the revocation.
func (i *inspection) inIndex(ctx context.Context, kind store.Kind, ids []string) error {
	missing, err := i.db.unlisted(ctx, kind, ids)
	if err != nil {
		return i.check(err)
	}
	for _, id := range missing {
		if err := i.check(i.db.mayBeUnlisted(ctx, kind, id)); err != nil {
			return err
		}
	}
	return nil
}

// claimed looks for the credentials of clients: one that is missing among the owners is free to be claimed by
// another client, and is not recognised where it turns up. A damaged entry is for record to tell of.
func (i *inspection) claimed(ctx context.Context, claims []claim) error {
	for some := range slices.Chunk(claims, listed) {
		keys := make([]string, len(some))
		for at, c := range some {
			keys[at] = i.db.names.record(store.KindCredential, string(c.credential))
		}
		if err := i.each(ctx, keys, func(at int, sealed []byte) error {
			c := some[at]
			owner, err := i.env.OpenOwner(c.credential, sealed)
			switch {
			case sealed == nil:
				i.report(store.KindCredential, string(c.credential), fmt.Sprintf("client %q has it, and the index does not", c.client))
			case err == nil && owner != c.client:
				i.report(store.KindCredential, string(c.credential), fmt.Sprintf("client %q has it, and the index says %q", c.client, owner))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// owners looks for the clients that entries of the index name. Clients are never removed, not even when they
// are deleted.
func (i *inspection) owners(ctx context.Context, owners []authz.ClientID) error {
	if len(owners) == 0 {
		return nil
	}
	there := make([]*redis.IntCmd, len(owners))
	if err := i.db.look(ctx, func(p redis.Pipeliner) {
		for at, owner := range owners {
			there[at] = p.Exists(ctx, i.db.names.record(store.KindClient, string(owner)))
		}
	}); err != nil {
		return err
	}
	for at, owner := range owners {
		if there[at].Val() == 0 {
			i.report(store.KindClient, string(owner), "it was removed: the index says that it held a credential")
		}
	}
	return nil
}

// indexes looks for the record behind each entry of each list.
func (i *inspection) indexes(ctx context.Context) error {
	for _, kind := range indexed() {
		if err := i.check(i.index(ctx, kind)); err != nil {
			return err
		}
	}
	return nil
}

func (i *inspection) index(ctx context.Context, kind store.Kind) error {
	for after := ""; ; {
		ids, err := i.db.ids(ctx, kind, after, listed)
		if err != nil || len(ids) == 0 {
			return err
		}
		after = ids[len(ids)-1]
		var unseen, keys []string
		for _, id := range ids {
			key := i.db.names.record(kind, id)
			if _, seen := i.seen[maphash.String(i.seed, key)]; !seen {
				unseen, keys = append(unseen, id), append(keys, key)
			}
		}
		records, err := i.db.get(ctx, keys...)
		if err != nil {
			return err
		}
		gone, err := i.db.gone(ctx, kind, unseen, records)
		if err != nil {
			return err
		}
		for at, id := range unseen {
			if records[at] != nil || gone[id] {
				continue
			}
			again, err := i.db.one(ctx, keys[at]) // it may have been made anew
			if err == nil && again == nil {
				err = errMissing(kind, id)
			}
			if err := i.check(err); err != nil {
				return err
			}
		}
	}
}

// changes reads the feed, which begins anywhere: what is old is removed from its beginning.
func (i *inspection) changes(ctx context.Context) error {
	empty := true
	whole, err := i.log(ctx, nameChanges, func(m redis.XMessage) error {
		empty = false
		if m.Values["kind"] == kindEpoch {
			return nil
		}
		i.read.Entries++
		_, err := changeOf(m)
		return err
	})
	if err == nil && empty && whole {
		err = i.check(noFeed)
	}
	return err
}

// audit reads the log of what was done, which begins with number 1 and is never shortened.
func (i *inspection) audit(ctx context.Context) error {
	var last uint64
	whole, err := i.log(ctx, nameAudit, func(m redis.XMessage) error {
		n := numberOf(m.ID)
		if n == 0 {
			i.report(store.KindAudit, m.ID, notOfTheLog)
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
	if err == nil && last == 0 && i.installed && whole {
		i.report(store.KindAudit, "1", "it was removed: making the installation was recorded")
	}
	return err
}

// log reads a stream from its beginning to its end, and reports whether it is one.
func (i *inspection) log(ctx context.Context, name string, look func(m redis.XMessage) error) (whole bool, err error) {
	from := "-"
	for {
		var read *redis.XMessageSliceCmd
		if err := i.db.look(ctx, func(p redis.Pipeliner) {
			read = p.XRangeN(ctx, i.db.names.of(name), from, "+", listed)
		}); err != nil {
			return false, i.check(err)
		}
		for _, m := range read.Val() {
			if err := i.check(look(m)); err != nil {
				return false, err
			}
			from = "(" + m.ID
		}
		if len(read.Val()) < listed {
			return true, nil
		}
	}
}

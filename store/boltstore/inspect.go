package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/store"
)

// kindExpiry names an entry of the order of expiry in a store.RecordError.
const kindExpiry store.Kind = "expiry"

// inspection is one run of Inspect. What it finds is told between transactions: whoever listens may
// take as long as he likes.
type inspection struct {
	*Store
	read  store.Inspected
	found []error
}

// Inspect implements store.Inspector. It does not hold up writes. Records, and the entries that belong
// to them, are compared within one transaction, so that a write under way is no finding.
func (s *Store) Inspect(ctx context.Context, damaged func(err error)) (store.Inspected, error) {
	i := &inspection{Store: s}
	told := map[string]bool{}
	for _, look := range []func(context.Context) error{
		i.installation, i.clients, i.credentials, i.resources, i.rings, i.revocations, i.expiries, i.changes, i.audit,
	} {
		if err := look(ctx); err != nil {
			return i.read, err
		}
		for _, err := range i.found {
			if !told[err.Error()] { // a client that has gone is missed by each of its credentials
				told[err.Error()] = true
				damaged(err)
			}
		}
		i.found = nil
	}
	return i.read, nil
}

// check notes what is wrong with one record. An error that is not about a record ends the inspection.
func (i *inspection) check(err error) error {
	if record := (*store.RecordError)(nil); errors.As(err, &record) {
		i.found = append(i.found, err)
		return nil
	}
	return err
}

func (i *inspection) report(kind store.Kind, key, reason string) {
	i.found = append(i.found, &store.RecordError{Kind: kind, Key: key, Reason: reason, Err: store.ErrDamaged})
}

// each checks every record of a bucket whose records carry codes.
func (i *inspection) each(ctx context.Context, bucket []byte, fn func(tx *bolt.Tx, key string, value []byte) error) error {
	return i.scan(ctx, bucket, "", func(tx *bolt.Tx, key, value []byte) (bool, error) {
		i.read.Records++
		return true, i.check(fn(tx, string(key), value))
	})
}

// installation reads the one record that is not under the record key. Its own code is for keys to
// check, which did so before there was a Store.
func (i *inspection) installation(ctx context.Context) error {
	return i.scan(ctx, bucketGenesis, "", func(_ *bolt.Tx, key, value []byte) (bool, error) {
		if bytes.Equal(key, keyState) {
			return true, nil
		}
		_, err := store.DecodeInstallation(string(i.db.ns), value)
		return true, i.check(err)
	})
}

func (i *inspection) resources(ctx context.Context) error {
	return i.each(ctx, bucketResources, func(_ *bolt.Tx, key string, sealed []byte) error {
		_, err := i.env.OpenResource(authz.ResourceID(key), sealed)
		return err
	})
}

func (i *inspection) rings(ctx context.Context) error {
	return i.each(ctx, bucketRings, func(_ *bolt.Tx, key string, sealed []byte) error {
		_, err := i.env.OpenRing(key, sealed)
		return err
	})
}

// clients also looks for each credential in the index: one that is missing there is free to be claimed
// by another client, and is not recognised where it turns up.
func (i *inspection) clients(ctx context.Context) error {
	return i.each(ctx, bucketClients, func(tx *bolt.Tx, key string, sealed []byte) error {
		c, err := i.env.OpenClient(authz.ClientID(key), sealed)
		if err != nil {
			return err
		}
		index, err := i.db.bucket(tx, bucketCredentials)
		if err != nil {
			return err
		}
		for _, credential := range c.Credentials {
			there := index.Get([]byte(credential.ID))
			if there == nil {
				i.report(store.KindCredential, string(credential.ID), fmt.Sprintf("client %q has it, and the index does not", key))
				continue
			}
			owner, err := i.env.OpenOwner(credential.ID, there)
			if err == nil && owner != c.ID { // a damaged entry is for credentials to report
				i.report(store.KindCredential, string(credential.ID), fmt.Sprintf("client %q has it, and the index says %q", key, owner))
			}
		}
		return nil
	})
}

// credentials also looks for the client that an entry names. Clients are never removed, not even when
// they are deleted.
func (i *inspection) credentials(ctx context.Context) error {
	return i.each(ctx, bucketCredentials, func(tx *bolt.Tx, key string, sealed []byte) error {
		owner, err := i.env.OpenOwner(authz.CredentialID(key), sealed)
		if err != nil {
			return err
		}
		clients, err := i.db.bucket(tx, bucketClients)
		if err != nil {
			return err
		}
		if clients.Get([]byte(owner)) == nil {
			i.report(store.KindClient, string(owner), "it was removed: the index says that it held a credential")
		}
		return nil
	})
}

// revocations also looks for each one's place in the order of expiry.
func (i *inspection) revocations(ctx context.Context) error {
	return i.each(ctx, bucketRevocations, func(tx *bolt.Tx, key string, sealed []byte) error {
		r, err := i.env.OpenRevocation(key, sealed)
		if err != nil || r.Until.IsZero() {
			return err
		}
		order, err := i.db.bucket(tx, bucketExpiries)
		if err != nil {
			return err
		}
		if order.Get(expiryKey(r.Until, key)) == nil {
			i.report(kindExpiry, key, "it is missing: the revocation would never be removed")
		}
		return nil
	})
}

// expiries looks for the revocation that an entry of the order leads to: one that has gone before its
// time, unlike other records, leaves its entry behind.
func (i *inspection) expiries(ctx context.Context) error {
	return i.scan(ctx, bucketExpiries, "", func(tx *bolt.Tx, key, _ []byte) (bool, error) {
		until, subject, ok := expiryOf(key)
		if !ok {
			i.report(kindExpiry, fmt.Sprintf("%x", key), "it is not an entry of that order")
			return true, nil
		}
		revocations, err := i.db.bucket(tx, bucketRevocations)
		if err != nil {
			return false, err
		}
		there := revocations.Get([]byte(subject))
		if there == nil {
			i.report(store.KindRevocation, subject, "it was removed: the order of expiry has it")
			return true, nil
		}
		r, err := i.env.OpenRevocation(subject, there)
		if err == nil && !bytes.Equal(expiryKey(r.Until, subject), key) {
			i.report(kindExpiry, subject, fmt.Sprintf("it says %d, which is not when the revocation ends", until))
		}
		return true, nil
	})
}

// changes reads the feed, which begins anywhere: what is old is removed, from its beginning, even
// between two transactions of this inspection.
func (i *inspection) changes(ctx context.Context) error {
	return i.log(ctx, kindChange, bucketChanges, func(n uint64, value []byte) error {
		_, err := readChange(n, value)
		return err
	}, func(b *bolt.Bucket, key []byte) bool {
		first, _ := b.Cursor().First()
		return bytes.Equal(first, key)
	})
}

// audit reads the log of what was done, which begins with number 1 and is never shortened.
func (i *inspection) audit(ctx context.Context) error {
	return i.log(ctx, store.KindAudit, bucketAudit, func(n uint64, value []byte) error {
		_, err := store.DecodeEntry(fmt.Sprint(n), value)
		return err
	}, func(*bolt.Bucket, []byte) bool { return false })
}

// log reads entries that are numbered without gaps, up to the last one that there is when it begins.
// mayFollow says whether the entry under key may be the next one whatever came before it.
func (i *inspection) log(ctx context.Context, kind store.Kind, bucket []byte, read func(n uint64, value []byte) error, mayFollow func(b *bolt.Bucket, key []byte) bool) error {
	head, err := i.head(ctx, bucket)
	if err != nil {
		return err
	}
	var last uint64
	err = i.scan(ctx, bucket, "", func(tx *bolt.Tx, key, value []byte) (bool, error) {
		b, err := i.db.bucket(tx, bucket)
		if err != nil {
			return false, err
		}
		n, ok := sequenceOf(key)
		if !ok || n == 0 || n > b.Sequence() {
			i.report(kind, fmt.Sprintf("%x", key), "it is not an entry of that log")
			return true, nil
		}
		if n > head { // written since, and none of them is missing
			return true, nil
		}
		if n != last+1 && !mayFollow(b, key) {
			i.missing(kind, last+1, n-1)
		}
		last = n
		i.read.Entries++
		return true, i.check(read(n, value))
	})
	if err == nil && last < head && (last > 0 || kind == store.KindAudit) {
		i.missing(kind, last+1, head)
	}
	return err
}

func (i *inspection) missing(kind store.Kind, from, to uint64) {
	reason := "it was removed"
	if to > from {
		reason = fmt.Sprintf("it was removed, and so were all to number %d", to)
	}
	i.report(kind, fmt.Sprint(from), reason)
}

// head returns the number of the newest entry of a log.
func (i *inspection) head(ctx context.Context, bucket []byte) (head uint64, err error) {
	err = i.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := i.db.bucket(tx, bucket)
		if err == nil {
			head = b.Sequence()
		}
		return err
	})
	return head, err
}

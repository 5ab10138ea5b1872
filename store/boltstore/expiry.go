package boltstore

import (
	"bytes"
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The bucket of expiries holds the order in which revocations end, so that those whose time has come
// are found without reading the others. It carries no code: it says where to look, and is not believed.

// expiryKey sorts by time: Unix seconds in 8 octets, and the subject. Ends before 1970 are one.
func expiryKey(until time.Time, subject string) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(max(until.Unix(), 0)))
	return append(b, subject...)
}

// expiryOf reads an expiryKey; ok is false for what is not one.
func expiryOf(key []byte) (until uint64, subject string, ok bool) {
	if len(key) <= 8 {
		return 0, "", false
	}
	return binary.BigEndian.Uint64(key), string(key[8:]), true
}

// moveExpiry keeps the order when a revocation's end is set. A zero time has no place in it.
func (db *DB) moveExpiry(tx *bolt.Tx, subject string, from, to time.Time) error {
	b, err := db.bucket(tx, bucketExpiries)
	if err != nil {
		return err
	}
	if !from.IsZero() {
		if err := b.Delete(expiryKey(from, subject)); err != nil {
			return err
		}
	}
	if to.IsZero() {
		return nil
	}
	return b.Put(expiryKey(to, subject), []byte{})
}

// forgetRevocations removes revocations whose time has come, those that ended first before others. No
// change says so: who holds revocations forgets them by the clock.
func (s *Store) forgetRevocations(tx *bolt.Tx) error {
	b, err := s.db.bucket(tx, bucketExpiries)
	if err != nil {
		return err
	}
	ended := s.db.now().Add(-revocationsKept)
	var due [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(due) < revocationsLooked; k, _ = c.Next() {
		if bytes.Compare(k, expiryKey(ended.Add(time.Second), "")) >= 0 {
			break
		}
		due = append(due, bytes.Clone(k))
	}
	forgotten := 0
	for _, k := range due {
		done, err := s.forget(tx, b, k, ended)
		if err != nil {
			return err
		}
		if done {
			forgotten++
		}
		if forgotten == revocationsTrimmed {
			break
		}
	}
	return nil
}

// forget removes the revocation that an entry of the order leads to, if it says itself, authentically,
// that it has ended. One that is damaged stays, for whoever asks about it, and so does its entry, and
// an entry that leads to none: Inspect tells of them.
//
// The bucket remembers the version as one that no new revocation may have. Were versions to begin
// again, who has read the old revocation could write over a new one in its place.
func (s *Store) forget(tx *bolt.Tx, expiries *bolt.Bucket, expiry []byte, ended time.Time) (bool, error) {
	b, err := s.db.bucket(tx, bucketRevocations)
	if err != nil {
		return false, err
	}
	_, subject, _ := expiryOf(expiry)
	r, err := s.env.OpenRevocation(subject, b.Get([]byte(subject)))
	if err != nil || r.Until.IsZero() || r.Until.After(ended) {
		return false, nil
	}
	if err := s.db.raiseFloor(tx, r.Version); err != nil {
		return false, err
	}
	if err := b.Delete([]byte(subject)); err != nil {
		return false, err
	}
	return true, expiries.Delete(expiry)
}

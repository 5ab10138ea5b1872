package boltstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/store"
)

// Changes are kept for changesKept, which is far longer than any follower in the process can lag,
// and a write removes at most changesTrimmed of them, so that no write pays for many.
const (
	changesKept    = 2 * time.Hour
	changesTrimmed = 16
)

// kindChange names an entry of the feed in a store.RecordError.
const kindChange store.Kind = "change"

// changeForm is a change as it is stored, under its number.
type changeForm struct {
	At   int64  `json:"at"` // Unix seconds
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Head implements store.Changes.
func (s *Store) Head(ctx context.Context) (store.Cursor, error) {
	var head uint64
	err := s.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, bucketChanges)
		if err != nil {
			return err
		}
		head = b.Sequence()
		return nil
	})
	if err != nil {
		return "", err
	}
	return store.Cursor(s.db.cursor(head)), nil
}

// Changes implements store.Changes. Whoever follows the feed calls it again and again, and so learns
// that the file has gone even when nothing is written.
func (s *Store) Changes(ctx context.Context, after store.Cursor, limit int) ([]store.Change, store.Cursor, error) {
	if limit < 1 {
		return nil, "", errLimit
	}
	if err := s.db.inPlace(); err != nil {
		return nil, "", err
	}
	var changes []store.Change
	next := after
	err := s.db.view(ctx, func(tx *bolt.Tx) error {
		b, err := s.db.bucket(tx, bucketChanges)
		if err != nil {
			return err
		}
		last, err := s.db.sequence(string(after), b.Sequence())
		if err != nil || last == b.Sequence() {
			return err
		}
		changes, last, err = readChanges(b, last, limit)
		next = store.Cursor(s.db.cursor(last))
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return changes, next, nil
}

// readChanges reads from behind last, which is before the newest entry. The entry that follows must
// be there: when it is not, it was trimmed.
func readChanges(b *bolt.Bucket, last uint64, limit int) ([]store.Change, uint64, error) {
	var changes []store.Change
	c := b.Cursor()
	for k, v := c.Seek(sequenceKey(last + 1)); k != nil && len(changes) < limit; k, v = c.Next() {
		n, ok := sequenceOf(k)
		if !ok || n != last+1 {
			break
		}
		form, err := readChange(n, v)
		if err != nil {
			return nil, 0, err
		}
		changes = append(changes, store.Change{Kind: store.Kind(form.Kind), ID: form.ID})
		last = n
	}
	if len(changes) == 0 {
		return nil, 0, store.ErrCursor
	}
	return changes, last, nil
}

func readChange(n uint64, v []byte) (changeForm, error) {
	var form changeForm
	if err := json.Unmarshal(v, &form, json.RejectUnknownMembers(true)); err != nil || form.Kind == "" || form.ID == "" {
		return form, &store.RecordError{
			Kind: kindChange, Key: strconv.FormatUint(n, 10),
			Reason: "it is not a change", Err: store.ErrDamaged,
		}
	}
	return form, nil
}

// appendChange adds a change to the feed and trims what has become old.
func (s *Store) appendChange(tx *bolt.Tx, c store.Change) error {
	b, err := s.db.bucket(tx, bucketChanges)
	if err != nil {
		return err
	}
	now := s.db.now()
	v, err := json.Marshal(changeForm{At: now.Unix(), Kind: string(c.Kind), ID: c.ID})
	if err != nil {
		return fmt.Errorf("boltstore: change of %s: %w", c.Kind, err)
	}
	if err := trimChanges(b, now.Add(-changesKept)); err != nil {
		return err
	}
	return appendTo(b, v)
}

// trimChanges removes at most changesTrimmed entries that are older than before. The numbers go on:
// the bucket remembers the last one by itself.
func trimChanges(b *bolt.Bucket, before time.Time) error {
	c := b.Cursor()
	for range changesTrimmed {
		k, v := c.First()
		if k == nil {
			return nil
		}
		n, _ := sequenceOf(k)
		form, err := readChange(n, v)
		if err != nil {
			return err
		}
		if form.At >= before.Unix() {
			return nil
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// appendTo stores v under the bucket's next number.
func appendTo(b *bolt.Bucket, v []byte) error {
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	b.FillPercent = 0.9 // numbers only grow, so a page is not written again once it is split off
	return b.Put(sequenceKey(n), v)
}

package boltstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/store"
)

// fileFormat is the format of the file: its buckets and their keys. Records count their own. A file
// of format 1 has no revocations; it is made one of format 2 when it is opened.
const fileFormat = 2

// movingFormat is that of a file in which a namespace is not in use: see moving.go. Its layout is that of
// fileFormat, but earlier versions of the program would go on with what goes on elsewhere.
const movingFormat = 3

// The buckets at the top: one that describes the file, and one per namespace, whose name has a
// prefix so that no namespace can be taken for the former.
var (
	fileBucket      = []byte("file")
	namespacePrefix = "namespace/"
)

// The keys of the file's bucket.
var (
	keyFormat = []byte("format") // decimal
	keyEpoch  = []byte("epoch")  // random text
)

// The buckets of a namespace. The kinds of record and the credential index are keyed by their
// identifiers as they are, which makes their order bytewise.
var (
	bucketGenesis     = []byte("genesis")
	bucketClients     = []byte("clients")
	bucketResources   = []byte("resources")
	bucketRings       = []byte("rings")
	bucketCredentials = []byte("credentials")
	bucketChanges     = []byte("changes")
	bucketAudit       = []byte("audit")

	// Since format 2.
	bucketRevocations = []byte("revocations")
	bucketExpiries    = []byte("expiries")
)

// prepare makes the buckets of a new file or namespace and checks those of an old one, which is then
// only read, unless it is of an earlier format, which is upgraded. It returns the format that the file
// had, 0 for none. Where nothing may be made, what is missing is ErrNoInstallation.
func (db *DB) prepare() (format int, err error) {
	whole := false
	err = db.viewAnyway(context.Background(), func(tx *bolt.Tx) (err error) {
		if tx.Bucket(fileBucket) == nil {
			return onlyIfEmpty(tx)
		}
		if format, err = db.readFile(tx); err != nil {
			return err
		}
		whole, err = db.hasBuckets(tx, format)
		return err
	})
	if err != nil || whole && format >= fileFormat {
		return format, err
	}
	if !whole && !db.make {
		return format, fmt.Errorf("it has no namespace %s: %w", db.ns, ErrNoInstallation)
	}
	return format, db.updateAnyway(context.Background(), func(tx *bolt.Tx) error {
		if err := toCurrentFormat(tx, format); err != nil {
			return err
		}
		if !whole {
			if err := db.makeBuckets(tx); err != nil {
				return err
			}
		}
		_, err := db.readFile(tx)
		return err
	})
}

// toCurrentFormat makes the file, or makes one of format 1 one of format 2: all of its namespaces in
// one transaction, so that a part that is missing later is damage and was not yet to be made.
func toCurrentFormat(tx *bolt.Tx, format int) error {
	switch format {
	case 0:
		return makeFile(tx)
	case 1:
		return upgradeFile(tx)
	}
	return nil
}

func upgradeFile(tx *bolt.Tx) error {
	var namespaces []*bolt.Bucket
	if err := tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		if bytes.HasPrefix(name, []byte(namespacePrefix)) {
			namespaces = append(namespaces, b)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, ns := range namespaces {
		for _, name := range [][]byte{bucketRevocations, bucketExpiries} {
			if _, err := ns.CreateBucket(name); err != nil { // one that is there would be of a later format
				return fmt.Errorf("cannot make bucket %s in a file of format 1: %w: %w", name, err, store.ErrDamaged)
			}
		}
	}
	return tx.Bucket(fileBucket).Put(keyFormat, strconv.AppendInt(nil, fileFormat, 10))
}

// onlyIfEmpty keeps us from adding our buckets to another program's file.
func onlyIfEmpty(tx *bolt.Tx) error {
	if name, _ := tx.Cursor().First(); name != nil {
		return errors.New("it is a bbolt file of another program")
	}
	return nil
}

func makeFile(tx *bolt.Tx) error {
	b, err := tx.CreateBucket(fileBucket)
	if err != nil {
		return err
	}
	return errors.Join(
		b.Put(keyFormat, strconv.AppendInt(nil, fileFormat, 10)),
		b.Put(keyEpoch, []byte(rand.Text())),
	)
}

func (db *DB) readFile(tx *bolt.Tx) (format int, err error) {
	b := tx.Bucket(fileBucket)
	format, err = strconv.Atoi(string(b.Get(keyFormat)))
	if err != nil || format < 1 {
		return 0, fmt.Errorf("it has no format: %w", store.ErrDamaged)
	}
	if format > movingFormat {
		return 0, fmt.Errorf("it has format %d, this version of the program knows up to %d: %w", format, movingFormat, store.ErrNewerFormat)
	}
	db.epoch = string(b.Get(keyEpoch))
	if db.epoch == "" {
		return 0, fmt.Errorf("it has no epoch: %w", store.ErrDamaged)
	}
	return format, nil
}

// hasBuckets reports whether the namespace exists in a file of that format. It was made whole, so it
// is damaged if a part is missing; to make that part again would turn its records into absent ones.
func (db *DB) hasBuckets(tx *bolt.Tx, format int) (bool, error) {
	if tx.Bucket(db.name()) == nil {
		return false, nil
	}
	for _, name := range namespaceBuckets(format) {
		if _, err := db.bucket(tx, name); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (db *DB) makeBuckets(tx *bolt.Tx) error {
	ns, err := tx.CreateBucket(db.name())
	if err != nil {
		return err
	}
	for _, name := range namespaceBuckets(fileFormat) {
		if _, err := ns.CreateBucket(name); err != nil {
			return err
		}
	}
	return nil
}

// namespaceBuckets returns the buckets of each namespace in a file of that format.
func namespaceBuckets(format int) [][]byte {
	names := [][]byte{
		bucketGenesis, bucketClients, bucketResources, bucketRings, bucketCredentials, bucketChanges, bucketAudit,
	}
	if format > 1 {
		names = append(names, bucketRevocations, bucketExpiries)
	}
	return names
}

func (db *DB) name() []byte { return append([]byte(namespacePrefix), db.ns...) }

// bucket returns a bucket of the namespace. OpenDB has seen to it that it exists, so a missing one
// is damage: were it taken for an empty one, every record in it would seem to be absent.
func (db *DB) bucket(tx *bolt.Tx, name []byte) (*bolt.Bucket, error) {
	if ns := tx.Bucket(db.name()); ns != nil {
		if b := ns.Bucket(name); b != nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("boltstore: bucket %s of namespace %s is missing: %w", name, db.ns, store.ErrDamaged)
}

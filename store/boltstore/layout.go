package boltstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/store"
)

// fileFormat is the format of the file: its buckets and their keys. Records count their own.
const fileFormat = 1

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

// The buckets of a namespace. The three kinds of record and the credential index are keyed by their
// identifiers as they are, which makes their order bytewise.
var (
	bucketGenesis     = []byte("genesis")
	bucketClients     = []byte("clients")
	bucketResources   = []byte("resources")
	bucketRings       = []byte("rings")
	bucketCredentials = []byte("credentials")
	bucketChanges     = []byte("changes")
	bucketAudit       = []byte("audit")
)

// prepare makes the buckets of a new file or namespace and checks those of an old one, which is then
// only read. Where nothing may be made, what is missing is ErrNoInstallation.
func (db *DB) prepare() error {
	ready := false
	err := db.view(context.Background(), func(tx *bolt.Tx) (err error) {
		if tx.Bucket(fileBucket) == nil {
			return onlyIfEmpty(tx)
		}
		if err := db.readFile(tx); err != nil {
			return err
		}
		ready, err = db.hasBuckets(tx)
		return err
	})
	if err != nil || ready {
		return err
	}
	if !db.make {
		return fmt.Errorf("it has no namespace %s: %w", db.ns, ErrNoInstallation)
	}
	return db.update(context.Background(), func(tx *bolt.Tx) error {
		if tx.Bucket(fileBucket) == nil {
			if err := makeFile(tx); err != nil {
				return err
			}
		}
		if err := db.makeBuckets(tx); err != nil {
			return err
		}
		return db.readFile(tx)
	})
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

func (db *DB) readFile(tx *bolt.Tx) error {
	b := tx.Bucket(fileBucket)
	format, err := strconv.Atoi(string(b.Get(keyFormat)))
	if err != nil || format < 1 {
		return fmt.Errorf("it has no format: %w", store.ErrDamaged)
	}
	if format > fileFormat {
		return fmt.Errorf("it has format %d, this version of the program knows up to %d: %w", format, fileFormat, store.ErrNewerFormat)
	}
	db.epoch = string(b.Get(keyEpoch))
	if db.epoch == "" {
		return fmt.Errorf("it has no epoch: %w", store.ErrDamaged)
	}
	return nil
}

// hasBuckets reports whether the namespace exists. It was made whole, so it is damaged if a part is
// missing; to make that part again would turn its records into absent ones.
func (db *DB) hasBuckets(tx *bolt.Tx) (bool, error) {
	if tx.Bucket(db.name()) == nil {
		return false, nil
	}
	for _, name := range namespaceBuckets() {
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
	for _, name := range namespaceBuckets() {
		if _, err := ns.CreateBucket(name); err != nil {
			return err
		}
	}
	return nil
}

func namespaceBuckets() [][]byte {
	return [][]byte{
		bucketGenesis, bucketClients, bucketResources, bucketRings, bucketCredentials, bucketChanges, bucketAudit,
	}
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

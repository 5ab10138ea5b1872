package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/store"
)

// copySuffix makes the name that a copy has for a moment from the file's.
const copySuffix = ".copy"

// maxCopies is how many copies may be open: each takes as much room as the file, for as long as its taker likes.
const maxCopies = 2

// ErrCopies says that as many copies are open as may be.
var ErrCopies = errors.New("boltstore: two backups are being taken already")

// Copy is what Backup made, read from its beginning. It is gone when it is closed: it lies beside the file, and has
// no name.
type Copy struct {
	*os.File
	closed func()
}

// Close lets another copy be made.
func (c *Copy) Close() error {
	c.closed()
	return c.File.Close()
}

// Backup records e, and then copies the file as it is at one instant, e included. Callers take turns, and the error is
// ErrCopies when too many copies are open. room is asked, unless it is nil, whether so many octets may be
// taken on the disk, when nobody else can take them in the same way; its error is Backup's. A copy that
// could not be made leaves the entry.
//
// It does not read the file to whoever wants the backup: a reading transaction keeps every write waiting that
// has to map more of the file, and every read behind that write, and a caller can be as slow as he likes. The
// transaction lasts as long as one copy on the same disk takes.
func (db *DB) Backup(ctx context.Context, e audit.Entry, room func(size int64) error) (_ *Copy, err error) {
	select {
	case db.copies <- struct{}{}:
	default:
		return nil, ErrCopies
	}
	release := sync.OnceFunc(func() { <-db.copies })
	defer func() {
		if err != nil {
			release()
		}
	}()
	select {
	case db.copying <- struct{}{}:
		defer func() { <-db.copying }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if room != nil {
		info, err := os.Stat(db.path)
		if err == nil {
			err = room(info.Size())
		}
		if err != nil {
			return nil, err
		}
	}
	if err := db.Note(ctx, e); err != nil {
		return nil, err
	}
	to, err := unnamed(db.path + copySuffix)
	if err != nil {
		return nil, fmt.Errorf("boltstore: cannot make a copy beside %s: %w", db.path, err)
	}
	err = db.view(ctx, func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(inPieces{cancelable(ctx, to)})
		return err
	})
	if err == nil {
		err = db.inPlace()
	}
	if err == nil {
		_, err = to.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boltstore: copy %s: %w", db.path, err), to.Close())
	}
	return &Copy{to, release}, nil
}

// unnamed makes a file that has no name any more, so that none is left of a process that is killed. Whatever has
// the name was left there between the two steps.
func unnamed(name string) (*os.File, error) {
	if err := removeDraft(name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// copied is how many octets are copied at a time.
const copied = 1 << 20

// cancelable writes to a file until ctx ends.
func cancelable(ctx context.Context, to io.Writer) writeFunc {
	return func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return to.Write(b)
	}
}

type writeFunc func(b []byte) (int, error)

// Write implements io.Writer.
func (w writeFunc) Write(b []byte) (int, error) { return w(b) }

// inPieces is an io.ReaderFrom, so that io.Copy reads larger pieces than it does by itself.
type inPieces struct{ writeFunc }

// ReadFrom implements io.ReaderFrom.
func (w inPieces) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(w.writeFunc, r, make([]byte, copied))
}

// OpenBackup opens a file for reading, whoever else may read it, and changes nothing: neither is its format
// upgraded. The error is ErrLocked when a process has it open to write, ErrNoInstallation when it has no such
// namespace, store.ErrClosed when that goes on elsewhere, and store.ErrDamaged when it is no whole file of ours.
func OpenBackup(config Config) (*DB, error) {
	if err := store.CheckNamespace(config.Namespace); err != nil {
		return nil, err
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	config.MustExist = true
	db := newDB(config)
	db.readOnly = true
	if err := db.open(config); err != nil {
		return nil, err
	}
	err := db.viewAnyway(context.Background(), db.readBackup)
	if err == nil {
		err = db.findState(false)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boltstore: %s: %w", config.Path, err), db.Close())
	}
	return db, nil
}

func (db *DB) readBackup(tx *bolt.Tx) error {
	if tx.Bucket(fileBucket) == nil {
		return errors.New("it is no file of this program's store")
	}
	format, err := db.readFile(tx)
	if err != nil {
		return err
	}
	there, err := db.hasBuckets(tx, format)
	if err == nil && !there {
		err = fmt.Errorf("it has no namespace %s: %w", db.ns, ErrNoInstallation)
	}
	return err
}

// Check reads all of the file, and finds out whether its pages fit together: neither missing, nor used twice,
// nor lost. Records are not authenticated: Inspect does that. The file must not be written to meanwhile, and
// holds no namespace but the one that is open, or the error says so.
func (db *DB) Check(ctx context.Context) error {
	return db.view(ctx, func(tx *bolt.Tx) error {
		if err := db.alone(tx); err != nil {
			return err
		}
		// Once under our own guard: bbolt's check runs on a goroutine of its own, where a page that cannot be
		// read ends the process.
		if err := readWhole(ctx, tx); err != nil {
			return err
		}
		var first error
		for err := range tx.Check() { // to its end, or it would wait for ever
			if first == nil {
				first = fmt.Errorf("%w: %w", store.ErrDamaged, err)
			}
		}
		return first
	})
}

// alone refuses a file of several installations.
func (db *DB) alone(tx *bolt.Tx) error {
	return tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if string(name) != string(fileBucket) && string(name) != string(db.name()) {
			return fmt.Errorf("boltstore: the file also holds %q, which would go unchecked", name)
		}
		return nil
	})
}

func readWhole(ctx context.Context, tx *bolt.Tx) error {
	var last byte
	var read func(b *bolt.Bucket) error
	read = func(b *bolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if v == nil {
				inner := b.Bucket(k)
				if inner == nil {
					return fmt.Errorf("bucket %q cannot be read: %w", k, store.ErrDamaged)
				}
				return read(inner)
			}
			for i := 0; i < len(v); i += 512 { // each page of it
				last ^= v[i]
			}
			return nil
		})
	}
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return read(b) })
}

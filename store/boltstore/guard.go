package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/marque-auth/marque/store"
)

// view runs fn in a read transaction, unless ctx has ended, or the namespace is not in use.
func (db *DB) view(ctx context.Context, fn func(*bolt.Tx) error) error {
	if away := db.away.Load(); away != nil && ctx.Err() == nil {
		return *away
	}
	return db.viewAnyway(ctx, fn)
}

// viewAnyway is view for a Mover, and for opening.
func (db *DB) viewAnyway(ctx context.Context, fn func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return db.guarded(func() error { return db.bolt.View(fn) })
}

// update runs fn in the one write transaction and commits it if fn returns nil, unless the namespace is not in
// use.
func (db *DB) update(ctx context.Context, fn func(*bolt.Tx) error) error {
	return db.updateAnyway(ctx, func(tx *bolt.Tx) error {
		s, err := db.state(tx)
		if err != nil {
			return err
		}
		if !s.InUse() {
			return db.fault(s.Err())
		}
		return fn(tx)
	})
}

// updateAnyway is update for a Mover, and for opening. It waits for its
// turn as long as ctx allows; once the turn has come, ctx is asked a last time. What went to a file
// that is no longer in its place is not acknowledged.
func (db *DB) updateAnyway(ctx context.Context, fn func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case db.turn <- struct{}{}:
		defer func() { <-db.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	committing := false
	err := db.guarded(func() error {
		return db.bolt.Update(func(tx *bolt.Tx) error {
			err := fn(tx)
			committing = err == nil
			return err
		})
	})
	switch {
	case err == nil:
		return db.inPlace()
	case committing:
		return withErrno(err)
	}
	return err
}

// guarded runs a transaction. A panic in it becomes a fault, and so does everything after it: bbolt
// does not promise that its locks are free and its pages right once it has panicked, so the next
// call might wait for ever, or write on sand.
func (db *DB) guarded(fn func() error) error {
	if broken := db.broken.Load(); broken != nil {
		return *broken
	}
	err := withoutPanic(fn)
	if p := (*panicError)(nil); errors.As(err, &p) {
		db.broken.CompareAndSwap(nil, &err)
	}
	return err
}

// inPlace returns an error once the open file is no longer what lies at its path: what is written to
// it would be gone at the next start, and its lock keeps nobody from what took its place. That lasts,
// even if the file is put back: others may have had it by then. A look that fails proves nothing and
// is an error of this call alone.
func (db *DB) inPlace() error {
	there, err := os.Stat(db.path)
	switch {
	case err == nil && os.SameFile(there, db.info):
		return nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("boltstore: cannot see whether the file is still in its place: %w", err)
	}
	err = fmt.Errorf("boltstore: %s was removed or replaced while it was in use; start again: %w", db.path, store.ErrDamaged)
	db.broken.CompareAndSwap(nil, &err)
	return err
}

// systemErrors are what a system says of a file that takes no write, for now or for good.
var systemErrors = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EIO, syscall.EROFS, syscall.EPERM, syscall.EACCES, syscall.ENOMEM}

// withErrno adds what the system said to an error of bbolt's that has it in its text alone: bbolt speaks so of a file
// that cannot grow, or cannot be synced after that. A full disk would look like a fault of this program otherwise.
func withErrno(err error) error {
	if errors.As(err, new(syscall.Errno)) {
		return err
	}
	for _, errno := range systemErrors {
		if strings.HasSuffix(err.Error(), ": "+errno.Error()) {
			return &systemError{err, errno}
		}
	}
	return err
}

// systemError is an error with its cause, which its text names already.
type systemError struct {
	err   error
	cause syscall.Errno
}

func (e *systemError) Error() string { return "boltstore: " + e.err.Error() }

// Unwrap returns both.
func (e *systemError) Unwrap() []error { return []error{e.err, e.cause} }

// panicError is what a panic of bbolt becomes.
type panicError struct{ value any }

func (e *panicError) Error() string {
	what := fmt.Sprint(e.value)
	if _, ok := e.value.(runtime.Error); ok {
		what = "a page could not be read" // Go's words for it, of pointers and faults, help no operator
	}
	return "boltstore: the file is damaged, restore it from a backup: " + what
}

// Unwrap makes it a store.ErrDamaged.
func (e *panicError) Unwrap() error { return store.ErrDamaged }

// withoutPanic runs fn and returns a panic as a *panicError: bbolt panics where a page is not what
// it should be, and a file that was cut off raises a memory fault, because bbolt maps it. A server
// must be able to say that its store is damaged rather than die of it.
func withoutPanic(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p}
		}
	}()
	return fn()
}

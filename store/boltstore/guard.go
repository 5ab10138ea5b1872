package boltstore

import (
	"fmt"
	"runtime/debug"

	"github.com/marque-auth/marque/store"
)

// guarded runs fn and turns a panic into a fault: bbolt panics where a page is not what it should
// be, and a file that was cut off raises a memory fault, because bbolt maps it. Transactions roll
// back on the way. A server must be able to say that its store is damaged rather than die of it.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("boltstore: the file is damaged: %v: %w", p, store.ErrDamaged)
		}
	}()
	return fn()
}

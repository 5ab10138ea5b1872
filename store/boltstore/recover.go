package boltstore

import (
	"fmt"

	"github.com/marque-auth/marque/store"
)

// recovered turns a panic of bbolt, which is how it reports a page that is not what it should be,
// into a fault. The transaction has been rolled back by then.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("boltstore: the file is damaged: %v: %w", p, store.ErrDamaged)
	}
}

package store

import (
	"context"
	"time"
)

// Clock is a clock that all servers of a store share: the store's own. A store that only one server uses
// has none. Its method may be called concurrently.
type Clock interface {
	// Clock returns what the clock showed at some instant between the call and its return.
	Clock(ctx context.Context) (time.Time, error)
}

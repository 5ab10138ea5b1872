package store

import "context"

// Waiter is a feed that says when there is more, so that nobody has to look again and again. Its method
// may be called concurrently.
type Waiter interface {
	// Wait returns nil when there may be a change after the cursor, and else waits. It returns an error
	// when it cannot say, and soon after ctx has ended.
	Wait(ctx context.Context, after Cursor) error
}

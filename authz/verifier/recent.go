package verifier

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxRecent bounds what is remembered: about 1 MiB. Who has more callers at a time asks again.
const maxRecent = 10_000

// recent remembers tokens, each until a time of its own, and forgets the oldest for a new one. They
// are known by a hash of all their bytes: nothing that merely looks like one of them is found. The zero
// value is empty. It is safe for concurrent use.
type recent struct {
	mu    sync.Mutex // guards what follows
	until map[[sha256.Size]byte]time.Time
	order [][sha256.Size]byte // the keys of until; full, it is a ring that begins at next
	next  int
}

func (r *recent) has(compact string, now time.Time) bool {
	key := sha256.Sum256([]byte(compact))
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[key])
}

func (r *recent) add(compact string, until time.Time) {
	key := sha256.Sum256([]byte(compact))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until = map[[sha256.Size]byte]time.Time{}
	}
	if _, known := r.until[key]; !known {
		if len(r.order) < maxRecent {
			r.order = append(r.order, key)
		} else {
			delete(r.until, r.order[r.next])
			r.order[r.next] = key
			r.next = (r.next + 1) % maxRecent
		}
	}
	r.until[key] = until
}

package verifier

import (
	"crypto/sha256"
	"sync"
)

// maxRecent bounds how many tokens are remembered that the issuer called active: about 1 MiB. Who has more
// callers at a time asks again.
const maxRecent = 10_000

// fingerprint is a hash of all the bytes of a token: nothing that merely looks like it has the same.
type fingerprint = [sha256.Size]byte

// fingerprintOf allocates nothing for a token of ordinary length.
func fingerprintOf(compact string) fingerprint {
	var room [1 << 10]byte
	return sha256.Sum256(append(room[:0], compact...))
}

// recent remembers something of tokens, and forgets the oldest for a new one. It is safe for concurrent use.
type recent[V any] struct {
	most int // tokens; at least 1

	mu    sync.Mutex // guards what follows
	known map[fingerprint]V
	order []fingerprint // the keys of known; full, it is a ring that begins at next
	next  int
}

func (r *recent[V]) get(key fingerprint) (v V, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok = r.known[key]
	return v, ok
}

func (r *recent[V]) put(key fingerprint, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[fingerprint]V{}
	}
	if _, known := r.known[key]; !known {
		if len(r.order) < r.most {
			r.order = append(r.order, key)
		} else {
			delete(r.known, r.order[r.next])
			r.order[r.next] = key
			r.next = (r.next + 1) % r.most
		}
	}
	r.known[key] = v
}

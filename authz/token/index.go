package token

import (
	"sync"
	"time"
)

// Index is what is revoked now, in memory: fed from the store's records and its change feed, asked
// wherever there is no time for a question to the store. It is safe for concurrent use.
type Index struct {
	mu      sync.RWMutex
	entries map[Subject]Revocation
	owners  map[Subject]string
	counts  map[string]int
	keys    map[string]bool
	loaded  bool
}

// NewIndex returns an Index that was never loaded.
func NewIndex() *Index {
	return &Index{entries: map[Subject]Revocation{}, owners: map[Subject]string{}, counts: map[string]int{}}
}

// Indexed is a revocation and, for a jti, the client that it counts for.
type Indexed struct {
	Revocation
	Client string
}

// Set puts the revocation of a subject in place of what was known of it.
func (x *Index) Set(r Indexed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(r.Subject)
	x.entries[r.Subject] = r.Revocation
	if r.Kind == RevokedJTI && r.Client != "" {
		x.owners[r.Subject] = r.Client
		x.counts[r.Client]++
	}
}

// Remove forgets the revocation of a subject.
func (x *Index) Remove(s Subject) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(s)
}

func (x *Index) remove(s Subject) {
	if owner, ok := x.owners[s]; ok {
		x.counts[owner]--
		delete(x.owners, s)
	}
	delete(x.entries, s)
}

// SetKeys says which signing keys are revoked, whatever revocations of their kid say.
func (x *Index) SetKeys(kids []string) {
	keys := make(map[string]bool, len(kids))
	for _, kid := range kids {
		keys[kid] = true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keys = keys
}

// Replace puts all in place of everything that Set had put there, at once, and marks the Index as
// loaded.
func (x *Index) Replace(all []Indexed) {
	fresh := NewIndex()
	for _, r := range all {
		fresh.Set(r)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries, x.owners, x.counts, x.loaded = fresh.entries, fresh.owners, fresh.counts, true
}

// Loaded reports whether the Index ever held everything. Until then it knows nothing, and nothing may
// be concluded from its silence.
func (x *Index) Loaded() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.loaded
}

// Revocation implements Known.
func (x *Index) Revocation(s Subject) (Revocation, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if s.Kind == RevokedKey && x.keys[s.Value] {
		return Revocation{Subject: s}, true
	}
	r, ok := x.entries[s]
	return r, ok
}

// Stored is Revocation without what SetKeys said.
func (x *Index) Stored(s Subject) (Revocation, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok := x.entries[s]
	return r, ok
}

// Tokens returns how many single tokens of a client are revoked and not yet forgotten.
func (x *Index) Tokens(client string) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.counts[client]
}

// Len returns how many revocations are held.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.entries)
}

// Sweep forgets what may be forgotten at now. Call it about once a minute.
func (x *Index) Sweep(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for s, r := range x.entries {
		if !r.Until.IsZero() && !now.Before(r.Until) {
			x.remove(s)
		}
	}
}

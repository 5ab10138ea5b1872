package token

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"
)

// Index is what is revoked now, in memory: fed from the store's records and its change feed, asked
// wherever there is no time for a question to the store. It is safe for concurrent use: whoever asks
// takes no lock and waits for nobody; whoever changes it waits for other changes.
type Index struct {
	table   atomic.Pointer[table]               // never nil
	revoked atomic.Pointer[map[string]struct{}] // kids that are, by SetKeys; never nil, the map is immutable
	loaded  atomic.Bool
	changed atomic.Uint64 // see Generation
	listed  bool          // see NewListedIndex

	mu sync.Mutex // held by whoever changes table
}

// NewIndex returns an Index that was never loaded. Empty, it takes 64 KiB; see table.
func NewIndex() *Index {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails: it would end the program
	return newIndex(key)
}

// Beside returns an empty Index that Absorb can put x into.
func (x *Index) Beside() *Index { return newIndex(x.table.Load().key) }

func newIndex(key [16]byte) *Index {
	x := &Index{}
	x.table.Store(newTable(x, key, 0))
	x.revoked.Store(&map[string]struct{}{})
	return x
}

// Indexed is a revocation and, for a jti, the client that it counts for.
type Indexed struct {
	Revocation
	Client  string
	Version uint64 // as the store counts what is said of the subject; kept by a listed Index alone
}

// Set puts the revocation of a subject in place of what was known of it. Fractions of seconds, which
// a Revocation does not have, would be rounded so that it withdraws more, and for longer.
func (x *Index) Set(r Indexed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	if t.full() {
		t = t.roomier()
	}
	t.set(r)
	x.table.Store(t)
	x.changed.Add(1)
}

// Absorb adds what Set has put into other: of a subject that both know, x withdraws from then on what either did
// (Revocation.Merge). One of the two was made by Beside of the other, or both by Beside of a third. It does not work for
// a listed Index. Nobody may change other meanwhile but by Sweep.
func (x *Index) Absorb(other *Index) {
	other.mu.Lock()
	from := other.table.Load()
	other.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	t.kinds.Or(from.kinds.Load()) // before the entries are there
	for i := range from.slots {
		for _, e := range from.slots[i].entries() {
			if t.full() {
				t = t.roomier()
			}
			t.absorb(e)
		}
	}
	x.table.Store(t)
	x.changed.Add(1)
}

// Remove forgets the revocation of a subject.
func (x *Index) Remove(s Subject) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.table.Load().remove(s)
}

// SetKeys says which signing keys are revoked, whatever revocations of their kid say, and whatever
// Replace does.
func (x *Index) SetKeys(kids []string) {
	revoked := make(map[string]struct{}, len(kids))
	for _, kid := range kids {
		revoked[kid] = struct{}{}
	}
	x.revoked.Store(&revoked)
	x.changed.Add(1)
}

// Replace puts all in place of everything that Set had put there, at once, and marks the Index as
// loaded. A Void that runs meanwhile judges by what was there before or by what is there after, never
// by some of both. A Set that is called meanwhile waits, and is not lost.
func (x *Index) Replace(all []Indexed) {
	x.mu.Lock()
	defer x.mu.Unlock()
	fresh := newTable(x, x.table.Load().key, len(all))
	if x.listed {
		fresh.texts = newTexts()
	}
	for i := range all {
		fresh.set(all[i])
	}
	x.table.Store(fresh)
	x.changed.Add(1)
	x.loaded.Store(true)
}

// Generation counts what may have made a token void: what Void said of a token, after Generation was
// asked, holds as long as that answers the same. A change counts before the method that made it returns.
func (x *Index) Generation() uint64 { return x.changed.Load() }

// Loaded reports whether the Index ever held everything. Until then it knows nothing, and nothing may
// be concluded from its silence.
func (x *Index) Loaded() bool { return x.loaded.Load() }

// Revocation implements Known.
func (x *Index) Revocation(s Subject) (Revocation, bool) { return x.table.Load().Revocation(s) }

// Stored is Revocation without what SetKeys said.
func (x *Index) Stored(s Subject) (Revocation, bool) { return x.table.Load().stored(s) }

// Tokens returns how many single tokens of a client are revoked and not yet forgotten.
func (x *Index) Tokens(client string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	return int(t.counts[t.owner(client)])
}

// Len returns how many revocations are held, without those of SetKeys.
func (x *Index) Len() int { return int(x.table.Load().size.Load()) }

// sweepStep is how many slots of a table are swept before others may change it (or a part of as much, in a
// table of few: see part): with a million revocations some 4,000, well under a millisecond.
const sweepStep = 1 << 10

// Sweep forgets what may be forgotten at now. Call it about once a minute. Nobody who asks waits for
// it, and other changes wait for one of its short steps only.
func (x *Index) Sweep(now time.Time) {
	for from := 0; from < slots; from += sweepStep {
		x.mu.Lock()
		x.table.Load().sweep(from, from+sweepStep, now)
		x.mu.Unlock()
	}
}

package token

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// A table has fewSlots until it holds more than fewEntries, and then slots: it grows once, so that a server with
// few revocations does not pay for a million. Moving so few entries takes some 15 ms, for which
// changes wait. It never grows again: that would hold up every change for as long as it takes to move a
// million entries, most of a second, and for that time need the memory twice. A slot holds four entries when there are a
// million, and beyond that a lookup becomes slower by their number. Empty slots cost 16 bytes each, and as
// much again, because the garbage collector lets so much more garbage lie about.
const (
	slots      = 1 << 18
	fewSlots   = 1 << 12
	fewEntries = 4 * fewSlots
)

// table maps subjects to revocations. Who reads it takes no lock: a slot points at a list that is
// never changed, only replaced, so that what is found is whole and as somebody set it. The lists hold
// no pointers, so that the garbage collector need not look at a million entries time and again.
//
// A change needs Index.mu. It is there for every lookup that begins after the change returned.
type table struct {
	index  *Index
	key    [16]byte
	counts map[digest]int32 // entries by owner; none is 0; guarded by Index.mu
	size   atomic.Int64
	kinds  atomic.Uint32 // of which there ever was an entry: see kindBit
	texts  *texts        // nil unless the Index is listed; guarded by Index.mu
	slots  []slot
	shift  uint8 // what is left of 64 bits is the number of a slot
}

// slot holds the entries whose digests end alike. Most lookups find nothing, and the hints spare nearly all of
// those the way to the list, which in a large table costs more than all else.
type slot struct {
	hints atomic.Uint64 // of every entry; stored after list, and meanwhile it has those of all that stays
	list  atomic.Pointer[[]entry]
}

// entry is one revocation. Its times are Unix seconds, which tell every time from every other one: the
// zero Time is that of the year 1, and is the zero Time again when it is read.
type entry struct {
	subject              digest
	owner                digest // whom a jti counts for; zero: nobody
	since, before, until int64
}

// digest stands for a subject, or an owner: 128 bits of SHA-256 under a random key that never leaves the process.
//
// Two subjects with one digest would be one to the table: a good token could be taken for a revoked
// one, which is on the safe side, or a new revocation could take the place of another, which is not.
// Among a million revocations the chance that any two collide is 2^-89, and it would take 2^64 of
// them to expect one. Nobody can do better by choosing names, not knowing the key (hence not a plain
// hash, which can be searched for collisions at leisure; nor hash/maphash, which promises no more than 64
// bits and nothing against an adversary).
type digest struct{ a, b uint64 }

// newTable returns an empty table with room for so many entries.
func newTable(x *Index, key [16]byte, entries int) *table {
	n := slots
	if entries <= fewEntries {
		n = fewSlots
	}
	return &table{index: x, key: key, counts: map[digest]int32{}, slots: make([]slot, n), shift: uint8(64 - bits.TrailingZeros(uint(n)))}
}

// roomier returns a table with more slots and all that is in t, which from now on must not change.
func (t *table) roomier() *table {
	fresh := newTable(t.index, t.key, fewEntries+1)
	fresh.counts, fresh.texts = t.counts, t.texts
	fresh.size.Store(t.size.Load())
	fresh.kinds.Store(t.kinds.Load())
	for i := range t.slots {
		for _, e := range t.slots[i].entries() {
			slot := fresh.slot(e.subject)
			slot.replace(append(slices.Clip(slot.entries()), e))
		}
	}
	return fresh
}

// full reports whether one entry more is too many for so few slots.
func (t *table) full() bool { return len(t.slots) < slots && t.size.Load() >= fewEntries }

// digest returns that of kind:value, which is Subject.String. It allocates for nothing that is shorter
// than about 500 bytes: no identifier is longer that a token could carry with company.
func (t *table) digest(kind, value string) digest {
	var room [512]byte
	b := append(room[:0], t.key[:]...)
	b = append(b, kind...)
	b = append(b, ':') // no kind contains it
	b = append(b, value...)
	sum := sha256.Sum256(b)
	return digest{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])}
}

func (t *table) subject(s Subject) digest { return t.digest(string(s.Kind), s.Value) }

// kindBit returns a bit of its own for each kind; those that are not known share one.
func kindBit(k RevocationKind) uint32 {
	switch k {
	case RevokedJTI:
		return 1
	case RevokedClient:
		return 2
	case RevokedCredential:
		return 4
	case RevokedKey:
		return 8
	case RevokedResource:
		return 16
	case RevokedAll:
		return 32
	}
	return 64
}

func (t *table) owner(client string) digest { return t.digest("owner", client) }

// slot returns where d belongs.
func (t *table) slot(d digest) *slot { return &t.slots[d.a>>t.shift] }

// part returns the slots that hold what a table of the most slots holds in those between from and to. Whoever
// goes from part to part meets each entry once, also when the table is replaced by one of another size meanwhile.
func (t *table) part(from, to int) []slot {
	each := slots / len(t.slots)
	return t.slots[from/each : to/each]
}

// hint returns one bit of 64, by a part of the digest that does not choose the slot.
func (d digest) hint() uint64 { return 1 << (d.b % 64) }

// entries returns what is in the slot: not to be changed.
func (s *slot) entries() []entry {
	if list := s.list.Load(); list != nil {
		return *list
	}
	return nil
}

// replace puts list, which from now on must not change, in place of what was in the slot.
func (s *slot) replace(list []entry) {
	var hints uint64
	for i := range list {
		hints |= list[i].subject.hint()
	}
	if len(list) == 0 {
		s.list.Store(nil)
	} else {
		s.list.Store(&list)
	}
	s.hints.Store(hints)
}

// find returns the place of d in list, or -1.
func find(list []entry, d digest) int {
	for i := range list {
		if list[i].subject == d {
			return i
		}
	}
	return -1
}

// Revocation implements Known.
func (t *table) Revocation(s Subject) (Revocation, bool) {
	if s.Kind == RevokedKey {
		if _, ok := (*t.index.revoked.Load())[s.Value]; ok {
			return Revocation{Subject: s}, true
		}
	}
	return t.stored(s)
}

// stored is Revocation without what SetKeys said.
func (t *table) stored(s Subject) (Revocation, bool) {
	if t.kinds.Load()&kindBit(s.Kind) == 0 {
		return Revocation{}, false // spares the digest: mostly tokens are revoked, and clients
	}
	d := t.subject(s)
	slot := t.slot(d)
	if slot.hints.Load()&d.hint() == 0 {
		return Revocation{}, false
	}
	list := slot.entries()
	i := find(list, d)
	if i < 0 {
		return Revocation{}, false
	}
	e := &list[i]
	return Revocation{Subject: s, Since: fromSeconds(e.since), Before: fromSeconds(e.before), Until: fromSeconds(e.until)}, true
}

func (t *table) set(r Indexed) {
	e := entry{subject: t.subject(r.Subject), since: r.Since.Unix(), before: secondsUp(r.Before), until: secondsUp(r.Until)}
	if r.Kind == RevokedJTI && r.Client != "" {
		e.owner = t.owner(r.Client)
	}
	t.kinds.Or(kindBit(r.Kind)) // before the entry is there
	slot := t.slot(e.subject)
	old := slot.entries()
	i := find(old, e.subject)
	if i < 0 {
		i = len(old)
		t.size.Add(1)
	} else {
		t.count(old[i].owner, -1)
	}
	list := make([]entry, max(len(old), i+1))
	copy(list, old)
	list[i] = e
	t.count(e.owner, 1)
	t.texts.put(e.subject, r)
	slot.replace(list)
}

// absorb adds an entry of a table with the same key, or makes the one that is there withdraw as much as both.
func (t *table) absorb(e entry) {
	slot := t.slot(e.subject)
	old := slot.entries()
	i := find(old, e.subject)
	if i < 0 {
		t.size.Add(1)
		t.count(e.owner, 1)
		slot.replace(append(slices.Clip(old), e))
		return
	}
	list := slices.Clone(old)
	there := &list[i]
	there.since = min(there.since, e.since) // that of the zero Time is the least
	there.before = laterSecond(there.before, e.before)
	there.until = laterSecond(there.until, e.until)
	slot.replace(list)
}

// laterSecond returns the later of two times, of which the zero Time is the last.
func laterSecond(a, b int64) int64 {
	if never := (time.Time{}).Unix(); a == never || b == never {
		return never
	}
	return max(a, b)
}

func (t *table) remove(s Subject) {
	d := t.subject(s)
	t.drop(t.slot(d), func(e *entry) bool { return e.subject == d })
}

// sweep drops what is in a part and may be forgotten at now.
func (t *table) sweep(from, to int, now time.Time) {
	second, never := now.Unix(), time.Time{}.Unix()
	part := t.part(from, to)
	for i := range part {
		t.drop(&part[i], func(e *entry) bool { return e.until != never && e.until <= second })
	}
}

// drop removes the entries of a slot that are to go.
func (t *table) drop(slot *slot, gone func(*entry) bool) {
	old := slot.entries()
	var going int
	for i := range old {
		if gone(&old[i]) {
			t.count(old[i].owner, -1)
			t.texts.remove(old[i].subject)
			going++
		}
	}
	if going == 0 {
		return
	}
	left := make([]entry, 0, len(old)-going)
	for i := range old {
		if !gone(&old[i]) {
			left = append(left, old[i])
		}
	}
	slot.replace(left)
	t.size.Add(-int64(going))
}

// count adds to the entries of an owner.
func (t *table) count(owner digest, n int32) {
	if owner == (digest{}) {
		return
	}
	if t.counts[owner] += n; t.counts[owner] == 0 {
		delete(t.counts, owner)
	}
}

func fromSeconds(s int64) time.Time { return time.Unix(s, 0).UTC() }

// secondsUp returns the first whole second that is not before t.
func secondsUp(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
}

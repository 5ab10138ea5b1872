package token

import (
	"encoding/binary"
	"iter"
)

// NewListedIndex returns an Index that can also say what it holds: see All. That takes the length of subject
// and client for each revocation, and some 50 bytes more.
func NewListedIndex() *Index {
	x := NewIndex()
	x.listed = true
	x.table.Load().texts = newTexts()
	return x
}

// All returns what a listed Index holds, without what SetKeys said, in no order: each entry that is there
// all the while, and perhaps what comes or goes meanwhile. Of an Index that is not listed it is empty.
func (x *Index) All() iter.Seq[Indexed] {
	return func(yield func(Indexed) bool) {
		for from := 0; from < slots; from += sweepStep {
			for _, r := range x.some(from, from+sweepStep) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// some returns what is in a part of the table.
func (x *Index) some(from, to int) []Indexed {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	var all []Indexed
	part := t.part(from, to)
	for i := range part {
		for _, e := range part[i].entries() {
			if r, ok := t.texts.of(e.subject); ok {
				r.Since, r.Before, r.Until = fromSeconds(e.since), fromSeconds(e.before), fromSeconds(e.until)
				all = append(all, r)
			}
		}
	}
	return all
}

// Held is Stored, with client and version if the Index is listed. It waits for whoever changes the Index.
func (x *Index) Held(s Subject) (Indexed, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.table.Load()
	stored, ok := t.stored(s)
	if !ok {
		return Indexed{}, false
	}
	r, _ := t.texts.of(t.subject(s))
	r.Revocation = stored
	return r, true
}

// pieceBits says how long the pieces of texts are: 1 MiB.
const pieceBits = 20

// texts is what the digests of a table stand for. A text for each would give the garbage collector a
// million pointers to follow, so they lie one after the other in a few long pieces. Who uses it holds
// Index.mu. A nil texts holds nothing.
type texts struct {
	places     map[digest]uint64 // which piece, and where in it
	pieces     [][]byte
	live, dead int // octets that are, and no longer are, of an entry
}

func newTexts() *texts { return &texts{places: map[digest]uint64{}} }

// put notes what d stands for.
func (t *texts) put(d digest, r Indexed) {
	if t == nil {
		return
	}
	t.remove(d)
	var room [512]byte
	b := appendText(room[:0], r.Subject.String())
	b = appendText(b, r.Client)
	b = binary.AppendUvarint(b, r.Version)
	t.add(d, b)
}

func (t *texts) add(d digest, b []byte) {
	n := len(t.pieces)
	if n == 0 || len(t.pieces[n-1])+len(b) > 1<<pieceBits {
		t.pieces = append(t.pieces, make([]byte, 0, max(len(b), 1<<pieceBits)))
		n++
	}
	last := &t.pieces[n-1]
	t.places[d] = uint64(n-1)<<pieceBits | uint64(len(*last))
	*last = append(*last, b...)
	t.live += len(b)
}

// remove forgets what d stands for.
func (t *texts) remove(d digest) {
	if t == nil {
		return
	}
	if b := t.octets(d); b != nil {
		t.live -= len(b)
		t.dead += len(b)
		delete(t.places, d)
		t.compact()
	}
}

// compact moves everything into new pieces, without what is dead, if that is more. For half a million
// entries it takes some 0.2 s, once in as many removals.
func (t *texts) compact() {
	if t.dead <= t.live+1<<pieceBits {
		return
	}
	fresh := newTexts()
	for d := range t.places {
		fresh.add(d, t.octets(d))
	}
	*t = *fresh
}

// octets returns what put wrote for d; nil for nothing.
func (t *texts) octets(d digest) []byte {
	at, ok := t.places[d]
	if !ok {
		return nil
	}
	all := t.pieces[at>>pieceBits][at&(1<<pieceBits-1):]
	rest := afterText(afterText(all))
	_, n := binary.Uvarint(rest)
	return all[:len(all)-len(rest)+n]
}

// of returns what d stands for, without its times.
func (t *texts) of(d digest) (Indexed, bool) {
	if t == nil {
		return Indexed{}, false
	}
	b := t.octets(d)
	if b == nil {
		return Indexed{}, false
	}
	text, b := cutText(b)
	s, err := ParseSubject(string(text))
	client, b := cutText(b)
	version, _ := binary.Uvarint(b)
	return Indexed{Revocation: Revocation{Subject: s}, Client: string(client), Version: version}, err == nil
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func cutText(b []byte) (text, rest []byte) {
	size, n := binary.Uvarint(b)
	end := n + int(size)
	return b[n:end], b[end:]
}

func afterText(b []byte) []byte {
	_, rest := cutText(b)
	return rest
}

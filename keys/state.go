package keys

import (
	"slices"
	"time"
)

// State is what a key does at a given time. It is never stored.
type State string

// The states of a key, in the order in which it goes through them (ROT-01). Only next may skip to
// withdrawn, and revoked may follow on any other.
const (
	StateNext      State = "next"      // published, signs later
	StateActive    State = "active"    // published, signs
	StateRetiring  State = "retiring"  // published, signs no more
	StateWithdrawn State = "withdrawn" // not published
	StateRevoked   State = "revoked"   // not published, and every token that it signed is void
)

// Signing returns the key that signs at now: the one with the latest SignFrom that has come; of two
// that start together, one is revoked, and the other one signs. There is none before the first key's
// SignFrom. There is also none when that key was withdrawn or revoked: an older one must not come
// back, for verifiers are about to forget it.
func (r RingRecord) Signing(now time.Time) (Key, bool) {
	if i := r.signing(now); i >= 0 {
		return r.Keys[i], true
	}
	return Key{}, false
}

// State returns the state at now of the key with that identifier, or the empty string.
func (r RingRecord) State(kid string, now time.Time) State {
	if i := r.index(kid); i >= 0 {
		return r.state(i, now)
	}
	return ""
}

func (r RingRecord) signing(now time.Time) int {
	latest := -1
	for i, k := range r.Keys {
		if k.SignFrom.IsZero() || k.SignFrom.After(now) {
			continue
		}
		if latest < 0 || byStart(k, r.Keys[latest]) > 0 {
			latest = i
		}
	}
	if latest >= 0 && r.Keys[latest].withdrawn(now) {
		return -1
	}
	return latest
}

// turnsFrom returns now and each time to come at which a key is to take over: the times at which another
// key signs than before.
func (r RingRecord) turnsFrom(now time.Time) []time.Time {
	turns := []time.Time{now}
	for _, k := range r.Keys {
		if k.SignFrom.After(now) {
			turns = append(turns, k.SignFrom)
		}
	}
	return turns
}

// byStart orders keys by their turns: of two that have started, the greater one signs.
func byStart(a, b Key) int {
	if c := a.SignFrom.Compare(b.SignFrom); c != 0 || a.revoked() == b.revoked() {
		return c
	}
	if a.revoked() {
		return -1
	}
	return 1
}

func (r RingRecord) state(i int, now time.Time) State {
	k := r.Keys[i]
	switch {
	case k.revoked():
		return StateRevoked
	case k.withdrawn(now):
		return StateWithdrawn
	case k.SignFrom.IsZero() || k.SignFrom.After(now):
		return StateNext
	case i == r.signing(now):
		return StateActive
	}
	return StateRetiring
}

// next returns the place of the key that would sign after the present one: the one whose SignFrom is
// stamped, or else the one that has been published longest; -1 if there is none.
func (r RingRecord) next(now time.Time) int {
	if i := r.pending(now); i >= 0 {
		return i
	}
	best := -1
	for i, k := range r.Keys {
		if r.state(i, now) == StateNext && (best < 0 || k.PublishedAt.Before(r.Keys[best].PublishedAt)) {
			best = i
		}
	}
	return best
}

// pending returns the place of the key whose stamped SignFrom has yet to come; -1 if there is none.
func (r RingRecord) pending(now time.Time) int {
	return slices.IndexFunc(r.Keys, func(k Key) bool {
		return !k.withdrawn(now) && k.SignFrom.After(now)
	})
}

// lacksNext reports whether a next key is to be made. While the ring's first key waits for its time it
// is next itself, and leaves the ring without one when it comes: so there are to be two.
func (r RingRecord) lacksNext(now time.Time) bool {
	want, have := 1, 0
	if r.signing(now) < 0 {
		want = 2
	}
	for i := range r.Keys {
		if r.state(i, now) == StateNext {
			have++
		}
	}
	return have < want
}

func (r RingRecord) index(kid string) int {
	for i := range r.Keys { // a Key is large, and a ring that was revoked from often has many
		if r.Keys[i].KeyID == kid {
			return i
		}
	}
	return -1
}

// clone returns a record whose stamps can be changed without touching r's.
func (r RingRecord) clone() RingRecord {
	r.Keys = slices.Clone(r.Keys)
	return r
}

// revoked reports whether k was revoked, whatever this node's clock says of RevokedAt.
func (k Key) revoked() bool { return !k.RevokedAt.IsZero() }

// withdrawn reports whether k has left the JWKS. A key without its private part has, whatever this
// node's clock says of WithdrawAt: a node whose clock is ahead has buried it.
func (k Key) withdrawn(now time.Time) bool {
	return k.revoked() || k.Sealed == "" || k.expired(now)
}

// expired reports whether WithdrawAt has come.
func (k Key) expired(now time.Time) bool {
	return !k.WithdrawAt.IsZero() && !k.WithdrawAt.After(now)
}

// longest returns the longer of each window.
func (w Windows) longest(v Windows) Windows {
	return Windows{
		PublishLead: max(w.PublishLead, v.PublishLead),
		RetireAfter: max(w.RetireAfter, v.RetireAfter),
	}
}

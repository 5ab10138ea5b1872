package keys

import (
	"fmt"
	"slices"
	"time"
)

// What a ring may do with the time. Everything here is a pure function of record, clock and windows;
// who calls commits the outcome.

// The actions of audit entries. The target is the key's identifier; for ActionLengthen the ring's
// algorithm.
const (
	ActionCreate   = "key.create"   // made and published
	ActionRotate   = "key.rotate"   // SignFrom stamped, and the predecessor's WithdrawAt
	ActionWithdraw = "key.withdraw" // out of the JWKS; the private part is gone
	ActionLengthen = "key.lengthen" // windows stamped earlier grew with the settings
	ActionRevoke   = "key.revoke"   // useless at once; SignFrom of its successor is stamped
)

// keptWithdrawn is how many withdrawn keys a ring remembers, for those who ask what signed an old
// token. A withdrawn key cannot come back: identifiers are thumbprints of fresh keys. Revoked keys
// are not among them: somebody else may have one, so they are remembered for ever. Nor are imported ones:
// somebody could import another key under the same name (JWK-04).
const keptWithdrawn = 32

// step is one commit to come: the record as it will be, and what the audit entry says.
type step struct {
	ring   RingRecord
	action string
	target string
	reason string // the system's, when nobody gave one
}

// publish appends k, published from now on. It signs when a rotation says so.
func (r RingRecord) publish(k Key, now time.Time, w Windows) *step {
	k.PublishedAt, k.Windows = ceil(now), w
	n := r.clone()
	n.Keys = append(n.Keys, k)
	return &step{ring: n, action: ActionCreate, target: k.KeyID, reason: "the ring had no next key"}
}

// publishFirst is publish for the first key of a ring, which signs after wait: nothing else could sign
// until verifiers have met it (ROT-02).
func (r RingRecord) publishFirst(k Key, now time.Time, w Windows, wait time.Duration) *step {
	s := r.publish(k, now, w)
	s.reason = "the algorithm came into use"
	first := &s.ring.Keys[len(s.ring.Keys)-1]
	if wait == 0 {
		first.PublishedAt = floor(now) // nothing to wait for: rounding up would delay the first token
	}
	first.SignFrom = first.PublishedAt.Add(wait)
	return s
}

// promote stamps SignFrom of the key at place next, which is not before at, and WithdrawAt of the key that
// signs until then.
func (r RingRecord) promote(next int, at, now time.Time, w Windows) *step {
	n := r.clone()
	k := &n.Keys[next]
	k.lengthen(w)
	lead := k.Windows.PublishLead
	old := n.signing(now)
	if old >= 0 {
		n.Keys[old].lengthen(w)
		// What the predecessor was stamped with was in force when this key was published, and
		// documents fetched just before that may still be in caches for as long as it allowed.
		lead = max(lead, n.Keys[old].Windows.PublishLead)
	}
	k.SignFrom = latest(k.PublishedAt.Add(lead), at, floor(now), n.lastSignFrom().Add(time.Second))
	if old >= 0 {
		n.Keys[old].WithdrawAt = k.SignFrom.Add(n.Keys[old].Windows.RetireAfter)
	}
	return &step{ring: n, action: ActionRotate, target: k.KeyID}
}

// discard withdraws at once the key at place i, which is next. If it was about to take over, the key
// that signs now keeps doing so.
func (r RingRecord) discard(i int, now time.Time) *step {
	n := r.clone()
	n.cancel(i, now)
	k := &n.Keys[i]
	k.WithdrawAt, k.Sealed = floor(now), ""
	return &step{ring: n.pruned(), action: ActionWithdraw, target: k.KeyID}
}

// cancel takes the key at place i, which has not signed, out of its turn if it has one. Whoever was to
// sign before it goes on until the turn after it; for ever if there is none.
func (r RingRecord) cancel(i int, now time.Time) {
	from := r.Keys[i].SignFrom
	r.Keys[i].SignFrom = time.Time{}
	if from.IsZero() {
		return
	}
	before := -1
	for j, k := range r.Keys {
		if !k.SignFrom.IsZero() && k.SignFrom.Before(from) && (before < 0 || byStart(k, r.Keys[before]) > 0) {
			before = j
		}
	}
	if before < 0 || r.Keys[before].withdrawn(now) {
		return
	}
	k := &r.Keys[before]
	if after := r.successor(before); after.Before(never) {
		k.WithdrawAt = latest(k.WithdrawAt, after.Add(k.Windows.RetireAfter))
	} else {
		k.WithdrawAt = time.Time{}
	}
}

// bury drops the private part of the first withdrawn key that still has one, and the memory of keys
// withdrawn long ago. It returns nil when there is nothing to bury.
func (r RingRecord) bury(now time.Time) *step {
	i := slices.IndexFunc(r.Keys, func(k Key) bool { return k.Sealed != "" && k.expired(now) })
	if i < 0 {
		return nil
	}
	n := r.clone()
	n.Keys[i].Sealed = ""
	return &step{
		ring: n.pruned(), action: ActionWithdraw, target: r.Keys[i].KeyID,
		reason: "every token that it signed has expired",
	}
}

// lengthen stamps the present windows on every published key whose own are shorter, and moves the
// withdrawal of retiring keys accordingly. A SignFrom stays where it is: documents fetched before
// the key was published were given the earlier max-age. It returns nil when nothing is shorter.
func (r RingRecord) lengthen(now time.Time, w Windows) *step {
	n := r.clone()
	changed := false
	for i := range n.Keys {
		k := &n.Keys[i]
		grown := k.Windows.longest(w)
		if k.withdrawn(now) || grown == k.Windows {
			continue
		}
		k.lengthen(grown)
		changed = true
	}
	if !changed {
		return nil
	}
	return &step{
		ring: n, action: ActionLengthen, target: string(r.Algorithm),
		reason: fmt.Sprintf("settings: publish lead %s, retire after %s", w.PublishLead, w.RetireAfter),
	}
}

// lengthen gives k the longer of its windows and w, and moves its withdrawal, if that is stamped,
// accordingly.
func (k *Key) lengthen(w Windows) {
	grown := k.Windows.longest(w)
	if !k.WithdrawAt.IsZero() {
		k.WithdrawAt = k.WithdrawAt.Add(grown.RetireAfter - k.Windows.RetireAfter)
	}
	k.Windows = grown
}

// pruned returns r without the oldest of the buried keys that are too many.
func (r RingRecord) pruned() RingRecord {
	buried := func(k Key) bool { return k.Sealed == "" && !k.revoked() && !k.Imported }
	excess := -keptWithdrawn
	for _, k := range r.Keys {
		if buried(k) {
			excess++
		}
	}
	kept := r.Keys[:0:0]
	for _, k := range r.Keys {
		if excess > 0 && buried(k) {
			excess--
			continue
		}
		kept = append(kept, k)
	}
	r.Keys = kept
	return r
}

// lastSignFrom returns the latest SignFrom in the ring. A successor's must lie behind it, even if
// the clock of the node that stamped it was fast: two keys with one SignFrom would both be active.
func (r RingRecord) lastSignFrom() time.Time {
	var last time.Time
	for _, k := range r.Keys {
		last = latest(last, k.SignFrom)
	}
	return last
}

func latest(t time.Time, others ...time.Time) time.Time {
	for _, o := range others {
		if o.After(t) {
			t = o
		}
	}
	return t
}

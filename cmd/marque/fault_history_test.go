package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// faultEnv set to "long" makes the tests of faults last for minutes, as `make fault` does.
const faultEnv = "FAULT"

// faultTimes is how often something is done in the version that is asked for.
func faultTimes(short, long int) int {
	if os.Getenv(faultEnv) == "long" {
		return long
	}
	return short
}

// history is what was asked of servers while something was broken on purpose, and what they answered. Objects are
// named "client:ID", "credential:ID", "jti:ID", "kid:ID", or by the subject of a revocation that is not about one of
// those. It is safe for concurrent use.
type history struct {
	begun time.Time
	mu    sync.Mutex
	deeds []deed
}

func newHistory() *history { return &history{begun: time.Now()} }

// deed is one operation on one object.
type deed struct {
	object       string
	doing        doing
	name         string        // what the client is called by it: makes, renames
	seen         condition     // sees
	call, answer time.Duration // since the history began
	ending       ending
	last         bool // sees: at the end, when nothing was written any more
}

// doing is what a deed does.
type doing int

const (
	makes    doing = iota // registers a client, adds a secret, issues a token, has a key sign
	voids                 // for good: deletes, revokes
	disables              // a client, as do enables and renames
	enables
	renames
	sees   // is told what the object is
	misses // is told that there is none
)

func (a doing) String() string {
	return [...]string{"make", "void", "disable", "enable", "rename", "see", "miss"}[a]
}

// writes says whether it changes something.
func (a doing) writes() bool { return a < sees }

// ending is what came back of a deed.
type ending int

const (
	acked    ending = iota
	inDoubt         // 5xx, or cut off: it may have happened, may happen yet, or never
	denied          // 4xx: nothing happened
	notThere        // 404
)

// endingOf is what a status means; 0 is no answer.
func endingOf(status int) ending {
	switch {
	case status/100 == 2:
		return acked
	case status == http.StatusNotFound:
		return notThere
	case status/100 == 4:
		return denied
	}
	return inDoubt
}

// condition is what an object is.
type condition struct {
	life     life
	disabled bool
	name     string
}

type life int

const (
	nowhere life = iota
	there
	void
	torn // what belongs together contradicts itself, as a disabled client whose tokens are not void: never legal
)

func (c condition) String() string {
	said := [...]string{"absent", "there", "void", "torn"}[c.life]
	if c.name != "" {
		said += " " + c.name
	}
	if c.disabled {
		said += " disabled"
	}
	return said
}

func (d deed) String() string {
	what := d.doing.String()
	switch d.doing {
	case sees:
		what += " " + d.seen.String()
	case makes, renames:
		what += " " + d.name
	}
	end := d.answer.Round(time.Microsecond).String()
	if d.ending == inDoubt {
		end = "?"
	}
	return fmt.Sprintf("%v..%s %s", d.call.Round(time.Microsecond), end, what)
}

// now is a time in the history.
func (h *history) now() time.Duration { return time.Since(h.begun) }

// do has something asked that is one deed for several objects, all or none of them, and notes it. A 404 is about the
// first of them.
func (h *history) do(ask func() (status int), deeds ...deed) ending {
	call := h.now()
	o := endingOf(ask())
	answer := h.now()
	for i := range deeds {
		deeds[i].call, deeds[i].answer, deeds[i].ending = call, answer, o
	}
	if o == notThere && len(deeds) > 0 {
		deeds = append(deeds, deed{object: deeds[0].object, doing: misses, call: call, answer: answer})
	}
	h.note(deeds...)
	return o
}

func (h *history) note(deeds ...deed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deeds = append(h.deeds, deeds...)
}

// did notes what was done a moment ago.
func (h *history) did(d deed) {
	d.call = h.now()
	d.answer = d.call
	h.note(d)
}

// look has something asked of an object; ask says whether there was an answer.
func (h *history) look(object string, ask func() (condition, bool)) {
	call := h.now()
	if seen, ok := ask(); ok {
		h.note(deed{object: object, doing: sees, seen: seen, call: call, answer: h.now()})
	}
}

// found notes what is there at the end.
func (h *history) found(object string, seen condition) {
	h.did(deed{object: object, doing: sees, seen: seen, last: true})
}

// objects returns every object's deeds, in the order of their calls.
func (h *history) objects() map[string][]deed {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string][]deed{}
	for _, d := range h.deeds {
		all[d.object] = append(all[d.object], d)
	}
	for _, deeds := range all {
		slices.SortStableFunc(deeds, func(a, b deed) int { return cmp.Compare(a.call, b.call) })
		half(deeds)
	}
	return all
}

// half takes an object that is torn at the end for one that is there, if somebody may have voided it and was promised
// nothing: of such a change that is lost with a server, the revocation comes back from the memory of those who saw it, and the
// record does not (README, "Several servers on one store"). It is not void by that, so what was promised is still missed.
func half(deeds []deed) {
	if slices.ContainsFunc(deeds, func(d deed) bool { return d.doing == voids && d.ending == inDoubt }) {
		for i := range deeds {
			if deeds[i].last && deeds[i].seen.life == torn {
				deeds[i].seen.life = there
			}
		}
	}
}

// knows reports whether anything was noted of an object.
func (h *history) knows(object string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.deeds, func(d deed) bool { return d.object == object })
}

// written returns the objects of a kind that somebody tried to change, in order; "" is every kind.
func (h *history) written(kind string) []string {
	var names []string
	for object, deeds := range h.objects() {
		if strings.HasPrefix(object, kind) && slices.ContainsFunc(deeds, func(d deed) bool { return d.doing.writes() }) {
			names = append(names, object)
		}
	}
	slices.Sort(names)
	return names
}

// between says of the changes that were asked for in a while how many were acknowledged.
func (h *history) between(from, to time.Duration) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	written, acknowledged := 0, 0
	for _, d := range h.deeds {
		if d.doing.writes() && !(d.doing == makes && strings.HasPrefix(d.object, "jti:")) && d.call >= from && d.call < to {
			if written++; d.ending == acked {
				acknowledged++
			}
		}
	}
	return fmt.Sprintf("of %d changes %d were acknowledged", written, acknowledged)
}

// losses counts what was written.
type losses struct {
	written, acknowledged, found, lost int // acknowledged are found or lost
	unknown, refused                   int
	lostOf                             map[string]int // by kind of object
}

func (t losses) String() string {
	said := fmt.Sprintf("written %d, acknowledged %d, found %d, lost %d (%d may have happened, %d refused)",
		t.written, t.acknowledged, t.found, t.lost, t.unknown, t.refused)
	for _, kind := range slices.Sorted(maps.Keys(t.lostOf)) {
		said += fmt.Sprintf("; lost of %s: %d", kind, t.lostOf[kind])
	}
	return said
}

// count looks for each acknowledged write in what was found at the end: it is there, or something else that may have
// come after it. That is less than what [history.check] wants, and told by other means.
func (h *history) count() losses {
	t := losses{lostOf: map[string]int{}}
	for object, deeds := range h.objects() {
		kind, _, _ := strings.Cut(object, ":")
		for _, d := range deeds {
			switch {
			case !d.doing.writes():
				continue
			case d.ending == inDoubt:
				t.unknown++
			case d.ending != acked:
				t.refused++
			case d.isFound(deeds):
				t.found++
			default:
				t.lost++
				t.lostOf[kind]++
			}
			t.written++
		}
	}
	t.acknowledged = t.found + t.lost
	return t
}

// isFound says whether everything that was seen at the end agrees with an acknowledged write of these deeds.
func (d deed) isFound(deeds []deed) bool {
	looks := 0
	for _, end := range deeds {
		if !end.last {
			continue
		}
		looks++
		if !d.shows(end.seen) && !slices.ContainsFunc(deeds, func(w deed) bool { return w.overwrites(d) && w.shows(end.seen) }) {
			return false
		}
	}
	return looks > 0
}

// shows says whether a condition can be what a write left.
func (d deed) shows(c condition) bool {
	switch d.doing {
	case voids:
		return c.life == void
	case makes:
		return c.life == there || c.life == void
	case disables, enables:
		return c.life == there && c.disabled == (d.doing == disables)
	case renames:
		return c.life == there && c.name == d.name
	}
	return false
}

// overwrites says whether a write may have come after an acknowledged one, and leaves nothing of it to be seen.
func (d deed) overwrites(earlier deed) bool {
	if !d.doing.writes() || d.ending != acked && d.ending != inDoubt || d.ending == acked && d.answer < earlier.call {
		return false
	}
	switch earlier.doing {
	case disables, enables:
		return d.doing == voids || d.doing == disables || d.doing == enables
	case renames:
		return d.doing == voids || d.doing == renames
	}
	return false
}

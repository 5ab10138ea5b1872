package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// deedOf is a deed of a hand-made history, on one object.
func deedOf(a doing, call, answer int, more ...func(*deed)) deed {
	d := deed{object: "client:a", doing: a, call: time.Duration(call), answer: time.Duration(answer)}
	for _, f := range more {
		f(&d)
	}
	return d
}

func in(c condition) func(*deed)  { return func(d *deed) { d.seen = c } }
func as(name string) func(*deed)  { return func(d *deed) { d.name = name } }
func with(o ending) func(*deed)   { return func(d *deed) { d.ending = o } }
func atLast(d *deed)              { d.last = true }
func finally(c condition) deed    { return deedOf(sees, 1000, 1000, in(c), atLast) }
func about(o string) func(*deed)  { return func(d *deed) { d.object = o } }
func named(name string) condition { return condition{life: there, name: name} }

// TestFault_TheCheckerCanFail: histories as no store may leave them, and beside each one that differs in what makes it
// legal. What is lost at the end is seen by the count as well, which knows nothing of orders.
func TestFault_TheCheckerCanFail(t *testing.T) {
	gone, stopped := condition{life: void}, condition{life: there, disabled: true}
	made := deedOf(makes, 0, 10)
	for _, r := range []struct {
		name  string
		deeds []deed
		legal bool
		lost  int // by the count
	}{
		{"nothing is lost", []deed{made, finally(condition{life: there})}, true, 0},
		{"a client that was acknowledged is not there", []deed{made, finally(condition{})}, false, 1},
		{"one that may have been made is not there", []deed{deedOf(makes, 0, 10, with(inDoubt)), finally(condition{})}, true, 0},
		{"one that may have been made is there", []deed{deedOf(makes, 0, 10, with(inDoubt)), finally(condition{life: there})}, true, 0},
		{"one that was refused is there", []deed{deedOf(makes, 0, 10, with(denied)), finally(condition{life: there})}, false, 0},
		{"one that nobody made is there", []deed{finally(condition{life: there})}, false, 0},

		{"a lost revocation", []deed{made, deedOf(voids, 20, 30), finally(condition{life: there})}, false, 1},
		{"one that may have been made", []deed{made, deedOf(voids, 20, 30, with(inDoubt)), finally(condition{life: there})}, true, 0},
		{"a repetition that was acknowledged", []deed{made, deedOf(voids, 20, 30, with(inDoubt)), deedOf(voids, 40, 50), finally(condition{life: there})}, false, 1},
		{"good for a moment after its revocation", []deed{made, deedOf(voids, 20, 30), deedOf(sees, 31, 32, in(condition{life: there})), finally(gone)}, false, 0},
		{"good while it is revoked", []deed{made, deedOf(voids, 20, 30), deedOf(sees, 25, 26, in(condition{life: there})), finally(gone)}, true, 0},
		{"good, void and good while it is revoked", []deed{
			made, deedOf(voids, 20, 50), deedOf(sees, 25, 26, in(gone)), deedOf(sees, 27, 28, in(condition{life: there})), finally(gone),
		}, false, 0},
		{"a token that nobody revoked is void", []deed{made, deedOf(sees, 20, 30, in(gone)), finally(condition{life: there})}, false, 0},

		{"a client that was deleted is back", []deed{made, deedOf(voids, 20, 30), deedOf(renames, 40, 50, as("b")), finally(named("b"))}, false, 1},
		{"a change of what was deleted is acknowledged", []deed{made, deedOf(voids, 20, 30), deedOf(disables, 40, 50), finally(gone)}, false, 1},
		{"a client that is there is missed", []deed{made, deedOf(misses, 20, 30), finally(condition{life: there})}, false, 0},
		{"a client that was made again after its deletion", []deed{made, deedOf(voids, 20, 30), deedOf(makes, 40, 50), finally(condition{life: there})}, false, 1},

		{"a client that was disabled is enabled", []deed{made, deedOf(disables, 20, 30), finally(condition{life: there})}, false, 1},
		{"and had been enabled", []deed{made, deedOf(disables, 20, 30), deedOf(enables, 25, 50), finally(condition{life: there})}, true, 0},
		{"or may have been", []deed{made, deedOf(disables, 20, 30), deedOf(enables, 40, 50, with(inDoubt)), finally(condition{life: there})}, true, 0},
		{"and had been enabled before", []deed{made, deedOf(enables, 12, 15), deedOf(disables, 20, 30), finally(condition{life: there})}, false, 1},
		{"half of a change", []deed{made, deedOf(disables, 20, 30), finally(condition{life: torn})}, false, 2},

		{"half of one that was promised to nobody", []deed{made, deedOf(voids, 20, 30, with(inDoubt)), finally(condition{life: torn})}, true, 0},
		{"which was repeated", []deed{made, deedOf(voids, 20, 30, with(inDoubt)), deedOf(voids, 40, 50), finally(condition{life: torn})}, false, 1},

		{"a write is read back older", []deed{made, deedOf(renames, 20, 30, as("b")), deedOf(renames, 40, 50, as("c")), finally(named("b"))}, false, 1},
		{"two at the same time, either order", []deed{made, deedOf(renames, 20, 60, as("b")), deedOf(renames, 40, 50, as("c")), finally(named("b"))}, true, 0},
		{"an order that two readers contradict", []deed{
			made, deedOf(renames, 20, 60, as("b")), deedOf(renames, 20, 60, as("c")),
			deedOf(sees, 30, 31, in(named("b"))), deedOf(sees, 32, 33, in(named("c"))), finally(named("b")),
		}, false, 0},
		{"an unknown write that happens late", []deed{
			made, deedOf(renames, 20, 30, as("b"), with(inDoubt)), deedOf(renames, 40, 50, as("c")), finally(named("b")),
		}, true, 0},
		{"but not before it was asked for", []deed{
			made, deedOf(sees, 15, 18, in(named("b"))), deedOf(renames, 20, 30, as("b"), with(inDoubt)), finally(named("b")),
		}, false, 0},
		{"what may have been written is seen, and lost again", []deed{
			made, deedOf(disables, 20, 30, with(inDoubt)), deedOf(sees, 40, 50, in(stopped)), finally(condition{life: there}),
		}, true, 0},
		{"two servers that differ at the end", []deed{made, deedOf(disables, 20, 30, with(inDoubt)), finally(condition{life: there}), finally(stopped)}, true, 0},
	} {
		h := newHistory()
		h.note(r.deeds...)
		problems, n := h.check(), h.count()
		if (len(problems) == 0) != r.legal || n.lost != r.lost {
			t.Errorf("%s: %v, %v; want legal %v, lost %d", r.name, problems, n, r.legal, r.lost)
		}
		if n.written != n.acknowledged+n.unknown+n.refused {
			t.Errorf("%s: %v does not add up", r.name, n)
		}
	}
}

// TestFault_TheCheckerNamesTheObject: one of many.
func TestFault_TheCheckerNamesTheObject(t *testing.T) {
	h := newHistory()
	h.note(deedOf(makes, 0, 1), finally(condition{life: there}),
		deedOf(makes, 0, 1, about("jti:x")), deedOf(voids, 5, 9, about("jti:x")), deedOf(sees, 20, 21, about("jti:x"), in(condition{life: there})))
	problems := h.check()
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "jti:x ") || !strings.Contains(problems[0], "see there") {
		t.Errorf("%q", problems)
	}
	if n := h.count(); n.lost != 2 || n.lostOf["jti"] != 2 { // nobody looked for it at the end
		t.Errorf("%v", n)
	}
	h = newHistory() // what a status means
	for status, want := range map[int]ending{200: acked, 201: acked, 204: acked, 404: notThere, 409: denied, 429: denied, 503: inDoubt, 500: inDoubt, 0: inDoubt} {
		if got := h.do(func() int { return status }, deed{object: "client:b", doing: disables}); got != want {
			t.Errorf("status %d: %d", status, got)
		}
	}
	if n := h.count(); n.written != 9 || n.acknowledged != 3 || n.unknown != 3 || n.refused != 3 {
		t.Errorf("%v", n)
	}
}

// TestFault_TheCheckerAgreesWithAnyOrder: what a store that does one thing after the other answers is legal, however
// its deeds overlap, also when answers are lost; and with one acknowledged change taken back at the end it is not.
func TestFault_TheCheckerAgreesWithAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(faultTimes(300, 3000)) {
		dice := rand.New(rand.NewPCG(seed, 1))
		h, c := newHistory(), condition{}
		for i := range 1 + dice.IntN(60) {
			d := deed{object: "client:a", doing: doing(dice.IntN(int(misses) + 1)), name: string(rune('a' + i%26)), seen: c}
			if !d.legal(c) {
				continue
			}
			at := time.Duration(i * 10) // the moment of the deed, which overlaps others'
			d.call, d.answer = at-time.Duration(dice.IntN(25)), at+time.Duration(dice.IntN(25))
			happens := true
			if d.doing.writes() && dice.IntN(15) == 0 {
				d.ending, happens = inDoubt, dice.IntN(2) == 0
			}
			if happens {
				c = d.after(c)
			}
			h.note(d)
		}
		h.note(deedOf(sees, 1000, 1000, in(c), atLast))
		if problems, n := h.check(), h.count(); len(problems) != 0 || n.lost != 0 {
			t.Fatalf("seed %d: %v, %v", seed, problems, n)
		}
		if c.life != there {
			continue
		}
		h.note(deedOf(renames, 2000, 2001, as("last")), deedOf(sees, 3000, 3000, in(c), atLast))
		if len(h.check()) == 0 {
			t.Fatalf("seed %d: a change that was taken back is legal", seed)
		}
	}
}

package verifier

import (
	"fmt"
	"testing"
)

// What is remembered is bounded, and the oldest goes first.
func TestRecent_Bounded(t *testing.T) {
	const most = 100
	r := recent[int]{most: most}
	name := func(i int) fingerprint { return fingerprintOf(fmt.Sprint("x", i)) }
	if _, ok := r.get(name(0)); ok {
		t.Error("it knows something from the beginning")
	}
	r.put(name(0), 1)
	r.put(name(0), 2) // the same one: takes no second place
	for i := 1; i < most; i++ {
		r.put(name(i), i)
	}
	if v, ok := r.get(name(0)); !ok || v != 2 {
		t.Errorf("%d, %t: want what was said last", v, ok)
	}
	for i := most; i < 3*most+3; i++ {
		r.put(name(i), i)
	}
	if len(r.known) != most || len(r.order) != most {
		t.Errorf("%d remembered, in a ring of %d", len(r.known), len(r.order))
	}
	for i := range 3*most + 3 {
		if _, got := r.get(name(i)); got != (i >= 2*most+3) {
			t.Fatalf("the %d-th: %v", i, got)
		}
	}
}

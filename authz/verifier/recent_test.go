package verifier

import (
	"fmt"
	"testing"
	"time"
)

// What is remembered is bounded, and the oldest goes first.
func TestRecent_Bounded(t *testing.T) {
	var r recent
	now := time.Unix(1_800_000_000, 0)
	if r.has("x", now) {
		t.Error("the zero value knows something")
	}
	r.add("0", now.Add(time.Second))
	r.add("0", now.Add(time.Minute)) // the same one: takes no second place
	for i := 1; i < maxRecent; i++ {
		r.add(fmt.Sprint(i), now.Add(time.Minute))
	}
	if !r.has("0", now.Add(time.Minute-1)) || r.has("0", now.Add(time.Minute)) {
		t.Error("not until its time")
	}
	for i := range 2*maxRecent + 3 {
		r.add(fmt.Sprint("x", i), now.Add(time.Minute))
	}
	if len(r.until) != maxRecent || len(r.order) != maxRecent {
		t.Errorf("%d remembered, in a ring of %d", len(r.until), len(r.order))
	}
	for i := range 2*maxRecent + 3 {
		if got, want := r.has(fmt.Sprint("x", i), now), i >= maxRecent+3; got != want {
			t.Fatalf("the %d-th: %v, want %v", i, got, want)
		}
	}
	if r.has("0", now) {
		t.Error("the oldest is still there")
	}
}

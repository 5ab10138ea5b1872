package remote

import (
	"fmt"
	"testing"
	"time"
)

// RKY-05: whatever is asked for, and however fast, what is remembered stays within its bound; those that
// came first keep their place for their time, and give it up then.
func TestRKY05_MissesAreBounded(t *testing.T) {
	var m missing
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if m.has("0", now) {
		t.Error("the zero value is not empty")
	}
	for i := range 10 * maxMissing {
		m.add(fmt.Sprint(i), now)
		if len(m.until) > maxMissing {
			t.Fatalf("%d kids after %d", len(m.until), i+1)
		}
	}
	if len(m.until) != maxMissing || !m.has("0", now) || m.has(fmt.Sprint(maxMissing), now) {
		t.Errorf("%d kids", len(m.until))
	}
	if !m.has("0", now.Add(missingTTL-1)) || m.has("0", now.Add(missingTTL)) {
		t.Error("a kid is not missing for exactly its time")
	}
	// The places are free again, for as many and no more.
	now = now.Add(missingTTL)
	for i := range 10 * maxMissing {
		m.add(fmt.Sprintf("later-%d", i), now)
	}
	if len(m.until) != maxMissing || m.has("0", now) || !m.has("later-0", now) {
		t.Errorf("%d kids later", len(m.until))
	}
	// A kid that comes a few at a time, for days.
	for range 5000 {
		now = now.Add(time.Second)
		m.add(now.String(), now)
		if len(m.until) > maxMissing {
			t.Fatalf("%d kids", len(m.until))
		}
	}
}

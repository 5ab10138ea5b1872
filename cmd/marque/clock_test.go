package main

import (
	"testing"
	"time"
)

func TestClockJump_TimeThatGoesByIsNone(t *testing.T) {
	last := time.Now()
	for _, d := range []time.Duration{0, time.Second, 15 * time.Second, 30 * 24 * time.Hour} {
		if jump := clockJump(last, last.Add(d)); jump != 0 {
			t.Errorf("after %v: %v", d, jump)
		}
	}
	// A reading without the monotonic clock is all wall clock: nothing to compare it with.
	if jump := clockJump(last.Round(0), last.Round(0).Add(time.Hour)); jump != 0 {
		t.Errorf("without a monotonic reading: %v", jump)
	}
}

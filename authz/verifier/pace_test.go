package verifier

import (
	"testing"
	"time"
)

// After failures it is waited longer, up to a limit, and never twice the same: a thousand services whose server
// stopped do not come back as one. What an issuer asks for is heeded, within the limit.
func TestRST05_BackOff(t *testing.T) {
	f := &follower{feed: Feed{pace: &usualPace}}
	for failures, most := range []time.Duration{200, 400, 800, 1600, 3200, 6400, 10_000, 10_000} {
		most *= time.Millisecond
		seen := map[time.Duration]bool{}
		for range 100 {
			d := f.delay(FeedBroken, failures, 0)
			if seen[d] = true; d < most/2 || d > most {
				t.Fatalf("after %d failures: %v, want at most %v", failures, d, most)
			}
		}
		if len(seen) < 50 {
			t.Errorf("after %d failures: %d different waits", failures, len(seen))
		}
	}
	for name, tt := range map[string]struct {
		cause      FeedCause
		failures   int
		retryAfter time.Duration
		most       time.Duration
	}{
		"asked for":          {FeedAnswer, 0, 5 * time.Second, 5 * time.Second},
		"asked for too much": {FeedAnswer, 0, time.Hour, 10 * time.Second},
		"a million failures": {FeedAnswer, 1_000_000, 0, 10 * time.Second},
		"too many":           {FeedLimit, 0, 0, time.Minute},
	} {
		if d := f.delay(tt.cause, tt.failures, tt.retryAfter); d < tt.most/2 || d > tt.most {
			t.Errorf("%s: %v, want at most %v", name, d, tt.most)
		}
	}
}

// A stream that worked for a while is the end of a row of failures; one that said a word before it ended makes the row
// short, and one that said none makes it longer.
func TestRST05_BackOffAfterAStream(t *testing.T) {
	for _, tt := range []struct{ beats, before, after int }{
		{0, 0, 0}, {0, 7, 7}, {1, 0, 0}, {1, 2, 2}, {1, 7, fewFailures}, {goodBeats - 1, 7, fewFailures}, {goodBeats, 7, 0}, {100, 7, 0},
	} {
		if got := (&stream{beats: tt.beats}).after(tt.before); got != tt.after {
			t.Errorf("%d beats after %d failures: %d, want %d", tt.beats, tt.before, got, tt.after)
		}
	}
}

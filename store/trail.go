package store

import "time"

// lookBack is how far a follower goes back after it lost the store.
const lookBack = time.Minute

// lookBackStep is the least time between two remembered places: it bounds the trail to about 60.
const lookBackStep = time.Second

// trail remembers where in the feed a follower was in the last minute, oldest first.
type trail []footprint

type footprint struct {
	at    time.Time
	place Cursor
}

// add remembers that everything before place was applied at that time, and forgets what is not
// needed to go a minute back from there.
func (t *trail) add(at time.Time, place Cursor) {
	if n := len(*t); n > 0 {
		since := at.Sub((*t)[n-1].at)
		if since < 0 { // the clock was set back: what is remembered is from an unknown time ago
			*t = trail{{at, (*t)[0].place}}
			return
		}
		if since < lookBackStep {
			return
		}
	}
	*t = append(*t, footprint{at, place})
	for len(*t) > 1 && at.Sub((*t)[1].at) >= lookBack {
		*t = (*t)[1:]
	}
}

// back returns the newest place that is at least a minute old, or the oldest there is, or else the
// given one.
func (t trail) back(now time.Time, place Cursor) Cursor {
	for i := len(t) - 1; i >= 0; i-- {
		if now.Sub(t[i].at) >= lookBack {
			return t[i].place
		}
	}
	if len(t) > 0 {
		return t[0].place
	}
	return place
}

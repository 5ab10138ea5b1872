//go:build linux || darwin

package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// slowest explains what was late: the latest news that came over a stream that was there, and what became of servers
// around it.
type slowest struct {
	mu    sync.Mutex
	late  []lateNews
	lives []string // what became of servers, and when
	times []time.Time
}

type lateNews struct {
	late     time.Duration
	what     string
	answered time.Time
	since    time.Time // of the stream
}

// keptLate is how many are told of.
const keptLate = 12

// slow notes news that came over a stream that was there at the time of the 200.
func (p *spread) slow(late time.Duration, a *act, s step) {
	if late < time.Second {
		return
	}
	w := &p.slowest
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = append(w.late, lateNews{late, a.kind, s.At.Add(-late), s.Since})
	slices.SortFunc(w.late, func(a, b lateNews) int { return int(b.late - a.late) })
	w.late = w.late[:min(len(w.late), keptLate*20)]
}

func (w *slowest) killed(node int) { w.note(fmt.Sprintf("server %d killed", node)) }
func (w *slowest) begun(node int)  { w.note(fmt.Sprintf("server %d ready", node)) }

func (w *slowest) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives, w.times = append(w.lives, what), append(w.times, time.Now())
}

// report tells of the latest, one for each time of the 200, with the last thing before it.
func (w *slowest) report(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := map[int64]bool{}
	for _, l := range w.late {
		if told[l.answered.UnixMilli()/100] || len(told) == keptLate {
			continue
		}
		told[l.answered.UnixMilli()/100] = true
		before := "no server was killed before"
		for i, at := range w.times {
			if at.Before(l.answered.Add(l.late)) {
				before = fmt.Sprintf("%s %v after the 200", w.lives[i], at.Sub(l.answered).Round(time.Millisecond))
			}
		}
		t.Logf("late: %s by %v, over a stream that began %v before the 200; last before it: %s",
			l.what, l.late.Round(time.Millisecond), l.answered.Sub(l.since).Round(time.Millisecond), before)
	}
}

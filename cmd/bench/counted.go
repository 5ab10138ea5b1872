package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// counters are what Redis has counted since it started, whoever asked.
type counters struct {
	calls map[string]int64 // by command; those that a script makes are among them
	trips int64            // reads from connections: one for what a client sends at once and waits for
	at    time.Time
}

// count reads the counters.
func (r *redis) count() (counters, error) {
	said, err := r.info("commandstats", "stats")
	if err != nil {
		return counters{}, err
	}
	return countersIn(said, time.Now())
}

// countersIn reads total_reads_processed, and lines such as cmdstat_get:calls=12,usec=34,….
func countersIn(said map[string]string, at time.Time) (counters, error) {
	c := counters{calls: map[string]int64{}, at: at}
	var err error
	if c.trips, err = strconv.ParseInt(said["total_reads_processed"], 10, 64); err != nil {
		return c, fmt.Errorf("redis does not say total_reads_processed: %w", err)
	}
	for name, value := range said {
		command, ok := strings.CutPrefix(name, "cmdstat_")
		if !ok {
			continue
		}
		first, _, _ := strings.Cut(value, ",")
		calls, _ := strings.CutPrefix(first, "calls=")
		if c.calls[command], err = strconv.ParseInt(calls, 10, 64); err != nil {
			return c, fmt.Errorf("redis says %s:%s", name, value)
		}
	}
	return c, nil
}

// counted is what Redis counted between two looks, without the looks themselves.
type counted struct {
	calls   map[string]int64
	trips   int64
	elapsed time.Duration
}

func (c counters) since(before counters) counted {
	d := counted{calls: map[string]int64{}, trips: c.trips - before.trips, elapsed: c.at.Sub(before.at)}
	for command, n := range c.calls {
		if n -= before.calls[command]; n != 0 {
			d.calls[command] = n
		}
	}
	delete(d.calls, "info")
	d.trips-- // the second look
	return d
}

func (d counted) total() (n int64) {
	for _, calls := range d.calls {
		n += calls
	}
	return n
}

// perSecond is how often the commands of an idle server come.
func (d counted) perSecond(n int64) float64 { return float64(n) / d.elapsed.Seconds() }

// tally is what Redis was asked for while a server answered so many requests, beside what an idle
// server asks for.
type tally struct {
	what   string
	target string
	asked  int
	seen   counted
	idle   counted
}

// each is how many of n fall to one request, when what an idle server does in that time is taken off.
func (t tally) each(n, idle int64) float64 {
	return (float64(n) - t.idle.perSecond(idle)*t.seen.elapsed.Seconds()) / float64(t.asked)
}

func (t tally) callsEach() float64 { return t.each(t.seen.total(), t.idle.total()) }
func (t tally) tripsEach() float64 { return t.each(t.seen.trips, t.idle.trips) }

// commands lists the calls of one request by command, the most frequent first. What is not called for
// every hundredth request is left out.
func (t tally) commands() []string {
	type each struct {
		command string
		n       float64
	}
	var all []each
	for _, command := range slices.Sorted(maps.Keys(t.seen.calls)) {
		if n := t.each(t.seen.calls[command], t.idle.calls[command]); n >= 0.01 {
			all = append(all, each{command, n})
		}
	}
	slices.SortStableFunc(all, func(a, b each) int { return int(1000*b.n) - int(1000*a.n) })
	var out []string
	for _, e := range all {
		out = append(out, fmt.Sprintf("%s %.2f", e.command, e.n))
	}
	return out
}

// during counts what Redis is asked for while f runs.
func (r *redis) during(f func() error) (counted, error) {
	before, err := r.count()
	if err != nil {
		return counted{}, err
	}
	if err := f(); err != nil {
		return counted{}, err
	}
	after, err := r.count()
	return after.since(before), err
}

// idleWindow is how long a server is left alone to see what it asks for by itself: as long as the slowest
// of its rhythms, keys.refresh_interval.
const idleWindow = 15 * time.Second

// idle counts what the servers on this Redis ask for when nobody asks them.
func (r *redis) idle(ctx context.Context) (counted, error) {
	return r.during(func() error {
		select {
		case <-time.After(idleWindow):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

package main

import (
	"fmt"
	"strings"
	"time"
)

func (r *report) stores(version string, clients int) {
	r.line("")
	r.line("Redis %s, on the load's core, with an append-only file that is synced every second; %d clients in either store", version, clients)
}

func (r *report) storesHead() {
	r.line("")
	r.storeLine("", "", "CPU µs per call", "and of Redis itself", "calls per second", "core busy")
}

func (r *report) storeLine(name, store, cpu, helped, rate, busy string) {
	r.line("%s", strings.TrimRight(fmt.Sprintf("%-14s %-9s %-25s %-25s %-24s %s", name, store, cpu, helped, rate, busy), " "))
}

// store prints windows of the embedded store and of Redis in turn. Where the disk is the limit, an idle
// core says nothing.
func (r *report) store(name string, pairs []pair, onDisk bool) {
	first, second := func(p pair) window { return p.first }, func(p pair) window { return p.second }
	r.storeLine(name, "embedded", cpuOf(pairs, first), "", rateOf(pairs, first), r.busyOf(pairs, first, onDisk))
	r.storeLine("", "Redis", cpuOf(pairs, second), helpOf(pairs), rateOf(pairs, second), r.busyOf(pairs, second, onDisk))
	r.storeLine("", "ratio", figures(pairs, pair.ratio, 2), figures(pairs, pair.ratioWithHelp, 2), figures(pairs, pair.rates, 2), "")
}

func cpuOf(pairs []pair, of func(pair) window) string {
	return figures(pairs, func(p pair) float64 { return of(p).perToken() }, 1)
}

func helpOf(pairs []pair) string {
	return figures(pairs, func(p pair) float64 { return p.second.helpPerToken() }, 1)
}

func rateOf(pairs []pair, of func(pair) window) string {
	return figures(pairs, func(p pair) float64 { return of(p).perSecond() }, 0)
}

func (r *report) busyOf(pairs []pair, of func(pair) window, onDisk bool) string {
	busy := spreadOf(pairs, func(p pair) float64 { return 100 * of(p).busy() }).median
	r.shared = r.shared || busy < ownCore && !onDisk
	return fmt.Sprintf("%.0f %%", busy)
}

func (r *report) tallies(idle counted) {
	r.line("")
	r.line("counted by Redis, less what an idle server asks for (%.1f calls in %.1f round trips a second)",
		idle.perSecond(idle.total()), idle.perSecond(idle.trips))
}

func (r *report) tally(t tally) {
	text := fmt.Sprintf("  %-26s %.3f round trips, %.3f calls each; in all %d and %d, for %d requests",
		t.what, positive(t.tripsEach()), positive(t.callsEach()), t.seen.trips, t.seen.total(), t.asked)
	if t.target != "" {
		text += "   target: " + t.target
	}
	r.line("%s", text)
	if commands := t.commands(); len(commands) > 0 {
		r.line("  %-26s %s", "", strings.Join(commands, ", "))
	}
}

// positive keeps "-0.000" out of the report: an idle server's share is an estimate.
func positive(n float64) float64 { return max(n, 0) }

func (r *report) many(m many) {
	row := func(name, format string, args ...any) { r.line("  %-32s %s", name, fmt.Sprintf(format, args...)) }
	r.line("")
	r.line("%d clients in Redis (put there in %.0f s)", m.clients, m.filled.took.Seconds())
	row("Redis' memory for each", "%.0f octets: record, place in the list, owner of its credential", m.filled.records)
	row("", "%.0f octets: the entry of the audit log", m.filled.entries)
	row("", "%.1f MiB in all", float64(m.filled.memory)/(1<<20))
	row("process start to first token", "%s ms (%d starts)   target: under 5000 ms", m.all.ms(), len(m.all.took))
	row("  before Redis was filled", "%s ms", m.few.ms())
	r.line("  resident memory, cache.clients %d", cacheClients)
	row("  before Redis was filled", "%s", mebibytes(m.few.held))
	row("  after the start", "%s", mebibytes(m.all.held))
	whose := "clients"
	for _, h := range m.held {
		row(fmt.Sprintf("  after %d tokens", h.tokens), "%s, of %d %s", mebibytes(h.held), h.clients, whose)
		whose = "others"
	}
	r.tally(m.uncached)
}

func (s started) ms() string {
	return figures(s.took, func(d time.Duration) float64 { return d.Seconds() * 1e3 }, 0)
}

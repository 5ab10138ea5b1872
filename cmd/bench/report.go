package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// report writes what was measured as soon as it is known, for people.
type report struct {
	out    io.Writer
	shared bool // a side did not get the core to itself
}

// ownCore is the share of its core that a side gets, in percent, when nothing else runs there.
const ownCore = 90

func (r *report) line(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

func (r *report) machine(s settings, seats seats) {
	r.line("%s %s/%s, %d cores, %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		cmp.Or(processor(), "processor unknown"))
	r.line("one core each for server and load (%s); %d connections kept alive", seats, s.connections)
	sides := "floor and server"
	switch {
	case s.redis:
		sides = "embedded store and Redis"
	case s.gate:
		sides = "without and with a gate"
	}
	r.line("median (least to most) over %d windows of %s, %s in turn", s.pairs, s.window, sides)
}

func (r *report) registered(clients int, took time.Duration) {
	r.line("")
	r.line("%d clients registered through the admin socket in %.1f s (%.2f ms each)",
		clients, took.Seconds(), took.Seconds()*1e3/float64(clients))
}

func (r *report) speedHead() {
	r.line("")
	r.line("%-8s %-7s %-26s %-24s %s", "", "", "CPU µs per token", "tokens per second", "core busy")
}

func (r *report) speed(a jose.Algorithm, pairs []pair) {
	r.side(string(a), "floor", pairs, func(p pair) window { return p.first })
	r.side("", "marque", pairs, func(p pair) window { return p.second })
	ratio := spreadOf(pairs, pair.ratio)
	text := fmt.Sprintf("%-8s %-7s %.2f (%.2f to %.2f)", "", "ratio", ratio.median, ratio.least, ratio.most)
	if a == jose.ES256 {
		text += "   target: at most 1.35"
	}
	r.line("%s", text)
}

func (r *report) side(name, who string, pairs []pair, of func(pair) window) {
	cpu := spreadOf(pairs, func(p pair) float64 { return of(p).perToken() })
	rate := spreadOf(pairs, func(p pair) float64 { return of(p).perSecond() })
	busy := spreadOf(pairs, func(p pair) float64 { return 100 * of(p).busy() })
	r.shared = r.shared || busy.median < ownCore
	r.line("%-8s %-7s %-25s %-24s %.0f %%", name, who,
		fmt.Sprintf("%.1f (%.1f to %.1f)", cpu.median, cpu.least, cpu.most),
		fmt.Sprintf("%.0f (%.0f to %.0f)", rate.median, rate.least, rate.most), busy.median)
}

func (r *report) speedEnd() {
	if r.shared {
		r.line("something else used the cores: too few tokens per second, and noise in CPU time; look at the ratios")
	}
}

func (r *report) starts(took []time.Duration) {
	s := spreadOf(took, func(d time.Duration) float64 { return d.Seconds() * 1e3 })
	r.line("")
	r.line("process start to first token, keys existing: %.0f ms (%.0f to %.0f over %d starts)   target: at most 300 ms",
		s.median, s.least, s.most, len(took))
}

func (r *report) memory(clients int, m memoryUse) {
	r.line("")
	r.line("resident memory, %d clients registered", clients)
	r.line("  after the start              %s", mebibytes(m.began))
	r.line("  after %-7d ES256 tokens   %s   target: under 40 MiB", m.tokens, mebibytes(m.after))
	r.line("  the process measured above   %s   it also registered everything, and made RSA keys", mebibytes(m.used))
}

func (r *report) withdrawal(w withdrawal) {
	cpu := spreadOf(w.pairs, func(j judged) float64 { return j.server.perToken() })
	rate := spreadOf(w.pairs, func(j judged) float64 { return j.server.perSecond() })
	raw := spreadOf(w.pairs, func(j judged) float64 { return j.raw })
	ratio := spreadOf(w.pairs, judged.ratio)
	r.line("")
	r.line("introspection of %d ES256 tokens in turn", w.tokens)
	r.line("  CPU µs per call              %.1f (%.1f to %.1f), %.0f per second (%.0f to %.0f)", cpu.median, cpu.least, cpu.most, rate.median, rate.least, rate.most)
	r.line("  a raw signature check        %.1f (%.1f to %.1f)", raw.median, raw.least, raw.most)
	r.line("  ratio                        %.2f (%.2f to %.2f)   target: at most 2", ratio.median, ratio.least, ratio.most)
	r.line("revocation of each of them once, by its client, each on disk before it is answered")
	r.line("  CPU µs per call              %.1f, %.0f per second", w.revocations.perToken(), w.revocations.perSecond())
}

func (r *report) decisions(all []decision, memory int64) {
	r.line("")
	r.line("the decision about one token, by live revocations (CPU µs)")
	r.line("  %-12s %-26s %s", "", "alone", "with the token's check (ES256)")
	for _, d := range all {
		r.line("  %-12d %-26s %s", d.revoked, inBrackets(d.alone, 2), inBrackets(d.whole, 1))
	}
	r.line("  %-12s %-26s %s   target: at most 1.1", "apart", inBrackets(apart(all, func(d decision) []float64 { return d.alone }), 2),
		inBrackets(apart(all, func(d decision) []float64 { return d.whole }), 2))
	r.line("  memory of the last index: %.1f MiB, %.0f octets for each live revocation   target: within 128 MiB",
		float64(memory)/(1<<20), float64(memory)/float64(all[len(all)-1].revoked))
}

func inBrackets(n []float64, digits int) string {
	return figures(n, func(x float64) float64 { return x }, digits)
}

// figures prints the spread of one number.
func figures[T any](items []T, number func(T) float64, digits int) string {
	s := spreadOf(items, number)
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, s.median, digits, s.least, digits, s.most)
}

func (r *report) lists(l lists) {
	r.line("")
	r.line("lists, %d clients registered (in %.0f s)", l.clients, l.registered.Seconds())
	for _, page := range []struct {
		name string
		took times
	}{
		{"the first page of 100", l.firstPage}, {"the page of 100 after 1,000", l.laterPage}, {"search for one name", l.oneByName},
	} {
		r.line("  %-28s p50 %.1f ms, p95 %.1f ms", page.name,
			page.took.quantile(0.5).Seconds()*1e3, page.took.quantile(0.95).Seconds()*1e3)
	}
}

func mebibytes(r resident) string {
	text := fmt.Sprintf("%.1f MiB", float64(r.Now)/(1<<20))
	if r.Peak > 0 {
		text += fmt.Sprintf(" (peak %.1f)", float64(r.Peak)/(1<<20))
	}
	return text
}

func (r *report) end(took time.Duration) {
	r.line("")
	r.line("measured in %.0f s; cmd/bench/README.md says how to read it", took.Seconds())
}

// spread sums up numbers of which one alone says little.
type spread struct{ median, least, most float64 }

// spreadOf takes one number of each item; there is at least one item.
func spreadOf[T any](items []T, number func(T) float64) spread {
	var n []float64
	for _, item := range items {
		n = append(n, number(item))
	}
	slices.Sort(n)
	middle := n[len(n)/2]
	if len(n)%2 == 0 {
		middle = (n[len(n)/2-1] + middle) / 2
	}
	return spread{median: middle, least: n[0], most: n[len(n)-1]}
}

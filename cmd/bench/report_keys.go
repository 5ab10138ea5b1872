package main

import "github.com/marque-auth/marque/keys/jose"

func (r *report) signing(all []signing) {
	r.line("")
	r.line("a token of 400 octets of claims signed through the ring, beside its raw signature")
	r.line("  %-8s %-26s %-26s %-20s %s", "", "CPU µs through the ring", "raw", "ratio", "per second")
	for _, s := range all {
		ratios := make([]float64, len(s.ring))
		for i := range ratios {
			ratios[i] = s.ring[i] / s.raw[i]
		}
		ring := spreadOf(s.ring, func(x float64) float64 { return x })
		r.line("  %-8s %-26s %-26s %-20s %.0f", s.algorithm, inBrackets(s.ring, 1), inBrackets(s.raw, 1), inBrackets(ratios, 2), 1e6/ring.median)
	}
	r.line("  target: a ratio of at most 1.05 for each")
}

func (r *report) jwks(all []served) {
	r.line("")
	r.line("the key set of %d algorithms, from memory, beside /healthz", len(algorithms()))
	for _, s := range all {
		cpu := spreadOf(s.pairs, func(p pair) float64 { return p.second.perToken() })
		rate := spreadOf(s.pairs, func(p pair) float64 { return p.second.perSecond() })
		r.line("  %-28s %.1f µs CPU (%.1f to %.1f), %.0f per second, %s × /healthz", s.what, cpu.median, cpu.least, cpu.most, rate.median, figures(s.pairs, pair.ratio, 2))
	}
}

func (r *report) rotation(seen rotation) {
	r.line("")
	r.line("%s tokens in windows of %s, every other one with a rotation in the middle: 99th percentile of the answer, and the slowest", jose.ES256, rotationWindow)
	for _, s := range []struct {
		what    string
		windows []window99
	}{{"without", seen.quiet}, {"with", seen.rotating}} {
		r.line("  %-28s p99 %s ms, slowest %s ms, %s tokens", s.what,
			figures(s.windows, func(w window99) float64 { return w.p99.Seconds() * 1e3 }, 2),
			figures(s.windows, func(w window99) float64 { return w.most.Seconds() * 1e3 }, 1),
			figures(s.windows, func(w window99) float64 { return float64(w.tokens) }, 0))
	}
	ratios := make([]float64, len(seen.quiet))
	for i := range ratios {
		ratios[i] = seen.rotating[i].p99.Seconds() / seen.quiet[i].p99.Seconds()
	}
	r.line("  %-28s %s", "ratio of the p99s", inBrackets(ratios, 2))
}

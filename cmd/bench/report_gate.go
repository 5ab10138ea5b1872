package main

import (
	"fmt"
	"os"
	"strings"
)

// gate prints nginx alone beside nginx that asks a gate. What one core serves is what the CPU time says: the two
// processes of the second share a core here, and need not.
func (r *report) gate(pairs []pair, tokens int) {
	perCore := func(w window) float64 { return 1e6 / (w.perToken() + w.helpPerToken()) }
	r.line("")
	r.line("nginx in front of an API, %d tokens in turn, each seen before", tokens)
	r.gateLine("", "CPU µs per request: nginx", "gate", "requests per second per core")
	r.gateLine("nginx alone", figures(pairs, func(p pair) float64 { return p.first.perToken() }, 1), "",
		figures(pairs, func(p pair) float64 { return perCore(p.first) }, 0))
	r.gateLine("nginx and gate", figures(pairs, func(p pair) float64 { return p.second.perToken() }, 1), figures(pairs, func(p pair) float64 { return p.second.helpPerToken() }, 1),
		figures(pairs, func(p pair) float64 { return perCore(p.second) }, 0))
	r.line("of the requests that nginx alone serves, nginx and gate serve %s", figures(pairs, func(p pair) float64 { return 1 / p.ratioWithHelp() }, 2))
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.line("load average %s", strings.Join(strings.Fields(string(load))[:3], " "))
	}
}

func (r *report) gateLine(what, nginx, gate, rate string) {
	r.line("%s", strings.TrimRight(fmt.Sprintf("%-15s %-26s %-26s %s", what, nginx, gate, rate), " "))
}

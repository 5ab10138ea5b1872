package main

import (
	"fmt"
	"time"
)

func (r *report) moving(m moves) {
	r.line("")
	r.line("an installation of %d clients and %d live revocations: %d records, %.0f MiB as an export", m.clients, m.revocations, m.records, float64(m.octets)/(1<<20))
}

// moved prints one command as soon as it is done: all of them take minutes.
func (r *report) moved(x moved) {
	text := fmt.Sprintf("%.0f rows per second, %.1f s", float64(x.records)/x.took.Seconds(), x.took.Seconds())
	if x.held > 0 {
		text += fmt.Sprintf(", at most %.0f MiB resident", float64(x.held)/(1<<20))
	}
	r.movedLine(x.what, text)
}

func (r *report) movedStarts(name string, took []time.Duration) {
	s := spreadOf(took, func(d time.Duration) float64 { return d.Seconds() * 1e3 })
	r.movedLine("process start to first token, "+name,
		fmt.Sprintf("%.0f ms (%.0f to %.0f over %d starts)   target: under 5000 ms", s.median, s.least, s.most, len(took)))
}

func (r *report) recovered(x recovery) {
	r.movedLine("Redis killed and started again", fmt.Sprintf("it reads its file for %.1f s; %d servers are current %.0f ms after it answers",
		x.loading.Seconds(), recoveryNodes, x.current.Seconds()*1e3))
}

func (r *report) movedLine(name, text string) { r.line("  %-39s %s", name, text) }

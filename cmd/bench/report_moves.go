package main

import (
	"fmt"
	"time"
)

func (r *report) moving(m moves) {
	r.line("")
	r.line("an installation of %d clients and %d live revocations: %d records, %.0f MiB as an export", m.clients, m.revocations, m.records, float64(m.octets)/(1<<20))
}

func (r *report) moved(m moves) {
	row := func(name, format string, args ...any) { r.line("  %-36s %s", name, fmt.Sprintf(format, args...)) }
	for _, x := range m.rows {
		text := fmt.Sprintf("%.0f rows per second, %.1f s", float64(x.records)/x.took.Seconds(), x.took.Seconds())
		if x.held > 0 {
			text += fmt.Sprintf(", at most %.0f MiB resident", float64(x.held)/(1<<20))
		}
		row(x.what, "%s", text)
	}
	for _, name := range []string{"embedded", "Redis"} {
		s := spreadOf(m.starts[name], func(d time.Duration) float64 { return d.Seconds() * 1e3 })
		row("process start to first token, "+name, "%.0f ms (%.0f to %.0f over %d starts)   target: under 5000 ms", s.median, s.least, s.most, len(m.starts[name]))
	}
	row("Redis killed and started again", "it reads its file for %.1f s; %d servers are current %.0f ms after it answers",
		m.recovery.loading.Seconds(), recoveryNodes, m.recovery.current.Seconds()*1e3)
}

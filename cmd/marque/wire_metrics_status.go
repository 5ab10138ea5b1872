package main

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusConfig says what the metrics of a server's status read. All of it is called concurrently, and neither
// blocks nor does I/O.
type statusConfig struct {
	Reasons  func() []string                       // which of reasonCodes hold
	WentBack func() int                            // how often the store turned out to have gone back in time
	Offset   func() (ahead time.Duration, ok bool) // of this server's clock; not ok: there is none to compare it with
}

// statusMetrics shows what is wrong, and what nobody may overlook, when somebody scrapes.
type statusMetrics struct {
	config                     statusConfig
	degraded, wentBack, offset *prometheus.Desc
}

func newStatusMetrics(c statusConfig) *statusMetrics {
	return &statusMetrics{
		config: c,
		degraded: prometheus.NewDesc("marque_degraded",
			"1 while something is wrong for this reason, else 0. The reasons are those of GET /admin/v1/status.",
			[]string{"reason"}, nil),
		wentBack: prometheus.NewDesc("marque_store_went_back_total",
			"How often the store turned out to have lost something that this process knew.", nil, nil),
		offset: prometheus.NewDesc("marque_clock_offset_seconds",
			"By how much the clock of this process is ahead of that of the store which it shares; beyond 5, either way, it issues nothing.",
			nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *statusMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.degraded
	to <- m.wentBack
	to <- m.offset
}

// Collect implements prometheus.Collector. Every reason has its number, so that one that begins to hold is a
// change from 0, which an alarm can see.
func (m *statusMetrics) Collect(to chan<- prometheus.Metric) {
	hold := m.config.Reasons()
	for _, code := range reasonCodes {
		value := 0.0
		if slices.Contains(hold, code) {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(m.degraded, prometheus.GaugeValue, value, code)
	}
	to <- prometheus.MustNewConstMetric(m.wentBack, prometheus.CounterValue, float64(m.config.WentBack()))
	if ahead, ok := m.config.Offset(); ok {
		to <- prometheus.MustNewConstMetric(m.offset, prometheus.GaugeValue, ahead.Seconds())
	}
}

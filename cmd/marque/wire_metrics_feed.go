package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/marque-auth/marque/authz"
)

// feedMetrics shows what the revocation feed has done when somebody scrapes.
type feedMetrics struct {
	stats                                                    func() authz.FeedStats
	streams, published, sent, snapshots, polled, runs, ended *prometheus.Desc
}

func newFeedMetrics(stats func() authz.FeedStats) *feedMetrics {
	return &feedMetrics{
		stats:     stats,
		streams:   prometheus.NewDesc("marque_feed_streams", "Streams of the revocation feed that are open.", nil, nil),
		published: prometheus.NewDesc("marque_feed_revocations_total", "Revocations that the feed has told of, each counted once.", nil, nil),
		sent:      prometheus.NewDesc("marque_feed_messages_sent_total", "Messages handed to streams of the feed, heartbeats and parts of snapshots included.", nil, nil),
		snapshots: prometheus.NewDesc("marque_feed_snapshots_total", "Snapshots made for those who begin to follow the feed; streams share them.", nil, nil),
		polled:    prometheus.NewDesc("marque_feed_pages_total", "Pages of the feed handed to those who poll it.", nil, nil),
		runs:      prometheus.NewDesc("marque_feed_runs_total", "How often the feed had to begin anew, and to send everything to all who follow.", nil, nil),
		ended:     prometheus.NewDesc("marque_feed_streams_ended_total", "Streams of the feed that have ended, by cause.", []string{"cause"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *feedMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.streams, m.published, m.sent, m.snapshots, m.polled, m.runs, m.ended} {
		to <- d
	}
}

// Collect implements prometheus.Collector. Every cause has its number from the start: see metrics.expect.
func (m *feedMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.stats()
	to <- prometheus.MustNewConstMetric(m.streams, prometheus.GaugeValue, float64(s.Streams))
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(m.published, s.Published)
	count(m.sent, s.Sent)
	count(m.snapshots, s.Snapshots)
	count(m.polled, s.Polled)
	count(m.runs, s.Runs)
	for end, n := range s.Ended {
		count(m.ended, n, string(end))
	}
}

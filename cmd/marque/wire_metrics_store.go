package main

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/marque-auth/marque/store/redisstore"
)

// storeCalls measures the calls of a store that lies elsewhere. Commands and outcomes are of closed lists,
// as all labels are; several in one round trip count as the first.
type storeCalls struct {
	took *prometheus.HistogramVec
}

// storeCommands are the commands that have a label of their own; others are "other".
var (
	storeCommands = redisstore.Commands()
	storeOutcomes = []string{"ok", "refused", "timeout", "error"}
)

func newStoreCalls() *storeCalls {
	return &storeCalls{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "marque_store_call_duration_seconds",
		Help:    "Time that calls of a store on another machine took, by command and outcome. xread waits for changes: its time says nothing.",
		Buckets: requestBuckets,
	}, []string{"command", "outcome"})}
}

// observe is what redisstore.Config wants.
func (c *storeCalls) observe(command, outcome string, took time.Duration) {
	c.took.WithLabelValues(oneOf(storeCommands, command), oneOf(storeOutcomes, outcome)).Observe(took.Seconds())
}

// oneOf returns a label of a closed list, or "other".
func oneOf(labels []string, label string) string {
	if slices.Contains(labels, label) {
		return label
	}
	return "other"
}

package main

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// storeCalls measures the calls of a store that lies elsewhere. Commands and outcomes are of closed lists,
// as all labels are; a transaction counts as its first command.
type storeCalls struct {
	took *prometheus.HistogramVec
}

// storeCommands are the commands that have a label of their own; others are "other". A read that looks at
// the namespace in the same instant is a get, a script is an evalsha, or an eval when Redis had not seen it.
var (
	storeCommands = []string{"dial", "get", "evalsha", "eval", "xread", "time", "scan", "info", "config", "ping"}
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

package main

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

// keyStates are the states that a key can be in.
var keyStates = []keys.State{
	keys.StateNext, keys.StateActive, keys.StateRetiring, keys.StateWithdrawn, keys.StateRevoked,
}

// keyMetrics shows the signing keys as they are when somebody scrapes: by the clock a key takes over, or
// leaves, without anything being written.
type keyMetrics struct {
	list func() []keys.View
	now  func() time.Time

	keys, age *prometheus.Desc
}

func newKeyMetrics(list func() []keys.View, now func() time.Time) *keyMetrics {
	return &keyMetrics{
		list: list, now: now,
		keys: prometheus.NewDesc("marque_signing_keys",
			"Signing keys that are remembered, by algorithm and state. One that is active for each algorithm is as it should be.",
			[]string{"algorithm", "state"}, nil),
		age: prometheus.NewDesc("marque_signing_key_age_seconds",
			"Time for which the active key of an algorithm has been signing.",
			[]string{"algorithm"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *keyMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.keys
	to <- m.age
}

// Collect implements prometheus.Collector. An algorithm of which there is a key has a number for every
// state, so that "no active key" is a zero, which an alarm can see, and not a silence.
func (m *keyMetrics) Collect(to chan<- prometheus.Metric) {
	type row = map[keys.State]int
	counts, now := map[jose.Algorithm]row{}, m.now()
	for _, v := range m.list() {
		if _, err := jose.ParseAlgorithm(string(v.Algorithm)); err != nil || !slices.Contains(keyStates, v.State) {
			continue // nothing that this version could have made
		}
		if counts[v.Algorithm] == nil {
			counts[v.Algorithm] = row{}
		}
		counts[v.Algorithm][v.State]++
		if v.State == keys.StateActive && counts[v.Algorithm][v.State] == 1 {
			to <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, since(v.SignFrom, now), string(v.Algorithm))
		}
	}
	for alg, row := range counts {
		for _, state := range keyStates {
			to <- prometheus.MustNewConstMetric(m.keys, prometheus.GaugeValue, float64(row[state]), string(alg), string(state))
		}
	}
}

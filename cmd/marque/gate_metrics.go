package main

import (
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/authz/verifier"
)

// gateMetrics counts what a gate answers, and shows what it knows. Like metrics, it makes no series from what
// a request holds. It is safe for concurrent use.
type gateMetrics struct {
	handler  http.Handler
	mode     string // as configured
	checks   map[int]prometheus.Counter
	refusals map[string]prometheus.Counter
	verifier atomic.Pointer[verifier.Verifier]

	ready, keysAge, modes, age, held, connected, ended, calls *prometheus.Desc
}

// The statuses that a gate answers with, and the causes of refusals; each is counted from the start.
var (
	gateStatuses = []int{
		http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	gateCauses = []string{
		string(verifier.OutcomeNoToken), malformedRequest, string(verifier.OutcomeLacksScope), string(verifier.OutcomeUnavailable), string(verifier.OutcomeAbandoned),
		string(token.ReasonMalformed), string(token.ReasonHeader), string(token.ReasonType), string(token.ReasonAlgorithm), string(token.ReasonUnknownKey),
		string(token.ReasonSignature), string(token.ReasonClaims), string(token.ReasonIssuer), string(token.ReasonAudience), string(token.ReasonExpired),
		string(token.ReasonNotYetValid), string(token.ReasonConfirmation), string(token.ReasonRevoked), string(token.ReasonInactive), other,
	}
	gateModes = []string{
		"expiry", "introspection", string(verifier.ModeFollowing), string(verifier.ModeOpen), string(verifier.ModeIntrospects), string(verifier.ModeClosed),
	}
)

func newGateMetrics(mode string, log *slog.Logger) *gateMetrics {
	checks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "marque_gate_checks_total", Help: "Requests that proxies asked about, by what the caller is to get.",
	}, []string{"status"})
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "marque_gate_refusals_total", Help: "Requests that were not let through, by cause; the causes of tokens are those of the log.",
	}, []string{"cause"})
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("marque_gate_"+name, help, labels, nil)
	}
	m := &gateMetrics{
		mode: mode, checks: map[int]prometheus.Counter{}, refusals: map[string]prometheus.Counter{},
		ready:     desc("ready", "1 while tokens can be judged, else 0."),
		keysAge:   desc("keys_age_seconds", "Time since the issuer's keys were last fetched; +Inf while they never were."),
		modes:     desc("mode", "1 for how calls are judged at the moment: expiry, introspection, or by the feed: following, and, while the issuer is not heard, open, introspects or closed.", "mode"),
		age:       desc("revocations_age_seconds", "Age of what is known of revocations, with mode feed; +Inf while nothing is."),
		held:      desc("revocations", "Revocations held, with mode feed."),
		connected: desc("feed_connected", "1 while there is a stream from the issuer, with mode feed; says nothing of what comes of it."),
		ended:     desc("feed_ended_total", "Streams of the feed that ended, or did not begin, by cause.", "cause"),
		calls:     desc("feed_calls_total", "Calls that the feed decided: refused, revoked; closed, open or introspects, because the issuer was not heard.", "decision"),
	}
	for _, s := range gateStatuses {
		m.checks[s] = checks.WithLabelValues(strconv.Itoa(s))
	}
	for _, c := range gateCauses {
		m.refusals[c] = refusals.WithLabelValues(c)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(checks, refusals, m, buildInfo(thisBuild()),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{log}, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 8,
	})
	return m
}

// Checked counts one answer by its true status.
func (m *gateMetrics) Checked(status int) {
	c, ok := m.checks[status]
	if !ok {
		c = m.checks[http.StatusInternalServerError]
	}
	c.Inc()
}

// malformedRequest is the cause of a request that brings its token in a wrong way; the token may be malformed, too.
const malformedRequest = "malformed_request"

// Judged counts what was not let through.
func (m *gateMetrics) Judged(v verifier.Verdict) {
	cause := string(v.Outcome)
	switch v.Outcome {
	case verifier.OutcomeAccepted:
		return
	case verifier.OutcomeRefused:
		cause = string(v.Reason)
	case verifier.OutcomeMalformed:
		cause = malformedRequest
	default:
	}
	c, ok := m.refusals[cause]
	if !ok {
		c = m.refusals[other]
	}
	c.Inc()
}

// Watch tells whose knowledge is shown.
func (m *gateMetrics) Watch(v *verifier.Verifier) { m.verifier.Store(v) }

// ServeHTTP answers a scrape.
func (m *gateMetrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	m.handler.ServeHTTP(w, r)
}

// Describe implements prometheus.Collector.
func (m *gateMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.ready, m.keysAge, m.modes, m.age, m.held, m.connected, m.ended, m.calls} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *gateMetrics) Collect(to chan<- prometheus.Metric) {
	v := m.verifier.Load()
	if v == nil {
		return
	}
	gauge := func(d *prometheus.Desc, n float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
	}
	st, feed := v.Status(), v.FeedStatus()
	gauge(m.ready, oneIf(st.Ready))
	gauge(m.keysAge, since(st.Fetched, time.Now()))
	now := m.mode
	if m.mode == "feed" {
		now = string(feed.Mode)
		age := math.Inf(1)
		if feed.Known {
			age = feed.Age.Seconds()
		}
		gauge(m.age, age)
		gauge(m.held, float64(feed.Revocations))
		gauge(m.connected, oneIf(feed.Connected))
		count := func(d *prometheus.Desc, n uint64, label string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
		}
		for cause, n := range feed.Dropped {
			count(m.ended, n, string(cause))
		}
		count(m.calls, feed.Refused, "refused")
		count(m.calls, feed.Closed, "closed")
		count(m.calls, feed.Open, "open")
		count(m.calls, feed.Asked, "introspects")
	}
	for _, mode := range gateModes {
		gauge(m.modes, oneIf(mode == now), mode)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

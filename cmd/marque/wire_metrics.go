package main

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/keys"
)

// metricsConfig says what metrics reads when it is scraped. A function that is nil leaves its metrics
// out. All are called concurrently, and must neither block nor do I/O.
type metricsConfig struct {
	Build       build
	Revocations func() int         // how many revocations are in force in this process
	Confirmed   func() time.Time   // when the change feed was last read to its end; zero: never yet
	Keys        func() []keys.View // every signing key that is remembered
	Status      *statusConfig      // what is wrong
	Feed        func() authz.FeedStats
	Now         func() time.Time // nil means time.Now
	Calls       *storeCalls      // of a store that lies elsewhere
	Log         *slog.Logger     // of a scrape that failed; nil is silence
}

// metrics counts what the public listener answers, and serves what it counted to Prometheus. It has a
// registry of its own, so that two servers in one process do not add up. It is safe for concurrent use.
//
// Every label comes from a closed list, and what is not on it is counted as "other": whoever sends
// requests must not be able to make series, each of which costs memory here and on whoever scrapes. No
// label names a client, for clients are without number too.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	requests *prometheus.CounterVec
	refusals *prometheus.CounterVec

	// What was used once is found again without hashing labels. A slot is filled at first use, so that
	// only series that have happened are shown; filling it twice is harmless, for both find one series.
	answered [routeCount][methodCount][statusCount]atomic.Pointer[prometheus.Counter]
	refused  [routeCount][causeCount]atomic.Pointer[prometheus.Counter]
	took     [routeCount]prometheus.Observer
}

var _ endpoint.Meter = (*metrics)(nil)

// requestBuckets reach from a request that needs no signature to one that nobody waits for. An ES256
// token takes about 100 µs.
var requestBuckets = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
}

func newMetrics(c metricsConfig) *metrics {
	if c.Now == nil {
		c.Now = time.Now
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "marque_requests_total",
			Help: "Requests answered on the public listener.",
		}, []string{"route", "method", "status"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "marque_refusals_total",
			Help: "Requests on the public listener that did not succeed, and callers whom the admin listener did not let in (route admin), by cause. The causes are those of the log and of marque client refusals.",
		}, []string{"route", "cause"}),
	}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "marque_request_duration_seconds",
		Help:    "Time from the first look at a request until its answer was written.",
		Buckets: requestBuckets,
	}, []string{"route"})
	for i, route := range routeLabels {
		if route == routeAdmin {
			continue
		}
		m.took[i] = durations.WithLabelValues(route)
	}
	m.expect()
	m.registry.MustRegister(
		m.requests, m.refusals, durations,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.registry.MustRegister(gauges(c)...)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{c.Log},
		// One part that cannot be read must not hide the others, least of all while something is wrong.
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 8,
	})
	return m
}

// expect makes the series of refused token requests and admin callers before there are any: a rate is
// blind to the event with which its series begins, and the first refusals are those that somebody wants to
// be told of.
func (m *metrics) expect() {
	token, admin := routeIndex("token"), routeIndex(routeAdmin)
	for i := range causeLabels {
		m.refusal(token, i)
		m.refusal(admin, i)
	}
}

// AdminRefused counts a caller whom the admin listener did not let in.
func (m *metrics) AdminRefused(cause authz.Cause) {
	m.refusal(routeIndex(routeAdmin), causeIndex(string(cause))).Inc()
}

// Answered counts one answered request. After the first of its kind it allocates nothing and takes no
// lock.
func (m *metrics) Answered(a endpoint.Answered) {
	route := routeIndex(a.Route)
	if m.took[route] == nil { // the admin listener is not the public one
		route = 0
	}
	m.request(route, methodIndex(a.Method), statusIndex(a.Status)).Inc()
	if a.Cause != "" {
		m.refusal(route, causeIndex(a.Cause)).Inc()
	}
	m.took[route].Observe(a.Took.Seconds())
}

func (m *metrics) request(route, method, status int) prometheus.Counter {
	slot := &m.answered[route][method][status]
	if c := slot.Load(); c != nil {
		return *c
	}
	c := m.requests.WithLabelValues(routeLabels[route], methodLabels[method], statuses.label[status])
	slot.Store(&c)
	return c
}

func (m *metrics) refusal(route, cause int) prometheus.Counter {
	slot := &m.refused[route][cause]
	if c := slot.Load(); c != nil {
		return *c
	}
	c := m.refusals.WithLabelValues(routeLabels[route], causeLabels[cause])
	slot.Store(&c)
	return c
}

// ServeHTTP answers a scrape: GET and HEAD only. Who may scrape is decided before.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	m.handler.ServeHTTP(w, r)
}

// gauges are read when somebody scrapes.
func gauges(c metricsConfig) []prometheus.Collector {
	list := []prometheus.Collector{buildInfo(c.Build)}
	if c.Revocations != nil {
		list = append(list, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "marque_revocations",
			Help: "Revocations in force, as this process knows them.",
		}, func() float64 { return float64(c.Revocations()) }))
	}
	if c.Calls != nil {
		list = append(list, c.Calls.took)
	}
	if c.Confirmed != nil {
		list = append(list, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "marque_change_feed_age_seconds",
			Help: "Time since this process last knew every change of the store; +Inf while it never did.",
		}, func() float64 { return since(c.Confirmed(), c.Now()) }))
	}
	if c.Keys != nil {
		list = append(list, newKeyMetrics(c.Keys, c.Now))
	}
	if c.Feed != nil {
		list = append(list, newFeedMetrics(c.Feed))
	}
	if c.Status != nil {
		list = append(list, newStatusMetrics(*c.Status))
	}
	return list
}

// since is the time from then to now in seconds: never negative, and without end if then never was.
func since(then, now time.Time) float64 {
	if then.IsZero() {
		return math.Inf(1)
	}
	return max(0, now.Sub(then).Seconds())
}

func buildInfo(b build) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "marque_build_info",
		Help: "What this binary is made of, as labels; the value is always 1.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "revision": b.Revision, "modified": strconv.FormatBool(b.Modified), "go_version": b.Go,
		},
	})
	info.Set(1)
	return info
}

// scrapeLog makes a log of what went wrong while somebody scraped.
type scrapeLog struct{ log *slog.Logger }

func (l scrapeLog) Println(v ...any) {
	if l.log != nil {
		l.log.Error("metrics could not be read, or not be sent", "err", fmt.Sprint(v...))
	}
}

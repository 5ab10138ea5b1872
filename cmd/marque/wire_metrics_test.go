package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/endpoint"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/keys/jose"
)

var metricsNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newTestMetrics() *metrics {
	return newMetrics(metricsConfig{
		Build:       build{Version: "v1.2.3", Revision: "abc", Go: "go1.26"},
		Revocations: func() int { return 7 },
		Confirmed:   func() time.Time { return metricsNow.Add(-1500 * time.Millisecond) },
		Keys: func() []keys.View {
			return []keys.View{
				{KeyID: "k1", Algorithm: jose.ES256, State: keys.StateRevoked, SignFrom: metricsNow.Add(-9 * time.Hour)},
				{KeyID: "k2", Algorithm: jose.ES256, State: keys.StateActive, SignFrom: metricsNow.Add(-time.Hour)},
				{KeyID: "k3", Algorithm: jose.ES256, State: keys.StateNext},
				{KeyID: "k4", Algorithm: jose.Ed25519, State: keys.StateWithdrawn, SignFrom: metricsNow.Add(-time.Hour)},
			}
		},
		Now: func() time.Time { return metricsNow },
	})
}

// scrape compares what a Prometheus server would read of some metrics with the text form of them.
func scrape(t *testing.T, m *metrics, want string, names ...string) {
	t.Helper()
	server := httptest.NewServer(m)
	defer server.Close()
	if err := testutil.ScrapeAndCompare(server.URL, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestMetrics_CountRequestsAndRefusals(t *testing.T) {
	m := newTestMetrics()
	m.Answered(endpoint.Answered{Route: "token", Method: "POST", Status: 200, Took: 120 * time.Microsecond})
	m.Answered(endpoint.Answered{Route: "token", Method: "POST", Status: 200, Took: 3 * time.Second})
	m.Answered(endpoint.Answered{Route: "introspect", Method: "POST", Status: 401, Cause: string(authz.CauseWrongSecret), Took: time.Millisecond})
	m.Answered(endpoint.Answered{Route: "jwks", Method: "HEAD", Status: 304})
	scrape(t, m, `
		# HELP marque_requests_total Requests answered on the public listener.
		# TYPE marque_requests_total counter
		marque_requests_total{method="HEAD",route="jwks",status="304"} 1
		marque_requests_total{method="POST",route="introspect",status="401"} 1
		marque_requests_total{method="POST",route="token",status="200"} 2
	`, "marque_requests_total")
	for labels, want := range map[[2]string]float64{
		{"introspect", "wrong_secret"}: 1,
		{"token", "wrong_secret"}:      0,
	} {
		if got := testutil.ToFloat64(m.refusals.WithLabelValues(labels[0], labels[1])); got != want {
			t.Errorf("refusals %v: %v, want %v", labels, got, want)
		}
	}
	for route, want := range map[string]struct {
		count uint64
		sum   float64
	}{"token": {2, 3.00012}, "introspect": {1, .001}, "jwks": {1, 0}, "revoke": {0, 0}} {
		count, sum := duration(t, m, route)
		if count != want.count || math.Abs(sum-want.sum) > 1e-9 {
			t.Errorf("durations of %s: %d, %v s; want %d, %v s", route, count, sum, want.count, want.sum)
		}
	}
}

// duration reads the histogram of a route.
func duration(t *testing.T, m *metrics, route string) (count uint64, sum float64) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			if f.GetName() == "marque_request_duration_seconds" && metric.GetLabel()[0].GetValue() == route {
				return metric.GetHistogram().GetSampleCount(), metric.GetHistogram().GetSampleSum()
			}
		}
	}
	t.Fatalf("no durations of %s", route)
	return 0, 0
}

func TestMetrics_GaugesAreReadAtTheScrape(t *testing.T) {
	scrape(t, newTestMetrics(), `
		# HELP marque_build_info What this binary is made of, as labels; the value is always 1.
		# TYPE marque_build_info gauge
		marque_build_info{go_version="go1.26",modified="false",revision="abc",version="v1.2.3"} 1
		# HELP marque_change_feed_age_seconds Time since this process last knew every change of the store; +Inf while it never did.
		# TYPE marque_change_feed_age_seconds gauge
		marque_change_feed_age_seconds 1.5
		# HELP marque_revocations Revocations in force, as this process knows them.
		# TYPE marque_revocations gauge
		marque_revocations 7
		# HELP marque_signing_key_age_seconds Time for which the active key of an algorithm has been signing.
		# TYPE marque_signing_key_age_seconds gauge
		marque_signing_key_age_seconds{algorithm="ES256"} 3600
		# HELP marque_signing_keys Signing keys that are remembered, by algorithm and state. One that is active for each algorithm is as it should be.
		# TYPE marque_signing_keys gauge
		marque_signing_keys{algorithm="ES256",state="active"} 1
		marque_signing_keys{algorithm="ES256",state="next"} 1
		marque_signing_keys{algorithm="ES256",state="retiring"} 0
		marque_signing_keys{algorithm="ES256",state="revoked"} 1
		marque_signing_keys{algorithm="ES256",state="withdrawn"} 0
		marque_signing_keys{algorithm="Ed25519",state="active"} 0
		marque_signing_keys{algorithm="Ed25519",state="next"} 0
		marque_signing_keys{algorithm="Ed25519",state="retiring"} 0
		marque_signing_keys{algorithm="Ed25519",state="revoked"} 0
		marque_signing_keys{algorithm="Ed25519",state="withdrawn"} 1
	`, "marque_build_info", "marque_change_feed_age_seconds", "marque_revocations", "marque_signing_key_age_seconds", "marque_signing_keys")
}

func TestMetrics_AFeedThatWasNeverReadIsInfinitelyOld(t *testing.T) {
	if got := since(time.Time{}, metricsNow); !math.IsInf(got, 1) {
		t.Errorf("age %v: an alarm on it would stay silent", got)
	}
	if got := since(metricsNow.Add(time.Hour), metricsNow); got != 0 {
		t.Errorf("age %v after the clock was set back, want 0", got)
	}
}

// Two keys of one ring that both claim to sign are a fault that the scrape has to show, not to fail by.
func TestMetrics_ShowKeysThatShouldNotBe(t *testing.T) {
	m := newMetrics(metricsConfig{
		Keys: func() []keys.View {
			return []keys.View{
				{Algorithm: jose.ES256, State: keys.StateActive},
				{Algorithm: jose.ES256, State: keys.StateActive},
				{Algorithm: "evil\xff", State: keys.StateActive},
				{Algorithm: jose.ES256, State: "evil"},
			}
		},
	})
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body := w.Body.String()
	if w.Code != http.StatusOK || !strings.Contains(body, `marque_signing_keys{algorithm="ES256",state="active"} 2`) || strings.Contains(body, "evil") {
		t.Errorf("status %d:\n%s", w.Code, body)
	}
}

// Prometheus' own linter knows the conventions of names, units and help texts.
func TestMetrics_Lint(t *testing.T) {
	m := newTestMetrics()
	m.Answered(endpoint.Answered{Route: "token", Method: "POST", Status: 401, Cause: "wrong_secret"})
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Whoever sends requests cannot make series: what is on no list is "other".
func TestMetrics_StrangersCannotAddSeries(t *testing.T) {
	m := newTestMetrics()
	hostile := func(i int) string {
		return [...]string{
			"/" + strconv.Itoa(i), strconv.Itoa(i), "\xff" + strconv.Itoa(i), "x\n# TYPE evil counter\nevil " + strconv.Itoa(i),
			`"} 1` + strconv.Itoa(i), strings.Repeat("A", i), "POST ", "post", "wrong_secret\x00", "",
		}[i%10]
	}
	for i := range 5_000 {
		m.Answered(endpoint.Answered{Route: hostile(i), Method: hostile(i + 1), Status: (i - 100) * 37, Cause: hostile(i + 2)})
		m.Answered(endpoint.Answered{Route: "token", Method: hostile(i), Status: 200, Cause: hostile(i)})
		m.Answered(endpoint.Answered{Route: hostile(i), Method: "POST", Status: 418, Cause: "wrong_secret"})
	}
	known := 0
	for _, label := range statuses.label {
		if label != "" {
			known++
		}
	}
	if got, most := testutil.CollectAndCount(m.requests), known+2; got > most {
		t.Errorf("%d series of requests, want at most %d", got, most)
	}
	// Those of the token route are there from the start.
	if got, most := testutil.CollectAndCount(m.refusals), 2*causeCount+2; got > most {
		t.Errorf("%d series of refusals, want at most %d", got, most)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := w.Body.String()
	for _, word := range []string{"evil", "AAAA", "post\"", "/1", "\xff"} {
		if strings.Contains(text, word) {
			t.Errorf("%q of a stranger is in the metrics", word)
		}
	}
}

// A cause that is on no list would be counted as "other", and nobody could be told of it.
func TestMetrics_EveryCauseHasItsSeries(t *testing.T) {
	found := 0
	for _, room := range []string{"authz", "authz/endpoint"} {
		for file, parsed := range sources(t, room) {
			for _, value := range causesIn(parsed) {
				found++
				if causeIndex(value) == 0 {
					t.Errorf("%s/%s: the cause %q is not in causeLabels", room, file, value)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("%d causes found: this test looks in the wrong place", found)
	}
	if len(causeIndexes) != causeCount {
		t.Error("a cause is listed twice")
	}
}

// causesIn returns the values of the constants of type Cause.
func causesIn(file *ast.File) []string {
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != len(spec.Values) {
			return true
		}
		for i, name := range spec.Names {
			literal, ok := spec.Values[i].(*ast.BasicLit)
			if ok && literal.Kind == token.STRING && strings.HasPrefix(strings.ToLower(name.Name), "cause") {
				value, err := strconv.Unquote(literal.Value)
				if err == nil {
					values = append(values, value)
				}
			}
		}
		return true
	})
	return values
}

func TestMetrics_StatusesThatThisServerSendsAreShown(t *testing.T) {
	for _, s := range []int{200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 412, 413, 415, 428, 429, 431, 500, 503} {
		if got := statuses.label[statusIndex(s)]; got != strconv.Itoa(s) {
			t.Errorf("status %d is shown as %q", s, got)
		}
	}
	for _, s := range []int{-1, 0, 99, 299, 599, 600, math.MaxInt} {
		if got := statuses.label[statusIndex(s)]; got != other {
			t.Errorf("status %d is shown as %q", s, got)
		}
	}
	if slices.Index(statuses.label[:], "") < 0 {
		t.Error("statusCount is too small for what net/http knows")
	}
}

func TestMetrics_AreReadOnly(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, "EVIL"} {
		w := httptest.NewRecorder()
		newTestMetrics().ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" || w.Body.Len() != 0 {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

// Two servers in one process must not add up, nor panic because the other was there first.
func TestMetrics_HaveTheirOwnRegistry(t *testing.T) {
	a, b := newTestMetrics(), newTestMetrics()
	a.Answered(endpoint.Answered{Route: "token", Method: "POST", Status: 200})
	if got := testutil.CollectAndCount(b.requests); got != 0 {
		t.Errorf("the other server shows %d series", got)
	}
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "marque_") {
			t.Errorf("%s is in the global registry", f.GetName())
		}
	}
}

func TestMetrics_AtOnce(t *testing.T) {
	m := newTestMetrics()
	const workers, each = 8, 500
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				m.Answered(endpoint.Answered{Route: routeLabels[i%routeCount], Method: "POST", Status: 400 + i%30, Cause: causeLabels[i%causeCount]})
				if i%100 == w {
					rec := httptest.NewRecorder()
					m.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
					if rec.Code != http.StatusOK {
						t.Errorf("a scrape: %d", rec.Code)
					}
				}
			}
		})
	}
	wg.Wait()
	total := 0.0
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "marque_requests_total" {
			for _, metric := range f.GetMetric() {
				total += metric.GetCounter().GetValue()
			}
		}
	}
	if total != workers*each {
		t.Errorf("%v requests counted, want %d", total, workers*each)
	}
}

func TestMetrics_AnsweredDoesNotAllocate(t *testing.T) {
	m := newTestMetrics()
	a := endpoint.Answered{Route: "token", Method: "POST", Status: 401, Cause: "wrong_secret", Took: time.Millisecond}
	m.Answered(a)
	if n := testing.AllocsPerRun(1000, func() { m.Answered(a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMetricsAnswered(b *testing.B) {
	for name, a := range map[string]endpoint.Answered{
		"issued":  {Route: "token", Method: "POST", Status: 200, Took: 120 * time.Microsecond},
		"refused": {Route: "token", Method: "POST", Status: 401, Cause: "wrong_secret", Took: 120 * time.Microsecond},
		"hostile": {Route: "/x", Method: "EVIL", Status: 999, Cause: "evil", Took: time.Hour},
	} {
		b.Run(name, func(b *testing.B) {
			m := newTestMetrics()
			b.ReportAllocs()
			for b.Loop() {
				m.Answered(a)
			}
		})
		b.Run(fmt.Sprint(name, "-parallel"), func(b *testing.B) {
			m := newTestMetrics()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					m.Answered(a)
				}
			})
		})
	}
}

func BenchmarkMetricsScrape(b *testing.B) {
	m := newTestMetrics()
	b.ReportAllocs()
	for b.Loop() {
		m.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}

// Callers whom the admin listener does not let in are counted by cause, whatever path they ask for; those
// who are let in are not.
func TestMetrics_RefusedAdminCallers(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	defer http.DefaultClient.CloseIdleConnections()
	count := func(cause authz.Cause) float64 {
		return testutil.ToFloat64(s.metrics.refusals.WithLabelValues(routeAdmin, string(cause)))
	}
	for _, path := range []string{"/", "/admin/v1/clients", "/no/such/path"} {
		if got := status(t, http.DefaultClient, "http://"+s.AdminAddress()+path); got != http.StatusUnauthorized {
			t.Fatalf("%s: %d", path, got)
		}
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+s.AdminAddress()+"/admin/v1/clients", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+getSample(t, s)) // good, and for another API
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := status(t, http.DefaultClient, "http://"+s.AdminAddress()+"/metrics"); got != http.StatusOK {
		t.Errorf("/metrics: %d", got)
	}
	if count(authz.CauseNoCredentials) != 3 || count(authz.CauseTokenAudience) != 1 || count(authz.CauseTokenExpired) != 0 {
		t.Errorf("%v without a token, %v with one for another API; status %d", count(authz.CauseNoCredentials), count(authz.CauseTokenAudience), answer.StatusCode)
	}
}

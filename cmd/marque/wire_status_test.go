package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/store"
)

// gaugeOf collects one metric of a server, by its name.
func gaugeOf(t *testing.T, s *server, name string) prometheus.Collector {
	t.Helper()
	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			m := f.GetMetric()[0]
			return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "x"}, func() float64 { return m.GetCounter().GetValue() + m.GetGauge().GetValue() })
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}

// TestStatus_AStoreThatIsAway: degraded while tokens are issued all the same, unavailable when they no longer
// are, and why; ready as long as there are tokens; ok again by itself.
func TestStatus_AStoreThatIsAway(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(time.Minute)
	var ahead atomic.Int64
	f := &flaky{}
	s := startTest(t, c, options{
		now:     func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		storeAs: func(inner store.Store) store.Store { f.Store = inner; return f },
	})
	defer http.DefaultClient.CloseIdleConnections()
	want := func(state admin.State, ready bool, codes ...string) admin.Status {
		t.Helper()
		got := s.status()
		var names []string
		for _, r := range got.Reasons {
			names = append(names, r.Code)
			if r.Message == "" {
				t.Errorf("%s: no message", r.Code)
			}
		}
		if got.State != state || strings.Join(names, " ") != strings.Join(codes, " ") {
			t.Errorf("%s %q, want %s %q", got.State, names, state, codes)
		}
		if err := s.ready(t.Context()); (err == nil) != ready {
			t.Errorf("ready: %v", err)
		}
		return got
	}
	if got := want(admin.StateOK, true); got.ConfirmedAt.IsZero() || !got.WentBackAt.IsZero() {
		t.Errorf("%+v", got)
	}
	f.failing.Store(true)
	for _, row := range []struct {
		after time.Duration
		state admin.State
		ready bool
		codes []string
	}{
		{0, admin.StateOK, true, nil},
		{3*time.Minute - time.Second, admin.StateOK, true, nil},
		{3*time.Minute + time.Second, admin.StateDegraded, true, []string{reasonUnconfirmed}},
		{5*time.Minute + time.Second, admin.StateUnavailable, false, []string{reasonNoKey, reasonUnconfirmed}},
	} {
		ahead.Store(int64(row.after))
		if err := s.applied(t.Context()); err == nil {
			t.Fatal("confirmed by a store that is away")
		}
		got := want(row.state, row.ready, row.codes...)
		if n := len(got.Reasons); n > 0 && !strings.Contains(got.Reasons[n-1].Message, errAway.Error()) {
			t.Errorf("%q does not say why", got.Reasons[n-1].Message)
		}
	}
	f.failing.Store(false)
	if err := s.applied(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(admin.StateOK, true)
	s.live.Store(false)
	want(admin.StateUnavailable, false, reasonNotServing)
	s.live.Store(true)
}

// Short intervals are no reason to call every hiccup degraded.
func TestStatus_AHiccupIsNoOutage(t *testing.T) {
	c := devConfig(t)
	c.Cache.MaxAge = configs.Duration(10 * time.Millisecond)
	var stopped atomic.Pointer[time.Time]
	f := &flaky{}
	s := startTest(t, c, options{
		now: func() time.Time {
			if at := stopped.Load(); at != nil {
				return *at
			}
			return time.Now()
		},
		storeAs: func(inner store.Store) store.Store { f.Store = inner; return f },
	})
	f.failing.Store(true)
	waitFor(t, func() bool { return s.unfollowed.Load() != nil })
	at := s.confirmedAt().Add(900 * time.Millisecond)
	stopped.Store(&at)
	if got := s.status(); got.State != admin.StateOK {
		t.Errorf("%+v", got)
	}
}

// What is told of a store that went back is told for an hour.
func TestStatus_WentBackIsShownForAnHour(t *testing.T) {
	var b wentBack
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for i, step := range []struct{ news, again bool }{{true, false}, {true, false}} {
		if got := b.begin(at.Add(time.Duration(i) * time.Hour)); got != step.news {
			t.Errorf("begin %d: %t", i, got)
		}
		if got := b.begin(at.Add(time.Duration(i)*time.Hour + time.Minute)); got != step.again {
			t.Errorf("begin %d again: %t", i, got)
		}
		if !b.end() || b.end() {
			t.Error("end is news once")
		}
	}
	if still, last, times := b.look(); still || times != 2 || !last.Equal(at.Add(time.Hour)) {
		t.Errorf("%t, %v, %d", still, last, times)
	}
	var ahead atomic.Int64
	s := startTest(t, devConfig(t), options{now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	s.back.begin(s.now())
	s.back.end()
	for _, row := range []struct {
		after time.Duration
		state admin.State
	}{{wentBackShown - time.Minute, admin.StateDegraded}, {wentBackShown + time.Minute, admin.StateOK}} {
		ahead.Store(int64(row.after))
		if err := s.applied(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.status(); got.State != row.state || got.WentBackAt.IsZero() {
			t.Errorf("after %v: %+v", row.after, got)
		}
	}
}

func TestMetrics_Status(t *testing.T) {
	hold := []string{reasonClockSkew, reasonWentBack}
	m := newMetrics(metricsConfig{Status: &statusConfig{
		Reasons:  func() []string { return hold },
		WentBack: func() int { return 3 },
		Offset:   func() (time.Duration, bool) { return -6500 * time.Millisecond, true },
	}})
	scrape(t, m, `
		# HELP marque_clock_offset_seconds By how much the clock of this process is ahead of that of the store which it shares; beyond 5, either way, it issues nothing.
		# TYPE marque_clock_offset_seconds gauge
		marque_clock_offset_seconds -6.5
		# HELP marque_degraded 1 while something is wrong for this reason, else 0. The reasons are those of GET /admin/v1/status.
		# TYPE marque_degraded gauge
		marque_degraded{reason="clock_skew"} 1
		marque_degraded{reason="key_step_overdue"} 0
		marque_degraded{reason="no_signing_key"} 0
		marque_degraded{reason="not_serving"} 0
		marque_degraded{reason="store_refuses_writes"} 0
		marque_degraded{reason="store_unconfirmed"} 0
		marque_degraded{reason="store_went_back"} 1
		# HELP marque_store_went_back_total How often the store turned out to have lost something that this process knew.
		# TYPE marque_store_went_back_total counter
		marque_store_went_back_total 3
	`, "marque_clock_offset_seconds", "marque_degraded", "marque_store_went_back_total")
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// The embedded store's server shows no offset of clocks, and its own reasons as they are.
func TestMetrics_StatusOfAServer(t *testing.T) {
	s := startTest(t, devConfig(t), options{})
	defer http.DefaultClient.CloseIdleConnections()
	scrape(t, s.metrics, `
		# HELP marque_degraded 1 while something is wrong for this reason, else 0. The reasons are those of GET /admin/v1/status.
		# TYPE marque_degraded gauge
		marque_degraded{reason="clock_skew"} 0
		marque_degraded{reason="key_step_overdue"} 0
		marque_degraded{reason="no_signing_key"} 0
		marque_degraded{reason="not_serving"} 0
		marque_degraded{reason="store_refuses_writes"} 0
		marque_degraded{reason="store_unconfirmed"} 0
		marque_degraded{reason="store_went_back"} 0
	`, "marque_degraded", "marque_clock_offset_seconds")
}

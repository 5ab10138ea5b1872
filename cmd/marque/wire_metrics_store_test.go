package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/marque-auth/marque/store/redistest"
)

// TestStoreCalls: what a server asks of Redis is measured by command, and nothing of what it asks.
func TestStoreCalls(t *testing.T) {
	s := startNodes(t, 1, redistest.Start(t).Addr)[0]
	p := newPartner(t, s, "partner-of-the-metrics")
	if status, _ := p.asksFor(t, s); status != 200 {
		t.Fatalf("status %d", status)
	}
	w := httptest.NewRecorder()
	s.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`marque_store_call_duration_seconds_count{command="mget",outcome="ok"}`,
		`marque_store_call_duration_seconds_count{command="evalsha",outcome="ok"}`,
		`marque_store_call_duration_seconds_count{command="dial",outcome="ok"}`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(w.Body.String(), p.id) || strings.Contains(w.Body.String(), p.secret) {
		t.Error("/metrics says who asked")
	}
}

func TestStoreCalls_LabelsAreOfAClosedList(t *testing.T) {
	c := newStoreCalls()
	for range 3 {
		c.observe("SET mrq_secret", "failed: mrq_secret", time.Second)
	}
	m := newMetrics(metricsConfig{Calls: c})
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), `marque_store_call_duration_seconds_count{command="other",outcome="other"} 3`) || strings.Contains(w.Body.String(), "mrq_") {
		t.Errorf("got %s", w.Body)
	}
}

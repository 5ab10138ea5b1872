package admin

import (
	"net/http"
	"testing"
	"time"
)

func TestStatus(t *testing.T) {
	s := start(t)
	want := func(body string) {
		t.Helper()
		if got := string(s.do("GET", "/admin/v1/status", nil).want(200).Body); got != body+"\n" {
			t.Errorf("got  %swant %s", got, body)
		}
	}
	want(`{"reasons":[],"state":"ok","store":{}}`)
	at := time.Date(2026, 11, 21, 12, 0, 0, 5_000_000, time.FixedZone("x", 3600))
	offset := time.Duration(0)
	s.status = Status{State: StateOK, ConfirmedAt: at, ClockOffset: &offset}
	want(`{"reasons":[],"state":"ok","store":{"clock_offset_ms":0,"confirmed_at":"2026-11-21T11:00:00.005Z"}}`)
	offset = -90*time.Second - 1500*time.Microsecond
	s.status = Status{
		State: StateUnavailable, ClockOffset: &offset, WentBackAt: at,
		Reasons: []StatusReason{{"clock_skew", "it is 90 s behind"}, {"store_unconfirmed", "the store said mrq_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"}},
	}
	want(`{"reasons":[{"code":"clock_skew","message":"it is 90 s behind"},{"code":"store_unconfirmed","message":"the store said [redacted]"}],"state":"unavailable","store":{"clock_offset_ms":-90001,"went_back_at":"2026-11-21T11:00:00.005Z"}}`)
	s.do("GET", "/admin/v1/status?x=1", nil).wantFields("x")
}

// Every code and state that the document lists is one that this package knows how to send, and no other is
// sent: the tool that checks all answers refuses it.
func TestStatus_TheDocumentKnowsEveryState(t *testing.T) {
	s := start(t)
	for _, state := range []State{StateOK, StateDegraded, StateUnavailable} {
		s.status.State = state
		if got := s.do("GET", "/admin/v1/status", nil).want(200).object()["state"]; got != string(state) {
			t.Errorf("%v, want %s", got, state)
		}
	}
}

// While the store is away whoever may use the socket is told why.
func TestStatus_StoreAway(t *testing.T) {
	s := start(t)
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	s.do("GET", "/admin/v1/status", nil).want(http.StatusOK)
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/configs"
	"github.com/marque-auth/marque/keys"
	"github.com/marque-auth/marque/store"
)

// fullDisk takes no rings while it is full.
type fullDisk struct {
	store.Store
	full atomic.Bool
}

func (f *fullDisk) PutRing(ctx context.Context, r keys.RingRecord, e audit.Entry) (keys.RingRecord, error) {
	if f.full.Load() {
		return keys.RingRecord{}, errors.New("no space left on device")
	}
	return f.Store.PutRing(ctx, r, e)
}

func TestROT06_AMissedRotationIsAnAlarmUntilItIsMadeUpFor(t *testing.T) {
	c := devConfig(t)
	c.Keys.RefreshInterval = configs.Duration(time.Hour) // steps are the test's
	c.Keys.PublishLead, c.Store.Outage = configs.Duration(2*time.Hour), configs.Duration(90*time.Minute)
	var ahead atomic.Int64
	log := &logBuffer{}
	disk := &fullDisk{}
	s := startTest(t, c, options{
		log:     slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError})),
		now:     func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		storeAs: func(inner store.Store) store.Store { disk.Store = inner; return disk },
	})
	overdue := func() bool {
		for _, r := range s.reasons() {
			if r.code == reasonKeyOverdue {
				return !r.stops && strings.Contains(r.message, "was to take over at")
			}
		}
		return false
	}
	if overdue() || s.alarmOverdue(t.Context(), false) {
		t.Fatal("an alarm at the start")
	}
	ahead.Store(int64(time.Duration(c.Keys.Period) + 3*time.Hour))
	disk.full.Store(true)
	if err := s.step(t.Context()); err == nil || !overdue() {
		t.Fatalf("the step: error %v; overdue %t", err, overdue())
	}
	if !s.alarmOverdue(t.Context(), false) || !s.alarmOverdue(t.Context(), true) {
		t.Error("no alarm")
	}
	if n := strings.Count(log.String(), "a step of the timeline of signing keys is overdue"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, log.String())
	}
	disk.full.Store(false)
	if err := s.step(t.Context()); err != nil || overdue() || s.alarmOverdue(t.Context(), true) {
		t.Errorf("made up for: error %v; overdue %t", err, overdue())
	}
}

// What only the whole of the windows shows is refused with the names of settings, at the start and by
// config check.
func TestROT02_WindowsThatFillTheJWKSAreRefused(t *testing.T) {
	c := devConfig(t)
	c.Keys.Period = configs.Duration(5 * time.Minute)
	_, err := start(t.Context(), c, options{})
	for _, err := range []error{err, checkTimeline(c)} {
		if err == nil || !strings.Contains(err.Error(), "keys.period is 5m0s: a key is published for 1h") || strings.Contains(err.Error(), "Rings") {
			t.Errorf("error %v, want one that names keys.period and the arithmetic", err)
		}
	}
	c.Keys.Period = configs.Duration(time.Hour)
	if err := checkTimeline(c); err != nil {
		t.Errorf("an hour: %v", err)
	}
}

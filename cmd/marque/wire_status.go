package main

import (
	"context"
	"fmt"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin"
	"github.com/marque-auth/marque/authz/endpoint"
)

// What can be wrong with a running server, the worst first: the codes of the management API's status and the
// labels of marque_degraded.
const (
	reasonNotServing  = "not_serving"
	reasonClockSkew   = "clock_skew"
	reasonNoKey       = "no_signing_key"
	reasonUnconfirmed = "store_unconfirmed"
	reasonWentBack    = "store_went_back"
	reasonNoWrites    = "store_refuses_writes"
	reasonKeyOverdue  = "key_step_overdue"
)

// reasonCodes lists all of them.
var reasonCodes = [...]string{reasonNotServing, reasonClockSkew, reasonNoKey, reasonUnconfirmed, reasonWentBack, reasonNoWrites, reasonKeyOverdue}

const (
	unconfirmedTicks   = 3           // so many intervals of cache.max_age without the store are more than bad luck
	unconfirmedAtLeast = time.Second // and no less than that, should they be short
	wentBackShown      = time.Hour   // that is how long somebody may see it who was not there
)

// reason is one thing that is wrong.
type reason struct {
	code    string
	message string
	stops   bool // no tokens are issued for it
}

// reasons returns what is wrong, the worst first. It does no I/O.
func (s *server) reasons() []reason {
	var all []reason
	add := func(code string, stops bool, format string, args ...any) {
		all = append(all, reason{code, fmt.Sprintf(format, args...), stops})
	}
	if !s.live.Load() {
		add(reasonNotServing, true, "starting, or stopping")
	}
	if ahead, off := s.clockOffset(); off {
		add(reasonClockSkew, true, "this server's clock is %s the store's, by more than %v; see to it that both follow a time server", apart(ahead), authz.MaxSkew)
	}
	if _, err := s.ring.Signer(s.algorithm(), s.now()); err != nil {
		add(reasonNoKey, true, "%v", err)
	}
	now, outage := s.commonNow(), time.Duration(s.config.Store.Outage)
	age := now.Sub(s.confirmedAt())
	if s.movedAway.Load() {
		add(reasonUnconfirmed, true, "the store is not in use%s", s.whyUnfollowed())
	} else if s.confirmedAt().IsZero() {
		add(reasonUnconfirmed, true, "the store was never heard of%s", s.whyUnfollowed())
	} else if age > max(unconfirmedTicks*time.Duration(s.config.Cache.MaxAge), unconfirmedAtLeast) {
		add(reasonUnconfirmed, age > outage, "the store was last heard of %v ago%s", age.Round(time.Millisecond), s.whyUnfollowed())
	}
	still, last, _ := s.back.look()
	switch ago := now.Sub(last); {
	case still:
		add(reasonWentBack, false, "the store went back in time %v ago, and says less than is known here", ago.Round(time.Second))
	case !last.IsZero() && ago < wentBackShown:
		add(reasonWentBack, false, "the store went back in time %v ago; what was revoked is so again, but clients and resources may be older than they were", ago.Round(time.Second))
	}
	if w := s.refusedWrite.Load(); w != nil {
		add(reasonNoWrites, false, "the last change, %v ago, was not acknowledged: %s", now.Sub(w.at).Round(time.Second), authz.Redact(w.why))
	}
	if missed := s.ring.Overdue(); len(missed) > 0 {
		add(reasonKeyOverdue, false, "%s; the log says why it was not done", overdueText(missed[0]))
	}
	return all
}

// apart says on which side of another clock one is, and how far.
func apart(ahead time.Duration) string {
	if ahead = ahead.Round(time.Millisecond); ahead < 0 {
		return fmt.Sprintf("%v behind", -ahead)
	}
	return fmt.Sprintf("%v ahead of", ahead)
}

// whyUnfollowed is what the change feed failed with last, as the end of a sentence; empty if it did not.
func (s *server) whyUnfollowed() string {
	if why := s.unfollowed.Load(); why != nil {
		return ": " + authz.Redact(*why)
	}
	return ""
}

// ready returns nil while tokens can be issued. A store that is away for less than store.outage is
// no reason against it.
func (s *server) ready(context.Context) error {
	for _, r := range s.reasons() {
		if r.stops {
			return fmt.Errorf("%s: %w", r.message, endpoint.NotReady(r.code+forStrangers[r.code]))
		}
	}
	return nil
}

// forStrangers is what /readyz says of a reason after its code: messages may name the store, and how far off the
// clock is is nobody's business. marque status says all.
var forStrangers = map[string]string{
	reasonNotServing:  ": the server starts, or stops",
	reasonClockSkew:   ": the server's clock and the store's do not agree",
	reasonNoKey:       ": no key signs now",
	reasonUnconfirmed: ": the store has not been heard of for longer than store.outage, or never",
	reasonWaiting:     ": the server waits for its store, and starts when that is there",
}

// reasonWaiting is what /readyz says while the server does not have its store yet, and so no status.
const reasonWaiting = "waiting_for_store"

// status is what admins are told.
func (s *server) status() admin.Status {
	out := admin.Status{State: admin.StateOK, ConfirmedAt: s.confirmedAt()}
	_, out.WentBackAt, _ = s.back.look()
	if s.clock != nil {
		ahead, _ := s.clock.Off()
		out.ClockOffset = &ahead
	}
	for _, r := range s.reasons() {
		out.Reasons = append(out.Reasons, admin.StatusReason{Code: r.code, Message: r.message})
		switch {
		case r.stops:
			out.State = admin.StateUnavailable
		case out.State == admin.StateOK:
			out.State = admin.StateDegraded
		}
	}
	return out
}

// statusConfig is the same for whoever scrapes.
func (s *server) statusConfig() *statusConfig {
	return &statusConfig{
		Reasons: func() (codes []string) {
			for _, r := range s.reasons() {
				codes = append(codes, r.code)
			}
			return codes
		},
		WentBack: func() int {
			_, _, times := s.back.look()
			return times
		},
		Offset: func() (time.Duration, bool) {
			ahead, _ := s.clockOffset()
			return ahead, s.clock != nil
		},
	}
}

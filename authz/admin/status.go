package admin

import (
	"context"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
)

// State sums a Status up.
type State string

// The states of a server.
const (
	StateOK          State = "ok"
	StateDegraded    State = "degraded"    // tokens are issued, and something is wrong
	StateUnavailable State = "unavailable" // none are issued
)

// Status says whether a server does all that it is for, and if not, why. It holds no secret.
type Status struct {
	State   State
	Reasons []StatusReason // the worst first

	ConfirmedAt time.Time      // every change of the store that was committed before is known; zero: none is
	ClockOffset *time.Duration // by how much the server's clock is ahead of the store's; nil: they are not compared
	WentBackAt  time.Time      // when it was noticed last that the store had lost something; zero: never
}

// StatusReason is one thing that is wrong. Its code is one of those that openapi.yaml lists.
type StatusReason struct{ Code, Message string }

// Status reads from memory whether all is well.
func (h *handler) Status(context.Context, api.StatusRequestObject) (api.StatusResponseObject, error) {
	s := h.status()
	out := api.Status200JSONResponse{
		State:   api.StatusState(s.State),
		Reasons: make([]api.StatusReason, len(s.Reasons)),
		Store:   api.StoreStatus{ConfirmedAt: optionalTime(s.ConfirmedAt), WentBackAt: optionalTime(s.WentBackAt)},
	}
	for i, r := range s.Reasons {
		out.Reasons[i] = api.StatusReason{Code: api.StatusReasonCode(r.Code), Message: authz.Redact(r.Message)}
	}
	if s.ClockOffset != nil {
		ms := s.ClockOffset.Milliseconds()
		out.Store.ClockOffsetMs = &ms
	}
	return out, nil
}

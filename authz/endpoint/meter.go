package endpoint

import (
	"slices"
	"time"
)

// The causes that have no line in the log, because they would be for scanners, or for whoever asks
// again every second.
const (
	causeNotFound = "not_found"
	causeMethod   = "method_not_allowed"
	causeNotReady = "not_ready"
)

// other stands for a path that does not exist, and for a method that a route does not know: a stranger
// chooses both, and must not choose how many names a meter has.
const other = "other"

// begin returns when a request began; the zero time when nobody wants to know.
func (h *Handler) begin() time.Time {
	if h.config.Meter == nil {
		return time.Time{}
	}
	return h.config.Now()
}

// count tells the meter what was answered.
func (h *Handler) count(c *call, a *answer, begin time.Time) {
	if h.config.Meter == nil {
		return
	}
	answered := Answered{Route: other, Method: other, Status: a.status, Cause: c.cause, Took: max(0, h.config.Now().Sub(begin))}
	if c.route != nil {
		answered.Route = c.route.name
		if slices.Contains(c.route.methods, c.r.Method) {
			answered.Method = c.r.Method
		}
	}
	h.config.Meter.Answered(answered)
}

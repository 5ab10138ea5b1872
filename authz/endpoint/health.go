package endpoint

import (
	"net/http"
	"time"
)

// health says that the process answers, and nothing more.
func (h *Handler) health(*call) answer {
	return answer{status: http.StatusOK, media: mediaText, body: []byte("ok\n")}
}

// ready says whether tokens can be issued. Why they cannot is for the log of whoever knows, not for
// strangers.
func (h *Handler) ready(c *call) answer {
	if err := h.config.Ready(c.r.Context()); err != nil {
		c.cause = causeNotReady
		return unavailable(time.Second)
	}
	return answer{status: http.StatusOK, media: mediaText, body: []byte("ready\n")}
}

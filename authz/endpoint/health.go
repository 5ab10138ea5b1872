package endpoint

import (
	"errors"
	"net/http"
	"time"
)

// health says that the process answers, and nothing more.
func (h *Handler) health(*call) answer {
	return answer{status: http.StatusOK, media: mediaText, body: []byte("ok\n")}
}

// NotReady is an error of Config.Ready that says why in words for whoever asks, strangers too.
type NotReady string

func (n NotReady) Error() string { return "not ready: " + string(n) }

// ready says whether tokens can be issued. Of why they cannot it says what Ready means for strangers to read; an
// error of any other kind may name the store, and is for the log of whoever knows.
func (h *Handler) ready(c *call) answer {
	err := h.config.Ready(c.r.Context())
	if err == nil {
		return answer{status: http.StatusOK, media: mediaText, body: []byte("ready\n")}
	}
	c.cause = causeNotReady
	why := "not ready"
	if said := NotReady(""); errors.As(err, &said) {
		why = said.Error()
	}
	a := unavailable(time.Second)
	a.media, a.body = mediaText, []byte(why+"\n")
	return a
}

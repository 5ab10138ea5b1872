package gate

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// The headers of the dialect for nginx, which hands on of a refusal nothing but its status, and of that no other
// than 401 and 403.
const (
	HeaderStatus = "Marque-Status" // what the caller is to get
	HeaderAnswer = "Marque-Answer" // the body of a refusal, which is one line
)

// answer lets check answer, in the dialect that the proxy speaks.
func (h *Handler) answer(d dialect, w http.ResponseWriter, r *http.Request, check http.Handler) {
	a := &answered{header: w.Header()}
	check.ServeHTTP(a, r)
	if a.status == 0 { // nobody said yes
		fault(a, r)
	}
	h.config.OnCheck(a.status)
	status := a.status
	if d == authRequest {
		a.header.Set(HeaderStatus, strconv.Itoa(status))
		a.header.Set(HeaderAnswer, strings.TrimSuffix(a.body.String(), "\n"))
		status = understood(status)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, a.body.String()) // a proxy that has gone needs no answer
}

// understood is the status that has nginx do the right thing, which makes 500 of all that it does not know.
func understood(status int) int {
	switch status {
	case http.StatusOK, http.StatusUnauthorized, http.StatusForbidden:
		return status
	}
	return http.StatusForbidden
}

// answered is an answer before it is sent.
type answered struct {
	header http.Header
	status int
	body   strings.Builder
}

func (a *answered) Header() http.Header { return a.header }

func (a *answered) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answered) Write(b []byte) (int, error) { return a.body.Write(b) }

// fault says that the gate, or what calls it, is not set up as it should be.
func fault(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, `{"error":"server_error","error_description":"This API's access control is not set up correctly."}`+"\n")
}

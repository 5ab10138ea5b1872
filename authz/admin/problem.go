package admin

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/keys"
)

const requestIDHeader = "X-Request-Id"

// reply is a ResponseWriter that remembers the status; 0 as long as no answer has begun.
type reply struct {
	http.ResponseWriter
	status int
}

func (w *reply) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *reply) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// begin sets what every answer carries. Answers can hold a secret, so none is stored anywhere.
func begin(w http.ResponseWriter, requestID string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set(requestIDHeader, requestID)
}

func requestID(w http.ResponseWriter) string { return w.Header().Get(requestIDHeader) }

// problem answers with a problem details object (RFC 9457). detail says what to change and never holds
// what the caller sent; it may be empty.
func problem(w http.ResponseWriter, status int, detail string, fields ...authz.FieldError) {
	p := api.Problem{
		Type:      api.ProblemTypeAboutBlank,
		Title:     http.StatusText(status),
		Status:    status,
		RequestID: requestID(w),
	}
	if detail != "" {
		p.Detail = &detail
	}
	if len(fields) > 0 {
		list := make([]api.FieldProblem, len(fields))
		for i, f := range fields {
			list[i] = api.FieldProblem{Field: f.Field, Rule: f.Rule}
		}
		p.Errors = &list
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and integers only
		panic(err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that went away needs no answer
}

// invalid answers 400 and names every wrong field.
func invalid(w http.ResponseWriter, fields []authz.FieldError) {
	problem(w, http.StatusBadRequest, "nothing was changed: errors names every field that breaks a rule", fields...)
}

// invalidField is the error of a request of which one field is wrong.
func invalidField(field, rule string) error {
	return &authz.InvalidError{Fields: []authz.FieldError{{Field: field, Rule: rule}}}
}

// fail answers for the error of an operation. What is neither a refusal nor an absence is a fault: it is
// logged here, once, and the caller learns only under which request id.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var fields *authz.InvalidError
	var unavailable *authz.UnavailableError
	var throttled *authz.ThrottledError
	var inUse *authz.InUseError
	var rest *unfinished
	switch {
	case errors.As(err, &rest): // before its cause, which says nothing of what was done
		h.unfinished(w, r, err)
	case errors.As(err, &fields):
		invalid(w, fields.Fields)
	case errors.As(err, &inUse):
		problem(w, http.StatusConflict, inUseDetail(inUse.Clients))
	case errors.Is(err, authz.ErrPrecondition):
		problem(w, http.StatusPreconditionFailed, "it was changed since it was read; read it again, and decide again")
	case errors.Is(err, keys.ErrNotFound) && h.operations[r.Pattern].missing == "":
		problem(w, http.StatusNotFound, "no resource is signed with this algorithm")
	case errors.Is(err, keys.ErrNotFound):
		problem(w, http.StatusNotFound, h.operations[r.Pattern].missing)
	case errors.Is(err, authz.ErrNotFound):
		problem(w, http.StatusNotFound, h.operations[r.Pattern].missing)
	case errors.Is(err, keys.ErrConflict):
		problem(w, http.StatusConflict, "the signing keys were changed meanwhile; repeat the request")
	case errors.Is(err, authz.ErrDeletedClient):
		problem(w, http.StatusConflict, "a client of this client_id was deleted, and its identifier is not given again; choose another")
	case errors.Is(err, authz.ErrConflict), errors.Is(err, keys.ErrDuplicate):
		problem(w, http.StatusConflict, h.operations[r.Pattern].conflict)
	case errors.Is(err, authz.ErrTooManySecrets):
		problem(w, http.StatusConflict, "the client has as many live secrets as it may have; revoke one first")
	case errors.Is(err, keys.ErrTooManyKeys):
		problem(w, http.StatusConflict, "too many keys are published; retiring ones leave by themselves, and next ones can be withdrawn")
	case errors.Is(err, ErrNoBackup):
		problem(w, http.StatusNotFound, noBackup)
	case errors.Is(err, ErrNoRoom):
		h.fault(w, r, err)
		problem(w, http.StatusInsufficientStorage, noRoom)
	case errors.Is(err, ErrBackups):
		w.Header().Set("Retry-After", retryAfter(backupsAgain))
		problem(w, http.StatusServiceUnavailable, manyBackups)
	case errors.As(err, &throttled):
		w.Header().Set("Retry-After", retryAfter(throttled.RetryAfter))
		problem(w, http.StatusTooManyRequests, "this was asked too often; try again later")
	case errors.As(err, &unavailable):
		h.unavailable(w, r, err, unavailable.RetryAfter)
	case h.passes(err):
		h.unavailable(w, r, err, time.Second)
	default:
		h.fault(w, r, err)
		problem(w, http.StatusInternalServerError, "")
	}
}

// unavailable answers for what could not be done now: nothing is acknowledged, and it can be said again.
func (h *handler) unavailable(w http.ResponseWriter, r *http.Request, err error, after time.Duration) {
	h.fault(w, r, err)
	w.Header().Set("Retry-After", retryAfter(after))
	problem(w, http.StatusServiceUnavailable, "the server cannot answer now; a change may have happened and can be repeated")
}

// unfinished answers for an act of several steps of which some may be done: 503 when the rest can be asked for
// again at once, a lost race included, and 500 when somebody has to mend something before.
func (h *handler) unfinished(w http.ResponseWriter, r *http.Request, err error) {
	h.fault(w, r, err)
	status := http.StatusInternalServerError
	if h.passes(err) || errors.Is(err, keys.ErrConflict) {
		w.Header().Set("Retry-After", retryAfter(retryUnfinished))
		status = http.StatusServiceUnavailable
	}
	problem(w, status, "some of it may be done, and some not; it can be repeated with the same Idempotency-Key, which does what is left")
}

// inUseDetail names the clients that keep a resource from being deleted: their identifiers are ours.
func inUseDetail(clients []authz.ClientID) string {
	return "clients still have or serve this resource; change or delete them first: " + strings.Join(words(clients), ", ")
}

func (h *handler) fault(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		h.log.InfoContext(r.Context(), "admin caller went away", "request_id", requestID(w), "operation", r.Pattern)
		return
	}
	h.log.ErrorContext(r.Context(), "admin request failed", "request_id", requestID(w), "operation", r.Pattern,
		"actor", origin(r.Context()).Actor.String(), "err", authz.Redact(err.Error()))
}

// unreadable answers for what the generated code cannot read although the gate let it pass. That is our
// mistake, not the caller's; it still must not be taken for a request that was understood.
func (h *handler) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	h.fault(w, r, err)
	problem(w, http.StatusBadRequest, "the request could not be read")
}

// retryAfter writes a duration as Retry-After wants it: whole seconds, at least one.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

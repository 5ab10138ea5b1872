package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/admin/internal/api"
	"github.com/marque-auth/marque/authz/audit"
)

// Registry is what the handler needs of the domain: an *authz.Registry. Its methods are called
// concurrently, and mean what they mean there.
type Registry interface {
	Resources
	Clients
	Secrets
	Revocations
	Audit
	Checks
}

// Config is what a handler needs. Every field is required but Passes.
type Config struct {
	Registry Registry
	Tokens   Tokens
	Keys     Keys
	Refusals Refusals
	Log      *slog.Logger

	// Status says whether the server does all that it is for. It does no I/O.
	Status func() Status

	// Doctor looks for what is wrong with the installation, and changes nothing. An error means that
	// it could not look.
	Doctor func(ctx context.Context) ([]Finding, error)

	// Backup copies the store, after an audit entry that says who wants it. The error is ErrNoBackup,
	// ErrNoRoom or ErrBackups where that says why not. It is called for callers on the unix socket alone.
	Backup func(ctx context.Context, by audit.Origin) (Backup, error)

	// Passes reports whether a fault of the domain may be over when the request is said again, such as one
	// of a store that is away: 503 with Retry-After, where others are 500. Nil means none is. It does no I/O.
	Passes func(err error) bool
}

// New returns the handler of the management API for callers on the unix socket. The server that runs
// it must have [ConnContext] as its ConnContext: a request whose caller is unknown is refused with 403.
func New(c Config) (http.Handler, error) {
	h, err := newHandler(c)
	if err != nil {
		return nil, err
	}
	h.caller, h.local = h.peer, true
	return h, nil
}

// newHandler returns a handler that does not know yet how to tell who calls.
func newHandler(c Config) (*handler, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	h := &handler{
		registry: c.Registry, tokens: c.Tokens, keys: c.Keys, refusals: c.Refusals, status: c.Status, doctor: c.Doctor,
		backup: c.Backup, log: c.Log, operations: operations(), passes: c.Passes,
	}
	if h.passes == nil {
		h.passes = func(error) bool { return false }
	}
	h.mux = h.serve(h.unreadable, h.fail)
	h.judges = judging(h.registry)
	return h, nil
}

// serve returns the routes of the document, with h behind them. What the generated code cannot read goes
// to unreadable, and what an operation returns as an error to failed.
func (h *handler) serve(unreadable, failed func(http.ResponseWriter, *http.Request, error)) *http.ServeMux {
	mux := http.NewServeMux()
	strict := api.NewStrictHandlerWithOptions(h, nil, api.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: unreadable, ResponseErrorHandlerFunc: failed,
	})
	api.HandlerWithOptions(strict, api.StdHTTPServerOptions{BaseRouter: mux, ErrorHandlerFunc: unreadable})
	return mux
}

func (c Config) validate() error {
	var errs []error
	need := func(ok bool, field string) {
		if !ok {
			errs = append(errs, fmt.Errorf("admin: Config.%s is missing", field))
		}
	}
	need(c.Registry != nil, "Registry")
	need(c.Tokens != nil, "Tokens")
	need(c.Keys != nil, "Keys")
	need(c.Refusals != nil, "Refusals")
	need(c.Log != nil, "Log")
	need(c.Status != nil, "Status")
	need(c.Doctor != nil, "Doctor")
	need(c.Backup != nil, "Backup")
	return errors.Join(errs...)
}

// handler implements every operation of the document; its fields do not change after New.
type handler struct {
	// caller returns who calls. Otherwise it answers, and returns false. Nothing comes before it.
	caller func(w *reply, r *http.Request) (audit.Actor, bool)
	local  bool // who calls is on this machine, by the socket

	registry   Registry
	tokens     Tokens
	keys       Keys
	refusals   Refusals
	status     func() Status
	doctor     func(ctx context.Context) ([]Finding, error)
	backup     func(ctx context.Context, by audit.Origin) (Backup, error)
	passes     func(err error) bool
	log        *slog.Logger
	mux        *http.ServeMux
	judges     *http.ServeMux       // the same routes, to a domain that does nothing
	operations map[string]operation // by the pattern of the mux
}

var _ api.StrictServerInterface = (*handler)(nil)

// ServeHTTP is the way of every request: who calls, which operation, is it well-formed, do it.
func (h *handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &reply{ResponseWriter: rw}
	begin(w, rand.Text())
	var c call
	defer h.answered(w, &c) // after recover: what was answered to a panic counts too
	defer h.recover(w, r)

	actor, ok := h.caller(w, r)
	if !ok {
		return
	}
	pattern, ok := h.route(w, r)
	if !ok {
		return
	}
	if h.operations[pattern].local && !h.local {
		problem(w, http.StatusForbidden, "this is answered on the unix socket of the server alone, on its own machine")
		return
	}
	c.operation, c.by.Actor, c.by.RequestID = pattern, actor, requestID(w)
	c.r = r.WithContext(context.WithValue(r.Context(), callKey{}, &c))
	c.r.Pattern = pattern
	if h.gate(w, &c) {
		h.mux.ServeHTTP(w, c.r)
	}
}

// peer is the caller of a unix socket: the user whom the kernel names.
func (h *handler) peer(w *reply, r *http.Request) (audit.Actor, bool) {
	actor, err := peerOf(r.Context())
	if err != nil {
		h.log.WarnContext(r.Context(), "admin request of an unknown caller", "request_id", requestID(w), "err", err)
		problem(w, http.StatusForbidden, "the kernel does not say which user is calling; connect to the server's unix socket")
		return audit.Actor{}, false
	}
	return actor, true
}

// recover turns a panic into a 500 that says nothing, or drops the connection when an answer has begun.
func (h *handler) recover(w *reply, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { // as net/http compares it
		panic(p)
	}
	h.log.ErrorContext(r.Context(), "admin request panicked", "request_id", requestID(w),
		"panic", authz.Redact(fmt.Sprint(p)), "stack", authz.Redact(string(debug.Stack())))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	problem(w, http.StatusInternalServerError, "")
}

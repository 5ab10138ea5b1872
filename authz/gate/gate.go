package gate

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"github.com/marque-auth/marque/authz/verifier"
)

// Config is what a Handler is made of. Verifier is required.
type Config struct {
	// Verifier judges the tokens.
	Verifier *verifier.Verifier

	// OnCheck is told the true status of each answer, for metrics: what the caller is to get. Requests call it
	// concurrently, and wait for it. May be nil.
	OnCheck func(status int)

	// Log gets what the proxies' configuration has wrong; nil means slog.Default(). What is wrong with callers is in
	// the Verifier's.
	Log *slog.Logger
}

// maxKept is how many requirements are kept ready. A proxy's configuration has a handful; what is beyond, which
// somebody else must have written, is made for the one request.
const maxKept = 256

// Handler answers proxies. It is safe for concurrent use.
//
// It is to be called by proxies alone, and directly: what rewrites paths in between could rewrite what is required.
type Handler struct {
	config Config

	mu   sync.RWMutex
	kept map[string]http.Handler // by the text of the requirement; guarded by mu
}

// New returns a Handler.
func New(c Config) (*Handler, error) {
	if c.Verifier == nil {
		return nil, errors.New("gate: no Verifier")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.OnCheck == nil {
		c.OnCheck = func(int) {}
	}
	return &Handler{config: c, kept: map[string]http.Handler{}}, nil
}

// ServeHTTP implements http.Handler, for any method: a proxy asks with its own, or with the caller's.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	required, text, err := parse(r.RequestURI)
	if err == nil {
		err = h.config.Verifier.CanRequire(required.scopes...)
	}
	if err != nil {
		// Never a status that lets through, and none that blames the caller: it is the proxy that asks wrongly.
		h.config.Log.ErrorContext(r.Context(), "a proxy asks for what the gate does not know", "err", err)
		h.answer(required.dialect, w, r, http.HandlerFunc(fault))
		return
	}
	h.answer(required.dialect, w, r, h.check(required, text))
}

// check returns what judges requests for a requirement.
func (h *Handler) check(required requirement, text string) http.Handler {
	h.mu.RLock()
	check, ok := h.kept[text]
	h.mu.RUnlock()
	if ok {
		return check
	}
	route := verifier.Route{Scopes: required.scopes, OpenTo: verifier.OpenToNone}
	if required.open {
		route.OpenTo = verifier.OpenToAll
	}
	check = h.config.Verifier.RequireRoute(route)(http.HandlerFunc(h.admit))
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.kept) < maxKept {
		h.kept[text] = check
	}
	return check
}

// admit tells the proxy who calls.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) {
	caller, ok := verifier.FromContext(r.Context())
	if !ok {
		fault(w, r)
		return
	}
	if err := identify(w.Header(), caller); err != nil {
		h.config.Log.ErrorContext(r.Context(), "a caller cannot be named to the proxy", "token", caller, "err", err)
		fault(w, r)
		return
	}
	w.WriteHeader(http.StatusOK) // exactly: Envoy takes no other for a yes
}

package admin

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
)

// call is one request on its way, from the moment that caller and operation are known.
type call struct {
	operation string // the pattern of the mux; empty: there is none
	by        audit.Origin
	r         *http.Request // as the mux sees it: it knows the parts of the path
	seen      preconditions // of an operation that needs If-Match
	target    string        // what the operation says that it is about; empty: the path says it
	verdict   error         // what the domain said of a request that it only judges
}

// callKey is the context key of the *call of the request.
type callKey struct{}

// origin says who asks for the change, why, and in which request. It is there in every operation:
// ServeHTTP calls none without.
func origin(ctx context.Context) audit.Origin {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.by
	}
	return audit.Origin{}
}

// about names the record that the request is about, for the log, where the path does not name it.
func about(ctx context.Context, target string) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.target = target
	}
}

// answered logs a request once it has its answer: INFO for those that may change something, whether
// they did or not, and for a backup, DEBUG for those that read. Bodies, queries and header fields stay out: they can hold
// a secret.
func (h *handler) answered(w *reply, c *call) {
	if c.operation == "" {
		return
	}
	level := slog.LevelInfo
	if (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead) && !h.operations[c.operation].local {
		level = slog.LevelDebug
	}
	target := c.target
	for _, name := range []string{"client_id", "resource", "kid", "request_id"} {
		if target == "" {
			target = c.r.PathValue(name)
		}
	}
	attrs := []slog.Attr{
		slog.String("request_id", c.by.RequestID), slog.String("operation", c.operation), slog.String("actor", c.by.Actor.String()),
		slog.String("target", loggable(target)), slog.Int("status", w.status),
	}
	if credential := c.r.PathValue("credential_id"); credential != "" {
		attrs = append(attrs, slog.String("credential_id", loggable(credential)))
	}
	h.log.LogAttrs(c.r.Context(), level, "admin request", attrs...)
}

const maxLogged = 512 // octets: of the longest identifier there is

// loggable returns an identifier as it may stand in the log. Callers choose it: it can be a forged line,
// a megabyte, or a secret pasted into the wrong place, which a line break inside would hide from Redact.
func loggable(id string) string {
	if len(id) > maxLogged || strings.IndexFunc(id, func(c rune) bool { return c < 0x21 || c > 0x7e }) >= 0 {
		return "[not an identifier]"
	}
	return authz.Redact(id)
}

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/marque-auth/marque/authz"
)

// The causes that only this package knows.
const (
	causePanic    = "panic"
	causeFault    = "fault"
	causeCallGone = "caller_gone"
	causeNoKeys   = "no_jwks"
)

// refuse answers a request that the domain did not see.
func (h *Handler) refuse(c *call, r *refusal) answer {
	a := errorAnswer(c.out[:0], r.status, r.code, r.description)
	a.identity = r == contentEncoding
	a.close = r == bodyTooLarge || r == plainHTTP || r == bodyUnreadable
	e := entry{status: r.status, code: r.code, cause: string(r.cause), detail: r.description}
	level := slog.LevelInfo
	if r.cause == authz.CauseCredentialsInURL || r == plainHTTP {
		level = slog.LevelWarn // a secret is exposed, and somebody must replace it
		e.client, e.credential = exposed(c.r)
	}
	h.record(c.r.Context(), level, c, e)
	return a
}

// exposed returns whose secret it probably is, and which one, for the one who must replace it.
func exposed(r *http.Request) (authz.ClientID, authz.CredentialID) {
	query := r.URL.Query()
	p := parseAuthorization(r.Header.Get("Authorization"))
	if id := query.Get("client_id"); id != "" {
		p.ID = authz.ClientID(id)
	}
	if secret := query.Get("client_secret"); secret != "" {
		p.Secret = authz.Secret(secret)
	}
	credential, _ := authz.CredentialIn(p.Secret.Reveal())
	return p.ID, credential
}

// fail answers what the domain refused, or could not answer. Only the error itself and what it
// wraps singly are looked at, from the outside in: an outage that wraps a refusal is an outage.
func (h *Handler) fail(ctx context.Context, c *call, err error) answer {
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) {
		case *authz.Error:
			if status, ok := statusOf(e.Code); ok {
				h.record(ctx, slog.LevelInfo, c, entry{
					status: status, code: e.Code, cause: string(e.Cause), client: e.Client, credential: e.Credential, err: e.Err,
				})
				return errorAnswer(c.out[:0], status, e.Code, e.Description)
			}
		case *authz.ThrottledError:
			a := throttled(e.RetryAfter)
			h.record(ctx, slog.LevelInfo, c, entry{
				status: a.status, cause: string(e.Cause), detail: string(e.Failure), client: e.Client, credential: e.Credential,
			})
			return a
		case *authz.UnavailableError:
			a := unavailable(e.RetryAfter)
			h.record(ctx, slog.LevelError, c, entry{status: a.status, cause: string(e.Cause), client: e.Client, err: e.Err})
			return a
		}
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		h.record(ctx, slog.LevelInfo, c, entry{status: http.StatusServiceUnavailable, cause: causeCallGone})
		return unavailable(0)
	}
	h.record(ctx, slog.LevelError, c, entry{status: http.StatusInternalServerError, cause: causeFault, err: err})
	return bare(http.StatusInternalServerError)
}

// panicked answers after a panic. The value of a panic may hold anything, so of a value that is not
// the runtime's own only the type is logged; the stack says where it happened.
func (h *Handler) panicked(c *call, v any, stack []byte) answer {
	err := fmt.Errorf("panic with a %T", v)
	if e, ok := v.(runtime.Error); ok {
		err = e
	}
	a := bare(http.StatusInternalServerError)
	a.close = true // the body may be half read
	h.record(c.r.Context(), slog.LevelError, c, entry{status: a.status, cause: causePanic, err: err, stack: string(stack)})
	return a
}

// entry is what the log says of a request that did not succeed. It has no field for a secret.
type entry struct {
	status     int
	code       authz.Code
	cause      string
	client     authz.ClientID
	credential authz.CredentialID
	detail     string
	err        error
	stack      string
}

// record logs an entry, once for each request.
func (h *Handler) record(ctx context.Context, level slog.Level, c *call, e entry) {
	if !h.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", c.id),
		slog.String("cause", e.cause),
		slog.String("client_id", clientText(e.client)),
		slog.String("credential_id", string(e.credential)),
		slog.String("address", addressText(c)),
		slog.String("code", string(e.code)),
		slog.Int("status", e.status),
	}
	if e.detail != "" {
		attrs = append(attrs, slog.String("detail", e.detail))
	}
	if e.err != nil {
		attrs = append(attrs, slog.String("err", authz.Redact(e.err.Error())))
	}
	if e.stack != "" {
		attrs = append(attrs, slog.String("stack", e.stack))
	}
	h.log.LogAttrs(ctx, level, "request refused", attrs...)
}

// clientText keeps what is no identifier of a client out of the log: a stranger may send anything
// as client_id, a password too (TOK-44).
func clientText(id authz.ClientID) string {
	if !authz.ValidClientID(string(id)) {
		return ""
	}
	return authz.Redact(string(id))
}

func addressText(c *call) string {
	if !c.from.IsValid() {
		return ""
	}
	return c.from.String()
}

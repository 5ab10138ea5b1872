package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

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
		e.client, e.credential = owner(c.r)
	}
	h.record(c.r.Context(), level, c, e)
	return a
}

// owner returns whose secret it probably is, and which one, for the one who must replace it.
func owner(r *http.Request) (authz.ClientID, authz.CredentialID) {
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
func (h *Handler) fail(ctx context.Context, c *call, p *posted, err error) answer {
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) {
		case *refusal: // of a parameter
			return h.refuse(c, e)
		case *authz.Error:
			if status, ok := p.statusOf(e.Code); ok {
				h.record(ctx, slog.LevelInfo, c, entry{
					status: status, code: e.Code, cause: string(e.Cause), detail: c.hide(e.Detail), client: e.Client, credential: e.Credential, err: e.Err,
				})
				a := errorAnswer(c.out[:0], status, e.Code, e.Description)
				if status == http.StatusUnauthorized && p.takesBearer && !c.bySecret() {
					a.challenge = h.shared.either
				}
				return a
			}
		case *authz.InvalidTokenError:
			if p.takesBearer {
				return h.failBearer(ctx, c, e)
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

// failBearer answers a caller whose access token does not authenticate it, or does not suffice (RFC
// 7662, Section 2.3; RFC 6750, Section 3). The body repeats the challenge, for people.
func (h *Handler) failBearer(ctx context.Context, c *call, e *authz.InvalidTokenError) answer {
	status, code, description := http.StatusUnauthorized, invalidToken, invalidTokenDescription
	if e.Scope != "" {
		status, code, description = http.StatusForbidden, insufficientScope, insufficientScopeDescription
	}
	h.record(ctx, slog.LevelInfo, c, entry{status: status, code: code, cause: string(e.Cause), client: e.Client, err: e.Err})
	a := errorAnswer(c.out[:0], status, code, description)
	a.challenge = bearerChallenge(h.config.Realm, code, description, e.Scope)
	return a
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

// record logs an entry, and remembers it where it is one of a caller: once for each request.
func (h *Handler) record(ctx context.Context, level slog.Level, c *call, e entry) {
	c.cause = e.cause
	client := clientText(e.client)
	if h.config.Refusals != nil && c.route != nil && c.route.refuses {
		h.config.Refusals.Add(authz.Refusal{
			Time: h.config.Now(), RequestID: c.id, Route: c.route.name, Cause: authz.Cause(e.cause), Detail: e.detail,
			Client: authz.ClientID(client), Credential: e.credential, Address: c.from,
		})
	}
	if !h.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", c.id),
		slog.String("cause", e.cause),
		slog.String("client_id", client),
		slog.String("credential_id", string(e.credential)),
		slog.String("address", addressText(c)),
		slog.String("code", string(e.code)),
		slog.Int("status", e.status),
	}
	if e.detail != "" {
		attrs = append(attrs, slog.String("detail", e.detail))
	}
	if e.err != nil {
		attrs = append(attrs, slog.String("err", c.hide(e.err.Error())))
	}
	if e.stack != "" {
		attrs = append(attrs, slog.String("stack", e.stack))
	}
	h.log.LogAttrs(ctx, level, "request refused", attrs...)
}

// bySecret reports whether the caller presented a client secret: then it knows the scheme.
func (c *call) bySecret() bool {
	return c.client.Method == authz.PresentedBasic || c.client.Method == authz.PresentedPost
}

// hide takes secrets out of a text that somebody else made: those of the usual shape, and the secret and
// the tokens of this very request, which have none. What is too short to be one is left alone.
func (c *call) hide(text string) string {
	for _, presented := range []string{c.client.Secret.Reveal(), c.bearer, string(c.form.value("token"))} {
		if len(presented) >= shortestSecret {
			text = strings.ReplaceAll(text, presented, "[redacted]")
		}
	}
	return authz.Redact(text)
}

// shortestSecret is the length from which hide looks for a secret, in octets.
const shortestSecret = 8

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

package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
)

// tcp lets in who bears an access token for the management API. Its fields do not change.
type tcp struct {
	TCPConfig
	hosts    []string
	failures *failures
	log      *slog.Logger
}

// refused is a caller that is not let in: the answer, and for the log why.
type refused struct {
	status    int
	challenge string // of WWW-Authenticate: what follows the realm
	detail    string
	cause     authz.Cause
	failure   authz.Cause // behind CauseFailuresLimited
	client    authz.ClientID
	counts    bool // a token was tried: too many of these are 429
	after     time.Duration
	err       error
}

// The answers to who brings no token, or brings it in a wrong way (RFC 6750, Section 3.1). Without any
// credentials the challenge says no more than that they are needed.
var (
	refusedAnonymous = refused{
		status: http.StatusUnauthorized, cause: authz.CauseNoCredentials,
		detail: "send Authorization: Bearer with an access token for the management API, or use the server's unix socket",
	}
	refusedTwice = refused{
		status: http.StatusBadRequest, challenge: `, error="invalid_request"`, cause: authz.CauseSeveralMethods,
		detail: "send one Authorization field",
	}
	refusedInURL = refused{
		status: http.StatusBadRequest, challenge: `, error="invalid_request"`, cause: authz.CauseCredentialsInURL,
		detail: "send the access token as Authorization: Bearer, never in a URL, which ends up in logs: revoke it",
	}
	refusedMalformed = refused{
		status: http.StatusBadRequest, challenge: `, error="invalid_request"`, cause: authz.CauseMalformedCredentials, counts: true,
		detail: "the Authorization field must be Bearer, a space, and the access token",
	}
)

// authenticate returns who bears the token of a request. Otherwise it answers, and returns false.
func (t *tcp) authenticate(w *reply, r *http.Request) (audit.Actor, bool) {
	token, why := bearer(r)
	if why == nil {
		actor, err := t.Authenticate(r.Context(), token)
		if err == nil && (actor.Kind == "" || actor.ID == "") {
			err = fmt.Errorf("a token of nobody: %q", actor.String())
		}
		if err == nil {
			return actor, true
		}
		why = judged(tokenless{err, token})
	}
	t.refuse(w, r, *why)
	return audit.Actor{}, false
}

// bearer returns the access token of r (RFC 6750, Section 2.1), or why there is none to judge. A token
// in the body is not looked for: nothing of a body is read before its sender is known.
func bearer(r *http.Request) (string, *refused) {
	if queryHasToken(r.URL) {
		return "", &refusedInURL
	}
	fields := r.Header.Values("Authorization")
	switch len(fields) {
	case 0:
		return "", &refusedAnonymous
	case 1:
	default:
		// Who reads the first and who reads the last would not agree on the caller.
		return "", &refusedTwice
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return "", &refusedAnonymous
	case !isToken68(token):
		return "", &refusedMalformed
	}
	return token, nil
}

// queryHasToken reads what it can of a query: one bad pair does not hide the others.
func queryHasToken(u *url.URL) bool {
	if u.RawQuery == "" {
		return false
	}
	q, _ := url.ParseQuery(u.RawQuery)
	return q.Has("access_token")
}

// isToken68 reports whether s is a token68: RFC 9110, Section 11.2.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") == ""
}

// judged turns the error of Authenticate into an answer. What is not a judgement about the token is
// "unknown", and never lets anybody in or calls a good token bad.
func judged(err error) *refused {
	var invalid *authz.InvalidTokenError
	var throttled *authz.ThrottledError
	var unavailable *authz.UnavailableError
	switch {
	case errors.As(err, &invalid) && invalid.Scope != "":
		return &refused{
			status: http.StatusForbidden, challenge: `, error="insufficient_scope", scope="` + authz.ScopeAdmin + `"`,
			cause: invalid.Cause, client: invalid.Client, err: err,
			detail: "the access token is good, and lacks the scope of the management API",
		}
	case errors.As(err, &invalid):
		return &refused{
			status: http.StatusUnauthorized, challenge: `, error="invalid_token"`,
			cause: invalid.Cause, client: invalid.Client, counts: true, err: err,
			detail: "the access token is not good for the management API, or not any more; obtain a new one",
		}
	case errors.As(err, &throttled):
		return &refused{
			status: http.StatusTooManyRequests, cause: throttled.Cause, client: throttled.Client, after: throttled.RetryAfter, err: err,
			detail: "this was asked too often; try again later",
		}
	}
	r := &refused{
		status: http.StatusServiceUnavailable, cause: authz.CauseStoreUnavailable, after: time.Second, err: err,
		detail: "the access token cannot be judged now; try again",
	}
	if errors.As(err, &unavailable) {
		r.cause, r.client, r.after = unavailable.Cause, unavailable.Client, unavailable.RetryAfter
	}
	return r
}

// refuse answers a caller that is not let in, and logs why. When an address has sent too many bad
// tokens it learns no more whether the next one is.
func (t *tcp) refuse(w *reply, r *http.Request, why refused) {
	address := t.Address(r)
	if why.counts {
		if after, ok := t.failures.take(address); !ok {
			why.status, why.challenge, why.after = http.StatusTooManyRequests, "", after
			why.failure, why.cause = why.cause, authz.CauseFailuresLimited
			why.detail = "too many bad access tokens come from this address; try again later"
		}
	}
	switch why.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter(why.after))
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="marque-admin"`+why.challenge)
	}
	t.note(r.Context(), w, why, authz.Refusal{
		Time: t.Now().UTC(), RequestID: requestID(w), Route: "admin", Cause: why.cause, Detail: string(why.failure), Client: why.client, Address: address,
	})
	problem(w, why.status, why.detail)
}

// note logs a refusal and hands it on. Of the request it names the address alone: paths, fields and
// bodies of strangers can hold anything.
func (t *tcp) note(ctx context.Context, w *reply, why refused, r authz.Refusal) {
	level := slog.LevelInfo
	if why.status == http.StatusServiceUnavailable && ctx.Err() == nil {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("request_id", r.RequestID), slog.String("cause", string(r.Cause)),
		slog.String("address", r.Address.String()), slog.Int("status", why.status),
	}
	if r.Detail != "" {
		attrs = append(attrs, slog.String("failure", r.Detail))
	}
	if r.Client != "" {
		attrs = append(attrs, slog.String("client_id", loggable(string(r.Client))))
	}
	if why.err != nil {
		attrs = append(attrs, slog.String("err", authz.Redact(why.err.Error())))
	}
	t.log.LogAttrs(ctx, level, "admin caller refused", attrs...)
	t.Refused(r)
}

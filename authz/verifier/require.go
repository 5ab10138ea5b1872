package verifier

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Require returns a middleware that lets a request through if it brings a good access token with
// all of these scopes. It decides before the handler runs and before the body is read, and passes
// the Token on in the request's context. Without scopes any good token will do.
//
// It answers everything else itself: 401 with a challenge for no token (without an error code) and
// for a bad one, 400 for a token that is sent in a wrong way, 403 for a scope that is missing, 503
// with Retry-After while tokens cannot be judged. What it lets through is marked
// Cache-Control: private, which the handler may replace.
//
// Requires may be nested: the token is verified once. Require panics on a scope that no token can
// have, or that Config.Scopes is lacking: a route like that would never open.
func (v *Verifier) Require(scopes ...string) func(http.Handler) http.Handler {
	return v.RequireRoute(Route{Scopes: scopes})
}

// RequireRoute is Require for a route of which more is to be said than its scopes. It panics on an OpenTo that there is
// not, too.
func (v *Verifier) RequireRoute(r Route) func(http.Handler) http.Handler {
	err := v.CanRequire(r.Scopes...)
	if err == nil && r.OpenTo != OpenToSafe && r.OpenTo != OpenToAll && r.OpenTo != OpenToNone {
		err = fmt.Errorf("%q is no OpenTo", string(r.OpenTo))
	}
	if err != nil {
		panic("verifier: Require: " + err.Error())
	}
	g := &gate{v: v, scopes: slices.Clone(r.Scopes), openTo: r.OpenTo, answers: newAnswers(v.realm, r.Scopes)}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, refusal := g.admit(r)
			if refusal != nil {
				refusal.write(w, r)
				return
			}
			// RFC 9111, Section 3.5: what one caller may see is not for a shared cache.
			if h := w.Header(); h.Get("Cache-Control") == "" {
				h.Set("Cache-Control", "private")
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// CanRequire says why Require would panic, to those whose scopes were written elsewhere.
func (v *Verifier) CanRequire(scopes ...string) error {
	for _, s := range scopes {
		if !scopeToken(s) {
			return fmt.Errorf("%q is not a scope", loggable(s))
		}
		if len(v.scopes) > 0 && !slices.Contains(v.scopes, s) {
			return fmt.Errorf("Config.Scopes does not define %q", loggable(s))
		}
	}
	return nil
}

// maxLogged is how long a scope may be, in bytes, to stand in a log. No token fits: its signature alone takes 86.
const maxLogged = 80

// loggable is a scope for the log. Scopes come from a path where a gate is asked, and whoever reaches it may write a
// token there.
func loggable(scope string) string {
	if len(scope) > maxLogged {
		return fmt.Sprintf("(%d bytes)", len(scope))
	}
	return scope
}

// gate is one Require.
type gate struct {
	v       *Verifier
	scopes  []string
	openTo  OpenTo
	answers answers
}

// admit returns the context for the handler, or the answer that refuses.
func (g *gate) admit(r *http.Request) (context.Context, *answer) {
	ctx := r.Context()
	raw, how := credential(r)
	switch how {
	case none:
		g.v.report(Verdict{Outcome: OutcomeNoToken})
		return nil, &g.answers.noToken
	case malformed:
		g.v.report(Verdict{Outcome: OutcomeMalformed})
		g.v.log.InfoContext(ctx, "request refused", "code", codeInvalidRequest)
		return nil, &g.answers.badRequest
	}
	open := g.openTo.holds(r.Method)
	t, again := g.v.before(ctx, raw, open)
	known := false
	if !again {
		var err error
		if t, known, err = g.v.judge(ctx, raw, open); err != nil {
			g.v.report(verdict(ctx, err, false))
			return nil, g.refuse(ctx, err)
		}
	}
	for _, s := range g.scopes {
		if !t.HasScope(s) {
			g.v.report(Verdict{Outcome: OutcomeLacksScope})
			g.v.log.InfoContext(ctx, "request refused", "code", codeInsufficientScope, "token", t, "scope", loggable(s))
			return nil, &g.answers.lacksScope
		}
	}
	if again {
		return ctx, nil
	}
	g.v.report(Verdict{Outcome: OutcomeAccepted, Remembered: known})
	return context.WithValue(ctx, contextKey{}, verified{by: g.v, credential: raw, token: t, open: open}), nil
}

// before returns the token that an outer Require of the same Verifier has verified in this request, if it was raw. What
// passed because the outer route is open is judged once more where this one is not.
func (v *Verifier) before(ctx context.Context, raw string, open bool) (Token, bool) {
	b, ok := ctx.Value(contextKey{}).(verified)
	if !ok || b.by != v || b.credential != raw || b.open && !open {
		return Token{}, false
	}
	return b.token, true
}

// refuse logs why the token was not taken, and returns what its bearer is told.
func (g *gate) refuse(ctx context.Context, err error) *answer {
	switch {
	case errors.Is(err, ErrToken):
		g.v.log.InfoContext(ctx, "access token refused", "refusal", err)
		return &g.answers.badToken
	case ctx.Err() != nil: // the caller has gone, and so has the wait for keys
	default:
		g.v.log.ErrorContext(ctx, "access token not verified", "issuer", g.v.issuer, "err", err)
	}
	return &g.answers.unavailable
}

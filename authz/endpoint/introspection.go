package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/marque-auth/marque/authz"
)

const introspectionPath = "/oauth2/introspect"

// introspectionEndpoint is POST /oauth2/introspect (RFC 7662, Section 2).
func (h *Handler) introspectionEndpoint() *posted {
	return &posted{
		wrongMethod: wrongMethodIntrospection,
		takesToken:  true,
		takesBearer: true,
		codes:       []authz.Code{authz.InvalidRequest, authz.InvalidClient, authz.UnauthorizedClient},
		act:         h.introspect,
	}
}

// introspect says what has become of a token. A hint about its type, which may be wrong, would only
// spare a search that is not needed (RFC 7662, Section 2.1; INT-11): it is read by no one.
func (h *Handler) introspect(ctx context.Context, c *call) (answer, error) {
	token := c.form.value("token")
	if len(token) == 0 {
		return answer{}, missingToken
	}
	if c.byBearer && !wellFormedBearer(c.bearer) {
		return answer{}, &authz.InvalidTokenError{Cause: authz.CauseMalformedCredentials}
	}
	signed := prefersJWT(c.r.Header["Accept"])
	got, err := h.config.Tokens.Introspect(ctx, authz.IntrospectRequest{
		Token: string(token), Client: c.client, Bearer: c.bearer, Signed: signed, Address: c.from,
	})
	if err != nil {
		return answer{}, err
	}
	h.explain(ctx, c, &got)
	return introspected(c, &got, signed)
}

// errNoAnswer says that the domain answered with nothing, or not in the form that was asked for.
var errNoAnswer = errors.New("an introspection without an answer")

// introspected writes what the domain says. An answer that is not there is a fault: a caller might take
// an empty 200 for anything.
func introspected(c *call, got *authz.Introspection, signed bool) (answer, error) {
	a := answer{status: http.StatusOK, media: mediaJSON, negotiated: true}
	a.body = append(c.out[:0], got.Body...) // a copy: release wipes it, and a body may be shared
	if signed {
		a.media = mediaIntrospection
		a.body = append(c.out[:0], got.JWT...)
	}
	if c.out = a.body; len(a.body) == 0 {
		return answer{}, errNoAnswer
	}
	return a, nil
}

// explain tells whoever turned on debugging why a token is inactive, which the caller is not told. It
// is no refusal, and the path is hot: it is silent otherwise.
func (h *Handler) explain(ctx context.Context, c *call, got *authz.Introspection) {
	if !h.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	h.log.LogAttrs(ctx, slog.LevelDebug, "token introspected",
		slog.String("request_id", c.id),
		slog.String("caller", clientText(got.Caller)),
		slog.Bool("active", got.Active),
		slog.String("cause", string(got.Cause)),
		slog.String("client_id", clientText(got.Client)),
		slog.String("jti", c.hide(got.JTI)),
	)
}

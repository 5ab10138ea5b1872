package endpoint

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/marque-auth/marque/authz"
)

const revocationPath = "/oauth2/revoke"

// revocationEndpoint is POST /oauth2/revoke (RFC 7009, Section 2). unsupported_token_type is none of its
// codes: every kind of token that this server issues can be revoked (RVK-11).
func (h *Handler) revocationEndpoint() *posted {
	return &posted{
		wrongMethod: wrongMethodRevocation,
		takesToken:  true,
		codes:       []authz.Code{authz.InvalidRequest, authz.InvalidClient, authz.UnauthorizedClient, authz.InvalidGrant},
		act:         h.revoke,
	}
}

// revoke withdraws a token. A hint about its type is read by no one (RFC 7009, Section 2.1; RVK-10),
// nor is callback: there is no JSONP (RVK-17).
func (h *Handler) revoke(ctx context.Context, c *call) (answer, error) {
	token := c.form.value("token")
	if len(token) == 0 {
		return answer{}, missingToken
	}
	done, err := h.config.Tokens.Revoke(ctx, authz.RevokeRequest{
		Token: string(token), Client: c.client, Address: c.from, RequestID: c.id,
	})
	if err != nil {
		return answer{}, err
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "token revoked",
		slog.String("request_id", c.id),
		slog.String("client_id", clientText(done.Client)),
		slog.String("jti", c.hide(done.JTI)),
		slog.Bool("changed", done.Changed),
		slog.Bool("collapsed", done.Collapsed),
	)
	return bare(http.StatusOK), nil
}

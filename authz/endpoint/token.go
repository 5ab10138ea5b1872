package endpoint

import (
	"context"

	"github.com/marque-auth/marque/authz"
)

const tokenPath = "/oauth2/token"

// tokenEndpoint is POST /oauth2/token (RFC 6749, Section 3.2).
func (h *Handler) tokenEndpoint() *posted {
	return &posted{
		wrongMethod: wrongMethodToken,
		resources:   true,
		codes: []authz.Code{
			authz.InvalidRequest, authz.InvalidClient, authz.UnauthorizedClient, authz.UnsupportedGrantType, authz.InvalidScope,
			authz.InvalidTarget, authz.InvalidAuthorizationDetails, authz.InvalidDPoPProof,
		},
		act: h.token,
	}
}

// token issues a token.
func (h *Handler) token(ctx context.Context, c *call) (answer, error) {
	grant := grantType(c.form.value("grant_type"))
	if grant == "" {
		return answer{}, missingGrantType
	}
	issued, err := h.config.Tokens.Token(ctx, authz.Request{
		GrantType:            grant,
		Scope:                string(c.form.value("scope")),
		Resources:            c.form.resources(),
		AuthorizationDetails: len(c.form.value("authorization_details")) > 0,
		DPoP:                 len(c.r.Header["Dpop"]) > 0,
		Client:               c.client,
		Address:              c.from,
	})
	if err != nil {
		return answer{}, err
	}
	a, err := issuedAnswer(c.out[:0], &issued)
	if err != nil {
		return answer{}, err
	}
	c.out = a.body // so that release clears it, grown or not
	return a, nil
}

// grantType spares the usual value a copy.
func grantType(b []byte) string {
	if string(b) == authz.GrantClientCredentials {
		return authz.GrantClientCredentials
	}
	return string(b)
}

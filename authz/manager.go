package authz

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"

	"github.com/go-oauth2/oauth2/v4"
	oerrors "github.com/go-oauth2/oauth2/v4/errors"
	"github.com/go-oauth2/oauth2/v4/manage"

	"github.com/marque-auth/marque/authz/token"
)

// This file is the only one that knows go-oauth2. Its manage.Manager is the core that issues tokens;
// three small adapters tie it to what was decided before. They take the call from one context value
// that nobody outside can make, so that the Manager can issue only what policy decided, in the call
// in which the client was authenticated.

// call is one issuance on its way through the Manager.
type call struct {
	decision Decision
	jti      string
	keyID    string
}

type callKey struct{}

func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// core is go-oauth2's Manager behind our adapters.
type core struct{ manager *manage.Manager }

// newCore returns a core that signs what mint makes of a Decision.
func newCore(m *mint) core {
	manager := manage.NewManager()
	manager.MapClientStorage(calledClient{})
	manager.MapAccessGenerate(m)
	manager.MapTokenStorage(noTokens{})
	return core{manager}
}

// generate runs one issuance through the Manager. The token's times come from the Decision: the
// Manager reads the wall clock, which is not ours, and what it notes is thrown away.
func (m core) generate(ctx context.Context, c *call) (string, error) {
	info, err := m.manager.GenerateAccessToken(context.WithValue(ctx, callKey{}, c), oauth2.ClientCredentials, &oauth2.TokenGenerateRequest{
		ClientID:       string(c.decision.Client),
		Scope:          c.decision.Scope.String(),
		AccessTokenExp: c.decision.Lifetime,
	})
	if err != nil {
		return "", err
	}
	return info.GetAccess(), nil
}

// calledClient is a client store that answers for exactly the client of this call.
type calledClient struct{}

func (calledClient) GetByID(ctx context.Context, id string) (oauth2.ClientInfo, error) {
	c := callFrom(ctx)
	if c == nil || string(c.decision.Client) != id {
		return nil, oerrors.ErrInvalidClient
	}
	return clientInfo(id), nil
}

// clientInfo implements ClientPasswordVerifier because the Manager's own comparison takes variable
// time and accepts anything when the stored secret is empty. Authentication has happened by now:
// that GetByID answered proves it.
type clientInfo string

var _ oauth2.ClientPasswordVerifier = clientInfo("")

func (c clientInfo) GetID() string            { return string(c) }
func (clientInfo) GetSecret() string          { return "" }
func (clientInfo) GetDomain() string          { return "" }
func (clientInfo) IsPublic() bool             { return false }
func (clientInfo) GetUserID() string          { return "" }
func (clientInfo) VerifyPassword(string) bool { return true }

// mint makes the access token of a Decision.
type mint struct {
	issuer string
	keys   Signers
	queue  *signing
}

// Token implements oauth2.AccessGenerate: it encodes the claims and signs them with the key that the
// decision's instant asks for. There is never a refresh token (RFC 6749, Section 4.4.3).
func (m *mint) Token(ctx context.Context, _ *oauth2.GenerateBasic, _ bool) (access, refresh string, err error) {
	c := callFrom(ctx)
	if c == nil {
		return "", "", errors.New("authz: a token outside of a call")
	}
	d := &c.decision
	signer, err := m.keys.Signer(d.Algorithm, d.IssuedAt)
	if err != nil { // JWT-25: never another algorithm instead
		return "", "", &UnavailableError{Cause: CauseNoSigningKey, Client: d.Client, RetryAfter: retryAfter, Err: err}
	}
	c.jti, c.keyID = rand.Text(), signer.KeyID()
	claims := token.Claims{
		Issuer:       m.issuer,
		Subject:      d.Subject,
		Audience:     d.Audience,
		ClientID:     string(d.Client),
		CredentialID: string(d.Credential),
		Scope:        d.Scope.String(),
		IssuedAt:     d.IssuedAt,
		Expiry:       d.IssuedAt.Add(d.Lifetime),
		JTI:          c.jti,
		Static:       d.Static,
	}
	payload, err := claims.AppendJSON(make([]byte, 0, 512))
	if err != nil {
		return "", "", err
	}
	if base64.RawURLEncoding.EncodedLen(len(payload)) > token.MaxSize { // not worth a signature
		return "", "", refuse(CauseTokenTooLarge, d.Client, d.Credential)
	}
	err = m.queue.do(ctx, func() error {
		access, err = signer.Sign(d.TokenType, payload)
		return err
	})
	switch {
	case errors.Is(err, errQueueFull):
		return "", "", &UnavailableError{Cause: CauseSigningQueueFull, Client: d.Client, RetryAfter: retryAfter, Err: err}
	case err != nil:
		return "", "", err
	case len(access) > token.MaxSize: // JWT-24
		return "", "", refuse(CauseTokenTooLarge, d.Client, d.Credential)
	}
	return access, "", nil
}

// noTokens is a token store that keeps no row for a token: tokens are self-contained, and what is
// withdrawn is remembered instead of what is valid.
type noTokens struct{}

func (noTokens) Create(context.Context, oauth2.TokenInfo) error { return nil }

func (noTokens) RemoveByCode(context.Context, string) error    { return errors.ErrUnsupported }
func (noTokens) RemoveByAccess(context.Context, string) error  { return errors.ErrUnsupported }
func (noTokens) RemoveByRefresh(context.Context, string) error { return errors.ErrUnsupported }

func (noTokens) GetByCode(context.Context, string) (oauth2.TokenInfo, error) {
	return nil, errors.ErrUnsupported
}

func (noTokens) GetByAccess(context.Context, string) (oauth2.TokenInfo, error) {
	return nil, errors.ErrUnsupported
}

func (noTokens) GetByRefresh(context.Context, string) (oauth2.TokenInfo, error) {
	return nil, errors.ErrUnsupported
}

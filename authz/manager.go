package authz

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	oerrors "github.com/go-oauth2/oauth2/v4/errors"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// This file is the only one that knows go-oauth2. Its manage.Manager is the core that issues, loads
// and removes tokens; three small adapters tie it to what was decided before. They take the call from
// one context value that nobody outside can make, so that the Manager can do only what was decided, in
// the call in which the caller was authenticated.

// call is one use of the Manager, on its way through it: exactly one of an issuance, a look at a token
// and a removal.
type call struct {
	issue  *issuance
	look   *look
	remove *removal
}

// issuance is a token that is to be made, and then what it became.
type issuance struct {
	decision Decision
	records  uint64 // see Server.issue
	jti      string
	keyID    string
}

// look is a question about a token. The caller's right to know is judged as soon as the token is
// verified, and before the store is asked what became of it: so what a caller may not know costs the
// same whatever the answer would have been.
type look struct {
	permits func(*token.Verified) error
}

// removal is a token that is to be withdrawn, after it was looked at and its owner was compared, and
// then what came of it.
type removal struct {
	access  string
	token   token.Verified
	by      audit.Origin
	stored  Revocation
	changed bool
}

type callKey struct{}

// errNoCall says that something reached an adapter that did not come through core.
var errNoCall = errors.New("authz: a token outside of a call")

func withCall(ctx context.Context, c call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callFrom(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

// core is go-oauth2's Manager behind our adapters.
type core struct{ manager *manage.Manager }

// newCore returns a core that signs what mint makes of a Decision, and judges tokens as own does.
func newCore(m *mint, own *ownTokens, revoker *Revoker) core {
	manager := manage.NewManager()
	manager.MapClientStorage(calledClient{})
	manager.MapAccessGenerate(m)
	manager.MapTokenStorage(tokens{own: own, revoker: revoker})
	return core{manager}
}

// generate runs one issuance through the Manager. The token's times come from the Decision: the
// Manager reads the wall clock, which is not ours, and what it notes is thrown away.
func (m core) generate(ctx context.Context, i *issuance) (string, error) {
	info, err := m.manager.GenerateAccessToken(withCall(ctx, call{issue: i}), oauth2.ClientCredentials, &oauth2.TokenGenerateRequest{
		ClientID:       string(i.decision.Client),
		Scope:          i.decision.Scope.String(),
		AccessTokenExp: i.decision.Lifetime,
	})
	if err != nil {
		return "", err
	}
	return info.GetAccess(), nil
}

// load returns a token of this server that is good now and that permits says nothing against. The
// error is a *token.Error, what permits returned, a *judgedError for a token that is withdrawn, an
// *UnavailableError, or what ctx ended with.
func (m core) load(ctx context.Context, access string, permits func(*token.Verified) error) (token.Verified, error) {
	if access == "" { // the Manager has an error of its own for that
		return token.Verified{}, &token.Error{Reason: token.ReasonMalformed}
	}
	info, err := m.manager.LoadAccessToken(withCall(ctx, call{look: &look{permits}}), access)
	if err != nil {
		return token.Verified{}, err
	}
	return info.(*loaded).verified, nil
}

// remove withdraws a token that load returned.
func (m core) remove(ctx context.Context, r *removal) error {
	return m.manager.RemoveAccessToken(withCall(ctx, call{remove: r}), r.access)
}

// calledClient is a client store that answers for exactly the client of this call.
type calledClient struct{}

func (calledClient) GetByID(ctx context.Context, id string) (oauth2.ClientInfo, error) {
	i := callFrom(ctx).issue
	if i == nil || string(i.decision.Client) != id {
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
	issuer  string
	keys    Signers
	queue   *turns
	index   *token.Index
	revoker *Revoker
	fresh   *freshness
	now     func() time.Time
	clock   SharedClock // nil: nobody else dates tokens
}

// Token implements oauth2.AccessGenerate: it encodes the claims and signs them with the key that the
// decision's instant asks for. There is never a refresh token (RFC 6749, Section 4.4.3).
func (m *mint) Token(ctx context.Context, _ *oauth2.GenerateBasic, _ bool) (access, refresh string, err error) {
	i := callFrom(ctx).issue
	if i == nil {
		return "", "", errNoCall
	}
	d := &i.decision
	signer, err := m.signer(d.Algorithm, d.IssuedAt, d.Client)
	if err != nil {
		return "", "", err
	}
	i.jti, i.keyID = rand.Text(), signer.KeyID()
	claims := token.Claims{
		Issuer:       m.issuer,
		Subject:      d.Subject,
		Audience:     d.Audience,
		ClientID:     string(d.Client),
		CredentialID: string(d.Credential),
		Scope:        d.Scope.String(),
		IssuedAt:     d.IssuedAt,
		JTI:          i.jti,
		Static:       d.Static,
	}
	if err := m.dateAfter(&claims, i.keyID, d.Lifetime); err != nil {
		return "", "", err
	}
	if err := m.clockOff(d.Client); err != nil { // it may have jumped since the request came
		return "", "", err
	}
	if m.fresh.changes() != i.records { // last: see dateAfter
		return "", "", errOutdated
	}
	payload, err := claims.AppendJSON(make([]byte, 0, 512))
	if err != nil {
		return "", "", err
	}
	if base64.RawURLEncoding.EncodedLen(len(payload)) > token.MaxSize { // not worth a signature
		return "", "", refuse(CauseTokenTooLarge, d.Client, d.Credential)
	}
	access, err = m.sign(ctx, signer, d.TokenType, payload, d.Client)
	switch {
	case err != nil:
		return "", "", err
	case len(access) > token.MaxSize: // JWT-24
		return "", "", refuse(CauseTokenTooLarge, d.Client, d.Credential)
	}
	return access, "", nil
}

// signer returns the key of an algorithm that signs at an instant, and never another algorithm's (JWT-25).
func (m *mint) signer(alg jose.Algorithm, at time.Time, client ClientID) (*jose.Signer, error) {
	signer, err := m.keys.Signer(alg, at)
	if err != nil {
		return nil, &UnavailableError{Cause: CauseNoSigningKey, Client: client, RetryAfter: retryAfter, Err: err}
	}
	return signer, nil
}

// sign signs when its turn has come, or says that too many wait.
func (m *mint) sign(ctx context.Context, signer *jose.Signer, typ string, payload []byte, client ClientID) (compact string, err error) {
	err = m.queue.do(ctx, func() error {
		compact, err = signer.Sign(typ, payload)
		return err
	})
	if errors.Is(err, errQueueFull) {
		err = &UnavailableError{Cause: CauseSigningQueueFull, Client: client, RetryAfter: retryAfter, Err: err}
	}
	return compact, err
}

// tokens is a token store that keeps no row for a token: tokens are self-contained, and what is
// withdrawn is remembered instead of what is valid.
type tokens struct {
	own     *ownTokens
	revoker *Revoker
}

func (tokens) Create(context.Context, oauth2.TokenInfo) error { return nil }

// GetByAccess answers for one token, in the call that may ask about it. The Manager compares what it
// gets with the wall clock unless the lifetime is 0.
func (t tokens) GetByAccess(ctx context.Context, access string) (oauth2.TokenInfo, error) {
	q := callFrom(ctx).look
	if q == nil {
		return nil, errNoCall
	}
	v, err := t.own.verify(ctx, access)
	if err != nil {
		return nil, err
	}
	if err := q.permits(&v); err != nil {
		return nil, err
	}
	if err := t.own.live(ctx, &v); err != nil {
		return nil, err
	}
	return &loaded{verified: v, access: access}, nil
}

// RemoveByAccess withdraws one token, in the call that looked at it before. Its identity is its jti:
// a signature can be rewritten into another one that verifies.
func (t tokens) RemoveByAccess(ctx context.Context, access string) (err error) {
	r := callFrom(ctx).remove
	if r == nil || r.access != access {
		return errNoCall
	}
	r.stored, r.changed, err = t.revoker.Revoke(ctx, r.by, token.Revocation{
		Subject: token.Subject{Kind: token.RevokedJTI, Value: r.token.JTI},
		Until:   r.token.Expiry.Add(token.MaxLeeway), // RVK-14
	}, ClientID(r.token.ClientID))
	return err
}

func (tokens) RemoveByCode(context.Context, string) error    { return errors.ErrUnsupported }
func (tokens) RemoveByRefresh(context.Context, string) error { return errors.ErrUnsupported }

func (tokens) GetByCode(context.Context, string) (oauth2.TokenInfo, error) {
	return nil, errors.ErrUnsupported
}

func (tokens) GetByRefresh(context.Context, string) (oauth2.TokenInfo, error) {
	return nil, errors.ErrUnsupported
}

// loaded is a verified token in the library's terms. What the library may not judge is zero.
type loaded struct {
	models.Token
	verified token.Verified
	access   string
}

func (l *loaded) GetAccess() string                 { return l.access }
func (l *loaded) GetAccessExpiresIn() time.Duration { return 0 }
func (l *loaded) GetClientID() string               { return l.verified.ClientID }
func (l *loaded) GetScope() string                  { return l.verified.Scope }

package authz

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// authenticator decides who is asking. Every way to fail costs the same (TOK-42, CLA-19): one read of
// the stored version and two comparisons, for known and unknown clients alike. A failure is final only
// after that read, so that a secret that was just added anywhere works at once. It is safe for
// concurrent use.
type authenticator struct {
	hash     *hasher
	clients  *cache[ClientID, Client]
	store    Clients
	failures *limiters[failureKey]
	now      func() time.Time
}

// authenticated is a client that proved who it is, or a public one that cannot.
type authenticated struct {
	client     Client
	credential CredentialID // empty for a public client
}

// authenticate returns the client, an *Error with InvalidClient, a *ThrottledError when this caller
// failed too often, or an *UnavailableError when the store cannot say.
func (a *authenticator) authenticate(ctx context.Context, p Presented, from netip.Addr) (authenticated, error) {
	if p.Unusable != "" {
		return authenticated{}, a.fail(p, from, p.Unusable, "")
	}
	if p.Method == PresentedNothing {
		return authenticated{}, a.fail(p, from, CauseNoCredentials, "")
	}
	c, read, err := a.known(ctx, p.ID)
	if err != nil {
		return authenticated{}, storeFault(ctx, p.ID, err)
	}
	credential, cause := a.verify(p, c)
	if cause == "" {
		return authenticated{c, credential}, nil
	}
	if c, err = a.newer(ctx, p.ID, c, read); err != nil {
		return authenticated{}, storeFault(ctx, p.ID, err)
	}
	if credential, cause = a.verify(p, c); cause == "" {
		return authenticated{c, credential}, nil
	}
	return authenticated{}, a.fail(p, from, a.explain(ctx, p, cause), credential)
}

// confidential is authenticate for callers that must prove who they are: an identifier alone, which
// anybody may send, is none (RFC 7662, Section 2.1).
func (a *authenticator) confidential(ctx context.Context, p Presented, from netip.Addr) (authenticated, error) {
	who, err := a.authenticate(ctx, p, from)
	if err == nil && who.credential == "" {
		return authenticated{}, a.fail(p, from, CauseNoCredentials, "")
	}
	return who, err
}

// known returns the client that is held, or reads it; the zero Client if there is none. Reading costs one read of
// the store whether there is one or not, and so does newer when a client that was held fails: who fails
// cannot tell from the time whether anybody has that identifier.
func (a *authenticator) known(ctx context.Context, id ClientID) (c Client, read bool, err error) {
	if c, ok := a.clients.cached(id); ok {
		return c, false, nil
	}
	if c, err = a.clients.reload(ctx, id); errors.Is(err, ErrNotFound) {
		err = nil
	}
	return c, true, err
}

// errWentBack says that the store holds an earlier version of a record than this server has seen: it
// was emptied, or an older copy was put in its place. A disabled client would be enabled again.
var errWentBack = errors.New("authz: the store went back in time")

// newer returns what the store holds of the client now, which is c itself if it was just read, or has not
// changed.
func (a *authenticator) newer(ctx context.Context, id ClientID, c Client, read bool) (Client, error) {
	if read {
		return c, nil
	}
	n, err := a.clients.version(ctx, id, a.store.ClientVersion)
	switch {
	case err != nil:
		return Client{}, err
	case n == c.Version:
		return c, nil
	case n < c.Version:
		return Client{}, errWentBack
	}
	if c, err = a.clients.renew(ctx, id); errors.Is(err, ErrNotFound) {
		err = nil
	}
	return c, err
}

// verify checks what was presented against c, the zero Client when there is none. One that was deleted
// has no credentials, and costs what an unknown one does. It returns the
// credential that was recognised, and why it does not authenticate: empty when it does.
func (a *authenticator) verify(p Presented, c Client) (CredentialID, Cause) {
	matched := a.match(p.ID, string(p.Secret), c)
	switch {
	case c.ID == "":
		return "", CauseUnknownClient
	case !c.DeletedAt.IsZero():
		return "", CauseDeletedClient
	case p.Method == PresentedID && c.AuthMethod == AuthNone && !c.Disabled:
		return "", ""
	case p.Method == PresentedID:
		return "", CauseNoCredentials
	case c.AuthMethod != AuthSecretBasic && c.AuthMethod != AuthSecretPost: // CLA-01: one family for each client
		return "", CauseWrongMethod
	case p.Secret == "":
		return "", CauseEmptySecret
	case matched == nil:
		return "", CauseWrongSecret
	}
	switch now := a.now(); {
	case !matched.RevokedAt.IsZero():
		return matched.ID, CauseSecretRevoked
	case now.Before(matched.NotBefore):
		return matched.ID, CauseSecretNotYetValid
	case matched.expired(now):
		return matched.ID, CauseSecretExpired
	case c.Disabled:
		return matched.ID, CauseDisabled
	}
	return matched.ID, ""
}

// match returns the credential of c whose secret this is, a usable one before others, or nil. It
// compares at least once, whatever c holds, and never stops early.
func (a *authenticator) match(presented ClientID, secret string, c Client) *Credential {
	var found *Credential
	compared := false
	_, named := shapeOf(secret)
	for i := range c.Credentials {
		candidate := &c.Credentials[i]
		if candidate.Generated && candidate.ID != named {
			continue // the secret says that it is another one's
		}
		compared = true
		if a.hash.matches(secret, c.ID, *candidate) && (found == nil || candidate.usable(a.now())) {
			found = candidate
		}
	}
	if !compared { // an input as long as a real one
		a.hash.matches(secret, presented, Credential{ID: "----------------"})
	}
	return found
}

// explain makes a cause more precise for the operator, from the secret's shape.
func (a *authenticator) explain(ctx context.Context, p Presented, cause Cause) Cause {
	kind, named := shapeOf(string(p.Secret))
	if kind == shapeOurs { // whatever the cause: all answers must take equally long
		var owner ClientID
		err := a.clients.turns.do(ctx, func() (err error) {
			owner, err = a.store.ClientOf(ctx, named)
			return err
		})
		if err == nil && owner != p.ID && cause == CauseWrongSecret { // a fault only leaves the cause less precise
			return CauseSecretOfAnotherClient
		}
	}
	trimmed := strings.TrimSpace(string(p.Secret))
	trimmedKind, _ := shapeOf(trimmed)
	idKind, _ := shapeOf(string(p.ID))
	switch {
	case idKind != shapeForeign:
		return CauseSecretInClientID
	case cause != CauseWrongSecret:
		return cause
	case len(trimmed) < len(p.Secret) && trimmedKind == shapeOurs:
		return CauseTrailingWhitespace
	case kind == shapeTypo:
		return CauseSecretTypo
	}
	return cause
}

// fail counts the failure. A back-off answers failures only: a correct secret never comes here, so
// that nobody can lock a client out by failing in its name (TOK-43).
func (a *authenticator) fail(p Presented, from netip.Addr, cause Cause, credential CredentialID) error {
	client := loggable(p.ID)
	if after, ok := a.failures.take(newFailureKey(p.ID, from)); !ok {
		return &ThrottledError{Cause: CauseFailuresLimited, Failure: cause, Client: client, Credential: credential, RetryAfter: after}
	}
	return refuse(cause, client, credential)
}

// loggable drops what is no identifier of a client: a stranger may send anything in its place, a
// password too (TOK-44).
func loggable(id ClientID) ClientID {
	if !ValidClientID(string(id)) {
		return ""
	}
	return id
}

// storeFault turns a failed read into the answer "unknown": 503, never 401. The end of the caller's
// own context stays what it is, and so does what says already why it is 503.
func storeFault(ctx context.Context, client ClientID, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if known := (*UnavailableError)(nil); errors.As(err, &known) {
		return known
	}
	cause := CauseStoreUnavailable
	if errors.Is(err, ErrDamaged) { // waiting does not help: it is not to look like an outage to whoever is on call
		cause = CauseRecordDamaged
	}
	return &UnavailableError{Cause: cause, Client: loggable(client), RetryAfter: retryAfter, Err: err}
}

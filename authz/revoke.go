package authz

import (
	"context"
	"errors"
	"net/netip"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// reasonOwnClient is why a token was withdrawn that its client asked to withdraw: a revocation request
// has no member for a reason.
const reasonOwnClient = "revoked by its client (RFC 7009)"

// What clients revoke is stored a few at a time: writes are made one after the other, and each waits for
// a disk. An administrator who disables a client meanwhile waits for these few, and not for whatever a
// client has to revoke.
const (
	parallelRevocations = 4
	queuedRevocations   = 256 // about a second's writes on a common disk; more are told to come back
)

// RevokeRequest is a revocation request after its syntax was checked (RFC 7009, Section 2.1).
type RevokeRequest struct {
	Token     string // never empty; whatever was sent
	Client    Presented
	Address   netip.Addr
	RequestID string
}

// Revoked is what became of a revocation request that succeeded. The caller is told none of it.
type Revoked struct {
	Client    ClientID
	JTI       string // empty unless it is a token of this server
	Changed   bool   // a revocation was stored now
	Collapsed bool   // the client had too many: all of its tokens issued until now are void
}

// Revoke answers RFC 7009 for the client that is authenticated in this call. It returns nil only
// after what it changed is durable and applied here (RVK-13). The error is as that of Token.
func (s *Server) Revoke(ctx context.Context, r RevokeRequest) (Revoked, error) {
	if err := s.mint.clockOff(""); err != nil {
		return Revoked{}, err
	}
	who, err := s.authenticator.confidential(ctx, r.Client, r.Address)
	if err != nil {
		return Revoked{}, err
	}
	id := who.client.ID
	if after, ok := s.rate.take(id); !ok { // each that is stored leaves an audit entry, for ever
		return Revoked{}, &ThrottledError{Cause: CauseRateLimited, Client: id, RetryAfter: after}
	}
	v, err := s.look(ctx, id, r.Token, func(v *token.Verified) error {
		if v.ClientID != string(id) {
			return &judgedError{cause: CauseTokenOfAnotherClient, token: *v}
		}
		return nil
	})
	var judged *judgedError
	var bad *token.Error
	switch {
	case errors.As(err, &judged) && judged.cause == CauseTokenOfAnotherClient:
		return Revoked{}, refuse(judged.cause, id, who.credential)
	case errors.As(err, &judged): // withdrawn before; perhaps by an attempt that was not acknowledged
		if _, err := s.revoked(ctx, judged); err != nil {
			return Revoked{}, err
		}
		return Revoked{Client: id, JTI: judged.token.JTI}, nil
	case errors.As(err, &bad) && bad.Reason != token.ReasonNotYetValid: // RFC 7009, Section 2.2: no error
		return Revoked{Client: id, JTI: bad.JTI}, nil
	case err != nil:
		return Revoked{}, unjudged(err)
	}
	removal := removal{access: r.Token, token: v, by: audit.Origin{
		Actor:     audit.Actor{Kind: audit.ActorClient, ID: string(id)},
		Reason:    reasonOwnClient,
		RequestID: r.RequestID,
	}}
	err = s.revoking.do(ctx, func() error { return s.core.remove(ctx, &removal) })
	if errors.Is(err, errQueueFull) {
		return Revoked{}, &UnavailableError{Cause: CauseRevocationsFull, Client: id, RetryAfter: retryAfter, Err: err}
	}
	if err != nil {
		return Revoked{}, storeFault(ctx, id, err)
	}
	return Revoked{Client: id, JTI: v.JTI, Changed: removal.changed, Collapsed: removal.stored.Kind != token.RevokedJTI}, nil
}

// RevokeToken withdraws a token of this server for an administrator, whoever it was issued to, and
// returns what withdraws it then. A string that is no such token, or one that has expired, is
// ErrNotFound. The error is else an *UnavailableError, or what ctx ended with.
func (s *Server) RevokeToken(ctx context.Context, by audit.Origin, compact string) (Revocation, error) {
	v, err := s.look(ctx, "", compact, func(*token.Verified) error { return nil })
	var judged *judgedError
	var bad *token.Error
	switch {
	case errors.As(err, &judged):
		return s.revoked(ctx, judged)
	case errors.As(err, &bad) && bad.Reason != token.ReasonNotYetValid:
		if err := s.mint.clockOff(""); err != nil { // then it has expired by a clock that may be wrong
			return Revocation{}, err
		}
		return Revocation{}, ErrNotFound
	case err != nil:
		return Revocation{}, unjudged(err)
	}
	removal := removal{access: compact, token: v, by: by}
	if err := s.core.remove(ctx, &removal); err != nil {
		return Revocation{}, storeFault(ctx, ClientID(v.ClientID), err)
	}
	return removal.stored, nil
}

// revoked returns what withdrew a token before, once it is applied here: the store knows it already,
// this server's memory perhaps not.
func (s *Server) revoked(ctx context.Context, judged *judgedError) (Revocation, error) {
	r, _, err := s.mint.revoker.applied(ctx, judged.by, false)
	if err != nil {
		return Revocation{}, storeFault(ctx, ClientID(judged.token.ClientID), err)
	}
	return r, nil
}

// unjudged makes an outage of a token that this server signed and that says that it will be issued
// later: the clock was set back. To call that done would leave a token that is good once its time comes.
func unjudged(err error) error {
	var bad *token.Error
	if errors.As(err, &bad) {
		return &UnavailableError{Cause: CauseClockBehind, Client: ClientID(bad.ClientID), RetryAfter: retryAfter, Err: bad}
	}
	return err
}

package authz

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/marque-auth/marque/authz/token"
)

// A key that this server does not know may be one that another server on the store made a moment ago: there
// was an emergency, or this server is cut off from the store. A token of it is then as good as any, and to
// call it unknown would be a revocation that was not made, and a good token that is refused. So the change
// feed is read first.

// uptodate reads the change feed for callers who need to know what was committed before they came. However
// many they are, it runs once at a time, and twice at most for those who are there together: one that had
// begun before somebody came tells them nothing. It is safe for concurrent use.
type uptodate struct {
	run  func(context.Context) error
	turn chan struct{} // holds one element while run does, which owns last
	// begun counts the runs. One with a higher number than there was when somebody came is of use to them.
	begun atomic.Uint64
	last  struct {
		number uint64
		err    error
	}
}

// newUptodate returns nil, which says that everything is known here anyway, for a nil run.
func newUptodate(run func(context.Context) error) *uptodate {
	if run == nil {
		return nil
	}
	return &uptodate{run: run, turn: make(chan struct{}, 1)}
}

// wait returns nil once everything is known here that was committed before the call.
func (u *uptodate) wait(ctx context.Context) error {
	came := u.begun.Load()
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if u.last.number > came {
		return u.last.err
	}
	number := u.begun.Add(1)
	err := u.run(context.WithoutCancel(ctx)) // others have an answer of it, too
	u.last.number, u.last.err = number, err
	return err
}

// look is core.load, and looks again if the token names a key that is not known here. Strangers can make up
// any number of those: each counts as one that is not ours, against the client that asks; an administrator,
// who is no client, is not counted. The error may be a *ThrottledError, too.
func (s *Server) look(ctx context.Context, client ClientID, compact string, permits func(*token.Verified) error) (token.Verified, error) {
	v, err := s.core.load(ctx, compact, permits)
	if !s.mayBecomeKnown(err) {
		return v, err
	}
	if client != "" {
		if after, ok := s.unknown.take(client); !ok {
			return token.Verified{}, &ThrottledError{Cause: CauseUnknownLimited, Client: client, RetryAfter: after}
		}
	}
	if err := s.uptodate.wait(ctx); err != nil {
		return token.Verified{}, storeFault(ctx, client, err)
	}
	return s.core.load(ctx, compact, permits)
}

// mayBecomeKnown reports whether a token was refused for a key that another server may have made.
func (s *Server) mayBecomeKnown(err error) bool {
	var bad *token.Error
	return s.uptodate != nil && errors.As(err, &bad) && bad.Reason == token.ReasonUnknownKey
}

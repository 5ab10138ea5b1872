package verifier

import (
	"context"
	"errors"

	"github.com/marque-auth/marque/authz/token"
)

// source is somebody who knows what was revoked.
type source struct {
	generation func() uint64 // asked before ask; 0 if it does not count its changes
	ask        func(*token.Verified) error
}

// maxSources is how many a Verifier can have: Config.Revoked, and the feed.
const maxSources = 2

type generations [maxSources]uint64

// withdrawn returns the refusal of a token that passed the local check and was withdrawn since, or an
// error that is ErrUnavailable if that cannot be known. The issuer is asked last, so that nobody can
// make it busy with tokens that are bad anyway (RST-01).
func (v *Verifier) withdrawn(ctx context.Context, compact string, t *token.Verified, open bool) error {
	k := v.knowledge()
	for i := range v.sources {
		if err := v.sources[i].ask(t); err != nil {
			return err
		}
	}
	return v.withoutWord(ctx, compact, t, k, open)
}

// withdrawnSince is withdrawn for a token that is remembered: the revocations are asked only if there may be
// others than when they did not withdraw it.
func (v *Verifier) withdrawnSince(ctx context.Context, compact string, r *remembered, open bool) error {
	k := v.knowledge()
	for i := range v.sources {
		s, last := &v.sources[i], &r.generations[i]
		if g := s.generation(); g == 0 || g != last.Load() {
			if err := s.ask(&r.verified); err != nil {
				return err
			}
			last.Store(g)
		}
	}
	return v.withoutWord(ctx, compact, &r.verified, k, open)
}

// generations are those of the revocations, asked before they are.
func (v *Verifier) generations() (g generations) {
	for i := range v.sources {
		g[i] = v.sources[i].generation()
	}
	return g
}

// given is what the service itself knows to be revoked.
func given(revoked token.Known) source {
	counts, _ := revoked.(interface{ Generation() uint64 })
	loads, _ := revoked.(interface{ Loaded() bool })
	return source{
		generation: func() uint64 {
			if counts == nil {
				return 0
			}
			return counts.Generation()
		},
		ask: func(t *token.Verified) error {
			if loads != nil && !loads.Loaded() {
				return &unavailableError{"the revocations were not loaded yet"}
			}
			if r, void := token.Void(&t.Claims, t.KeyID, revoked); void {
				return refusedBy(r, t)
			}
			return nil
		},
	}
}

// source is what the feed said.
func (f *follower) source() source {
	return source{generation: f.generation, ask: func(t *token.Verified) error {
		if r, void := f.void(&t.Claims, t.KeyID); void {
			return refusedBy(r, t)
		}
		return nil
	}}
}

// withoutWord decides about a token that nobody has withdrawn as far as this service knows: whether that is
// known well enough, and what the issuer says where it has to be asked.
func (v *Verifier) withoutWord(ctx context.Context, compact string, t *token.Verified, k *knowledge, open bool) error {
	ask := v.introspect != nil
	if v.follow != nil {
		var err error
		if ask, err = v.follow.admit(ctx, k, v.now(), open); err != nil {
			return err
		}
	}
	if !ask {
		return nil
	}
	active, err := v.introspect.activeNow(ctx, compact, &t.Claims)
	switch {
	case err != nil:
		return &unavailableError{err.Error()}
	case !active:
		return refused(token.ReasonInactive, t, nil)
	}
	return nil
}

func refusedBy(r token.Revocation, t *token.Verified) error {
	return refused(token.ReasonRevoked, t, errors.New("by its "+string(r.Kind)))
}

func refused(reason token.Reason, t *token.Verified, cause error) error {
	return &token.Error{Reason: reason, KeyID: t.KeyID, JTI: t.JTI, ClientID: t.ClientID, Err: cause}
}

// unavailableError is ErrUnavailable for another reason than keys. The cause is text alone: its chain
// may hold what a caller would take for an error about the token.
type unavailableError struct{ cause string }

func (e *unavailableError) Error() string { return "verifier: unavailable: " + e.cause }

// Is reports whether target is ErrUnavailable.
func (e *unavailableError) Is(target error) bool { return target == ErrUnavailable }

// knowledge is looked at before the revocations are: what it vouches for is in them.
func (v *Verifier) knowledge() *knowledge {
	if v.follow == nil {
		return nil
	}
	return v.follow.knowledge.Load()
}

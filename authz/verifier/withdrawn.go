package verifier

import (
	"context"
	"errors"

	"github.com/marque-auth/marque/authz/token"
)

// withdrawn returns the refusal of a token that passed the local check and was withdrawn since, or an
// error that is ErrUnavailable if that cannot be known. The issuer is asked last, so that nobody can
// make it busy with tokens that are bad anyway (RST-01).
func (v *Verifier) withdrawn(ctx context.Context, compact string, t *token.Verified) error {
	if err := v.revokedHere(t); err != nil {
		return err
	}
	return v.inactive(ctx, compact, t)
}

// withdrawnSince is withdrawn for a token that is remembered: the revocations are asked only if there may be
// others than when they did not withdraw it.
func (v *Verifier) withdrawnSince(ctx context.Context, compact string, r *remembered) error {
	g := v.generation()
	if g == 0 || g != r.generation.Load() {
		if err := v.revokedHere(&r.verified); err != nil {
			return err
		}
		r.generation.Store(g)
	}
	return v.inactive(ctx, compact, &r.verified)
}

// generation is that of the revocations, asked before they are; 0 if they do not count theirs.
func (v *Verifier) generation() uint64 {
	if x, ok := v.revoked.(interface{ Generation() uint64 }); ok {
		return x.Generation()
	}
	return 0
}

// revokedHere asks what the service itself knows to be revoked.
func (v *Verifier) revokedHere(t *token.Verified) error {
	if v.revoked == nil {
		return nil
	}
	if l, ok := v.revoked.(interface{ Loaded() bool }); ok && !l.Loaded() {
		return &unavailableError{"the revocations were not loaded yet"}
	}
	if r, void := token.Void(&t.Claims, t.KeyID, v.revoked); void {
		return refused(token.ReasonRevoked, t, errors.New("by its "+string(r.Kind)))
	}
	return nil
}

// inactive asks the issuer.
func (v *Verifier) inactive(ctx context.Context, compact string, t *token.Verified) error {
	if v.introspect == nil {
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

func refused(reason token.Reason, t *token.Verified, cause error) error {
	return &token.Error{Reason: reason, KeyID: t.KeyID, JTI: t.JTI, ClientID: t.ClientID, Err: cause}
}

// unavailableError is ErrUnavailable for another reason than keys. The cause is text alone: its chain
// may hold what a caller would take for an error about the token.
type unavailableError struct{ cause string }

func (e *unavailableError) Error() string { return "verifier: unavailable: " + e.cause }

// Is reports whether target is ErrUnavailable.
func (e *unavailableError) Is(target error) bool { return target == ErrUnavailable }

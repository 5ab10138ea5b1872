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
	if v.revoked != nil {
		if l, ok := v.revoked.(interface{ Loaded() bool }); ok && !l.Loaded() {
			return &unavailableError{"the revocations were not loaded yet"}
		}
		if r, void := token.Void(&t.Claims, t.KeyID, v.revoked); void {
			return refused(token.ReasonRevoked, t, errors.New("by its "+string(r.Kind)))
		}
	}
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

package token

import (
	"errors"
	"log/slog"
)

// ErrToken is the one answer to every bad token (JWT-52): errors.Is(err, ErrToken) says that the
// token is refused for good, and the text is all that its bearer may learn. An error that is not
// ErrToken says nothing about the token: it could not be judged.
var ErrToken = errors.New("invalid token")

// Reason says why a token was refused, for the log and for metrics. The list is closed.
type Reason string

// The reasons, in the order of the checks.
const (
	ReasonMalformed    Reason = "malformed"     // not a compact JWS: form, alphabet, size
	ReasonHeader       Reason = "header"        // a member that is not ours, or none of ours
	ReasonType         Reason = "type"          // not an access token
	ReasonAlgorithm    Reason = "algorithm"     // not on the list, or not the key's
	ReasonUnknownKey   Reason = "unknown_key"   // the issuer has no such key
	ReasonSignature    Reason = "signature"     // does not verify
	ReasonClaims       Reason = "claims"        // the payload is not what RFC 9068 wants
	ReasonIssuer       Reason = "issuer"        // somebody else's
	ReasonAudience     Reason = "audience"      // for somebody else
	ReasonExpired      Reason = "expired"       // too late
	ReasonNotYetValid  Reason = "not_yet_valid" // too early: nbf, or an iat that lies ahead
	ReasonConfirmation Reason = "confirmation"  // bound to a key that the bearer did not prove
	ReasonRevoked      Reason = "revoked"       // withdrawn: Void says so
	ReasonInactive     Reason = "inactive"      // the issuer was asked (RFC 7662), and says no more than that
)

// Error is a refusal with its reason. It is ErrToken, and its text is that of ErrToken, so that it
// can be shown to anybody; the fields are for the log, and so is LogValue.
type Error struct {
	Reason   Reason
	KeyID    string // as the header says, so anybody's words; printable ASCII, bounded; may be empty
	JTI      string // set only if the signature was good
	ClientID string // likewise
	Err      error  // what exactly was wrong; never holds bytes of the token; may be nil
}

func (e *Error) Error() string { return ErrToken.Error() }

// Is reports whether target is ErrToken.
func (e *Error) Is(target error) bool { return target == ErrToken }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// LogValue is the refusal for the operator: reason, kid, jti, client_id, and the cause in words. It
// never holds the token (RFC 6750, Section 5.2).
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("reason", string(e.Reason))}
	for _, a := range []struct{ key, value string }{{"kid", e.KeyID}, {"jti", e.JTI}, {"client_id", e.ClientID}} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("cause", e.Err.Error()))
	}
	return slog.GroupValue(attrs...)
}

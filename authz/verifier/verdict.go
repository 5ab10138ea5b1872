package verifier

import (
	"context"
	"errors"

	"github.com/marque-auth/marque/authz/token"
)

// Outcome says what became of a call.
type Outcome string

// The outcomes. The first four are those of Verify; Require has all.
const (
	OutcomeAccepted    Outcome = "accepted"
	OutcomeRefused     Outcome = "refused"     // the token, for good: Reason says why
	OutcomeUnavailable Outcome = "unavailable" // the token could not be judged
	OutcomeAbandoned   Outcome = "abandoned"   // nor was it before its caller had gone

	OutcomeNoToken    Outcome = "no_token"           // or in a scheme that is not Bearer
	OutcomeMalformed  Outcome = "malformed"          // the request brings its token in a wrong way: 400
	OutcomeLacksScope Outcome = "insufficient_scope" // the token is good, and not for this
)

// Verdict is how one call was judged, for metrics. Its words are few and none is the caller's, so that they may
// be labels; who called, and with which token, is in the log.
type Verdict struct {
	Outcome    Outcome
	Reason     token.Reason // of OutcomeRefused
	Remembered bool         // of OutcomeAccepted: the signature had been checked at an earlier call
}

// verdict returns that of what Verify returned.
func verdict(ctx context.Context, err error, remembered bool) Verdict {
	if err == nil {
		return Verdict{Outcome: OutcomeAccepted, Remembered: remembered}
	}
	var refusal *token.Error
	switch {
	case errors.As(err, &refusal):
		return Verdict{Outcome: OutcomeRefused, Reason: refusal.Reason}
	case ctx.Err() != nil:
		return Verdict{Outcome: OutcomeAbandoned}
	}
	return Verdict{Outcome: OutcomeUnavailable}
}

func (v *Verifier) report(of Verdict) {
	if v.onVerdict != nil {
		v.onVerdict(of)
	}
}

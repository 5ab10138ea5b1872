package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// revocationForm is a revocation as it is stored, under its token.Subject.String. There are none in
// format 1.
type revocationForm struct {
	Since     time.Time `json:"since,omitzero"` // RFC 3339, UTC, whole seconds, as the next two
	Before    time.Time `json:"before,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	ClientID  string    `json:"client_id,omitempty"`
	Actor     actorForm `json:"actor"`
	Reason    string    `json:"reason,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
}

func (f *revocationForm) of(format byte) any {
	if format == formatFirst {
		return nil
	}
	return f
}

var errFraction = errors.New("its times are not whole seconds")

// SealRevocation is as SealClient, for a revocation. A subject of an unknown kind, or a time between
// two seconds, is refused.
func (e *Envelope) SealRevocation(r authz.Revocation) ([]byte, error) {
	if !r.Valid() {
		return nil, fmt.Errorf("store: revocation %q: that cannot be revoked", r.Subject)
	}
	if !wholeSeconds(r.Since, r.Before, r.Until) {
		return nil, fmt.Errorf("store: revocation %q: %w", r.Subject, errFraction)
	}
	return seal(e, KindRevocation, r.Subject.String(), r.Version, revocationForm{
		Since:     r.Since.UTC(),
		Before:    r.Before.UTC(),
		Until:     r.Until.UTC(),
		ClientID:  string(r.Client),
		Actor:     actorForm{Kind: string(r.Actor.Kind), ID: r.Actor.ID},
		Reason:    r.Reason,
		CreatedAt: r.CreatedAt.UTC(),
	})
}

// OpenRevocation is as OpenClient, for the revocation stored under a subject's text.
func (e *Envelope) OpenRevocation(subject string, sealed []byte) (authz.Revocation, error) {
	form, version, err := open[revocationForm](e, KindRevocation, subject, sealed)
	if err != nil {
		return authz.Revocation{}, err
	}
	s, err := token.ParseSubject(subject)
	if err != nil {
		return authz.Revocation{}, damaged(KindRevocation, subject, "it is of no known subject")
	}
	if !wholeSeconds(form.Since, form.Before, form.Until) {
		return authz.Revocation{}, damaged(KindRevocation, subject, errFraction.Error())
	}
	return authz.Revocation{
		Revocation: token.Revocation{
			Subject: s,
			Since:   form.Since.UTC(),
			Before:  form.Before.UTC(),
			Until:   form.Until.UTC(),
		},
		Client:    authz.ClientID(form.ClientID),
		Actor:     audit.Actor{Kind: audit.ActorKind(form.Actor.Kind), ID: form.Actor.ID},
		Reason:    form.Reason,
		CreatedAt: form.CreatedAt.UTC(),
		Version:   version,
	}, nil
}

func wholeSeconds(times ...time.Time) bool {
	for _, t := range times {
		if t.Nanosecond() != 0 {
			return false
		}
	}
	return true
}

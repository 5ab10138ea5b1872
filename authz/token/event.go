package token

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// TypeEvent is the typ of a Security Event Token (RFC 8417, Section 2.3). It authorises no call (SET-15).
const TypeEvent = "secevent+jwt"

// The events of the revocation feed. No standard names the withdrawal of an access token, so the first
// three are this project's (SET-12); the last one is of the OpenID RISC profile.
const (
	EventRevoked   = "https://github.com/marque-auth/marque/event/revoked"     // one subject
	EventSnapshot  = "https://github.com/marque-auth/marque/event/revocations" // a part of all that is revoked
	EventHeartbeat = "https://github.com/marque-auth/marque/event/heartbeat"   // nothing else happened

	EventAccountDisabled = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
)

// MaxEventRevocations bounds the subjects of one event.
const MaxEventRevocations = 1000

// Event is one message of the revocation feed, a Security Event Token as it is before it is signed, and
// after its signature was checked. Times are UTC, whole seconds.
//
// A feed is what one process sends: its Run is random, and its revocations are numbered from 1 on without a
// gap, so that whoever misses one finds out by the next event, or by the next heartbeat at the latest.
type Event struct {
	Issuer   string
	Audience string // the feed's URL
	IssuedAt time.Time
	JTI      string

	Kind string // EventRevoked, EventSnapshot or EventHeartbeat
	Run  string // of the feed
	Seq  uint64 // of this revocation; of the last one before the snapshot was taken, or the heartbeat sent

	// At is when the revocation was made: of EventRevoked alone. Zero means IssuedAt.
	At time.Time

	// AsOf is up to when the sender knows what was revoked: of a snapshot and of a heartbeat.
	AsOf time.Time

	// Part counts the parts of one snapshot from 1 on, and Parts is how many it has. An empty one has one.
	Part, Parts int

	// Revocations is one of EventRevoked, up to MaxEventRevocations of EventSnapshot, none of
	// EventHeartbeat.
	Revocations []Revocation
}

// check says what is wrong with an event, whoever wrote it.
func (e *Event) check() error {
	if e.Issuer == "" || e.Audience == "" || e.JTI == "" || e.Run == "" {
		return errors.New("token: event: iss, aud, jti and run are required")
	}
	n, snapshot := len(e.Revocations), e.Kind == EventSnapshot
	switch {
	case e.Kind == EventRevoked && n == 1 && e.Seq > 0:
	case e.Kind == EventHeartbeat && n == 0:
	case snapshot && n <= MaxEventRevocations && 1 <= e.Part && e.Part <= e.Parts:
	default:
		return fmt.Errorf("token: event: %d subjects, number %d, part %d of %d: not an event of this kind", n, e.Seq, e.Part, e.Parts)
	}
	if !e.At.IsZero() && e.Kind != EventRevoked {
		return errors.New("token: event: toe does not belong to this kind")
	}
	if e.AsOf.IsZero() != (e.Kind == EventRevoked) || !snapshot && (e.Part != 0 || e.Parts != 0) {
		return errors.New("token: event: as_of or part does not belong to this kind, or is missing")
	}
	for _, r := range e.Revocations {
		if !r.Valid() {
			return errors.New("token: event: not the subject of a revocation")
		}
	}
	return nil
}

// AppendJSON appends the payload to b: iss, aud, iat, jti, for one subject sub_id (RFC 9493) and toe, and
// events. sub and exp are never there (SET-02). It fails, and returns nil, rather than write what ParseEvent
// would refuse.
func (e *Event) AppendJSON(b []byte) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	w := encoder{b: append(b, '{')}
	w.text(`"iss":`, e.Issuer)
	w.text(`,"aud":`, e.Audience)
	w.date(`,"iat":`, e.IssuedAt)
	w.text(`,"jti":`, e.JTI)
	if e.Kind == EventRevoked {
		w.subjectID(e.Issuer, e.Revocations[0].Subject)
		w.date(`,"toe":`, e.happened())
	}
	w.b = append(w.b, `,"events":{`...)
	w.text("", e.Kind)
	w.text(`:{"run":`, e.Run)
	w.number(`,"seq":`, e.Seq)
	if !e.AsOf.IsZero() {
		w.date(`,"as_of":`, e.AsOf)
	}
	if e.Kind == EventSnapshot {
		w.number(`,"part":`, uint64(e.Part))
		w.number(`,"parts":`, uint64(e.Parts))
	}
	if len(e.Revocations) > 0 {
		w.b = append(w.b, `,"revocations":[`...)
		for i, r := range e.Revocations {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.revocation(r)
		}
		w.b = append(w.b, ']')
	}
	w.b = append(w.b, '}')
	if e.Kind == EventRevoked && disables(e.Revocations[0]) {
		w.text(",", EventAccountDisabled)
		w.b = append(w.b, ":{}"...)
	}
	if w.err != nil {
		return nil, w.err
	}
	return append(w.b, "}}"...), nil
}

// happened is the time of the event (RFC 8417, Section 2.2), which may be long before it is told: a server that was
// cut off from its store tells of it afterwards.
func (e *Event) happened() time.Time {
	if e.At.IsZero() || e.At.After(e.IssuedAt) {
		return e.IssuedAt
	}
	return e.At
}

// disables reports whether r ends a client for good, or until somebody enables it (EVT-01).
func disables(r Revocation) bool { return r.Kind == RevokedClient && r.Before.IsZero() }

// subjectID appends the subject as RFC 9493 has it (SET-03): a token, a client, or an opaque text, which is
// Subject.String.
func (w *encoder) subjectID(issuer string, s Subject) {
	switch s.Kind {
	case RevokedJTI:
		w.text(`,"sub_id":{"format":"jwt_id","iss":`, issuer)
		w.text(`,"jti":`, s.Value)
	case RevokedClient:
		w.text(`,"sub_id":{"format":"iss_sub","iss":`, issuer)
		w.text(`,"sub":`, s.Value)
	default:
		w.text(`,"sub_id":{"format":"opaque","id":`, s.String())
	}
	w.b = append(w.b, '}')
}

// revocation appends kind, value, since, before and until as an array, shorter than an object: a snapshot
// may hold a million. A time that is zero is 0.
func (w *encoder) revocation(r Revocation) {
	w.text("[", string(r.Kind))
	w.text(",", r.Value)
	for _, t := range []time.Time{r.Since, r.Before, r.Until} {
		if t.IsZero() {
			w.b = append(w.b, ",0"...)
		} else {
			w.date(",", t)
		}
	}
	w.b = append(w.b, ']')
}

func (w *encoder) number(name string, n uint64) {
	w.b = strconv.AppendUint(append(w.b, name...), n, 10)
}

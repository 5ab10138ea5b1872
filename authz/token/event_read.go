package token

import (
	"errors"
	"math"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/keys/jose"
)

var errEvent = errors.New("token: not an event of the revocation feed")

// ParseEvent reads the payload of an event whose signature was checked before. It judges form alone: whose
// feed it is, whether it is the one to come, and how old it may be is up to the caller. Events of other kinds
// beside the one of the feed are ignored, and so are members that it does not know; one that has two events
// of the feed, none, or a sub or an exp is refused. The error quotes nothing of the payload.
func ParseEvent(payload []byte) (Event, error) {
	var w struct {
		Issuer   string                    `json:"iss"`
		Audience string                    `json:"aud"`
		IssuedAt *int64                    `json:"iat"`
		JTI      string                    `json:"jti"`
		At       int64                     `json:"toe"`
		Subject  jsontext.Value            `json:"sub"`
		Expiry   jsontext.Value            `json:"exp"`
		Events   map[string]jsontext.Value `json:"events"`
	}
	if err := jose.StrictUnmarshal(payload, &w, false); err != nil {
		return Event{}, err
	}
	if w.IssuedAt == nil || w.Subject != nil || w.Expiry != nil {
		return Event{}, errEvent
	}
	e := Event{Issuer: w.Issuer, Audience: w.Audience, JTI: w.JTI}
	for _, kind := range []string{EventRevoked, EventSnapshot, EventHeartbeat} {
		body, ok := w.Events[kind]
		if !ok {
			continue
		}
		if e.Kind != "" {
			return Event{}, errEvent
		}
		e.Kind = kind
		if err := e.readBody(body); err != nil {
			return Event{}, err
		}
	}
	var ok bool
	if e.IssuedAt, ok = timeAt(*w.IssuedAt); !ok || e.IssuedAt.IsZero() {
		return Event{}, errEvent
	}
	if e.Kind == EventRevoked {
		if e.At, ok = timeAt(w.At); !ok {
			return Event{}, errEvent
		}
		e.At = e.happened()
	}
	if err := e.check(); err != nil {
		return Event{}, errEvent
	}
	return e, nil
}

func (e *Event) readBody(body jsontext.Value) error {
	var w struct {
		Run         string             `json:"run"`
		Seq         uint64             `json:"seq"`
		AsOf        int64              `json:"as_of"`
		Part        int                `json:"part"`
		Parts       int                `json:"parts"`
		Revocations [][]jsontext.Value `json:"revocations"`
	}
	if err := jose.StrictUnmarshal(body, &w, false); err != nil {
		return err
	}
	e.Run, e.Seq, e.Part, e.Parts = w.Run, w.Seq, w.Part, w.Parts
	var ok bool
	if e.AsOf, ok = timeAt(w.AsOf); !ok || len(w.Revocations) > MaxEventRevocations {
		return errEvent
	}
	for _, parts := range w.Revocations {
		r, err := readRevocation(parts)
		if err != nil {
			return err
		}
		e.Revocations = append(e.Revocations, r)
	}
	return nil
}

func readRevocation(parts []jsontext.Value) (Revocation, error) {
	if len(parts) != 5 {
		return Revocation{}, errEvent
	}
	var r Revocation
	var kind string
	var times [3]int64
	err := errors.Join(jose.StrictUnmarshal(parts[0], &kind, true), jose.StrictUnmarshal(parts[1], &r.Value, true))
	for i := range times {
		err = errors.Join(err, jose.StrictUnmarshal(parts[2+i], &times[i], true))
	}
	if err != nil {
		return Revocation{}, err
	}
	r.Kind = RevocationKind(kind)
	var since, before, until bool
	r.Since, since = timeAt(times[0])
	r.Before, before = timeAt(times[1])
	r.Until, until = timeAt(times[2])
	if !since || !before || !until {
		return Revocation{}, errEvent
	}
	return r, nil
}

// timeAt reads whole seconds; 0 is the zero time.
func timeAt(seconds int64) (time.Time, bool) {
	if seconds < 0 || seconds > min(maxDate, math.MaxInt64) {
		return time.Time{}, false
	}
	if seconds == 0 {
		return time.Time{}, true
	}
	return time.Unix(seconds, 0).UTC(), true
}

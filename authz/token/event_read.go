package token

import (
	"cmp"
	"errors"
	"math"
	"strconv"
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
		Run         string         `json:"run"`
		Seq         uint64         `json:"seq"`
		AsOf        int64          `json:"as_of"`
		Part        int            `json:"part"`
		Parts       int            `json:"parts"`
		Revocations revocationList `json:"revocations"`
	}
	if err := jose.StrictUnmarshal(body, &w, false); err != nil {
		return err
	}
	e.Run, e.Seq, e.Part, e.Parts = w.Run, w.Seq, w.Part, w.Parts
	var ok bool
	if e.AsOf, ok = timeAt(w.AsOf); !ok {
		return errEvent
	}
	e.Revocations = w.Revocations
	return nil
}

// revocationList reads the revocations of an event in one pass: a snapshot may hold a million.
type revocationList []Revocation

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (l *revocationList) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return eachElement(d, func() error {
		if len(*l) == MaxEventRevocations {
			return errEvent
		}
		r, err := readRevocation(d)
		*l = append(*l, r)
		return err
	})
}

// readRevocation reads what encoder.revocation wrote: kind, value, since, before and until.
func readRevocation(d *jsontext.Decoder) (r Revocation, err error) {
	n := 0
	err = eachElement(d, func() (err error) {
		switch n++; n {
		case 1:
			var kind string
			kind, err = readString(d)
			r.Kind = RevocationKind(kind)
		case 2:
			r.Value, err = readString(d)
		case 3:
			r.Since, err = readTime(d)
		case 4:
			r.Before, err = readTime(d)
		case 5:
			r.Until, err = readTime(d)
		default:
			err = errEvent
		}
		return err
	})
	if err == nil && n != 5 {
		err = errEvent
	}
	return r, err
}

// eachElement reads an array, of which read reads one element at a time.
func eachElement(d *jsontext.Decoder, read func() error) error {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return cmp.Or(err, errEvent)
	}
	for d.PeekKind() != ']' {
		if err := read(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

func readString(d *jsontext.Decoder) (string, error) {
	t, err := d.ReadToken()
	if err != nil || t.Kind() != '"' {
		return "", cmp.Or(err, errEvent)
	}
	return t.String(), nil
}

// readTime reads whole seconds, written as such: no fraction and no exponent.
func readTime(d *jsontext.Decoder) (time.Time, error) {
	v, err := d.ReadValue()
	if err != nil {
		return time.Time{}, err
	}
	seconds, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return time.Time{}, errEvent
	}
	t, ok := timeAt(seconds)
	if !ok {
		return time.Time{}, errEvent
	}
	return t, nil
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

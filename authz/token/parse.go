package token

import (
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/marque-auth/marque/keys/jose"
)

// Parsed is the payload of a token as it was read: what it claims, and under which conditions.
type Parsed struct {
	Claims
	NotBefore       time.Time // zero if there is none
	HasConfirmation bool      // there is a cnf of some kind: whoever cannot check it must refuse (RFC 7800, Section 3.1)

	issuedCeil int64 // IssuedAt rounded up, for the one check where rounding down would be lenient
}

// Parse reads a payload whose signature was checked before (JWT-33), and judges nothing but form.
//
// It wants one strict JSON object (jose.StrictUnmarshal) in which iss, sub, aud, client_id, exp, iat
// and jti are there, of their JSON type, and not empty (RFC 9068, Section 2.2); scope, nbf and
// credential_id of theirs if they are there. A name that differs from a reserved one in case only is
// refused, since another reader would take it for that one. Other members end up in Static, in their
// order, unless their name is reserved: those are dropped.
//
// Fractions of seconds are rounded to the stricter side: exp and iat down, nbf up.
// An error is a refusal, and quotes nothing of the payload.
func Parse(payload []byte) (Parsed, error) {
	w, ok := plainPayload(payload)
	if !ok {
		var err error
		if w, err = readPayload(payload); err != nil {
			return Parsed{}, err
		}
	}
	c := w.claims
	switch {
	case c.Issuer == "" || c.Subject == "" || c.ClientID == "" || c.JTI == "" || len(c.Audience) == 0:
		return Parsed{}, errors.New("a required claim is missing or empty")
	case !w.exp.present || !w.iat.present:
		return Parsed{}, errors.New("exp or iat is missing")
	case !validScope(c.Scope):
		return Parsed{}, errors.New("scope is not a list of scope tokens")
	}
	c.Expiry = time.Unix(w.exp.floor(), 0).UTC()
	c.IssuedAt = time.Unix(w.iat.floor(), 0).UTC()
	p := Parsed{Claims: c, HasConfirmation: w.cnf, issuedCeil: w.iat.ceil()}
	if w.nbf.present {
		p.NotBefore = time.Unix(w.nbf.ceil(), 0).UTC()
	}
	return p, nil
}

// readPayload reads a payload of any form.
func readPayload(payload []byte) (wire, error) {
	var w wire
	if err := jose.StrictUnmarshal(payload, &w, false); err != nil {
		if w.err != nil {
			return wire{}, w.err
		}
		return wire{}, err
	}
	return w, nil
}

// wire reads members as they come. It remembers its own error, for the decoder wraps it in others.
type wire struct {
	claims        Claims
	exp, iat, nbf numericDate
	cnf           bool
	err           error
}

// UnmarshalJSONFrom reads one object; the decoder refuses duplicate names and invalid UTF-8.
func (w *wire) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if t, err := d.ReadToken(); err != nil {
		return err
	} else if t.Kind() != '{' {
		return w.refuse("the payload is not an object")
	}
	for d.PeekKind() != '}' {
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		if err := w.member(t.String(), d); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

func (w *wire) member(name string, d *jsontext.Decoder) error {
	switch name {
	case "iss":
		return w.text(d, &w.claims.Issuer)
	case "sub":
		return w.text(d, &w.claims.Subject)
	case "aud":
		return w.audience(d)
	case "client_id":
		return w.text(d, &w.claims.ClientID)
	case "credential_id":
		return w.text(d, &w.claims.CredentialID)
	case "scope":
		return w.text(d, &w.claims.Scope)
	case "jti":
		return w.text(d, &w.claims.JTI)
	case "exp":
		return w.date(d, &w.exp)
	case "iat":
		return w.date(d, &w.iat)
	case "nbf":
		return w.date(d, &w.nbf)
	case "cnf":
		w.cnf = true
		return d.SkipValue()
	}
	if caseVariant(name) {
		return w.refuse("a member's name differs from a claim's in case only")
	}
	if ReservedClaim(name) {
		return d.SkipValue()
	}
	v, err := d.ReadValue()
	if err == nil {
		w.claims.Static = append(w.claims.Static, Static{Name: name, Value: v.Clone()})
	}
	return err
}

// text reads a string; null is not one.
func (w *wire) text(d *jsontext.Decoder, into *string) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != '"' {
		return w.refuse("a claim that must be a string is not")
	}
	*into = t.String()
	return nil
}

// audience reads a string or an array of them (RFC 7519, Section 4.1.3). An empty string would equal
// the audience of a verifier that forgot to set one.
func (w *wire) audience(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		var one string
		if err := w.text(d, &one); err != nil {
			return err
		}
		if one == "" {
			return w.refuse("aud is empty")
		}
		w.claims.Audience = []string{one}
		return nil
	}
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != '[' {
		return w.refuse("aud is neither a string nor an array")
	}
	for d.PeekKind() != ']' {
		var one string
		if err := w.text(d, &one); err != nil {
			return err
		}
		if one == "" {
			return w.refuse("aud holds an empty string")
		}
		w.claims.Audience = append(w.claims.Audience, one)
	}
	_, err = d.ReadToken()
	return err
}

func (w *wire) date(d *jsontext.Decoder, into *numericDate) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() == '0' {
		if date, ok := parseDate(t.String()); ok {
			*into = date
			return nil
		}
	}
	return w.refuse("a time is not a number that names one")
}

func (w *wire) refuse(why string) error {
	w.err = errors.New(why)
	return w.err
}

package token

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The types that a token's header may have.
const (
	TypeAccessToken = "at+jwt" // RFC 9068, Section 2.1
	TypeJWT         = "JWT"    // for validators that refuse the former; per resource
)

// MaxSize bounds an issued token, in bytes of its compact form (JWT-24): a field that is longer is
// refused by common proxies (RFC 6585, Section 5). Going over fails the issue.
const MaxSize = 4 << 10

// Claims is what an access token says: RFC 9068, Section 2.2. Times are UTC, whole seconds. A
// Claims that came from Parse or a Checker is shared: do not change what its slices hold.
type Claims struct {
	Issuer       string
	Subject      string   // equal to ClientID: no person takes part (JWT-10)
	Audience     []string // at least one
	ClientID     string
	CredentialID string // what the client authenticated with; may be empty
	Scope        string // space-delimited (RFC 8693, Section 4.2); empty means none
	IssuedAt     time.Time
	Expiry       time.Time
	JTI          string
	Static       []Static // claims beside the profile's
}

// Static is a claim that is not one of the profile's: configured for the client, and passed on as it
// is. Value is valid, compact JSON.
type Static struct {
	Name  string
	Value jsontext.Value
}

// AppendJSON appends the claims as one JSON object to b, in a fixed order: iss, sub, aud,
// client_id, credential_id, scope, iat, exp, jti, then the static claims in theirs. An audience of
// one is a string (JWT-08); an empty credential or scope is left out. nbf is never written: a slow
// verifier would refuse the token (JWT-14).
//
// It fails, and returns nil, rather than write a token that Parse would refuse: a required claim is
// missing, a string is not UTF-8, a time lies outside what NumericDate may say here, a static claim
// bears a reserved name, comes twice, or is not JSON. Such an error is a fault of the server.
func (c *Claims) AppendJSON(b []byte) ([]byte, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	// The names are written as they stand here, so none of them needs quoting.
	e := encoder{b: append(b, '{')}
	e.text(`"iss":`, c.Issuer)
	e.text(`,"sub":`, c.Subject)
	e.audience(`,"aud":`, c.Audience)
	e.text(`,"client_id":`, c.ClientID)
	if c.CredentialID != "" {
		e.text(`,"credential_id":`, c.CredentialID)
	}
	if c.Scope != "" {
		e.text(`,"scope":`, c.Scope)
	}
	e.date(`,"iat":`, c.IssuedAt)
	e.date(`,"exp":`, c.Expiry)
	e.text(`,"jti":`, c.JTI)
	for i := range c.Static {
		e.static(c.Static[i])
	}
	if e.err != nil {
		return nil, e.err
	}
	return append(e.b, '}'), nil
}

// complete says whether everything that RFC 9068, Section 2.2 requires is there.
func (c *Claims) complete() error {
	switch {
	case c.Issuer == "" || c.Subject == "" || c.ClientID == "" || c.JTI == "":
		return errors.New("token: iss, sub, client_id and jti are required")
	case len(c.Audience) == 0:
		return errors.New("token: aud is required")
	case !validScope(c.Scope):
		return errors.New("token: scope is not a list of scope tokens")
	case !c.Expiry.After(c.IssuedAt):
		return errors.New("token: exp must lie after iat")
	}
	for _, a := range c.Audience {
		if a == "" {
			return errors.New("token: aud holds an empty string")
		}
	}
	for i := range c.Static {
		for j := range i {
			if c.Static[i].Name == c.Static[j].Name {
				return fmt.Errorf("token: claim %q comes twice", c.Static[i].Name)
			}
		}
	}
	return nil
}

// encoder appends members to b until the first error.
type encoder struct {
	b   []byte
	err error
}

// text appends a member; name is quoted and brings its comma and colon.
func (e *encoder) text(name, value string) {
	e.b = append(e.b, name...)
	e.quote(value)
}

func (e *encoder) quote(s string) {
	b, err := jsontext.AppendQuote(e.b, s)
	if err != nil && e.err == nil {
		e.err = errors.New("token: a claim is not UTF-8")
	}
	e.b = b
}

func (e *encoder) audience(name string, audience []string) {
	if len(audience) == 1 {
		e.text(name, audience[0])
		return
	}
	e.b = append(e.b, name...)
	for i, a := range audience {
		if i == 0 {
			e.b = append(e.b, '[')
		} else {
			e.b = append(e.b, ',')
		}
		e.quote(a)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) date(name string, t time.Time) {
	sec := t.Unix()
	if (sec < 0 || sec > maxDate) && e.err == nil {
		e.err = errors.New("token: a time lies outside the years 1970 to 9999")
	}
	e.b = strconv.AppendInt(append(e.b, name...), sec, 10)
}

// static looks at name and value once more, although both were checked when they were configured:
// the list of reserved names may have grown since, and a bad value would break every other claim.
func (e *encoder) static(s Static) {
	if e.err == nil && ReservedClaim(s.Name) {
		e.err = fmt.Errorf("token: claim %q is reserved", s.Name)
	}
	if e.err == nil && !s.Value.IsValid() {
		e.err = fmt.Errorf("token: the value of claim %q is not JSON", s.Name)
	}
	e.b = append(e.b, ',')
	e.quote(s.Name)
	e.b = append(e.b, ':')
	e.b = append(e.b, s.Value...)
}

// validScope reports whether s is empty or a scope string of RFC 6749, Section 3.3.
func validScope(s string) bool {
	last := byte(' ')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == ' ' && last == ' ' || c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
		last = c
	}
	return s == "" || last != ' '
}

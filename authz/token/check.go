package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// Leeway is for clocks that differ: a token is taken until exp + leeway, and from nbf - leeway on.
const (
	DefaultLeeway = 30 * time.Second
	MaxLeeway     = 5 * time.Minute

	// NoLeeway asks for none at all; the zero Duration asks for DefaultLeeway.
	NoLeeway time.Duration = -1
)

// MaxAhead is how far iat may lie ahead of the verifier's clock, whatever the leeway (RSV-29).
const MaxAhead = 60 * time.Second

// Check says which tokens a Checker takes. Issuer, Audience, Algorithms and Key are required.
type Check struct {
	Issuer     string           // equal to iss, character by character
	Audience   string           // equal to an element of aud, likewise; required unless AnyAudience
	Algorithms []jose.Algorithm // the allowed ones; nothing else is used (RFC 8725, Section 3.1)

	// Leeway is 0 for DefaultLeeway, NoLeeway for none, else up to MaxLeeway.
	Leeway time.Duration

	// AnyAudience takes tokens whoever they are for. Only the issuer itself has a use for that.
	AnyAudience bool

	// InsecureTypJWT also takes tokens of type JWT, which other kinds of JWT bear as well: safe only
	// if the issuer signs nothing but access tokens for this audience with that type.
	InsecureTypJWT bool

	Now func() time.Time // nil means time.Now

	// Key returns the issuer's key of that kid, never another issuer's (RFC 8725, Section 3.8). An
	// error that wraps jose.ErrUnknownKey means that the issuer has none; any other means that this
	// cannot be said now, and is passed on as it is. Called at most once per token, before anything
	// in the header can be trusted.
	Key func(ctx context.Context, h jose.Header) (*jose.PublicKey, error)
}

// Checker verifies access tokens by RFC 9068, Section 4. It is immutable, and safe for concurrent use.
type Checker struct {
	check Check
	types []string
}

// NewChecker returns a Checker, or an error if c cannot work.
func NewChecker(c Check) (*Checker, error) {
	var errs []error
	if c.Issuer == "" {
		errs = append(errs, errors.New("no Issuer"))
	}
	if c.Audience == "" && !c.AnyAudience {
		errs = append(errs, errors.New("no Audience"))
	}
	if c.Audience != "" && c.AnyAudience {
		errs = append(errs, errors.New("an Audience and AnyAudience"))
	}
	if len(c.Algorithms) == 0 {
		errs = append(errs, errors.New("no Algorithms"))
	}
	for _, a := range c.Algorithms {
		if _, err := jose.ParseAlgorithm(string(a)); err != nil {
			errs = append(errs, fmt.Errorf("the algorithm %q is not supported", string(a)))
		}
	}
	if c.Leeway != NoLeeway && (c.Leeway < 0 || c.Leeway > MaxLeeway) {
		errs = append(errs, fmt.Errorf("a Leeway of %v is not between 0 and %v", c.Leeway, MaxLeeway))
	}
	if c.Key == nil {
		errs = append(errs, errors.New("no Key"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	switch c.Leeway {
	case 0:
		c.Leeway = DefaultLeeway
	case NoLeeway:
		c.Leeway = 0
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Algorithms = slices.Clone(c.Algorithms)
	types := []string{TypeAccessToken}
	if c.InsecureTypJWT {
		types = append(types, TypeJWT)
	}
	return &Checker{check: c, types: types}, nil
}

// Verified is a token that passed every check: what it says, and what its header says.
type Verified struct {
	Claims
	KeyID string // kid of the key that verified it
	Type  string // typ: TypeAccessToken or TypeJWT

	Key *jose.PublicKey // that key
}

// Verify returns a token that passes every check. An error that is ErrToken is an
// *Error: the token is refused. Any other error came from Check.Key, and leaves the token unjudged.
//
// The clock is read once. Nothing of the payload is read before the signature was checked.
func (c *Checker) Verify(ctx context.Context, compact string) (Verified, error) {
	now := c.check.Now()
	var kid string
	var by *jose.PublicKey
	var fault error
	h, payload, err := jose.Verify(compact, jose.VerifyOptions{
		Types:      c.types,
		Algorithms: c.check.Algorithms,
		Key: func(h jose.Header) (*jose.PublicKey, error) {
			kid = h.KeyID
			key, err := c.check.Key(ctx, h)
			if err != nil && !errors.Is(err, jose.ErrUnknownKey) {
				fault = err
			}
			by = key
			return key, err
		},
	})
	// First the fault: its text may wrap any of the kernel's errors (a JWKS document is malformed,
	// say), and must not pass for one about the token.
	if fault != nil {
		return Verified{}, fault
	}
	if err != nil {
		return Verified{}, kernelRefusal(kid, err)
	}
	p, err := Parse(payload)
	if err != nil {
		return Verified{}, &Error{Reason: ReasonClaims, KeyID: kid, Err: err}
	}
	if reason := c.judge(&p, now); reason != "" {
		return Verified{}, &Error{Reason: reason, KeyID: kid, JTI: p.JTI, ClientID: p.ClientID}
	}
	return Verified{Claims: p.Claims, KeyID: kid, Type: typeOf(h.Type), Key: by}, nil
}

// Live reports whether a token that passed every check at an earlier time passes those that look at the
// clock at now, too: a token does not become younger.
func (c *Checker) Live(v *Verified, now time.Time) bool {
	return now.Before(v.Expiry.Add(c.check.Leeway))
}

// typeOf names the type of a token that was taken: it may be written in any case, and as a whole media
// type (RFC 7515, Section 4.1.9).
func typeOf(typ string) string {
	if strings.EqualFold(typ, TypeJWT) || strings.EqualFold(typ, "application/"+TypeJWT) {
		return TypeJWT
	}
	return TypeAccessToken
}

// judge returns the first reason against p, or none.
func (c *Checker) judge(p *Parsed, now time.Time) Reason {
	leeway := c.check.Leeway
	switch {
	case p.Issuer != c.check.Issuer:
		return ReasonIssuer
	case !c.check.AnyAudience && !slices.Contains(p.Audience, c.check.Audience):
		return ReasonAudience
	case p.HasConfirmation:
		// No way to check a binding is built here, and to ignore one is a downgrade (RFC 7800,
		// Section 3.1; RFC 9449, Section 7.2).
		return ReasonConfirmation
	case !now.Before(p.Expiry.Add(leeway)):
		return ReasonExpired
	case !p.NotBefore.IsZero() && now.Add(leeway).Before(p.NotBefore):
		return ReasonNotYetValid
	case now.Add(MaxAhead).Before(time.Unix(p.issuedCeil, 0)):
		return ReasonNotYetValid
	}
	return ""
}

// kernelRefusal names what jose refused. What is no refusal of the token is passed on.
func kernelRefusal(kid string, err error) error {
	reason := ReasonMalformed
	switch {
	case errors.Is(err, jose.ErrUnknownKey):
		reason = ReasonUnknownKey
	case errors.Is(err, jose.ErrType):
		reason = ReasonType
	case errors.Is(err, jose.ErrAlgorithm):
		reason = ReasonAlgorithm
	case errors.Is(err, jose.ErrHeader):
		reason = ReasonHeader
	case errors.Is(err, jose.ErrSignature):
		reason = ReasonSignature
	case errors.Is(err, jose.ErrMalformed):
	default:
		return fmt.Errorf("token: verify: %w", err)
	}
	return &Error{Reason: reason, KeyID: kid, Err: err}
}

package authz

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// ownTokens judges what is said to be a token of this server. It is safe for concurrent use.
type ownTokens struct {
	any         *token.Checker // whoever the token is for
	admin       *token.Checker // for the management API
	revocations Revocations
}

func newOwnTokens(c Config) (*ownTokens, error) {
	check := token.Check{
		Issuer:     c.Issuer,
		Algorithms: []jose.Algorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.Ed25519},
		Leeway:     token.NoLeeway, // one clock: the server's own, or that of the store which it shares
		Now:        c.common(),
		Key: func(_ context.Context, h jose.Header) (*jose.PublicKey, error) {
			return c.PublicKey(h.KeyID)
		},
	}
	// Every algorithm, for the management API, too: Config.Algorithm may have been another one when a token
	// was issued, and may be on another server. A key signs with its own alone.
	forAdmin, forAny := check, check
	forAdmin.Audience = string(AdminResource(c.Issuer))
	// Some resources want typ JWT. Nothing else that this server signs bears it, and what somebody
	// else signed does not verify.
	forAny.AnyAudience, forAny.InsecureTypJWT = true, true
	anyone, err := token.NewChecker(forAny)
	if err != nil {
		return nil, err
	}
	admin, err := token.NewChecker(forAdmin)
	if err != nil {
		return nil, err
	}
	return &ownTokens{any: anyone, admin: admin, revocations: c.Revocations}, nil
}

// verify returns a token of this server that is within its time. The error is a *token.Error, or an
// *UnavailableError while the server cannot say which keys are its own.
func (o *ownTokens) verify(ctx context.Context, compact string) (token.Verified, error) {
	return verified(o.any.Verify(ctx, compact))
}

// verifyAdmin is verify for a token that must be for the management API, and for nobody else: policy
// issues no others.
func (o *ownTokens) verifyAdmin(ctx context.Context, compact string) (token.Verified, error) {
	v, err := verified(o.admin.Verify(ctx, compact))
	if err == nil && len(v.Audience) != 1 {
		return token.Verified{}, &token.Error{Reason: token.ReasonAudience, KeyID: v.KeyID, JTI: v.JTI, ClientID: v.ClientID}
	}
	return v, err
}

func verified(v token.Verified, err error) (token.Verified, error) {
	if err != nil && !errors.Is(err, token.ErrToken) {
		err = &UnavailableError{Cause: CauseKeysUnavailable, RetryAfter: retryAfter, Err: err}
	}
	return v, err
}

// live returns nil unless the token is withdrawn: then the error is a *judgedError. It asks the store,
// never memory alone; what the store cannot say is an *UnavailableError.
func (o *ownTokens) live(ctx context.Context, v *token.Verified) error {
	stored, err := o.revocations.Revocations(ctx, token.Subjects(&v.Claims, v.KeyID))
	if err != nil {
		return storeFault(ctx, ClientID(v.ClientID), err)
	}
	by, void := token.Void(&v.Claims, v.KeyID, found(stored))
	if !void {
		return nil
	}
	return &judgedError{cause: CauseTokenRevoked, token: *v, by: found(stored).of(by.Subject)}
}

// found is what a store returned for the subjects of one token.
type found []Revocation

var _ token.Known = found(nil)

func (f found) of(s token.Subject) Revocation {
	if i := slices.IndexFunc(f, func(r Revocation) bool { return r.Subject == s }); i >= 0 {
		return f[i]
	}
	return Revocation{}
}

// Revocation implements token.Known.
func (f found) Revocation(s token.Subject) (token.Revocation, bool) {
	r := f.of(s)
	return r.Revocation, r.Subject == s
}

// judgedError says that a token is this server's, and good, and yet not to be honoured in this call.
type judgedError struct {
	cause Cause
	token token.Verified
	by    Revocation // with CauseTokenRevoked: what withdrew it
}

func (e *judgedError) Error() string { return "token: " + string(e.cause) }

// signed reports whether the signature of a refused token is this server's.
func signed(r token.Reason) bool {
	switch r {
	case token.ReasonClaims, token.ReasonIssuer, token.ReasonAudience, token.ReasonExpired, token.ReasonNotYetValid, token.ReasonConfirmation:
		return true
	}
	return false
}

// dateAfter dates a token that is about to be signed, at its IssuedAt or, when it would be born void,
// after what withdraws it: tokens are dated by the second, and one that is issued in the very second of
// a revocation would fall under it. Where that is more than maxAhead away, or never, there is no token.
//
// The Revoker is told first and the Index is asked then: a revocation that begins after that covers
// the token, and one that was applied before it is seen. The caller looks last whether the records have
// changed that the token was decided from. If they have not, then a change of theirs that withdraws
// tokens has yet to be applied here: it stops this one (see Revoker.withhold), or covers its date.
func (m *mint) dateAfter(c *token.Claims, kid string, lifetime time.Duration) error {
	if !m.index.Loaded() {
		return &UnavailableError{Cause: CauseNotLoaded, Client: ClientID(c.ClientID), RetryAfter: retryAfter}
	}
	latest := m.latest()
	for {
		m.revoker.Dated(c.IssuedAt)
		by, void := token.Void(c, kid, m.index)
		if m.revoker.withholds(c, kid) {
			return &UnavailableError{Cause: CauseBornVoid, Client: ClientID(c.ClientID), RetryAfter: retryAfter}
		}
		if !void {
			c.Expiry = c.IssuedAt.Add(lifetime)
			return nil
		}
		after, ends := dateAfter(c, by)
		if !ends || after.After(latest) {
			return &UnavailableError{Cause: CauseBornVoid, Client: ClientID(c.ClientID), RetryAfter: m.void(*c, kid, latest)}
		}
		c.IssuedAt = after
	}
}

// dateAfter returns the first date of a token that by does not withdraw; ends is false if there is none.
func dateAfter(c *token.Claims, by token.Revocation) (after time.Time, ends bool) {
	after = by.Before.Add(time.Second)
	return after, !by.Before.IsZero() && after.After(c.IssuedAt)
}

// void returns how long it takes until a token that would be born void could be dated after what withdraws
// it. Where that has no end it is retryAfter.
func (m *mint) void(c token.Claims, kid string, latest time.Time) time.Duration {
	for {
		by, void := token.Void(&c, kid, m.index)
		if !void {
			return max(retryAfter, c.IssuedAt.Sub(latest))
		}
		after, ends := dateAfter(&c, by)
		if !ends {
			return retryAfter
		}
		c.IssuedAt = after // the date of no token: see Revoker.Dated
	}
}

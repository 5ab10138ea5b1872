package authz

import (
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// Revocation is a token.Revocation as it is kept: with who made it, and why.
type Revocation struct {
	token.Revocation
	Client    ClientID // of a jti: whose token it is, where that is known; counts towards that client's cap
	Actor     audit.Actor
	Reason    string
	CreatedAt time.Time
	Version   uint64 // set by the store; 0 for a revocation that is not stored
}

// live reports whether r is stored and still withdraws something.
func (r Revocation) live(now time.Time) bool {
	return r.Version > 0 && (r.Until.IsZero() || now.Before(r.Until))
}

// openEnded returns the revocation that withdraws what a subject has and will have.
func openEnded(s token.Subject) token.Revocation { return token.Revocation{Subject: s} }

// issuedUntil returns the revocation of a subject's tokens that were issued until then, inclusive.
func issuedUntil(s token.Subject, before time.Time) token.Revocation {
	return token.Revocation{Subject: s, Before: before, Until: before.Add(token.RevocationKept)}
}

// roundedUp returns the whole second in which t lies, or else the next one: a token is dated by whole
// seconds, and one that was issued before t is never dated later.
func roundedUp(t time.Time) time.Time {
	up := t.UTC().Truncate(time.Second)
	if up.Before(t) {
		up = up.Add(time.Second)
	}
	return up
}

// wholeRevocation returns r in whole seconds, so that it withdraws no less.
func wholeRevocation(r token.Revocation) token.Revocation {
	r.Since, r.Before, r.Until = whole(r.Since), wholeEnd(r.Before), wholeEnd(r.Until)
	return r
}

func wholeEnd(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return roundedUp(t)
}

func equalRevocations(a, b token.Revocation) bool {
	return a.Subject == b.Subject && a.Since.Equal(b.Since) && a.Before.Equal(b.Before) && a.Until.Equal(b.Until)
}

// withdrawal is a revocation that is to be, beside what is stored of its subject.
type withdrawal struct {
	token.Revocation
	client   ClientID // see Revocation.Client
	untilNow bool     // instead of what it says it withdraws what was issued until it is prepared
	closes   bool     // it ends an open-ended revocation: the client is enabled, the resource registered anew
}

// untilNow returns the withdrawal of what a subject has until it is prepared.
func untilNow(s token.Subject) withdrawal {
	return withdrawal{Revocation: token.Revocation{Subject: s}, untilNow: true}
}

// closing is untilNow for a subject whose revocation, if it is open-ended, ends.
func closing(s token.Subject) withdrawal {
	w := untilNow(s)
	w.closes = true
	return w
}

// next returns what must be stored of w's subject in place of old, and whether that differs.
func (w withdrawal) next(old Revocation, now time.Time) (token.Revocation, bool) {
	switch {
	case !old.live(now):
		return w.Revocation, w.Until.IsZero() || now.Before(w.Until) // what may be forgotten need not be stored
	case w.closes && old.Before.IsZero():
		return w.Revocation, true
	}
	merged := old.Merge(w.Revocation)
	return merged, !equalRevocations(old.Revocation, merged)
}

package authz

import (
	"time"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// AllUntilNow returns the revocation of everything that was issued until now, to be stored in place of old,
// which is the zero value where there is none and else stays in force: for records that come from elsewhere
// and may lack what was withdrawn there meanwhile. skew is how far ahead of now those may have dated tokens who
// issued them. Its version is old's.
func AllUntilNow(by audit.Origin, old Revocation, now time.Time, skew time.Duration) Revocation {
	all := token.Subject{Kind: token.RevokedAll}
	w := withdrawal{Revocation: issuedUntil(all, roundedUp(now.Add(skew)))}
	return w.revise(by, []Revocation{old}, now).next
}

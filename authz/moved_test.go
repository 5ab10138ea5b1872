package authz_test

import (
	"testing"
	"time"

	"github.com/marque-auth/marque/authz"
	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
)

// Everything until now, rounded up, and the skew; never less than what was revoked before.
func TestAllUntilNow(t *testing.T) {
	t.Parallel()
	by := audit.Origin{Actor: audit.System("test"), Reason: "why"}
	all := token.Subject{Kind: token.RevokedAll}
	now := time.Date(2026, 11, 29, 12, 0, 0, 1, time.UTC)
	until := now.Truncate(time.Second).Add(7 * time.Second)
	old := func(before, end time.Time) authz.Revocation {
		return authz.Revocation{Revocation: token.Revocation{Subject: all, Before: before, Until: end}, Reason: "before", Version: 7}
	}
	for name, c := range map[string]struct {
		old     authz.Revocation
		before  time.Time
		version uint64
		reason  string
	}{
		"none":       {authz.Revocation{}, until, 0, "why"},
		"earlier":    {old(now.Add(-time.Hour), now.Add(time.Minute)), until, 7, "why"},
		"later":      {old(now.Add(time.Hour), now.Add(3*time.Hour)), now.Add(time.Hour), 7, "before"},
		"open-ended": {old(time.Time{}, time.Time{}), time.Time{}, 7, "before"},
		"ended":      {old(now.Add(-3*time.Hour), now.Add(-time.Hour)), until, 7, "why"},
	} {
		got := authz.AllUntilNow(by, c.old, now, 6*time.Second)
		if got.Subject != all || !got.Before.Equal(c.before) || got.Version != c.version || got.Reason != c.reason {
			t.Errorf("%s: %+v, want before %v", name, got, c.before)
		}
		if !got.Before.IsZero() && got.Until.Before(got.Before.Add(token.RevocationKept)) && got.Reason == "why" {
			t.Errorf("%s: kept until %v", name, got.Until)
		}
	}
}

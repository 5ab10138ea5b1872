package authz

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/marque-auth/marque/authz/audit"
)

// AuditQuery says which entries of the audit log to return. Empty fields match everything.
type AuditQuery struct {
	Cursor string    // the place where the page before ended; empty: the newest entry
	Limit  int       // 1 to 1000
	Actor  string    // audit.Actor.String
	Action string    // the action itself, or a prefix that ends before a dot: "client" matches "client.create"
	Target string    // the target itself, or what is revoked: "acme" matches the revocation of "client:acme"
	Since  time.Time // nothing older

	// Revoked leaves out acts by which no token became void. Those by which some did are not revocations
	// alone: disabling a client is one, too.
	Revoked bool
}

const (
	maxAuditLook  = 10_000 // entries that one page looks at
	auditReadSize = 500

	// Entries stand in the order of their commits. Clocks are set back, and several servers have
	// several: the first entry that is older need not be the last that is not.
	auditSlack = time.Hour
)

func (q AuditQuery) matches(e audit.Entry) bool {
	return (q.Actor == "" || q.Actor == e.Actor.String()) &&
		(q.Action == "" || q.Action == e.Action || strings.HasPrefix(e.Action, q.Action+".")) &&
		(q.Target == "" || about(e, q.Target)) &&
		!e.Time.Before(q.Since) &&
		(!q.Revoked || withdrew(e))
}

// Audit returns entries of the audit log, newest first, and the cursor of the next page; empty when
// there is none. A page may hold less than Limit, even nothing, and still have a next one: it looks at
// no more than 10,000 entries.
func (r *Registry) Audit(ctx context.Context, q AuditQuery) ([]audit.Entry, string, error) {
	var p problems
	p.check(ValidLimit(q.Limit), "limit", LimitRule)
	if err := p.err(); err != nil {
		return nil, "", err
	}
	out, next, err := r.audit(ctx, q)
	if errors.Is(err, ErrCursor) {
		return nil, "", &InvalidError{Fields: []FieldError{{"cursor", CursorRule}}}
	}
	return out, next, err
}

func (r *Registry) audit(ctx context.Context, q AuditQuery) ([]audit.Entry, string, error) {
	out, place := []audit.Entry{}, q.Cursor
	for looked := 0; looked < maxAuditLook; {
		size := min(auditReadSize, maxAuditLook-looked)
		if place == "" { // the end of the log moves: one entry gives a place that stays
			size = 1
		}
		entries, next, err := r.config.Log.Latest(ctx, place, size)
		if err != nil {
			return nil, "", err
		}
		for i, e := range entries {
			switch {
			case e.Time.Before(q.Since.Add(-auditSlack)) && !q.Since.IsZero():
				return out, "", nil
			case q.matches(e):
				out = append(out, e)
			}
			if len(out) == q.Limit {
				next, err := r.placeAfter(ctx, place, next, i+1, len(entries))
				return out, next, err
			}
		}
		if next == "" {
			return out, "", nil
		}
		looked += len(entries)
		place = next
	}
	return out, place, nil
}

// placeAfter returns the cursor of the n-th of all entries that were read from a place.
func (r *Registry) placeAfter(ctx context.Context, place, next string, n, all int) (string, error) {
	if n == all {
		return next, nil
	}
	_, next, err := r.config.Log.Latest(ctx, place, n)
	return next, err
}

package keys

import (
	"time"

	"github.com/marque-auth/marque/authz/audit"
)

// view shows what a step is about as the audit log does, in the management API's names: a key, or the
// windows of the ring whose name is the target. Nothing of a key's parts is in it.
func (r RingRecord) view(target string, now time.Time) audit.View {
	if target == string(r.Algorithm) {
		return r.windowsView(now)
	}
	i := r.index(target)
	if i < 0 {
		return nil
	}
	k := r.Keys[i]
	v := audit.View{"algorithm": string(k.Algorithm), "state": string(r.state(i, now))}
	for name, at := range map[string]time.Time{
		"published_at": k.PublishedAt, "sign_from": k.SignFrom, "withdraw_at": k.WithdrawAt, "revoked_at": k.RevokedAt,
	} {
		if !at.IsZero() {
			v[name] = at.UTC().Format(time.RFC3339)
		}
	}
	if k.revoked() {
		if successor := r.report(target).Successor; successor != "" {
			v["successor"] = successor
		}
	}
	return v
}

// windowsView shows the shortest windows of the published keys: what a longer setting lengthens.
func (r RingRecord) windowsView(now time.Time) audit.View {
	var lead, retire time.Duration
	first := true
	for _, k := range r.Keys {
		if k.withdrawn(now) {
			continue
		}
		if first || k.Windows.PublishLead < lead {
			lead = k.Windows.PublishLead
		}
		if first || k.Windows.RetireAfter < retire {
			retire = k.Windows.RetireAfter
		}
		first = false
	}
	return audit.View{"publish_lead": int64(lead / time.Second), "retire_after": int64(retire / time.Second)}
}

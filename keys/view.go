package keys

import (
	"slices"
	"time"

	"github.com/marque-auth/marque/authz/audit"
)

// views shows what a step did to a ring as the audit log does, in the management API's names: the key that
// is the target, or the windows of the ring whose name is the target, and under keys every other key that
// the same commit changed. Of a private part it says only whether it is kept.
func views(from, to RingRecord, target string, now time.Time) (before, after audit.View) {
	if target == string(from.Algorithm) {
		before, after = from.windowsView(now), to.windowsView(now)
	} else {
		before, after = from.keyView(target, now), to.keyView(target, now)
		if i := to.index(target); i >= 0 && to.Keys[i].revoked() && to.report(target).Successor != "" {
			after["successor"] = to.report(target).Successor
		}
	}
	for _, kid := range kids(from, to) {
		if kid == target {
			continue
		}
		was, is := differing(from.keyView(kid, now), to.keyView(kid, now))
		before, after = withKey(before, kid, was), withKey(after, kid, is)
	}
	return before, after
}

// kids returns the identifier of each key that is in one of the two, in the order of the rings.
func kids(from, to RingRecord) []string {
	var all []string
	seen := map[string]bool{}
	for _, k := range slices.Concat(from.Keys, to.Keys) {
		if !seen[k.KeyID] {
			seen[k.KeyID] = true
			all = append(all, k.KeyID)
		}
	}
	return all
}

// differing leaves out of two views what is in both. It changes them.
func differing(was, is audit.View) (before, after audit.View) {
	for name, value := range was {
		if other, ok := is[name]; ok && other == value {
			delete(was, name)
			delete(is, name)
		}
	}
	return was, is
}

// withKey adds to v what there is to say of one more key: nothing if it is not there, or did not change.
func withKey(v audit.View, kid string, key audit.View) audit.View {
	if len(key) == 0 {
		return v
	}
	if v == nil {
		v = audit.View{}
	}
	key["kid"] = kid
	list, _ := v["keys"].([]audit.View)
	v["keys"] = append(list, key)
	return v
}

// keyView shows one key; nil if it is not in r. Its values can be compared.
func (r RingRecord) keyView(kid string, now time.Time) audit.View {
	i := r.index(kid)
	if i < 0 {
		return nil
	}
	k := r.Keys[i]
	v := audit.View{
		"algorithm": string(k.Algorithm), "state": string(r.state(i, now)), "private_key_kept": k.Sealed != "",
		"publish_lead": int64(k.Windows.PublishLead / time.Second), "retire_after": int64(k.Windows.RetireAfter / time.Second),
	}
	for name, at := range map[string]time.Time{
		"published_at": k.PublishedAt, "sign_from": k.SignFrom, "withdraw_at": k.WithdrawAt, "revoked_at": k.RevokedAt,
	} {
		if !at.IsZero() {
			v[name] = at.UTC().Format(time.RFC3339)
		}
	}
	return v
}

// windowsView shows what belongs to the ring as a whole: the shortest windows of the published keys, which a
// longer setting lengthens, and the key-encryption key.
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
	v := audit.View{"publish_lead": int64(lead / time.Second), "retire_after": int64(retire / time.Second)}
	if id, err := r.kekID(); err == nil && id != "" {
		v["kek_id"] = id // what sealed the newest private key
	}
	return v
}

package keys

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/marque-auth/marque/keys/jose"
)

// entry is what an entry says, with key1, key2 and so on for identifiers.
type entry struct{ Actor, RequestID, Reason, Action, Target, Before, After string }

// said returns the entries from place i on. Keys are numbered in the order of their making.
func (w *world) said(i int) []entry {
	var names []string
	for i, k := range w.store.ring(jose.ES256).Keys {
		names = append(names, k.KeyID, "key"+strconv.Itoa(i+1))
	}
	plain := strings.NewReplacer(names...)
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	var list []entry
	for _, e := range w.store.entries[i:] {
		list = append(list, entry{
			e.Actor.String(), e.RequestID, plain.Replace(e.Reason), e.Action, plain.Replace(e.Target),
			plain.Replace(string(e.Before)), plain.Replace(string(e.After)),
		})
	}
	return list
}

// Every act on keys, with the whole of what its entries say: each stamp that a commit set is in its
// entry, on whichever key, and the entries of one request can be tied together.
func TestEVT12_EveryChangeOfAKeyIsWrittenDown(t *testing.T) {
	const timeline, person = "system:keys", "uid:1000"
	by := admin
	by.Reason = "drill"
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	turned := func(w *world) { w.after(DefaultPublishLead); w.rotate() }
	for name, tt := range map[string]struct {
		prepare, act func(*world)
		want         []entry
	}{
		"the first start": {
			want: []entry{
				{
					timeline, "", "the algorithm came into use", ActionCreate, "key1",
					"",
					`{"algorithm":"ES256","private_key_kept":true,"publish_lead":86400,"published_at":"2026-11-21T12:00:00Z","retire_after":4276,"sign_from":"2026-11-21T12:00:00Z","state":"active"}`,
				},
				{
					timeline, "", "the ring had no next key", ActionCreate, "key2",
					"",
					`{"algorithm":"ES256","private_key_kept":true,"publish_lead":86400,"published_at":"2026-11-21T12:00:00Z","retire_after":4276,"state":"next"}`,
				},
			},
		},
		"rotate at once": {
			prepare: func(w *world) { w.after(DefaultPublishLead) },
			act:     func(w *world) { must(w.Rotate(bg, jose.ES256, by)) },
			want: []entry{
				{
					person, "r1", "drill", ActionRotate, "key2",
					`{"keys":[{"kid":"key1","state":"active"}],"state":"next"}`,
					`{"keys":[{"kid":"key1","state":"retiring","withdraw_at":"2026-11-22T13:11:16Z"}],"sign_from":"2026-11-22T12:00:00Z","state":"active"}`,
				},
				{
					timeline, "r1", "the ring had no next key", ActionCreate, "key3",
					"",
					`{"algorithm":"ES256","private_key_kept":true,"publish_lead":86400,"published_at":"2026-11-22T12:00:00Z","retire_after":4276,"state":"next"}`,
				},
			},
		},
		"rotate before the lead has passed": {
			act: func(w *world) { must(w.Rotate(bg, jose.ES256, by)) },
			want: []entry{
				{
					person, "r1", "drill", ActionRotate, "key2",
					`{}`,
					`{"keys":[{"kid":"key1","withdraw_at":"2026-11-22T13:11:16Z"}],"sign_from":"2026-11-22T12:00:00Z"}`,
				},
			},
		},
		"withdraw a key whose turn is stamped": {
			prepare: func(w *world) { w.rotate() },
			act:     func(w *world) { must(nil, w.Withdraw(bg, w.kid(StateNext), by)) },
			want: []entry{
				{
					person, "r1", "drill", ActionWithdraw, "key2",
					`{"keys":[{"kid":"key1","withdraw_at":"2026-11-22T13:11:16Z"}],"private_key_kept":true,"sign_from":"2026-11-22T12:00:00Z","state":"next"}`,
					`{"private_key_kept":false,"state":"withdrawn","withdraw_at":"2026-11-21T12:00:00Z"}`,
				},
				{
					timeline, "r1", "the ring had no next key", ActionCreate, "key3",
					"",
					`{"algorithm":"ES256","private_key_kept":true,"publish_lead":86400,"published_at":"2026-11-21T12:00:00Z","retire_after":4276,"state":"next"}`,
				},
			},
		},
		"the timeline withdraws": {
			prepare: turned,
			act:     func(w *world) { w.after(w.windows.RetireAfter) },
			want: []entry{
				{
					timeline, "", "every token that it signed has expired", ActionWithdraw, "key1",
					`{"private_key_kept":true}`,
					`{"private_key_kept":false}`,
				},
			},
		},
		"revoke the active key": {
			act: func(w *world) { must(w.Revoke(bg, w.kid(StateActive), by)) },
			want: []entry{
				{
					person, "r1", "drill", ActionRevoke, "key1",
					`{"keys":[{"kid":"key2","state":"next"}],"private_key_kept":true,"state":"active"}`,
					`{"keys":[{"kid":"key2","sign_from":"2026-11-21T12:00:00Z","state":"active"}],"private_key_kept":false,"revoked_at":"2026-11-21T12:00:00Z","state":"revoked","successor":"key2"}`,
				},
				{
					timeline, "r1", "the ring had no next key", ActionCreate, "key3",
					"",
					`{"algorithm":"ES256","private_key_kept":true,"publish_lead":86400,"published_at":"2026-11-21T12:00:00Z","retire_after":4276,"state":"next"}`,
				},
			},
		},
		"revoke a retiring key": {
			prepare: turned,
			act:     func(w *world) { must(w.Revoke(bg, w.kid(StateRetiring), by)) },
			want: []entry{
				{
					person, "r1", "drill", ActionRevoke, "key1",
					`{"private_key_kept":true,"state":"retiring"}`,
					`{"private_key_kept":false,"revoked_at":"2026-11-22T12:00:00Z","state":"revoked"}`,
				},
			},
		},
		"settings grow": {
			prepare: turned,
			act: func(w *world) {
				w.Ring = w.node(func(c *Config) { c.PublishLead, c.StoreOutage = 48*time.Hour, 2*time.Hour })
				w.step()
			},
			want: []entry{
				{
					timeline, "", "settings: publish lead 48h0m0s, retire after 3h6m16s", ActionLengthen, "ES256",
					`{"keys":[{"kid":"key1","publish_lead":86400,"retire_after":4276,"withdraw_at":"2026-11-22T13:11:16Z"},{"kid":"key2","publish_lead":86400,"retire_after":4276},{"kid":"key3","publish_lead":86400,"retire_after":4276}],"publish_lead":86400,"retire_after":4276}`,
					`{"keys":[{"kid":"key1","publish_lead":172800,"retire_after":11176,"withdraw_at":"2026-11-22T15:06:16Z"},{"kid":"key2","publish_lead":172800,"retire_after":11176},{"kid":"key3","publish_lead":172800,"retire_after":11176}],"publish_lead":172800,"retire_after":11176}`,
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tt.prepare != nil {
				tt.prepare(w)
			}
			n := 0
			if tt.act != nil {
				n = len(w.store.entries)
				tt.act(w)
			}
			if d := cmp.Diff(tt.want, w.said(n)); d != "" {
				t.Errorf("entries (-want +got):\n%s", d)
			}
		})
	}
}

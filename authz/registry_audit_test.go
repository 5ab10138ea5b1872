package authz

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/marque-auth/marque/authz/audit"
	"github.com/marque-auth/marque/authz/token"
	"github.com/marque-auth/marque/keys/jose"
)

// Every operation that changes something leaves one entry: who, why, for which request, and what.
func TestEVT12_EveryChangeIsWrittenDown(t *testing.T) {
	actions := map[string]string{
		"create a resource": "resource.create", "create a resource anew": "resource.create", "update a resource": "resource.update",
		"update a resource and withdraw": "resource.update", "delete a resource": "resource.delete", "create a client": "client.create",
		"create a client with a secret": "client.create", "update a client": "client.update", "update a client and withdraw": "client.update",
		"delete a client": "client.delete", "disable": "client.disable", "enable": "client.enable", "add a secret": "client.secret.add",
		"bring a secret": "client.secret.add", "revoke a secret": "client.secret.revoke", "a compromised secret": "client.secret.revoke",
		"revoke a client's tokens": "revocation.create", "revoke a token": "revocation.create",
	}
	for name, c := range writeCases() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c.prepare(t, w)
			n := len(w.entries)
			if err := c.act(t, w); err != nil {
				t.Fatal(err)
			}
			if len(w.entries) != n+1 {
				t.Fatalf("%d entries", len(w.entries)-n)
			}
			e := w.entries[n]
			if e.Origin != admin || e.Action != actions[name] || e.Target == "" || e.Result != audit.ResultDone || !e.Time.Equal(w.now()) {
				t.Errorf("entry %+v, want action %q", e, actions[name])
			}
			if e.Before == nil && e.After == nil || slices.Equal(e.Before, e.After) {
				t.Errorf("it says nothing: before %s after %s", e.Before, e.After)
			}
			for _, v := range []jsontext.Value{e.Before, e.After} {
				if v != nil && !v.IsValid() {
					t.Errorf("no JSON: %s", v)
				}
			}
		})
	}
}

func TestAudit_OnlyWhatDiffers(t *testing.T) {
	w := newWorld(t, nil)
	c, _ := w.story(t)
	id := c.Credentials[0].ID
	last := func() (string, string) { e := w.entries[len(w.entries)-1]; return string(e.Before), string(e.After) }
	want := func(before, after string) {
		t.Helper()
		b, a := last()
		if b != before || a != after {
			t.Errorf("before %s\nafter  %s\nwant   %s\nand    %s", b, a, before, after)
		}
	}
	want("", `{"admin":false,"client_name":"Acme","default_scope":"orders:read","disabled":false,"grant_types":["client_credentials"],`+
		`"resources":["https://fulfilment.example"],"scope":"orders:read orders:write",`+
		`"secrets":[{"credential_id":"`+string(id)+`","revoked":false}],"token_endpoint_auth_method":"client_secret_basic"}`)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(second(w.registry.SetClientDisabled(t.Context(), admin, "acme", true)))
	want(`{"disabled":false}`, `{"disabled":true,"revocations":[{"kind":"client","value":"acme"}]}`)
	must(second(w.registry.SetClientDisabled(t.Context(), admin, "acme", false)))
	want(`{"disabled":true,"revocations":[{"kind":"client","value":"acme"}]}`,
		`{"disabled":false,"revocations":[{"before":"2026-11-21T12:00:01Z","kind":"client","until":"2026-11-21T13:05:01Z","value":"acme"}]}`)
	x, _, _, err := w.registry.AddSecret(t.Context(), admin, "acme", SecretSpec{Expires: w.now().Add(time.Hour)})
	must(err)
	want(`{"secrets":[]}`, `{"secrets":[{"client_secret_expires_at":"2026-11-21T13:00:00Z","credential_id":"`+string(x.ID)+`","revoked":false}]}`)
	must(second(w.registry.RevokeSecret(t.Context(), admin, "acme", id, SecretRevocation{Compromised: true, Since: w.now().Add(-time.Hour)})))
	want(`{"secrets":[{"credential_id":"`+string(id)+`","revoked":false}]}`,
		`{"revocations":[{"kind":"credential","since":"2026-11-21T11:00:00Z","value":"`+string(id)+`"}],"secrets":[{"credential_id":"`+string(id)+`","revoked":true,"revoked_at":"2026-11-21T12:00:00Z"}]}`)
	w.edit(t, "acme", func(c *Client) { c.Name = "Acme mrq_0123456789" }) // an earlier server took such names
	spec := storySpec()
	spec.Name, spec.DefaultScopes, spec.TokenLifetime = "Acme EU", nil, 90*time.Second
	spec.Claims = map[string]jsontext.Value{"groups": jsontext.Value(`["a"]`)}
	must(second(w.registry.UpdateClient(t.Context(), admin, "acme", anyVersion, spec, false)))
	want(`{"client_name":"Acme [redacted]","default_scope":"orders:read"}`, `{"claims":{"groups":["a"]},"client_name":"Acme EU","token_lifetime":90}`)
	must(second(w.registry.UpdateResource(t.Context(), admin, api, anyVersion, ResourceSpec{Algorithm: "RS256"}, false)))
	want(`{"algorithm":"ES256","scopes":["orders:read","orders:write"]}`, `{"algorithm":"RS256"}`)
	must(w.registry.DeleteClient(t.Context(), admin, "acme", anyVersion))
	if b, a := last(); a != "" || !strings.Contains(b, `"client_name"`) {
		t.Errorf("deleted: before %s after %s", b, a)
	}
	must(w.registry.DeleteResource(t.Context(), admin, api, anyVersion))
	want(`{"algorithm":"RS256","token_lifetime":600,"token_type":"at+jwt"}`, "")
}

// Whatever a client holds, the log shows no digest and no secret, in no spelling.
func TestAudit_NoDigestAndNoSecretCanAppear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var hidden []string
		client := func(label string) Client {
			c := Client{
				ID: "acme", Name: rapid.StringN(0, 40, -1).Draw(t, label+" name"), Version: 1,
				IntrospectionAlgorithm: jose.Algorithm(rapid.SampledFrom([]string{"", "ES256"}).Draw(t, label+" alg")),
				Admin:                  rapid.Bool().Draw(t, label+" admin"), Disabled: rapid.Bool().Draw(t, label+" disabled"),
				TokenLifetime: time.Duration(rapid.IntRange(0, 3600).Draw(t, label+" lifetime")) * time.Second,
			}
			if rapid.Bool().Draw(t, label+" deleted") {
				c.DeletedAt = time.Unix(1, 0)
			}
			for i := range rapid.IntRange(0, 4).Draw(t, label+" secrets") {
				digest := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label+" digest")
				id := CredentialID(fmt.Sprintf("%016d", i))
				secret := newSecret(id).Reveal()
				hidden = append(hidden, secret, base64.StdEncoding.EncodeToString(digest), base64.RawURLEncoding.EncodeToString(digest), hex.EncodeToString(digest))
				if rapid.Bool().Draw(t, label+" misplaced") { // an admin pasted it into the name, and into a claim
					c.Name += " " + secret
					c.Claims = append(c.Claims, token.Static{Name: fmt.Sprint("groups", i), Value: jsontext.Value(`["` + secret + `"]`)})
				}
				c.Credentials = append(c.Credentials, Credential{
					ID: id, Scheme: SchemeHMAC, Digest: digest,
					Expires: time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, label+" expires"), 0),
				})
			}
			return c
		}
		before, after := client("before"), client("after")
		e, err := changed(audit.Entry{}, clientView(before, after), clientView(after, before), nil)
		if err != nil {
			t.Skip(err) // a name that is not UTF-8: validName refuses it
		}
		for _, v := range []jsontext.Value{e.Before, e.After} {
			if v != nil && !v.IsValid() {
				t.Fatalf("no JSON: %s", v)
			}
			for _, s := range hidden {
				if strings.Contains(string(v), s) {
					t.Fatalf("%s shows %s", v, s)
				}
			}
		}
	})
}

// log is an audit log with an entry for each minute, newest last.
func (w *world) log(n int, edit func(i int, e *audit.Entry)) {
	for i := range n {
		e := admin.Done(w.now().Add(time.Duration(i-n)*time.Minute), "client.create", fmt.Sprint("c", i))
		e.ID = fmt.Sprint(i + 1)
		if edit != nil {
			edit(i, &e)
		}
		w.entries = append(w.entries, e)
	}
}

// pages reads the log to its end, and returns what it holds and how many pages and reads that took.
func (w *world) pages(t *testing.T, q AuditQuery) (targets []string, pages int) {
	t.Helper()
	for {
		page, next, err := w.registry.Audit(t.Context(), q)
		if err != nil || len(page) > q.Limit {
			t.Fatal(len(page), err)
		}
		for _, e := range page {
			targets = append(targets, e.Target)
		}
		if pages++; next == "" || pages > 2000 {
			return targets, pages
		}
		q.Cursor = next
	}
}

func TestAudit_NewestFirstInPages(t *testing.T) {
	w := newWorld(t, nil)
	w.log(1203, nil)
	for _, limit := range []int{1, 7, 499, 500, 501, 1000} {
		got, _ := w.pages(t, AuditQuery{Limit: limit})
		if len(got) != 1203 || got[0] != "c1202" || got[1202] != "c0" || slices.ContainsFunc(got, func(s string) bool { return s == "" }) {
			t.Fatalf("limit %d: %d entries, first %q last %q", limit, len(got), got[0], got[len(got)-1])
		}
		for i := range got {
			if got[i] != fmt.Sprint("c", 1202-i) {
				t.Fatalf("limit %d: at %d stands %s", limit, i, got[i])
			}
		}
	}
}

// What is written while somebody reads is neither repeated to him nor does it push anything out.
func TestAudit_PagesStayInPlace(t *testing.T) {
	w := newWorld(t, nil)
	w.log(30, nil)
	w.onCall(func(op string) error {
		if op == "latest" {
			e := admin.Done(w.now(), "client.create", "new")
			w.mu.Lock()
			e.ID = fmt.Sprint(len(w.entries) + 1)
			w.entries = append(w.entries, e)
			w.mu.Unlock()
		}
		return nil
	})
	got, _ := w.pages(t, AuditQuery{Limit: 7})
	got = slices.DeleteFunc(got, func(s string) bool { return s == "new" })
	if len(got) != 30 || got[0] != "c29" || got[29] != "c0" || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 30 {
		t.Errorf("%v", got)
	}
}

func TestAudit_Filters(t *testing.T) {
	w := newWorld(t, nil)
	w.log(100, func(i int, e *audit.Entry) {
		switch {
		case i%10 == 0:
			e.Action = "client.secret.add"
		case i%10 == 1:
			e.Action = "clients.other"
		case i%10 == 2:
			e.Actor = audit.System("keys")
		}
	})
	for name, tt := range map[string]struct {
		q    AuditQuery
		want int
	}{
		"everything":         {AuditQuery{}, 100},
		"an action":          {AuditQuery{Action: "client.secret.add"}, 10},
		"a prefix":           {AuditQuery{Action: "client"}, 90},
		"a longer prefix":    {AuditQuery{Action: "client.secret"}, 10},
		"part of a word":     {AuditQuery{Action: "clie"}, 0},
		"an actor":           {AuditQuery{Actor: "system:keys"}, 10},
		"a target":           {AuditQuery{Target: "c17"}, 1},
		"since":              {AuditQuery{Since: w.now().Add(-5 * time.Minute)}, 5},
		"since the first":    {AuditQuery{Since: w.now().Add(-200 * time.Minute)}, 100},
		"all of it together": {AuditQuery{Since: w.now().Add(-50 * time.Minute), Actor: "system:keys", Action: "client"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			tt.q.Limit = 9
			if got, _ := w.pages(t, tt.q); len(got) != tt.want {
				t.Errorf("%d entries, want %d", len(got), tt.want)
			}
		})
	}
}

// A page looks at no more than 10,000 entries, and one that finds nothing goes on where it ended.
func TestAudit_APageIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	w.log(25_000, func(i int, e *audit.Entry) { e.Time = w.now() })
	w.calls.Store(0)
	page, next, err := w.registry.Audit(t.Context(), AuditQuery{Limit: 10, Target: "c3"})
	if err != nil || len(page) != 0 || next == "" || w.calls.Load() > 2+maxAuditLook/auditReadSize {
		t.Errorf("%d entries, next %q, %d reads, %v", len(page), next, w.calls.Load(), err)
	}
	if got, pages := w.pages(t, AuditQuery{Limit: 10, Target: "c3"}); len(got) != 1 || pages != 3 {
		t.Errorf("%v in %d pages", got, pages)
	}
	// Nothing is older than what is asked for by more than a clock may be wrong: it is not read.
	w.entries = nil
	w.log(25_000, nil)
	w.calls.Store(0)
	if got, pages := w.pages(t, AuditQuery{Limit: 1000, Since: w.now().Add(-10 * time.Minute)}); len(got) != 10 || pages != 1 || w.calls.Load() > 3 {
		t.Errorf("%d entries in %d pages, %d reads", len(got), pages, w.calls.Load())
	}
}

func TestAudit_WhatIsWrongWithAQuery(t *testing.T) {
	w := newWorld(t, nil)
	w.log(3, nil)
	for _, limit := range []int{0, -1, 1001} {
		_, _, err := w.registry.Audit(t.Context(), AuditQuery{Limit: limit})
		wantFields(t, err, "limit")
	}
	_, _, err := w.registry.Audit(t.Context(), AuditQuery{Limit: 1, Cursor: "elsewhere"})
	wantFields(t, err, "cursor")
	w.fail(errDown)
	if _, _, err := w.registry.Audit(t.Context(), AuditQuery{Limit: 1}); !errors.Is(err, errDown) {
		t.Error(err)
	}
}
